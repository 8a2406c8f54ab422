//! The caller's own terminal: its size, raw mode, and putting it back.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Error, Kind, Result, Stage};

/// Size of a terminal window in characters; 0 by 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// The caller's terminal while it passes every key through; put back as it was when dropped.
#[must_use = "dropping it puts the terminal back"]
#[derive(Debug)]
pub struct HostTerminal<'a> {
    terminal: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> HostTerminal<'a> {
    /// Size of the terminal.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | ENOTTY | it is not a terminal |
    pub fn size(terminal: BorrowedFd<'_>) -> Result<WindowSize> {
        crate::sys::window_size(terminal).map_err(|_| not_a_terminal())
    }

    /// Passes every key through (`cfmakeraw(3)`).
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | ENOTTY | it is not a terminal |
    pub fn raw(terminal: BorrowedFd<'a>) -> Result<Self> {
        let before = tcgetattr(terminal).map_err(|_| not_a_terminal())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(terminal, SetArg::TCSANOW, &raw).map_err(|errno| {
            Error::from_errno(
                Stage::Caller,
                "set the terminal raw: tcsetattr",
                errno as i32,
            )
        })?;
        Ok(HostTerminal { terminal, before })
    }
}

impl AsFd for HostTerminal<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.terminal
    }
}

impl Drop for HostTerminal<'_> {
    fn drop(&mut self) {
        // A terminal that was hung up needs no putting back.
        let _gone = tcsetattr(self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

fn not_a_terminal() -> Error {
    Error::new(
        Kind::InvalidValue,
        Stage::Caller,
        "the standard input is not a terminal",
    )
    .with_hint("leave the terminal out (no --tty, \"tty\": false), or run from a terminal")
}
