//! Network namespaces, by descriptor.

use std::{
    fmt,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Mutex,
    thread,
};

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};
use ns_config::{Namespace, NamespaceKind};

use crate::{
    error::{Error, Kind, Result},
    sys,
};

/// A network namespace, held by a descriptor.
///
/// The namespace lives at least as long as this value, with all that is in it; drop it when the
/// container has been set up.
#[must_use = "dropping it lets go of the namespace"]
pub struct NetnsFd {
    namespace: OwnedFd,
    /// The socket by which the namespace was found, for the first who wants one there.
    socket: Mutex<Option<Socket>>,
}

impl fmt::Debug for NetnsFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NetnsFd").field(&self.namespace).finish()
    }
}

impl NetnsFd {
    /// Holds the network namespace that a process is in.
    ///
    /// A thread of its own enters the namespace, takes the descriptor and ends; no thread of the
    /// caller changes its namespace, and `/proc` is not needed.
    ///
    /// # Privileges
    /// `CAP_SYS_ADMIN` in the caller's user namespace and over the network namespace.
    ///
    /// # Kernel
    /// `setns(2)` on a pidfd: Linux 5.8.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EPERM | a right is missing |
    /// | `NotFound` | ESRCH | the process has ended |
    /// | `InvalidValue` | EINVAL | the descriptor is no pidfd |
    /// | `Limit` | EAGAIN, EMFILE, ENFILE | no thread or descriptor is left |
    ///
    /// # References
    /// `setns(2)`, `pidfd_open(2)`, `SIOCGSKNS` in `net/socket.c`
    pub fn of_process(pidfd: BorrowedFd<'_>) -> Result<Self> {
        within(pidfd, NetnsFd::current)?
    }

    /// Holds the network namespace that the calling thread is in.
    ///
    /// # Privileges
    /// `CAP_NET_ADMIN` over the namespace.
    ///
    /// # Kernel
    /// Linux 4.10.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EPERM | a right is missing |
    /// | `Limit` | EMFILE, ENFILE | no descriptor is left |
    pub fn current() -> Result<Self> {
        let step = "find the network namespace";
        let socket = open_socket(step)?;
        let namespace = sys::namespace_of_socket(socket.as_fd())
            .map_err(|errno| Error::from_errno(step, "ioctl(SIOCGSKNS)", errno))?;
        Ok(NetnsFd {
            namespace,
            socket: Mutex::new(Some(socket)),
        })
    }

    /// Holds the network namespace that a file stands for: the seed's `netns` networks, and
    /// namespaces with a path.
    ///
    /// # Shape
    /// An absolute path such as `/run/netns/blue` or `/proc/123/ns/net`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | | the path is not absolute |
    /// | `NotFound` | ENOENT, ENOTDIR | there is no such file |
    /// | `Denied` | EACCES | the caller may not open it |
    /// | `Hostile` | | it is not the file of a network namespace |
    pub fn open(path: &str) -> Result<Self> {
        let call = || format!("open({path:?}, O_RDONLY)");
        if !path.starts_with('/') {
            return Err(Error::invalid(OPEN, format!("{path:?} is not absolute")));
        }
        let file = File::open(path).map_err(|error| Error::from_io(OPEN, call(), &error))?;
        NetnsFd::check(file.into(), path)
    }

    /// Holds the network namespace of a descriptor, such as one of `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Hostile` | | it is not a network namespace |
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        NetnsFd::check(fd, "<?>")
    }

    fn check(fd: OwnedFd, name: &str) -> Result<Self> {
        let hostile = |what| Error::new(Kind::Hostile, OPEN, format!("{name:?} is {what}"));
        let found = fstatfs(&fd)
            .map_err(|errno| Error::from_errno(OPEN, format!("fstatfs({name:?})"), errno as i32))?;
        if found.filesystem_type() != NSFS_MAGIC {
            return Err(hostile("not the file of a namespace"));
        }
        match sys::namespace_type(fd.as_fd()) {
            Ok(libc::CLONE_NEWNET) => Ok(NetnsFd {
                namespace: fd,
                socket: Mutex::new(None),
            }),
            Ok(_) => Err(hostile("a namespace of another kind")),
            Err(errno) => Err(Error::from_errno(
                OPEN,
                format!("ioctl({name:?}, NS_GET_NSTYPE)"),
                errno,
            )),
        }
    }
}

impl NetnsFd {
    /// A socket in the namespace; a thread that ends at once enters it, unless one has been there.
    pub(crate) fn socket(&self) -> Result<Socket> {
        let kept = self.socket.lock();
        match kept.ok().and_then(|mut kept| kept.take()) {
            Some(socket) => Ok(socket),
            None => within(self.as_fd(), || open_socket(OPEN_SOCKET))?,
        }
    }
}

impl AsFd for NetnsFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

/// A socket in the namespace of the calling thread.
pub(crate) fn open_socket(step: &'static str) -> Result<Socket> {
    let open = || {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Refusals carry a sentence, do not repeat the request, and lists hold what was asked for.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| {
        Error::from_io(step, "socket(AF_NETLINK, NETLINK_ROUTE)", &error)
    })
}

/// The entry of a configuration that joins the network namespace at `path`, checked: what the
/// seed's `netns` network asks for.
///
/// # Errors
/// As [`NetnsFd::open`], with `pointer` as the place.
///
/// # Examples
/// ```
/// let namespace = ns_network::join_namespace("/proc/self/ns/net", "/networks/0")?;
/// assert_eq!(namespace.kind, ns_config::NamespaceKind::Network);
/// assert!(ns_network::join_namespace("/proc/self/ns/mnt", "/networks/0").is_err());
/// # Ok::<(), ns_network::Error>(())
/// ```
pub fn join_namespace(path: &str, pointer: &str) -> Result<Namespace> {
    NetnsFd::open(path)
        .map(drop)
        .map_err(|error| error.at(pointer))?;
    Ok(Namespace {
        kind: NamespaceKind::Network,
        path: Some(path.to_owned()),
        pointer: pointer.to_owned(),
    })
}

/// What `work` gives on a thread that ends with it, in the namespace of `target`: a pidfd or a
/// namespace.
pub(crate) fn within<T: Send>(
    target: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> Result<T> {
    let enter_and_work = || {
        setns(target, CloneFlags::CLONE_NEWNET)
            .map_err(|errno| Error::from_errno(ENTER, "setns(CLONE_NEWNET)", errno as i32))?;
        Ok(work())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("ns-network".to_owned())
            .spawn_scoped(scope, enter_and_work)
            .map_err(|error| Error::from_io("start a thread", "clone(CLONE_THREAD)", &error))?;
        thread.join().unwrap_or_else(|_| panicked())
    })
}

pub(crate) fn panicked<T>() -> Result<T> {
    let call = "it panicked; this is a mistake in ns-network or below it";
    Err(Error::new(Kind::Kernel, "run a thread", call))
}

pub(crate) const OPEN_SOCKET: &str = "open a netlink socket";
pub(crate) const ENTER: &str = "enter the network namespace";
const OPEN: &str = "open the network namespace";
