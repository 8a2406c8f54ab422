//! Where it is remembered which containers there are.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::socket::UnixAddr;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use ns_config::{ContainerState, Rootfs, check_container_id};

use crate::error::{Error, Kind, Result, Stage};

/// A directory with one directory for each container, in which its state is kept.
///
/// Only the caller can look into it. What is in it is written to a temporary file, synced and renamed, so that a
/// reader finds an old state or a new one and never half of one. A directory is locked by `flock(2)` while its
/// container is made, changed or removed; the kernel lets go of the lock when its holder dies.
#[derive(Debug)]
pub struct StateDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The directory of one container, locked.
#[derive(Debug)]
pub(crate) struct Locked {
    dir: Flock<OwnedFd>,
    path: PathBuf,
}

/// Whether somebody who holds the lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contended {
    /// It is an error that the container is being worked on.
    Refuse,
    /// As [`Refuse`](Self::Refuse), for a look, which others may take at the same time.
    Look,
    /// Until the other one is done.
    Wait,
}

impl StateDir {
    /// The usual place: `/run/nsrun` for root, `$XDG_RUNTIME_DIR/nsrun` for others. It is made when it is not there.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `NotFound` | the caller is not root, and `XDG_RUNTIME_DIR` is not set or no absolute path |
    pub fn default_place() -> Result<Self> {
        if geteuid().is_root() {
            return Self::open("/run/nsrun");
        }
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match runtime.filter(|path| path.is_absolute()) {
            Some(runtime) => Self::open(runtime.join("nsrun")),
            None => {
                let message =
                    "find the state directory: XDG_RUNTIME_DIR is not set to an absolute path";
                let hint = "log in to a session that sets it, or name a directory of your own (--root DIR)";
                Err(Error::new(Kind::NotFound, Stage::Caller, message).with_hint(hint))
            }
        }
    }

