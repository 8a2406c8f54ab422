//! What the child does between clone and the stub, while it shares the caller's memory.
//!
//! A handful of raw calls on a stack of its own with all signals blocked. Nothing here allocates, locks,
//! touches thread-local storage or changes what the caller can see: credentials change by `capset` alone,
//! because a change of user would make the caller's memory undumpable.

#![expect(clippy::cast_sign_loss, reason = "descriptors are not negative")]

use std::ffi::{CStr, CString};

use crate::interpret::record_bytes;
use crate::launch::IdMapping;
use crate::op::{Call, Failure, RECORD_EARLY, Record};
use crate::sys::{self, Errno};

/// Everything the child needs, made before the clone and untouched by the caller until the stub runs.
///
/// The child only reads it; owned values are here so that they live as long as the window.
pub(crate) struct Window {
    /// The child's end of the socket.
    pub(crate) socket: i32,
    pub(crate) ids: IdMapping,
    /// Descriptors that the stub gets, ascending.
    pub(crate) kept: Vec<i32>,
    /// `tasks` files of v1 groups to join.
    pub(crate) tasks: Vec<i32>,
    /// Both of them, ascending.
    pub(crate) open: Vec<i32>,
    pub(crate) stub: i32,
    /// The stub's argument vector, null-terminated; points into `argument`.
    pub(crate) arguments: [usize; 3],
    pub(crate) argument: CString,
    pub(crate) stack: Vec<u128>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").finish_non_exhaustive()
    }
}

/// Entry of the cloned child; `window` is the address of a [`Window`].
pub(crate) extern "C" fn enter(window: usize) -> ! {
    let window = sys::shared_window(window);
    let record = Record {
        kind: RECORD_EARLY,
        failure: run(window),
    };
    // A caller that is gone needs no report.
    let _result = sys::send(window.socket, record_bytes(&record), None);
    sys::exit(125)
}

/// Returns only with what failed.
fn run(window: &Window) -> Failure {
    let failure = |(call, errno): (Call, Errno), detail| Failure {
        op: 0,
        errno: errno.0,
        call: call as u32,
        detail,
    };
    if let Err(stop) = close_others(&window.open) {
        return failure(stop, 0);
    }
    if let Err((number, errno)) = join_groups(&window.tasks) {
        return failure((Call::Write, errno), number);
    }
    let steps = map_ids(window).and_then(|()| keep_capabilities(&window.ids));
    if let Err(stop) = steps {
        return failure(stop, 0);
    }
    for number in &window.kept {
        // The stub is reached by its descriptor, which the exec may close.
        if *number != window.stub
            && let Err(errno) = sys::keep_across_exec(*number)
        {
            return failure((Call::Fcntl, errno), 0);
        }
    }
    let environment = [0_usize];
    let errno = sys::execveat(window.stub, window.arguments.as_ptr(), environment.as_ptr());
    failure((Call::Execve, errno), 0)
}

/// ORDER: first. A copy of the caller's end of this socket, or of one of another start at the same
/// moment, would keep a child waiting for a caller that has died.
fn close_others(kept: &[i32]) -> Result<(), (Call, Errno)> {
    let mut from = 3_u32;
    for number in kept {
        let number = *number as u32;
        if number > from {
            sys::close_range(from, number - 1, 0).map_err(|errno| (Call::CloseRange, errno))?;
        }
        from = number + 1;
    }
    sys::close_range(from, u32::MAX, 0).map_err(|errno| (Call::CloseRange, errno))?;
    Ok(())
}

/// Joins each v1 group as the only thread of this process; gives the number of the file that refuses, from 1 on.
///
/// The kernel moves a thread that asks for itself without stopping the forks of the whole machine first, which a write
/// of a process id to `cgroup.procs` waits a grace period of RCU for.
fn join_groups(tasks: &[i32]) -> Result<(), (u32, Errno)> {
    for (tasks, number) in tasks.iter().zip(1..) {
        sys::write(*tasks, b"0").map_err(|errno| (number, errno))?;
        sys::close(*tasks);
    }
    Ok(())
}

fn map_ids(window: &Window) -> Result<(), (Call, Errno)> {
    match &window.ids {
        IdMapping::None => Ok(()),
        IdMapping::Own { uid_map, gid_map } => {
            write_file(c"/proc/self/setgroups", b"deny")?;
            write_file(c"/proc/self/uid_map", uid_map.as_bytes())?;
            write_file(c"/proc/self/gid_map", gid_map.as_bytes())
        }
        IdMapping::Caller => {
            let mut go = [0_u8; 1];
            loop {
                match sys::receive(window.socket, &mut go) {
                    Ok(1) => return Ok(()),
                    Err(sys::EINTR) => {}
                    Ok(_) => sys::exit(125),
                    Err(errno) => return Err((Call::Recv, errno)),
                }
            }
        }
    }
}

fn write_file(path: &CStr, bytes: &[u8]) -> Result<(), (Call, Errno)> {
    let file = sys::openat2(sys::AT_FDCWD, path, sys::O_WRONLY, 0, 0)
        .map_err(|errno| (Call::Openat2, errno))?;
    let written = sys::write(file, bytes).map_err(|errno| (Call::Write, errno));
    sys::close(file);
    written.map(drop)
}

/// An exec as anyone but uid 0 of the namespace drops all capabilities that are not ambient.
fn keep_capabilities(ids: &IdMapping) -> Result<(), (Call, Errno)> {
    if *ids == IdMapping::None {
        return Ok(());
    }
    let (held, _) = sys::capget().map_err(|errno| (Call::Capget, errno))?;
    sys::capset(held, held, held).map_err(|errno| (Call::Capset, errno))?;
    for capability in 0..64 {
        if held >> capability & 1 == 1 {
            // PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE.
            sys::prctl(47, 2, capability).map_err(|errno| (Call::Prctl, errno))?;
        }
    }
    Ok(())
}
