//! What can go wrong, for programs ([`Kind`]) and for people ([`Error`]).

use std::fmt;

/// One step that could not be taken, or could not be planned.
///
/// It prints as `<step>: <call>: <ERRNO> (<words>) (from <setting>)`; a cause in another crate is
/// its [`source`](std::error::Error::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    step: &'static str,
    call: String,
    errno: Option<i32>,
    hint: Option<String>,
    pointer: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The object exists already.
    AlreadyExists,
    /// The object is not there.
    NotFound,
    /// The kernel, or this crate, does not offer what was asked for.
    Unsupported,
    /// A right is missing, or a policy forbids it.
    Denied,
    /// A path or inode is not what it must be.
    Hostile,
    /// A limit was reached.
    Limit,
    /// A value was not accepted.
    InvalidValue,
    /// The object is in use.
    Busy,
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
            pointer: None,
            source: None,
        }))
    }

    pub(crate) fn from_errno(step: &'static str, call: impl Into<String>, errno: i32) -> Self {
        let kind = kind_of(ns_init::Kind::from_errno(errno));
        let mut error = Error::new(kind, step, call);
        error.0.errno = Some(errno);
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

    /// Adds our step to an error of the plan.
    pub(crate) fn from_plan(step: &'static str, error: ns_init::Error) -> Self {
        let mut ours = Error::new(kind_of(error.kind()), step, error.step());
        ours.0.errno = error.errno();
        ours.0.hint = error.hint().map(str::to_owned);
        ours.0.pointer = error.config_pointer().map(str::to_owned);
        ours.0.source = Some(Box::new(error));
        ours
    }

    /// Adds our step to an error of the configuration.
    pub(crate) fn from_config(step: &'static str, error: ns_config::Error) -> Self {
        let mut ours = Error::new(Kind::InvalidValue, step, error.step());
        ours.0.hint = error.hint().map(str::to_owned);
        ours.0.source = Some(Box::new(error));
        ours
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        if self.0.pointer.is_none() {
            self.0.pointer = Some(pointer.into()).filter(|pointer| !pointer.is_empty());
        }
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
            write!(f, ": {}", ns_init::errno_text(errno))?;
        }
        match &self.0.pointer {
            Some(pointer) => write!(f, " (from {pointer})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " [hint: {hint}]")?;
        }
        match &self.0.source {
            Some(source) => write!(f, " [cause: {source}]"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

/// Adds a step of ours, and the setting that asked for it, to an error of the plan.
pub(crate) trait Planned<T> {
    fn planning(self) -> Result<T>;
}

impl<T> Planned<T> for ns_init::Result<T> {
    fn planning(self) -> Result<T> {
        self.map_err(|error| Error::from_plan("plan the mounts", error))
    }
}

fn kind_of(kind: ns_init::Kind) -> Kind {
    match kind {
        ns_init::Kind::AlreadyExists => Kind::AlreadyExists,
        ns_init::Kind::NotFound => Kind::NotFound,
        ns_init::Kind::Unsupported => Kind::Unsupported,
        ns_init::Kind::Denied => Kind::Denied,
        ns_init::Kind::Hostile => Kind::Hostile,
        ns_init::Kind::Limit => Kind::Limit,
        ns_init::Kind::InvalidValue => Kind::InvalidValue,
        ns_init::Kind::Busy => Kind::Busy,
        _ => Kind::Kernel,
    }
}
