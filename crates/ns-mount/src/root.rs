//! Lookups in a tree that others can write, from the caller's side.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mkdirat};

use crate::destination::Destination;
use crate::error::{Error, Kind, Result};

/// A directory that is treated as `/`: no lookup leaves it, whatever links are inside.
///
/// # Examples
/// ```
/// use ns_mount::Root;
/// let root = Root::open("/")?;
/// assert!(root.read_file("etc/no such file", 4096)?.is_none());
/// # Ok::<(), ns_mount::Error>(())
/// ```
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    name: String,
}

/// An object that was found inside a [`Root`]; the descriptor is `O_PATH`.
#[derive(Debug)]
pub struct InRoot {
    fd: OwnedFd,
}

impl Root {
    /// Opens a directory of the host by the usual rules.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT, ENOTDIR | it is not there, or is no directory |
    /// | `Denied` | EACCES | a directory above it cannot be searched |
    ///
    /// # Kernel
    /// 5.6 (`openat2`).
    pub fn open(path: &str) -> Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path, flags, Mode::empty())
            .map_err(|errno| failed("open the root", format!("open({path:?})"), errno))?;
        Ok(Root {
            directory,
            name: path.to_owned(),
        })
    }

    /// Takes a descriptor of a directory.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | it is not a directory |
    pub fn from_fd(directory: OwnedFd) -> Result<Root> {
        let stat = fstat(&directory).map_err(|errno| failed("open the root", "fstat", errno))?;
        if file_type(&stat) != SFlag::S_IFDIR {
            return Err(Error::new(
                Kind::Hostile,
                "open the root",
                "not a directory",
            ));
        }
        let name = "<descriptor>".to_owned();
        Ok(Root { directory, name })
    }

    /// Finds an object; links are followed inside the root, magic links are refused.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT, ENOTDIR | it is not there |
    /// | `Hostile` | ELOOP | a link loop or a magic link |
    /// | `Limit` | EAGAIN | renames disturbed the lookup 128 times |
    ///
    /// # References
    /// `openat2(2)`, `RESOLVE_IN_ROOT`.
    pub fn resolve(&self, path: &str) -> Result<InRoot> {
        self.lookup(path, OFlag::O_PATH)
            .map(|fd| InRoot { fd })
            .map_err(|errno| self.failed("find in the root", path, errno))
    }

    /// The contents of a regular file, or `None` when it is not there.
    ///
    /// # Units
    /// `limit_bytes`: a larger file is an error, not cut off.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Hostile` | | it is a directory, device, fifo or socket, or was exchanged meanwhile |
    /// | `Hostile` | ELOOP | a link loop or a magic link |
    /// | `Limit` | | it is larger than `limit_bytes` |
    /// | `Denied` | EACCES | it cannot be read |
    pub fn read_file(&self, path: &str, limit_bytes: usize) -> Result<Option<Vec<u8>>> {
        const STEP: &str = "read in the root";
        let found = match self.lookup(path, OFlag::O_PATH) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            found => found.map_err(|errno| self.failed(STEP, path, errno))?,
        };
        let first = fstat(&found).map_err(|errno| self.failed(STEP, path, errno))?;
        if file_type(&first) != SFlag::S_IFREG {
            return Err(self.hostile(STEP, path, "is not a regular file"));
        }
        // Neither flag matters to a regular file; they keep an exchanged one from blocking or becoming our terminal.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = self
            .lookup(path, flags)
            .map(File::from)
            .map_err(|errno| self.failed(STEP, path, errno))?;
        let io = |error: &std::io::Error| Error::from_io(STEP, self.call(path), error);
        let metadata = file.metadata().map_err(|error| io(&error))?;
        if (metadata.dev(), metadata.ino()) != (first.st_dev, first.st_ino) || !metadata.is_file() {
            return Err(self.hostile(STEP, path, "was exchanged while it was read"));
        }
        let mut contents = Vec::new();
        let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
        let mut limited = file.take(limit.saturating_add(1));
        limited
            .read_to_end(&mut contents)
            .map_err(|error| io(&error))?;
        if contents.len() > limit_bytes {
            let call = format!("{} is larger than {limit_bytes} bytes", self.call(path));
            return Err(Error::new(Kind::Limit, STEP, call));
        }
        Ok(Some(contents))
    }

    /// Makes a directory and those above it that are missing; an existing one is kept.
    ///
    /// # Shape
    /// `path`: absolute, no `..`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Hostile` | | the path holds `..` |
    /// | `NotFound` | ENOENT, ENOTDIR | a link on the way leads nowhere, or a name is no directory |
    /// | `Denied` | EACCES, EROFS | the directory above cannot be written |
    pub fn create_directory(&self, path: &str, mode: u32) -> Result<InRoot> {
        const STEP: &str = "make a directory in the root";
        let destination = Destination::parse(path, STEP)?;
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let ends = destination.as_str().match_indices('/').skip(1);
        let ends = ends.map(|(end, _)| end).chain([destination.as_str().len()]);
        let mut parent = self
            .lookup(".", directory)
            .map_err(|errno| self.failed(STEP, path, errno))?;
        for end in ends {
            let so_far = &destination.as_str()[..end];
            let failed = |errno| self.failed(STEP, so_far, errno);
            if matches!(self.lookup(so_far, directory), Err(Errno::ENOENT)) {
                let name = so_far.rsplit('/').next().unwrap_or_default();
                let is_last = end == destination.as_str().len();
                let mode = if is_last { mode } else { 0o755 };
                match mkdirat(&parent, name, Mode::from_bits_truncate(mode)) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(failed(errno)),
                }
            }
            parent = self.lookup(so_far, directory).map_err(failed)?;
        }
        Ok(InRoot { fd: parent })
    }

    fn lookup(&self, path: &str, flags: OFlag) -> std::result::Result<OwnedFd, Errno> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        for _ in 0..LOOKUP_TRIES {
            match openat2(&self.directory, path, how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => return result,
            }
        }
        Err(Errno::EAGAIN)
    }

    fn call(&self, path: &str) -> String {
        format!("openat2(<{}>, {path:?})", self.name)
    }

    fn failed(&self, step: &'static str, path: &str, errno: Errno) -> Error {
        failed(step, self.call(path), errno)
    }

    fn hostile(&self, step: &'static str, path: &str, rule: &str) -> Error {
        Error::new(Kind::Hostile, step, format!("{} {rule}", self.call(path)))
    }
}

impl InRoot {
    /// Whether it is a directory.
    ///
    /// # Errors
    /// `Kernel` when the object cannot be looked at.
    pub fn is_directory(&self) -> Result<bool> {
        let stat = fstat(&self.fd).map_err(|errno| failed("look at an object", "fstat", errno))?;
        Ok(file_type(&stat) == SFlag::S_IFDIR)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl AsFd for InRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<InRoot> for OwnedFd {
    fn from(object: InRoot) -> OwnedFd {
        object.fd
    }
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn failed(step: &'static str, call: impl Into<String>, errno: Errno) -> Error {
    Error::from_errno(step, call, errno as i32)
}

/// How often a lookup is repeated that renames disturb (EAGAIN of `openat2(2)`).
const LOOKUP_TRIES: u32 = 128;