    /// Opens a directory, or makes it with mode 0700; the one above it must be there.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Hostile` | | it is a link or no directory, belongs to somebody else, or others have rights to it |
    /// | `NotFound` | ENOENT | the directory above is not there |
    /// | `Denied` | EACCES, EROFS | it cannot be made or opened |
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = std::path::absolute(path.as_ref())
            .map_err(|error| Error::from_io(Stage::Caller, "find the state directory", &error))?;
        match nix::unistd::mkdir(&path, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed("mkdir", &path, errno)),
        }
        let fd = nix::fcntl::open(&path, DIRECTORY, Mode::empty())
            .map_err(|errno| directory_error(&path, errno))?;
        check_private(&fd, &path)?;
        Ok(StateDir { fd, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ids of all containers, in order.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EMFILE | no descriptor is left |
    pub fn ids(&self) -> Result<Vec<String>> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let io = |error: &std::io::Error| {
            Error::from_io(Stage::Caller, &format!("list {:?}", self.path), error)
        };
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| io(&error))? {
            let name = entry.map_err(|error| io(&error))?.file_name();
            // What has another name was not made here.
            ids.extend(
                name.into_string()
                    .ok()
                    .filter(|id| check_container_id(id).is_ok()),
            );
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Reads the state of a container; `None` when there is none of this id.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | the id is none; the state is cut off or not of this form; the message names the file |
    /// | `Unsupported` | the state is of another version of this program |
    /// | `Hostile` | the state is a link, of another user, or of another container |
    pub fn read(&self, id: &str) -> Result<Option<ContainerState>> {
        check_id(id)?;
        match self.open_dir(id)? {
            Some(dir) => read_state(&dir, &self.path.join(id), id),
            None => Ok(None),
        }
    }

    /// The containers whose state may have one of these texts in it. Far cheaper than reading all states; those
    /// that cannot be read have nothing.
    pub(crate) fn ids_with(&self, texts: &[&str]) -> Result<Vec<String>> {
        let may_have = |text: &[u8]| {
            let text = String::from_utf8_lossy(text);
            let has = |wanted: &&str| !is_plain(wanted) || text.contains(wanted);
            texts.iter().any(has)
        };
        let mut ids = self.ids()?;
        ids.retain(|id| {
            let dir = self.open_dir(id).ok().flatten();
            let text = dir.and_then(|dir| read_text(&dir, &self.path.join(id).join(STATE)).ok());
            text.flatten().is_some_and(|text| may_have(&text))
        });
        Ok(ids)
    }

    /// Forgets a container whose state cannot be read: removes its directory, without a look at what the container
    /// may have on the host.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | | the id is none |
    /// | `NotFound` | | there is no container of this id |
    /// | `Busy` | | it is being worked on |
    pub fn forget(&self, id: &str) -> Result<()> {
        match self.lock(id, Contended::Refuse)? {
            Some(locked) => self.remove(locked, id),
            None => Err(no_container(id)),
        }
    }

    /// Removes the directory that a start has left which was killed before it wrote a state; one with a state, or one
    /// that is being worked on, is left alone.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | | the id is none |
    pub fn clear(&self, id: &str) -> Result<()> {
        match self.lock(id, Contended::Refuse) {
            Ok(Some(locked)) if !has_state(&locked.dir) => self.remove(locked, id),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::Busy => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the directory of a container and locks it.
    ///
    /// Of two at the same time one wins: the other finds the lock held, or the state written.
    pub(crate) fn claim(&self, id: &str) -> Result<Locked> {
        check_id(id)?;
        for _ in 0..MAX_ROUNDS {
            match mkdirat(&self.fd, id, Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed("mkdir", &self.path.join(id), errno)),
            }
            let locked = match self.lock(id, Contended::Refuse) {
                Err(error) if error.kind() == Kind::Busy => return Err(self.taken(id)),
                other => other?,
            };
            // `None`: the one before it was removed between the two calls.
            let Some(locked) = locked else { continue };
            return match has_state(&locked.dir) {
                // A start that was killed before its first state leaves an empty directory.
                false => Ok(locked),
                true => Err(self.taken(id)),
            };
        }
        Err(self.taken(id))
    }

    /// Locks the directory of a container; `None` when there is none.
    pub(crate) fn lock(&self, id: &str, contended: Contended) -> Result<Option<Locked>> {
        check_id(id)?;
        let path = self.path.join(id);
        for _ in 0..MAX_ROUNDS {
            let Some(dir) = self.open_dir(id)? else {
                return Ok(None);
            };
            let how = match contended {
                Contended::Refuse => FlockArg::LockExclusiveNonblock,
                Contended::Look => FlockArg::LockSharedNonblock,
                Contended::Wait => FlockArg::LockExclusive,
            };
            let dir = match Flock::lock(dir, how) {
                Ok(dir) => dir,
                Err((_, Errno::EINTR)) => continue,
                Err((_, Errno::EAGAIN)) => return Err(busy(id)),
                Err((_, errno)) => return Err(failed("flock", &path, errno)),
            };
            // ORDER: after the lock: its last holder may have removed what the name led to.
            if self.is_current(&dir, id)? {
                return Ok(Some(Locked { dir, path }));
            }
        }
        Err(busy(id))
    }

    /// Removes the directory of a container with what is in it.
    pub(crate) fn remove(&self, locked: Locked, id: &str) -> Result<()> {
        for name in [TEMPORARY, STATE, SOCKET] {
            match unlinkat(&*locked.dir, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(failed("unlink", &locked.path.join(name), errno)),
            }
        }
        match unlinkat(&self.fd, id, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("rmdir", &locked.path, errno)),
        }
    }

    /// Refuses a place that the container could write to (H4).
    pub(crate) fn check_outside(&self, rootfs: &Rootfs) -> Result<()> {
        let Rootfs::Directory(rootfs) = rootfs else {
            return Ok(());
        };
        let place = std::fs::canonicalize(&self.path);
        let place = place.map_err(|error| {
            Error::from_io(Stage::Caller, &format!("realpath({:?})", self.path), &error)
        })?;
        let rootfs = Path::new(if rootfs.is_empty() { "." } else { rootfs });
        // A root that is not there is refused by the planner, and one that is the host's has no outside.
        let rootfs = std::fs::canonicalize(rootfs).unwrap_or_default();
        let has_outside = rootfs.parent().is_some();
        if !has_outside || !place.starts_with(&rootfs) {
            return Ok(());
        }
        let message = format!(
            "check the state directory: {:?} lies inside the root file system {rootfs:?}",
            self.path
        );
        let hint =
            "the container could write its own state there; name another directory (--root DIR)";
        Err(Error::new(Kind::Hostile, Stage::Configuration, message).with_hint(hint))
    }

    pub(crate) fn open_dir(&self, id: &str) -> Result<Option<OwnedFd>> {
        let path = self.path.join(id);
        match openat(&self.fd, id, DIRECTORY, Mode::empty()) {
            Ok(dir) => {
                check_private(&dir, &path)?;
                Ok(Some(dir))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(directory_error(&path, errno)),
        }
    }

    fn is_current(&self, dir: &OwnedFd, id: &str) -> Result<bool> {
        let path = self.path.join(id);
        let held = fstat(dir).map_err(|errno| failed("fstat", &path, errno))?;
        match fstatat(&self.fd, id, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(failed("fstatat", &path, errno)),
        }
    }

    fn taken(&self, id: &str) -> Error {
        let message = format!("name the container: {id:?} exists in {:?}", self.path);
        let hint = format!("nsrun state {id} tells what it is, nsrun delete {id} removes it");
        Error::new(Kind::AlreadyExists, Stage::Caller, message).with_hint(hint)
    }
}

impl AsFd for Locked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Locked {
    /// Puts a state in the place of the one before.
    pub(crate) fn write(&self, state: &ContainerState) -> Result<()> {
        let path = self.path.join(TEMPORARY);
        let written = self.write_temporary(state, &path).and_then(|()| {
            renameat(&*self.dir, TEMPORARY, &*self.dir, STATE)
                .map_err(|errno| failed("rename", &path, errno))
        });
        if written.is_err() {
            // It is removed with the directory if not now.
            let _left = unlinkat(&*self.dir, TEMPORARY, UnlinkatFlags::NoRemoveDir);
        }
        written
    }

    /// Reads the state again, now that nobody changes it.
    pub(crate) fn read(&self, id: &str) -> Result<Option<ContainerState>> {
        read_state(&self.dir, &self.path, id)
    }

    /// What a creation that was cut off has left.
    pub(crate) fn remove_socket(&self) -> Result<()> {
        match unlinkat(&*self.dir, SOCKET, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("unlink", &self.path.join(SOCKET), errno)),
        }
    }

    fn write_temporary(&self, state: &ContainerState, path: &Path) -> Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | NO_LINK;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = openat(&*self.dir, TEMPORARY, flags, mode);
        let mut file = File::from(file.map_err(|errno| failed("open", path, errno))?);
        let io = |call: &str, error: &std::io::Error| {
            Error::from_io(
                Stage::Caller,
                &format!("write the state: {call}({path:?})"),
                error,
            )
        };
        file.write_all(state.to_json().as_bytes())
            .map_err(|error| io("write", &error))?;
        file.sync_all().map_err(|error| io("fsync", &error))
    }
}

