//! A running command.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use ns_init::Explained;

use crate::error::{Error, Result, Stage};
use crate::resources::Resources;

/// The process that executes the command; a child of the process that started it.
///
/// Dropped, it is neither ended nor reaped. One that has [joined](crate::exec_in) a container keeps it from ending then,
/// until the program that has started it waits for it by other means, or ends.
#[derive(Debug)]
#[must_use = "dropping it leaves the command running, and a zombie behind when it ends"]
pub struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) op_times: Vec<(Explained, u64)>,
    pub(crate) resources: Resources,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// The code as a shell gives it: the command's own, or 128 plus the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => 128 + signal,
        }
    }
}

impl Process {
    /// Process id in the caller's pid namespace. It may name another process once this one was waited for.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The end of the container's terminal that stays outside, when it has one.
    #[must_use]
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Each op of the start with the nanoseconds from the clone to its end; empty without a trace.
    #[must_use]
    pub fn op_times(&self) -> &[(Explained, u64)] {
        &self.op_times
    }

    /// Waits for the command to end, and reaps it.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Kernel` | ECHILD | the program has reaped the child by other means, or ignores SIGCHLD |
    pub fn wait(&self) -> Result<ExitStatus> {
        loop {
            match crate::sys::wait_exited(self.pidfd.as_fd()) {
                Err(Errno::EINTR) => {}
                status => {
                    return status.map_err(|errno| {
                        Error::from_errno(
                            Stage::Caller,
                            "wait for the command: waitid",
                            errno as i32,
                        )
                    });
                }
            }
        }
    }

    /// Removes what the container had on the host: kills the processes that are left in its control group, removes
    /// the group and the interfaces. Without either it does nothing.
    ///
    /// # Order
    /// After [`wait`](Self::wait).
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Busy` | EBUSY | a process of the group did not die within ten seconds |
    /// | `Denied` | EPERM | the group or the interface is not the caller's to remove |
    pub fn release(&self) -> Result<()> {
        self.resources.release()
    }

    /// Whether the container's group has met its memory limit, which may be why its command was killed; false where there
    /// is no group, or the kernel does not count.
    ///
    /// # Order
    /// Before [`release`](Self::release).
    #[must_use]
    pub fn has_met_memory_limit(&self) -> bool {
        self.resources.has_met_memory_limit()
    }

    /// Sends a signal to this very process, never to another that got its number.
    ///
    /// A process that is the first of its pid namespace takes only signals that it handles, and SIGKILL and SIGSTOP.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ESRCH | the command has ended |
    /// | `InvalidValue` | EINVAL | there is no such signal |
    pub fn signal(&self, signal: i32) -> Result<()> {
        crate::sys::pidfd_send_signal(self.pidfd.as_fd(), signal).map_err(|errno| {
            Error::from_errno(
                Stage::Caller,
                "signal the command: pidfd_send_signal",
                errno as i32,
            )
        })
    }
}

/// The process as a descriptor: readable once the command has ended.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
