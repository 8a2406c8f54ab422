//! What can go wrong, for programs ([`Kind`]) and for people ([`Error`]).

use std::fmt;

/// An error of this crate: one step that could not be taken.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    step: &'static str,
    call: String,
    errno: Option<i32>,
    hint: Option<String>,
    pointer: Option<String>,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The object exists already.
    AlreadyExists,
    /// The object, or the process, is not there.
    NotFound,
    /// The kernel does not offer what was asked for.
    Unsupported,
    /// A right is missing, or a policy forbids it.
    Denied,
    /// A path or inode is not what it must be.
    Hostile,
    /// A limit of the host was reached.
    Limit,
    /// A value was not accepted.
    InvalidValue,
    /// The other side has ended.
    Gone,
    /// The object is in use.
    Busy,
    /// Any other refusal of the kernel.
    Kernel,
}

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: Kind, step: &'static str, call: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            step,
            call: call.into(),
            errno: None,
            hint: None,
            pointer: None,
        }))
    }

    /// An error number that a call gave back.
    pub(crate) fn from_errno(step: &'static str, call: impl Into<String>, errno: i32) -> Self {
        let mut error = Self::new(Kind::from_errno(errno), step, call);
        error.0.errno = Some(errno);
        error
    }

    pub(crate) fn with_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.0.hint = hint.map(Into::into);
        self
    }

    /// Names the place in the configuration that the step came from.
    #[must_use]
    pub fn with_pointer(mut self, pointer: Option<impl Into<String>>) -> Self {
        self.0.pointer = pointer.map(Into::into);
        self
    }

    /// What a program can act on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The kernel's error number, when a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// What was being done, as a verb phrase.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.0.step
    }

    /// The call as it would stand in a trace, with the names of its objects.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.0.call
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// JSON pointer or flag of the setting that asked for the step.
    #[must_use]
    pub fn config_pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.step, self.0.call)?;
        if let Some(errno) = self.0.errno {
            write!(f, ": {}", errno_text(errno))?;
        }
        if let Some(pointer) = &self.0.pointer {
            write!(f, " (from {pointer})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.hint {
            Some(hint) => write!(f, " [hint: {hint}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Kind {
    /// The kind that an error number stands for.
    #[must_use]
    pub fn from_errno(errno: i32) -> Kind {
        match errno {
            ENOENT | ENOTDIR | ESRCH | ENODEV => Kind::NotFound,
            EEXIST => Kind::AlreadyExists,
            EPERM | EACCES | EROFS => Kind::Denied,
            EBUSY | ETXTBSY => Kind::Busy,
            EAGAIN | EMFILE | ENFILE | ENOMEM | ENOSPC | EUSERS => Kind::Limit,
            EINVAL | E2BIG | ENAMETOOLONG | ERANGE | EOVERFLOW => Kind::InvalidValue,
            ELOOP | EXDEV => Kind::Hostile,
            ENOSYS | EOPNOTSUPP => Kind::Unsupported,
            EPIPE | ECONNRESET | ENOTCONN => Kind::Gone,
            _ => Kind::Kernel,
        }
    }
}

/// `ENAME (words)` for an error number, as the kernel's headers have it.
#[must_use]
pub fn errno_text(errno: i32) -> String {
    let (name, words) = match errno {
        EPERM => ("EPERM", "operation not permitted"),
        ENOENT => ("ENOENT", "no such file or directory"),
        ESRCH => ("ESRCH", "no such process"),
        EINTR => ("EINTR", "interrupted system call"),
        EIO => ("EIO", "input/output error"),
        E2BIG => ("E2BIG", "argument list too long"),
        ENOEXEC => ("ENOEXEC", "exec format error"),
        EBADF => ("EBADF", "bad file descriptor"),
        EAGAIN => ("EAGAIN", "resource temporarily unavailable"),
        ENOMEM => ("ENOMEM", "out of memory"),
        EACCES => ("EACCES", "permission denied"),
        EFAULT => ("EFAULT", "bad address"),
        EBUSY => ("EBUSY", "device or resource busy"),
        EEXIST => ("EEXIST", "file exists"),
        EXDEV => ("EXDEV", "crosses into another file system"),
        ENODEV => ("ENODEV", "no such device or file system type"),
        ENOTDIR => ("ENOTDIR", "not a directory"),
        EISDIR => ("EISDIR", "is a directory"),
        EINVAL => ("EINVAL", "invalid argument"),
        ENFILE => ("ENFILE", "too many open files in the system"),
        EMFILE => ("EMFILE", "too many open files"),
        ENOTTY => ("ENOTTY", "not a terminal"),
        ETXTBSY => ("ETXTBSY", "text file busy"),
        EFBIG => ("EFBIG", "file too large"),
        ENOSPC => (
            "ENOSPC",
            "no space left on device, or a limit of namespaces or mounts reached",
        ),
        EROFS => ("EROFS", "read-only file system"),
        EMLINK => ("EMLINK", "too many links"),
        EPIPE => ("EPIPE", "the other side has ended"),
        ERANGE => ("ERANGE", "result too large"),
        ENAMETOOLONG => ("ENAMETOOLONG", "file name too long"),
        ENOSYS => (
            "ENOSYS",
            "the kernel, or a seccomp filter, does not offer this call",
        ),
        ELOOP => ("ELOOP", "too many links, or a link where none is allowed"),
        EOVERFLOW => ("EOVERFLOW", "value too large"),
        EUSERS => ("EUSERS", "too many nested user namespaces"),
        EOPNOTSUPP => ("EOPNOTSUPP", "operation not supported"),
        ECONNRESET => ("ECONNRESET", "the other side has ended"),
        ENOTCONN => ("ENOTCONN", "the other side has ended"),
        _ => return format!("errno {errno}"),
    };
    format!("{name} ({words})")
}

macro_rules! errnos {
    ($($name:ident = $value:literal),* $(,)?) => { $(pub(crate) const $name: i32 = $value;)* };
}

// Source: include/uapi/asm-generic/errno-base.h and errno.h; the same on x86_64 and aarch64.
errnos! {
    EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, E2BIG = 7, ENOEXEC = 8, EBADF = 9, EAGAIN = 11,
    ENOMEM = 12, EACCES = 13, EFAULT = 14, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, ENOTDIR = 20,
    EISDIR = 21, EINVAL = 22, ENFILE = 23, EMFILE = 24, ENOTTY = 25, ETXTBSY = 26, EFBIG = 27, ENOSPC = 28,
    EROFS = 30, EMLINK = 31, EPIPE = 32, ERANGE = 34, ENAMETOOLONG = 36, ENOSYS = 38, ELOOP = 40,
    EOVERFLOW = 75, EUSERS = 87, EOPNOTSUPP = 95, ECONNRESET = 104, ENOTCONN = 107,
}
