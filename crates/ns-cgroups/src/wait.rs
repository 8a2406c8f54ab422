//! Waiting with a deadline, on events where the kernel has them.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::{
    dir::Dir,
    error::{Error, Result},
};

/// A point in time, and how long the next pause before it is.
#[derive(Debug)]
pub(crate) struct Deadline {
    end: Instant,
    pause: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        // A year is as good as for ever, and does not overflow.
        let timeout = timeout.min(Duration::from_secs(366 * 24 * 3600));
        Deadline {
            end: Instant::now() + timeout,
            pause: FIRST_PAUSE,
        }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// Pauses, each time longer, for what the kernel has no event for; `false` when time is up.
    pub(crate) fn pause(&mut self) -> bool {
        let remaining = self.remaining();
        if remaining.is_zero() {
            return false;
        }
        let pause = self.pause.min(remaining).max(Duration::from_millis(1));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        // No descriptor: it ends by the timeout, or early by a signal, which is as good.
        matches!(poll(&mut [], timeout(pause)), Ok(_) | Err(Errno::EINTR))
    }
}

/// Waits until `cgroup.events` has the line `<key> <value>`; `false` when time is up. A group that is
/// gone has no members, and is not frozen.
pub(crate) fn wait_for_event(
    dir: &Dir,
    key: &str,
    value: &str,
    deadline: &Deadline,
) -> Result<bool> {
    let failed = |errno| dir.error("wait for control group", "poll", EVENTS, errno);
    let file = match dir.open_file(EVENTS, OFlag::O_RDONLY) {
        Ok(fd) => File::from(fd),
        Err(error) if is_gone(&error) => return Ok(value == "0"),
        Err(error) => return Err(error),
    };
    let mut buffer = [0_u8; 512];
    loop {
        // ORDER: reading arms the poll, so a change in between is not missed.
        let n_read = match file.read_at(&mut buffer, 0) {
            Ok(n_read) => n_read,
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => {
                return Ok(value == "0");
            }
            Err(error) => return Err(failed(Errno::from_raw(error.raw_os_error().unwrap_or(0)))),
        };
        let text = String::from_utf8_lossy(&buffer[..n_read]);
        if text
            .lines()
            .any(|line| line.split_once(' ') == Some((key, value)))
        {
            return Ok(true);
        }
        let remaining = deadline.remaining();
        if remaining.is_zero() {
            return Ok(false);
        }
        let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut waiting, timeout(remaining)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

pub(crate) fn is_gone(error: &Error) -> bool {
    error.is(Errno::ENODEV) || error.is(Errno::ENOENT)
}

/// Rounded up to milliseconds, so that it is not polled without a pause at the end.
fn timeout(duration: Duration) -> PollTimeout {
    let millis = duration.as_micros().div_ceil(1000);
    let millis = u16::try_from(millis).unwrap_or(u16::MAX);
    PollTimeout::from(millis)
}

const EVENTS: &str = "cgroup.events";
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
