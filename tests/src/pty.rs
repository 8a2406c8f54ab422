//! A terminal made by a test.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use nix::libc::winsize;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{Termios, tcgetattr};

/// Both ends of a terminal: the test is the person, `nsrun` gets the other end.
#[derive(Debug)]
pub struct Pty {
    person: File,
    program: OwnedFd,
    seen: Vec<u8>,
}

impl Pty {
    /// Opens a terminal of this size.
    #[must_use]
    pub fn new(rows: u16, columns: u16) -> Pty {
        let size = winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(&size, None).expect("openpty");
        for end in [&pair.master, &pair.slave] {
            let flags = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
            nix::fcntl::fcntl(end, flags).expect("fcntl(F_SETFD)");
        }
        Pty {
            person: File::from(pair.master),
            program: pair.slave,
            seen: Vec::new(),
        }
    }

    /// A descriptor of the program's end.
    #[must_use]
    pub fn end(&self) -> OwnedFd {
        self.program.try_clone().expect("dup")
    }

    /// The settings: what must be the same before and after.
    #[must_use]
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.program).expect("tcgetattr")
    }

    /// Types.
    pub fn type_in(&mut self, text: &str) {
        self.person
            .write_all(text.as_bytes())
            .expect("write to the terminal");
    }

    /// Changes the size, as dragging a window does.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&self.person, size).expect("TIOCSWINSZ");
    }

    /// Reads what is shown until the text has appeared; gives everything shown so far.
    pub fn read_until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + crate::nsrun::DEADLINE;
        loop {
            let shown = String::from_utf8_lossy(&self.seen).into_owned();
            if shown.contains(text) {
                return shown;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the terminal never showed {text:?}, but {shown:?}"
            );
            self.read_within(PollTimeout::try_from(left).expect("a short time"));
        }
    }

    /// Everything shown so far.
    pub fn read_shown(&mut self) -> String {
        while self.read_within(PollTimeout::ZERO) {}
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn read_within(&mut self, timeout: PollTimeout) -> bool {
        let mut polled = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, timeout).expect("poll") == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let length = self
            .person
            .read(&mut buffer)
            .expect("read from the terminal");
        self.seen.extend(&buffer[..length]);
        length > 0
    }
}