/// The place of the socket at which the start of a command is awaited; good as long as the directory is open.
pub(crate) fn socket_address(dir: &impl AsFd) -> Result<UnixAddr> {
    // The directory's own path may be longer than an address.
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_fd().as_raw_fd());
    UnixAddr::new(path.as_str()).map_err(|errno| failed("bind", Path::new(&path), errno))
}

/// A directory or file is the caller's own, and nobody else has any right to it.
fn check_private(fd: &OwnedFd, path: &Path) -> Result<()> {
    let file = fstat(fd).map_err(|errno| failed("fstat", path, errno))?;
    let problem = if file.st_uid != geteuid().as_raw() {
        format!("belongs to user {}", file.st_uid)
    } else if file.st_mode & 0o077 != 0 {
        format!(
            "has mode {:04o}, so that others have rights to it",
            file.st_mode & 0o7777
        )
    } else {
        return Ok(());
    };
    let message = format!("check the state directory: {path:?} {problem}");
    let hint = format!(
        "chmod 700 {path:?}, if nobody else has put anything there, or name another directory"
    );
    Err(Error::new(Kind::Hostile, Stage::Caller, message).with_hint(hint))
}

fn has_state(dir: &OwnedFd) -> bool {
    // What cannot be looked at is there.
    fstatat(dir, STATE, AtFlags::AT_SYMLINK_NOFOLLOW) != Err(Errno::ENOENT)
}

