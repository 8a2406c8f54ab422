//! What a child tells its caller, record by record, and the other way round.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::error::{Error, Kind, Result};
use crate::op::{
    Failure, RECORD_BYTES, RECORD_DESCRIPTOR, RECORD_EARLY, RECORD_FAILED, RECORD_FORKED,
    RECORD_READY,
};
use crate::plan::Plan;
use crate::sys;

/// The caller's end of a socket to a child.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    /// What came along with records.
    descriptors: Vec<OwnedFd>,
}

/// A message of the child.
pub(crate) enum Report {
    Ready,
    Forked,
    Descriptor,
    Failed(Failure),
    Early(Failure),
}

impl Report {
    fn parse(bytes: &[u8; RECORD_BYTES]) -> Result<Self> {
        let word = |index: usize| {
            let at = index * 4;
            bytes
                .get(at..at + 4)
                .and_then(|four| four.try_into().ok())
                .map_or(0, u32::from_ne_bytes)
        };
        let failure = Failure {
            op: word(1),
            errno: word(2).cast_signed(),
            call: word(3),
            detail: word(4),
        };
        match word(0) {
            RECORD_READY => Ok(Report::Ready),
            RECORD_FORKED => Ok(Report::Forked),
            RECORD_DESCRIPTOR => Ok(Report::Descriptor),
            RECORD_FAILED => Ok(Report::Failed(failure)),
            RECORD_EARLY => Ok(Report::Early(failure)),
            _ => Err(damaged()),
        }
    }
}

/// Lets a parked child execute the command; returns once it is being executed. To be called by a process that has
/// connected to the listening socket of the child's `Op::Park`.
///
/// `plan` need only end in the same `Op::Execute`: it puts the child's failure into words.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `Gone` | | the child ended without a word |
/// | by errno | of `execve` | the command could not be executed; the child exits with 125 |
///
/// # References
/// `unix(7)`
pub fn release(connection: OwnedFd, plan: &Plan) -> Result<()> {
    let mut channel = Channel::new(connection);
    channel.go()?;
    let mut is_confirmed = false;
    loop {
        match channel.next()? {
            Some(Report::Ready) => is_confirmed = true,
            Some(Report::Failed(failure)) => {
                let op = u32::try_from(plan.ops.len().saturating_sub(1)).unwrap_or(u32::MAX);
                return Err(plan.error(&Failure { op, ..failure }));
            }
            Some(Report::Forked | Report::Descriptor | Report::Early(_)) => {
                return Err(damaged());
            }
            None if is_confirmed => return Ok(()),
            None => {
                let message = "the child ended before it executed the command";
                return Err(Error::new(Kind::Gone, "release the child", message));
            }
        }
    }
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Channel {
            socket,
            descriptors: Vec::new(),
        }
    }

    pub(crate) fn go(&self) -> Result<()> {
        sys::send(self.socket.as_raw_fd(), &[1], None)
            .map(drop)
            .map_err(|errno| Error::from_errno("let the child go on", "send", errno.0))
    }

    pub(crate) fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<()> {
        let descriptor = Some(descriptor.as_raw_fd());
        sys::send(self.socket.as_raw_fd(), &[1], descriptor)
            .map(drop)
            .map_err(|errno| Error::from_errno("hand over a descriptor", "sendmsg", errno.0))
    }

    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Whether there is a next message, or none will come. A process that has been killed still takes a moment to close
    /// its end.
    pub(crate) fn is_readable(&self) -> bool {
        const MOMENT_NS: u64 = 50_000_000;
        sys::is_readable(self.socket.as_raw_fd(), MOMENT_NS).is_ok_and(|readable| readable)
    }

    /// The next message; `None` when the child's end is closed.
    pub(crate) fn next(&mut self) -> Result<Option<Report>> {
        let mut bytes = [0; RECORD_BYTES];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let length = loop {
            let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            match received {
                Ok(message) => {
                    let rights = message.cmsgs().map_err(receive_failed)?;
                    for raw in rights.filter_map(|message| match message {
                        ControlMessageOwned::ScmRights(numbers) => Some(numbers),
                        _ => None,
                    }) {
                        for number in raw {
                            self.descriptors.extend(sys::own(number));
                        }
                    }
                    break message.bytes;
                }
                // A child that ends with a message of ours unread resets the connection; what it has said before
                // comes after that error, which is told once.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(errno) => return Err(receive_failed(errno)),
            }
        };
        match length {
            0 => Ok(None),
            RECORD_BYTES => Report::parse(&bytes).map(Some),
            _ => Err(damaged()),
        }
    }
}

fn damaged() -> Error {
    Error::new(
        Kind::Hostile,
        "read the child's report",
        "the message is not one of ours",
    )
}

fn receive_failed(errno: Errno) -> Error {
    Error::from_errno("read the child's report", "recvmsg", errno as i32)
}
