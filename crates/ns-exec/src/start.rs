//! What is started: a configuration, a command, its streams and descriptors.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};

use ns_config::Config;
use ns_init::{PlanBuilder, Slot};

use crate::error::{Error, Kind, Result, Stage};
use crate::sequence::Prepared;
use crate::terminal::WindowSize;

/// A container start that has not happened yet.
#[derive(Debug)]
#[must_use = "nothing happens before it is prepared and started"]
pub struct Start<'a> {
    pub(crate) config: &'a Config,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) streams: [Stream; 3],
    pub(crate) descriptors: Vec<(OwnedFd, RawFd)>,
    pub(crate) window_size: WindowSize,
    pub(crate) trace: bool,
    /// Whether the process waits until its state was written.
    pub(crate) is_recorded: bool,
    /// Where the start of the command is awaited.
    pub(crate) parked_at: Option<OwnedFd>,
}

/// Where one of the command's standard streams leads.
#[derive(Debug, Default)]
pub enum Stream {
    /// To where the caller's own leads; `/dev/null` when that one is closed.
    #[default]
    Inherit,
    /// To `/dev/null`.
    Null,
    /// To this descriptor.
    Descriptor(OwnedFd),
}

impl<'a> Start<'a> {
    /// Starts `arguments`, of which the first is the program, in the container that `config` describes.
    pub fn new<T: Into<OsString>>(
        config: &'a Config,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        Start {
            config,
            arguments: arguments.into_iter().map(Into::into).collect(),
            streams: [Stream::Inherit, Stream::Inherit, Stream::Inherit],
            descriptors: Vec::new(),
            window_size: WindowSize::default(),
            trace: false,
            is_recorded: false,
            parked_at: None,
        }
    }

    /// The standard input; a terminal of the container's own takes its place.
    pub fn stdin(mut self, stream: Stream) -> Self {
        self.streams[0] = stream;
        self
    }

    /// The standard output; a terminal of the container's own takes its place.
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.streams[1] = stream;
        self
    }

    /// The standard error; a terminal of the container's own takes its place.
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.streams[2] = stream;
        self
    }

    /// Gives the command another descriptor under the given number, 3 or more.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | the number is below 3, or given twice |
    pub fn descriptor(mut self, descriptor: OwnedFd, number: RawFd) -> Result<Self> {
        let is_taken = self.descriptors.iter().any(|(_, taken)| *taken == number);
        if number < 3 || is_taken {
            return Err(Error::new(
                Kind::InvalidValue,
                Stage::Configuration,
                format!("descriptor number {number} is a standard stream or given twice"),
            ));
        }
        self.descriptors.push((descriptor, number));
        Ok(self)
    }

    /// Size of the container's own terminal.
    pub fn window_size(mut self, size: WindowSize) -> Self {
        self.window_size = size;
        self
    }

    /// Has each op leave a time stamp, see [`Process::op_times`](crate::Process::op_times).
    pub fn trace(mut self) -> Self {
        self.trace = true;
        self
    }

    /// Has the process wait until its state was written, so that no command runs that no state tells of.
    pub(crate) fn recorded(mut self) -> Self {
        self.is_recorded = true;
        self
    }

    /// Has the command wait, once all is set up, until somebody connects to this socket and lets it go on.
    pub(crate) fn parked_at(mut self, listener: OwnedFd) -> Self {
        self.parked_at = Some(listener);
        self
    }

    /// Checks everything that can be checked and plans every step; nothing of the host is touched.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | the configuration has problems: all of them are in [`Error::also`] |
    /// | `NotFound` | the root, a source, a user, a namespace is not there |
    /// | `Hostile` | a path of the container's tree is not what it must be |
    /// | `Unsupported` | a setting is not offered |
    pub fn prepare(self) -> Result<Prepared> {
        crate::sequence::prepare(self)
    }
}

impl Stream {
    /// A descriptor for the child to take over, with a name for people.
    pub(crate) fn open(self, number: RawFd) -> Result<(OwnedFd, &'static str)> {
        let null = || {
            std::fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .map(|file| (OwnedFd::from(file), "/dev/null"))
                .map_err(|error| Error::from_io(Stage::Caller, "open(\"/dev/null\")", &error))
        };
        match self {
            Stream::Null => null(),
            Stream::Descriptor(descriptor) => Ok((descriptor, NAMES[stream_index(number)])),
            Stream::Inherit => match crate::sys::duplicate(number) {
                Ok(copy) => Ok((copy, NAMES[stream_index(number)])),
                Err(nix::errno::Errno::EBADF) => null(),
                Err(errno) => Err(Error::from_errno(
                    Stage::Caller,
                    "fcntl(F_DUPFD_CLOEXEC)",
                    errno as i32,
                )),
            },
        }
    }
}

/// Hands the command's streams and descriptors to a plan; gives the slot and the number of each.
pub(crate) fn inherit(
    streams: [Stream; 3],
    descriptors: Vec<(OwnedFd, RawFd)>,
    plan: &mut PlanBuilder,
) -> Result<Vec<(Slot, RawFd)>> {
    let mut inherited = Vec::new();
    for (number, stream) in (0..).zip(streams) {
        let (fd, name) = stream.open(number)?;
        inherited.push((plan.inherit(fd, name)?, number));
    }
    for (fd, number) in descriptors {
        inherited.push((plan.inherit(fd, format!("descriptor {number}"))?, number));
    }
    Ok(inherited)
}

const NAMES: [&str; 3] = ["stdin", "stdout", "stderr"];

fn stream_index(number: RawFd) -> usize {
    usize::try_from(number).unwrap_or(0).min(2)
}