fn read_state(dir: &OwnedFd, path: &Path, id: &str) -> Result<Option<ContainerState>> {
    let path = path.join(STATE);
    let Some(text) = read_text(dir, &path)? else {
        return Ok(None);
    };
    let state = ContainerState::from_json(&text).map_err(|error| damaged(&path, id, &error))?;
    match state.id == id {
        true => Ok(Some(state)),
        false => Err(hostile(&path, "is the state of another container")),
    }
}

/// The state as it is written, checked not to be anybody else's.
fn read_text(dir: &OwnedFd, path: &Path) -> Result<Option<Vec<u8>>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | NO_LINK;
    let file = match openat(dir, STATE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(Errno::ELOOP) => return Err(hostile(path, "is a link")),
        Err(errno) => return Err(failed("open", path, errno)),
    };
    let found = fstat(&file).map_err(|errno| failed("fstat", path, errno))?;
    if !is_regular(&found) || found.st_size > LIMIT_BYTES {
        return Err(hostile(path, "is no regular file of a sensible size"));
    }
    check_private(&file, path)?;
    let mut text = Vec::new();
    File::from(file)
        .read_to_end(&mut text)
        .map_err(|error| Error::from_io(Stage::Caller, &format!("read({path:?})"), &error))?;
    Ok(Some(text))
}

/// Whether JSON can have the text in it as it is.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7f..))
}

fn is_regular(file: &FileStat) -> bool {
    SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

fn check_id(id: &str) -> Result<()> {
    check_container_id(id)
        .map_err(|error| Error::new(Kind::InvalidValue, Stage::Configuration, error.to_string()))
}

fn damaged(path: &Path, id: &str, error: &ns_config::Error) -> Error {
    let kind = match error.kind() {
        ns_config::Kind::Unsupported => Kind::Unsupported,
        _ => Kind::InvalidValue,
    };
    let hint =
        format!("nsrun delete --force {id} forgets the container; what it has on the host stays");
    Error::new(kind, Stage::Caller, format!("{path:?}: {error}")).with_hint(hint)
}

fn hostile(path: &Path, problem: &str) -> Error {
    Error::new(
        Kind::Hostile,
        Stage::Caller,
        format!("read the state: {path:?} {problem}"),
    )
}

pub(crate) fn no_container(id: &str) -> Error {
    Error::new(
        Kind::NotFound,
        Stage::Caller,
        format!("there is no container {id:?}"),
    )
    .with_hint("nsrun list tells which there are; --root DIR names another state directory")
}

fn busy(id: &str) -> Error {
    let message = format!("lock the container {id:?}: it is being started, changed or removed");
    Error::new(Kind::Busy, Stage::Caller, message)
}

fn directory_error(path: &Path, errno: Errno) -> Error {
    match errno {
        Errno::ELOOP | Errno::ENOTDIR => {
            let message = format!("check the state directory: {path:?} is a link or no directory");
            Error::new(Kind::Hostile, Stage::Caller, message)
        }
        errno => failed("open", path, errno),
    }
}

fn failed(call: &str, path: &Path, errno: Errno) -> Error {
    let step = format!("keep the state: {call}({path:?})");
    Error::from_errno(Stage::Caller, &step, errno as i32)
}

const NO_LINK: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(NO_LINK);
const STATE: &str = "state.json";
const SOCKET: &str = "start";
const TEMPORARY: &str = "state.json.new";
const LIMIT_BYTES: i64 = 16 << 20;
/// How often a name may change hands before that is an error.
const MAX_ROUNDS: u32 = 100;
