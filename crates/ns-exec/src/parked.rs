//! A container in two steps: everything but the command is done by one process, the command is started by another.
//!
//! The waiting process holds a listening socket that is bound in the container's state directory, which nobody but its
//! user can enter. Nothing can be reached through the socket but that process itself, and it closes with the exec.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollTimeout;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, bind, connect, listen, socket};
use ns_config::ContainerState;
use ns_config::state::Phase;
use ns_init::{Command, Plan, PlanBuilder};

use crate::container::{Container, live_process, wait_ended};
use crate::error::{Error, Kind, Result, Stage};
use crate::state_dir::{Contended, Locked, no_container, socket_address};

impl Container<'_> {
    /// Lets the command of a [created](Self::create) container begin; returns once it is being executed. Any process of
    /// the user who created it may do so.
    ///
    /// # Order
    /// Once, after [`create`](Self::create).
    ///
    /// # Errors
    /// A command that cannot be executed leaves a stopped container.
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Busy` | it was started already, or is paused |
    /// | `Gone` | it has ended, or was never created to its end; or another container has the id by now |
    /// | `NotFound` | it was removed; or the command is not in the container ([`Stage::Command`]) |
    /// | `Denied` | the command is no executable file ([`Stage::Command`]) |
    pub fn start(&self) -> Result<()> {
        let locked = self.lock(Contended::Wait)?;
        let state = locked
            .read(self.id())?
            .ok_or_else(|| no_container(self.id()))?;
        self.check_same(&state)?;
        let ended = || {
            let message = format!("start the container {:?}: it has ended", self.id());
            let hint = format!("nsrun delete {} removes it; then create it anew", self.id());
            Error::new(Kind::Gone, Stage::Caller, message).with_hint(hint)
        };
        // Nobody else holds the lock: whoever was creating it is gone.
        let pidfd = match state.phase {
            Phase::Creating => None,
            _ => live_process(&state)?,
        };
        let pidfd = pidfd.ok_or_else(ended)?;
        let connection = match reach(&state, &locked)? {
            Reached::Nobody => return Err(self.started_already()),
            Reached::Process(connection) if !self.is_frozen()? => connection,
            Reached::Process(_) | Reached::Queue => {
                let message = format!("start the container {:?}: it is paused", self.id());
                let hint = format!("nsrun resume {}", self.id());
                return Err(Error::new(Kind::Busy, Stage::Caller, message).with_hint(hint));
            }
        };
        let released = ns_init::release(connection, &words(&state)?);
        released.map_err(|error| {
            // What is left is a process on its way out, which is to be stopped when the error is known; or one that
            // takes no notice of us because somebody who was killed since has let it go on.
            let timeout = PollTimeout::try_from(LAST_BREATH).unwrap_or(PollTimeout::MAX);
            match wait_ended(&pidfd, timeout) {
                Ok(false) if error.kind() == ns_init::Kind::Gone => self.started_already(),
                Ok(_) => Error::from_start(&error),
                Err(also) => Error::from_start(&error).with_also(&also),
            }
        })
    }

    fn started_already(&self) -> Error {
        let message = format!(
            "start the container {:?}: it was started already",
            self.id()
        );
        let hint = format!("nsrun state {} tells how it is", self.id());
        Error::new(Kind::Busy, Stage::Caller, message).with_hint(hint)
    }
}

/// A socket for a process to wait at.
pub(crate) fn new_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(|errno| {
        let step = "make the socket of the start: socket(AF_UNIX, SOCK_SEQPACKET)";
        Error::from_errno(Stage::Caller, step, errno as i32)
    })
}

/// Puts the socket where a later process finds it.
pub(crate) fn publish(listener: &OwnedFd, locked: &Locked) -> Result<()> {
    locked.remove_socket()?;
    let failed = |step: &str, errno: Errno| Error::from_errno(Stage::Caller, step, errno as i32);
    bind(listener.as_raw_fd(), &socket_address(locked)?)
        .map_err(|errno| failed("make the socket of the start: bind", errno))?;
    listen(listener, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))
        .map_err(|errno| failed("make the socket of the start: listen", errno))
}

/// Whether the command waits for its start: a socket that nobody listens at any more closed with the exec.
pub(crate) fn is_parked(state: &ContainerState, dir: &impl AsFd) -> Result<bool> {
    reach(state, dir).map(|reached| !matches!(reached, Reached::Nobody))
}

/// Who is found at the socket.
enum Reached {
    /// Nobody waits there.
    Nobody,
    /// Somebody waits there and has not looked for long.
    Queue,
    /// The waiting process; one that is let go of again changes nothing.
    Process(OwnedFd),
}

fn reach(state: &ContainerState, dir: &impl AsFd) -> Result<Reached> {
    if state.phase != Phase::Created {
        return Ok(Reached::Nobody);
    }
    let connection = new_socket()?;
    let failed = |call: &str, errno: Errno| {
        let step = format!("reach the waiting process: {call}");
        Error::from_errno(Stage::Caller, &step, errno as i32)
    };
    let set_flags = |connection: &OwnedFd, flags| {
        let set = fcntl(connection, FcntlArg::F_SETFL(flags));
        set.map(drop).map_err(|errno| failed("fcntl", errno))
    };
    set_flags(&connection, OFlag::O_NONBLOCK)?;
    match connect(connection.as_raw_fd(), &socket_address(dir)?) {
        Ok(()) => set_flags(&connection, OFlag::empty()).map(|()| Reached::Process(connection)),
        Err(Errno::EAGAIN) => Ok(Reached::Queue),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(Reached::Nobody),
        Err(errno) => Err(failed("connect", errno)),
    }
}

/// The end of the plan that the waiting process has, for the words of its error.
fn words(state: &ContainerState) -> Result<Plan> {
    let command = Command {
        arguments: state.command.clone(),
        environment: state.config.process.environment.clone(),
    };
    let mut plan = PlanBuilder::new();
    ns_init::execute(&state.config, &command, &mut plan)?;
    Ok(plan.finish())
}

/// How long a process that has said its last word may take to end.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// Those who look wait here until the process, which may be paused, takes notice.
const BACKLOG: i32 = 128;
