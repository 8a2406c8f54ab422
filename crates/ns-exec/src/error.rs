//! What can go wrong, for programs ([`Kind`], [`Stage`]) and for people ([`Error`]).

use std::fmt;

/// A start, or a later step, that could not be done.
///
/// Prints one line: the step, the call, the errno, the setting. [`hint`](Self::hint) has the way out.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    stage: Stage,
    message: String,
    errno: Option<i32>,
    hint: Option<String>,
    pointer: Option<String>,
    also: Vec<String>,
}

/// What a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The object exists already.
    AlreadyExists,
    /// The object, the command, or the process is not there.
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
    /// The other side has ended.
    Gone,
    /// The object is in use.
    Busy,
    /// Any other refusal of the kernel.
    Kernel,
}

/// Where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// While the configuration was checked; nothing was started.
    Configuration,
    /// In the caller, around the start.
    Caller,
    /// In the new process, while it set itself up.
    Child,
    /// At the very end: the command itself could not be executed.
    Command,
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: Kind, stage: Stage, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            stage,
            message: message.into(),
            errno: None,
            hint: None,
            pointer: None,
            also: Vec::new(),
        }))
    }

    pub(crate) fn from_errno(stage: Stage, step: &str, errno: i32) -> Self {
        let message = format!("{step}: {}", ns_init::errno_text(errno));
        let mut error = Self::new(init_kind(ns_init::Kind::from_errno(errno)), stage, message);
        error.0.errno = Some(errno);
        error
    }

    pub(crate) fn from_io(stage: Stage, step: &str, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::from_errno(stage, step, errno),
            None => Self::new(Kind::Kernel, stage, format!("{step}: {error}")),
        }
    }

    /// A failed op of the child, or a failed clone.
    pub(crate) fn from_start(error: &ns_init::Error) -> Self {
        let stage = match error.step() {
            "execute the command" => Stage::Command,
            _ => Stage::Child,
        };
        let mut ours = Self::from(error);
        ours.0.stage = stage;
        ours
    }

    pub(crate) fn from_mount(error: &ns_mount::Error) -> Self {
        let (kind, stage) = (mount_kind(error.kind()), Stage::Configuration);
        let (errno, hint, pointer) = (error.errno(), error.hint(), error.config_pointer());
        Self::relayed(kind, stage, error, errno, hint, pointer, [])
    }

    /// An error of a crate below, with its parts.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts that every error of ours has"
    )]
    pub(crate) fn relayed(
        kind: Kind,
        stage: Stage,
        message: &dyn fmt::Display,
        errno: Option<i32>,
        hint: Option<&str>,
        pointer: Option<&str>,
        also: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut ours = Self::new(kind, stage, message.to_string());
        ours.0.errno = errno;
        ours.0.hint = hint.map(str::to_owned);
        ours.0.pointer = pointer.map(str::to_owned);
        ours.0.also = also.into_iter().collect();
        ours
    }

    /// The first error with the others as `also` lines.
    pub(crate) fn of_many(errors: impl IntoIterator<Item = Error>) -> Result<()> {
        match errors
            .into_iter()
            .reduce(|first, also| first.with_also(&also))
        {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    pub(crate) fn with_also(mut self, also: &Error) -> Self {
        self.0.also.push(also.to_string());
        self.0.also.extend(also.0.also.iter().cloned());
        self
    }

    /// Every problem of a configuration, the first as the error, the others as `also:` lines.
    pub(crate) fn from_problems<'a>(
        problems: impl IntoIterator<Item = &'a ns_config::Problem>,
    ) -> Self {
        let mut problems = problems.into_iter();
        let first = problems.next();
        let message = first.map_or_else(String::new, ns_config::Problem::line);
        let mut ours = Self::new(
            Kind::InvalidValue,
            Stage::Configuration,
            format!("check the configuration: {message}"),
        );
        ours.0.hint = first.and_then(|problem| problem.hint.clone());
        ours.0.pointer = first.map(|problem| problem.pointer.clone());
        ours.0.also = problems.map(ns_config::Problem::line).collect();
        ours
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_pointer(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    /// What a program can act on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Where it happened.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// The kernel's error number, when a call failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// The way out, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// JSON pointer or flag of the setting that asked for it.
    #[must_use]
    pub fn config_pointer(&self) -> Option<&str> {
        self.0.pointer.as_deref()
    }

    /// Further problems of the same kind, one line each.
    #[must_use]
    pub fn also(&self) -> &[String] {
        &self.0.also
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.pointer {
            // Most messages of the crates below name it already.
            Some(pointer) if !pointer.is_empty() && !self.0.message.contains(pointer) => {
                write!(f, " (from {pointer})")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}: {self}", self.0.kind, self.0.stage)?;
        self.0
            .hint
            .iter()
            .try_for_each(|hint| write!(f, " [hint: {hint}]"))
    }
}

impl std::error::Error for Error {}

/// For planners of ns-init, whose closures name one error type; everything else adds its stage by hand.
impl From<ns_init::Error> for Error {
    fn from(error: ns_init::Error) -> Self {
        Error::from(&error)
    }
}

impl From<&ns_init::Error> for Error {
    fn from(error: &ns_init::Error) -> Self {
        let (kind, stage) = (init_kind(error.kind()), Stage::Configuration);
        let (errno, hint, pointer) = (error.errno(), error.hint(), error.config_pointer());
        Error::relayed(kind, stage, error, errno, hint, pointer, [])
    }
}

fn init_kind(kind: ns_init::Kind) -> Kind {
    match kind {
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
    }
}

fn mount_kind(kind: ns_mount::Kind) -> Kind {
    match kind {
        ns_mount::Kind::AlreadyExists => Kind::AlreadyExists,
        ns_mount::Kind::NotFound => Kind::NotFound,
        ns_mount::Kind::Unsupported => Kind::Unsupported,
        ns_mount::Kind::Denied => Kind::Denied,
        ns_mount::Kind::Hostile => Kind::Hostile,
        ns_mount::Kind::Limit => Kind::Limit,
        ns_mount::Kind::InvalidValue => Kind::InvalidValue,
        ns_mount::Kind::Busy => Kind::Busy,
        _ => Kind::Kernel,
    }
}
