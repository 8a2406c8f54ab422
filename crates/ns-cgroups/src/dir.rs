//! A directory of a cgroup file system, held by descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::{
    dir::{Dir as Listing, Type},
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2},
    sys::{
        stat::{Mode, fstat, mkdirat},
        statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs},
    },
    unistd::{UnlinkatFlags, read, unlinkat, write},
};

use crate::{
    error::{Error, Kind, Result},
    layout::Version,
};

/// An open group directory, with the path that it was reached by, for messages and records.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: String,
}

impl Dir {
    /// Opens a directory of the host by path, once, and checks that it is on a cgroup file system.
    pub(crate) fn open(path: &str, version: Version) -> Result<Self> {
        let call = || format!("open({path:?})");
        let fd = open(path, DIRECTORY, Mode::empty())
            .map_err(|errno| Error::from_errno("open control group", call(), errno))?;
        let dir = Dir {
            fd,
            path: path.trim_end_matches('/').to_owned(),
        };
        dir.check_version(version)?;
        Ok(dir)
    }

    fn check_version(&self, version: Version) -> Result<()> {
        const STEP: &str = "check control group";
        let magic = match version {
            Version::V1 => CGROUP_SUPER_MAGIC,
            Version::V2 => CGROUP2_SUPER_MAGIC,
        };
        let found = fstatfs(&self.fd)
            .map_err(|errno| Error::from_errno(STEP, format!("fstatfs({:?})", self.path), errno))?;
        if found.filesystem_type() == magic {
            return Ok(());
        }
        let call = format!("{:?} is not on a cgroup {version:?} file system", self.path);
        Err(Error::new(Kind::Hostile, STEP, call))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Opens the group of that name below this one.
    pub(crate) fn child(&self, name: &str) -> Result<Dir> {
        let fd = self
            .open_beneath(name, DIRECTORY)
            .map_err(|errno| self.error("open control group", "openat2", name, errno))?;
        Ok(Dir {
            fd,
            path: self.path_of(name),
        })
    }

    /// The group several levels below this one, or this one when there is no name.
    pub(crate) fn descend<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<Dir> {
        let mut at = self.try_clone()?;
        for name in names {
            at = at.child(name)?;
        }
        Ok(at)
    }

    /// Makes a group; `false` when it was there.
    pub(crate) fn make_child(&self, name: &str) -> Result<bool> {
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => {
                let error = self.error("make control group", "mkdirat", name, errno);
                Err(match errno {
                    Errno::EROFS => error.with_hint("the cgroup file system is mounted read-only"),
                    Errno::EACCES | Errno::EPERM => error.with_hint(
                        "this part of the tree is not delegated to this user; start in a delegated \
                         group, e.g. with systemd-run --user --scope -p Delegate=yes",
                    ),
                    Errno::EAGAIN => {
                        error.with_hint("cgroup.max.descendants or cgroup.max.depth is reached")
                    }
                    _ => error,
                })
            }
        }
    }

    /// Removes an empty group; `false` when it is not there.
    pub(crate) fn remove_child(&self, name: &str) -> Result<bool> {
        match unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
            Err(errno) => Err(self.error("remove control group", "rmdir", name, errno)),
        }
    }

    /// The names of the groups right below this one.
    pub(crate) fn children(&self) -> Result<Vec<String>> {
        // The own two links, and one of each directory below: most groups have none.
        match fstat(&self.fd) {
            Ok(group) if group.st_nlink == 2 => Ok(Vec::new()),
            _ => self.entries(Type::Directory),
        }
    }

    /// The names of the group's files.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        self.entries(Type::File)
    }

    fn entries(&self, kind: Type) -> Result<Vec<String>> {
        let failed = |errno| self.error("list control groups", "getdents64", ".", errno);
        // A second open file, because reading moves the offset.
        let fd = self.open_beneath(".", DIRECTORY).map_err(failed)?;
        let mut listing = Listing::from_fd(fd).map_err(failed)?;
        let mut names = Vec::new();
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type() == Some(kind) && name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// The content of a file.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        self.read_bytes(file)
            .map_err(|errno| self.error("read control group", "read", file, errno))
    }

    /// The content of a file, `None` when there is no such file.
    pub(crate) fn read_if_present(&self, file: &str) -> Result<Option<String>> {
        match self.read_bytes(file) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::ENOENT | Errno::EOPNOTSUPP) => Ok(None),
            Err(errno) => Err(self.error("read control group", "read", file, errno)),
        }
    }

    fn read_bytes(&self, file: &str) -> nix::Result<String> {
        let fd = self.open_beneath(file, OFlag::O_RDONLY | OFlag::O_CLOEXEC)?;
        read_all(&fd)
    }

    /// Writes a file in one call, as the kernel's handlers need it.
    pub(crate) fn write(&self, file: &str, value: &str) -> nix::Result<()> {
        let fd = self.open_beneath(file, OFlag::O_WRONLY | OFlag::O_CLOEXEC)?;
        write(&fd, value.as_bytes()).map(|_| ())
    }

    pub(crate) fn open_file(&self, file: &str, flags: OFlag) -> Result<OwnedFd> {
        self.open_beneath(file, flags | OFlag::O_CLOEXEC)
            .map_err(|errno| self.error("open control group file", "openat2", file, errno))
    }

    /// Whether the group has a file of that name.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.open_beneath(file, OFlag::O_PATH | OFlag::O_CLOEXEC)
            .is_ok()
    }

    pub(crate) fn try_clone(&self) -> Result<Dir> {
        let call = || format!("dup({:?})", self.path);
        let fd = self.fd.try_clone().map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            Error::from_errno("open control group", call(), errno)
        })?;
        let path = self.path.clone();
        Ok(Dir { fd, path })
    }

    /// Whether both are the same group; inode numbers of groups are not used twice.
    pub(crate) fn is_same(&self, other: &Dir) -> bool {
        match (fstat(&self.fd), fstat(&other.fd)) {
            (Ok(own), Ok(other)) => (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino),
            _ => false,
        }
    }

    pub(crate) fn error(&self, step: &'static str, call: &str, name: &str, errno: Errno) -> Error {
        Error::from_errno(step, format!("{call}({:?})", self.path_of(name)), errno)
    }

    fn open_beneath(&self, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
        openat2(&self.fd, name, how)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The content of a file of the host, from the start to the end.
pub(crate) fn read_path(path: &str) -> Result<Vec<u8>> {
    let failed = |errno| Error::from_errno("read host", format!("read({path:?})"), errno);
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(failed)?;
    read_all(&fd).map(String::into_bytes).map_err(failed)
}

pub(crate) fn read_all(fd: &OwnedFd) -> nix::Result<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 8192];
    loop {
        match read(fd, &mut buffer) {
            Ok(0) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(n_read) => bytes.extend_from_slice(&buffer[..n_read]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_CLOEXEC);
