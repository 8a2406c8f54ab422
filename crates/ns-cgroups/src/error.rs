//! What can go wrong, for programs ([`Kind`]) and for people ([`Error`]).

use std::fmt;

use nix::errno::Errno;

/// One step that could not be taken.
///
/// It prints as `<step>: <call>: <ERRNO> (<words>)`, and one `also:` line for each thing that went
/// wrong while cleaning up behind it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    step: &'static str,
    call: String,
    errno: Option<i32>,
    hint: Option<String>,
    setting: Option<String>,
    also: Vec<Error>,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The group exists already.
    AlreadyExists,
    /// The group, the file or the process is not there.
    NotFound,
    /// The host does not offer what was asked for.
    Unsupported,
    /// A right is missing.
    Denied,
    /// A path or a file is not what it must be.
    Hostile,
    /// A limit of the host was reached.
    Limit,
    /// A value was not accepted.
    InvalidValue,
    /// The group has been removed.
    Gone,
    /// The group is in use.
    Busy,
    /// It did not happen before the deadline.
    TimedOut,
    /// Any other refusal of the kernel.
    Kernel,
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: Kind, step: &'static str, call: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            step,
            call: call.into(),
            errno: None,
            hint: None,
            setting: None,
            also: Vec::new(),
        }))
    }

    pub(crate) fn from_errno(step: &'static str, call: impl Into<String>, errno: Errno) -> Self {
        let mut error = Self::new(kind_of(errno), step, call);
        error.0.errno = Some(errno as i32);
        error
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_setting(mut self, setting: impl Into<String>) -> Self {
        self.0.setting = Some(setting.into());
        self
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_also(mut self, other: Error) -> Self {
        self.0.also.push(other);
        self
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.0.errno == Some(errno as i32)
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

    /// The call as it would stand in a trace, or the rule that was broken.
    #[must_use]
    pub fn call(&self) -> &str {
        &self.0.call
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The field of [`CgroupConfig`](ns_config::CgroupConfig) that asked for the step, as in
    /// `memory.limit_bytes`.
    #[must_use]
    pub fn setting(&self) -> Option<&str> {
        self.0.setting.as_deref()
    }

    /// What went wrong while cleaning up.
    #[must_use]
    pub fn also(&self) -> &[Error] {
        &self.0.also
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.step, self.0.call)?;
        if let Some(errno) = self.0.errno {
            let errno = Errno::from_raw(errno);
            write!(f, ": {errno:?} ({})", errno.desc().to_lowercase())?;
        }
        self.0
            .also
            .iter()
            .try_for_each(|other| write!(f, "\nalso: {other}"))
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

fn kind_of(errno: Errno) -> Kind {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH => Kind::NotFound,
        Errno::EEXIST => Kind::AlreadyExists,
        Errno::EPERM | Errno::EACCES | Errno::EROFS => Kind::Denied,
        Errno::EBUSY | Errno::ENOTEMPTY => Kind::Busy,
        Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOSPC => {
            Kind::Limit
        }
        Errno::EINVAL | Errno::ERANGE | Errno::E2BIG | Errno::ENAMETOOLONG => Kind::InvalidValue,
        Errno::ELOOP | Errno::EXDEV => Kind::Hostile,
        Errno::ENOSYS | Errno::EOPNOTSUPP => Kind::Unsupported,
        Errno::ENODEV => Kind::Gone,
        Errno::ETIMEDOUT => Kind::TimedOut,
        _ => Kind::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_print_one_level_with_what_happened_beside_them() {
        let call = "write(\"/sys/fs/cgroup/x/memory.max\", \"0\")";
        let error = Error::from_errno("limit memory", call, Errno::EINVAL).with_also(
            Error::from_errno("remove group", "rmdir(\"x\")", Errno::EBUSY),
        );
        assert_eq!(
            error.to_string(),
            "limit memory: write(\"/sys/fs/cgroup/x/memory.max\", \"0\"): EINVAL (invalid argument)\n\
             also: remove group: rmdir(\"x\"): EBUSY (device or resource busy)"
        );
        assert_eq!(error.kind(), Kind::InvalidValue);
    }
}
