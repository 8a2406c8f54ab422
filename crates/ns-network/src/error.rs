//! What can go wrong, for programs ([`Kind`]) and for people ([`Error`]).

use std::fmt;

/// One step that could not be taken.
///
/// It prints as `<step>: <call>: <ERRNO> (<words>; kernel: <its own text>) (from <setting>)`, with
/// what went wrong while cleaning up on lines of its own that start with `also:`.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    step: &'static str,
    call: String,
    errno: Option<i32>,
    kernel_text: Option<String>,
    hint: Option<&'static str>,
    pointer: Option<String>,
    also: Vec<Error>,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An interface, address or route like this exists already.
    AlreadyExists,
    /// The interface, or the namespace, is not there.
    NotFound,
    /// The kernel does not offer what was asked for.
    Unsupported,
    /// A right is missing, or a policy forbids it.
    Denied,
    /// A file is not what it must be.
    Hostile,
    /// A limit of the host was reached.
    Limit,
    /// A value was not accepted.
    InvalidValue,
    /// The other side has ended.
    Gone,
    /// The interface is in use.
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
            kernel_text: None,
            hint: None,
            pointer: None,
            also: Vec::new(),
        }))
    }

    /// An error number that a call gave back.
    pub(crate) fn from_errno(step: &'static str, call: impl Into<String>, errno: i32) -> Self {
        let mut error = Error::new(Kind::from_errno(errno), step, call);
        error.0.errno = Some(errno);
        error.0.hint = crate::hints::hint(step, errno);
        error
    }

    pub(crate) fn from_io(
        step: &'static str,
        call: impl Into<String>,
        error: &std::io::Error,
    ) -> Self {
        match error.raw_os_error() {
            Some(errno) => Error::from_errno(step, call, errno),
            None => Error::new(Kind::Kernel, step, format!("{}: {error}", call.into())),
        }
    }

    /// A value that is refused before anything is touched.
    pub(crate) fn invalid(step: &'static str, rule: impl Into<String>) -> Self {
        Error::new(Kind::InvalidValue, step, rule)
    }

    pub(crate) fn with_kernel_text(mut self, text: Option<String>) -> Self {
        self.0.kernel_text = text;
        self
    }

    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// Names the place in the configuration, unless a nearer one is named or there is none.
    pub(crate) fn at(mut self, pointer: &str) -> Self {
        if self.0.pointer.is_none() && !pointer.is_empty() {
            self.0.pointer = Some(pointer.to_owned());
        }
        self
    }

    /// Attaches what went wrong while cleaning up after this error.
    pub(crate) fn with_also(mut self, also: Vec<Error>) -> Self {
        self.0.also.extend(also);
        self
    }

    /// One error out of many: the first, with the others attached.
    pub(crate) fn of_many(errors: Vec<Error>) -> Result<()> {
        let mut errors = errors.into_iter();
        match errors.next() {
            Some(first) => Err(first.with_also(errors.collect())),
            None => Ok(()),
        }
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

    /// The kernel's own sentence about the refusal (its extended acknowledgement), when it gave one.
    #[must_use]
    #[doc(alias = "extack")]
    pub fn kernel_text(&self) -> Option<&str> {
        self.0.kernel_text.as_deref()
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint
    }

    /// JSON pointer or flag of the network or route that asked for the step.
    #[must_use]
    pub fn config_pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }

    /// What went wrong while the traces of this failure were removed; empty when nothing is left.
    #[must_use]
    pub fn also(&self) -> &[Error] {
        &self.0.also
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        write!(f, "{}: {}", inner.step, inner.call)?;
        if let Some(errno) = inner.errno {
            let (name, words) = errno_text(errno);
            write!(f, ": {name} ({words}")?;
            match &inner.kernel_text {
                Some(text) => write!(f, "; kernel: {text})")?,
                None => write!(f, ")")?,
            }
        }
        if let Some(pointer) = &inner.pointer {
            write!(f, " (from {pointer})")?;
        }
        inner
            .also
            .iter()
            .try_for_each(|also| write!(f, "\nalso: {also}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match self.0.hint {
            Some(hint) => write!(f, " [hint: {hint}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl Kind {
    fn from_errno(errno: i32) -> Kind {
        match errno {
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EAFNOSUPPORT => Kind::InvalidValue,
            libc::EADDRNOTAVAIL => Kind::NotFound,
            libc::EADDRINUSE => Kind::AlreadyExists,
            libc::ENOBUFS => Kind::Limit,
            _ => match ns_init::Kind::from_errno(errno) {
                ns_init::Kind::AlreadyExists => Kind::AlreadyExists,
                ns_init::Kind::NotFound => Kind::NotFound,
                ns_init::Kind::Unsupported => Kind::Unsupported,
                ns_init::Kind::Denied => Kind::Denied,
                ns_init::Kind::Hostile => Kind::Hostile,
                ns_init::Kind::Limit => Kind::Limit,
                ns_init::Kind::InvalidValue => Kind::InvalidValue,
                ns_init::Kind::Gone => Kind::Gone,
                ns_init::Kind::Busy => Kind::Busy,
                _ => Kind::Kernel,
            },
        }
    }
}

/// Name and words; networks have numbers that no other crate of ours meets.
fn errno_text(errno: i32) -> (String, String) {
    let own = match errno {
        libc::EAFNOSUPPORT => ("EAFNOSUPPORT", "address family not supported"),
        libc::EADDRINUSE => ("EADDRINUSE", "address in use"),
        libc::EADDRNOTAVAIL => ("EADDRNOTAVAIL", "no interface has this address"),
        libc::ENETDOWN => ("ENETDOWN", "the interface is down"),
        libc::ENETUNREACH => ("ENETUNREACH", "network is unreachable"),
        libc::EHOSTUNREACH => ("EHOSTUNREACH", "host is unreachable"),
        libc::ENOBUFS => ("ENOBUFS", "no buffer space left"),
        libc::ENODEV => ("ENODEV", "no such interface"),
        libc::ENXIO => ("ENXIO", "no such device or address"),
        _ => {
            let text = ns_init::errno_text(errno);
            return match text.split_once(" (") {
                Some((name, words)) => (name.to_owned(), words.trim_end_matches(')').to_owned()),
                None => (text, "refused".to_owned()),
            };
        }
    };
    (own.0.to_owned(), own.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_prints_call_number_kernel_text_setting_and_cleanup() {
        let also = Error::from_errno("remove interface", "RTM_DELLINK(\"v1\")", libc::EPERM);
        let error = Error::from_errno("add route", "RTM_NEWROUTE(default)", libc::ENETUNREACH)
            .with_kernel_text(Some("Nexthop has invalid gateway".to_owned()))
            .at("/networks/0")
            .at("/elsewhere")
            .with_also(vec![also]);
        assert_eq!(
            error.to_string(),
            "add route: RTM_NEWROUTE(default): ENETUNREACH (network is unreachable; kernel: \
             Nexthop has invalid gateway) (from /networks/0)\n\
             also: remove interface: RTM_DELLINK(\"v1\"): EPERM (operation not permitted)"
        );
        assert_eq!(error.kind(), Kind::InvalidValue);
        assert!(error.hint().is_some());
        assert_eq!(error.also().len(), 1);
    }

    #[test]
    fn number_without_a_name_is_printed() {
        let error = Error::from_errno("s", "c", 9999);
        assert_eq!(error.to_string(), "s: c: errno 9999 (refused)");
        assert_eq!(error.kind(), Kind::Kernel);
    }
}
