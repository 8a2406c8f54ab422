//! Standing by while a command runs: signals go in, the terminal goes both ways.

use std::fs::{File, read_to_string};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::{Error, Result, Stage};
use crate::process::{ExitStatus, Process};
use crate::terminal::HostTerminal;

/// What a foreground program does for a command: it passes on signals and copies the terminal.
///
/// Made before the start, so that no signal is lost in between. It blocks the signals below in the calling
/// thread until it is dropped; in a program of many threads the others must block them too.
///
/// Passed on: HUP, INT, QUIT, TERM, USR1, USR2, ALRM, CONT. A first process of a pid namespace ignores a signal that
/// it does not handle; one of these that would end any other process ends this one too, by SIGKILL, and the exit
/// status is the signal's.
#[derive(Debug)]
pub struct Relay {
    signals: SignalFd,
    before: SigSet,
}

/// Passed on to the command.
const FORWARDED: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
];
/// `si_code` of a signal that the kernel sent, as the terminal driver does.
const SI_KERNEL: i32 = 0x80;
const BUFFER_BYTES: usize = 16 * 1024;

impl Relay {
    /// Blocks the signals and takes them over.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EMFILE | there is no room for another descriptor |
    pub fn new() -> Result<Self> {
        let failed =
            |errno| Error::from_errno(Stage::Caller, "take over signals: signalfd", errno as i32);
        let mut set: SigSet = FORWARDED.into_iter().collect();
        set.add(Signal::SIGWINCH);
        let before = SigSet::thread_get_mask().map_err(failed)?;
        set.thread_block().map_err(failed)?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(failed)?;
        Ok(Relay { signals, before })
    }

    /// Stands by until the command ends. `terminal` is the caller's own, when the command has one.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Kernel` | the command's output could not be written, or waiting failed |
    pub fn run(
        &self,
        process: &Process,
        terminal: Option<&HostTerminal<'_>>,
    ) -> Result<ExitStatus> {
        let mut session = Session::new(self, process, terminal)?;
        session.resize();
        loop {
            let ready = session.wait()?;
            if ready.signal {
                session.pass_signals()?;
            }
            if ready.input {
                session.copy_input();
            }
            if ready.output {
                session.copy_output()?;
            }
            if ready.ended {
                session.drain()?;
                let status = process.wait()?;
                return Ok(session.killed_for.map_or(status, ExitStatus::Signaled));
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The mask that the kernel gave is a mask that it takes.
        let _same = self.before.thread_set_mask();
    }
}

/// One run of a relay.
struct Session<'a> {
    relay: &'a Relay,
    process: &'a Process,
    host: Option<&'a HostTerminal<'a>>,
    inner: Option<File>,
    input: Option<File>,
    buffer: Vec<u8>,
    /// The signal that SIGKILL stood in for.
    killed_for: Option<i32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    ended: bool,
    signal: bool,
    input: bool,
    output: bool,
}

impl<'a> Session<'a> {
    fn new(
        relay: &'a Relay,
        process: &'a Process,
        host: Option<&'a HostTerminal<'a>>,
    ) -> Result<Self> {
        let clone = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned().map(File::from).map_err(|error| {
                Error::from_io(Stage::Caller, "copy the terminal's descriptor", &error)
            })
        };
        let inner = process.terminal().map(clone).transpose()?;
        if let Some(inner) = &inner {
            let flags = nix::fcntl::OFlag::O_NONBLOCK;
            nix::fcntl::fcntl(inner, nix::fcntl::FcntlArg::F_SETFL(flags)).map_err(|errno| {
                Error::from_errno(Stage::Caller, "fcntl(F_SETFL)", errno as i32)
            })?;
        }
        let input = match (&inner, host) {
            (Some(_), Some(host)) => Some(clone(host.as_fd())?),
            _ => None,
        };
        Ok(Session {
            relay,
            process,
            host,
            inner,
            input,
            buffer: vec![0; BUFFER_BYTES],
            killed_for: None,
        })
    }

    fn wait(&self) -> Result<Ready> {
        let mut polled = vec![
            PollFd::new(self.process.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.relay.signals.as_fd(), PollFlags::POLLIN),
        ];
        let mut places = [None, None];
        for (place, file) in places.iter_mut().zip([&self.input, &self.inner]) {
            if let Some(file) = file {
                *place = Some(polled.len());
                polled.push(PollFd::new(file.as_fd(), PollFlags::POLLIN));
            }
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(Ready::default()),
            result => drop(
                result.map_err(|errno| Error::from_errno(Stage::Caller, "poll", errno as i32))?,
            ),
        }
        let is_ready = |index: usize| {
            polled[index]
                .revents()
                .is_some_and(|events| !events.is_empty())
        };
        Ok(Ready {
            ended: is_ready(0),
            signal: is_ready(1),
            input: places[0].is_some_and(is_ready),
            output: places[1].is_some_and(is_ready),
        })
    }

    fn pass_signals(&mut self) -> Result<()> {
        let read = || {
            self.relay.signals.read_signal().map_err(|errno| {
                Error::from_errno(Stage::Caller, "read a signal: signalfd", errno as i32)
            })
        };
        while let Some(info) = read()? {
            let signal = info.ssi_signo.cast_signed();
            if signal == Signal::SIGWINCH as i32 {
                self.resize();
                continue;
            }
            let from_terminal = info.ssi_code == SI_KERNEL;
            self.killed_for = self.killed_for.or(self.pass_signal(signal, from_terminal));
        }
        Ok(())
    }

    /// Gives the signal when SIGKILL had to stand in for it.
    fn pass_signal(&self, signal: i32, from_terminal: bool) -> Option<i32> {
        let unhandled = self.is_first_and_deaf(signal);
        // The terminal has sent it to the command as well, when it is in the same session.
        if !from_terminal || unhandled || self.inner.is_some() {
            let sent = if unhandled {
                Signal::SIGKILL as i32
            } else {
                signal
            };
            // A command that has just ended cannot be signalled; the loop notices.
            let _ended = self.process.signal(sent);
        }
        unhandled.then_some(signal)
    }

    /// Whether the command is the first of its pid namespace and neither handles, ignores nor blocks the signal.
    fn is_first_and_deaf(&self, signal: i32) -> bool {
        if signal == Signal::SIGCONT as i32 {
            return false;
        }
        let Ok(status) = read_to_string(format!("/proc/{}/status", self.process.pid())) else {
            return false;
        };
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let holds = |name: &str| {
            let set = field(name)
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .unwrap_or(0);
            set >> (signal - 1) & 1 == 1
        };
        let is_first = field("NSpid:").is_some_and(|pids| {
            pids.split_whitespace().count() > 1 && pids.split_whitespace().last() == Some("1")
        });
        is_first && !["SigCgt:", "SigIgn:", "SigBlk:"].into_iter().any(holds)
    }

    fn resize(&self) {
        if let (Some(host), Some(inner)) = (self.host, &self.inner)
            && let Ok(size) = crate::sys::window_size(host.as_fd())
        {
            // A command that has closed its terminal needs no size.
            let _closed = crate::sys::set_window_size(inner.as_fd(), size);
        }
    }

    fn copy_input(&mut self) {
        let (Some(input), Some(inner)) = (&mut self.input, &mut self.inner) else {
            return;
        };
        match input.read(&mut self.buffer) {
            Ok(length) if length > 0 => {
                // A full terminal drops what is typed, as a real one does.
                let _full = inner.write_all(&self.buffer[..length]);
            }
            // The caller's terminal is gone.
            _ => self.input = None,
        }
    }

    /// Copies what the command has written; tells whether there may be more.
    fn copy_output(&mut self) -> Result<bool> {
        let Some(inner) = &mut self.inner else {
            return Ok(false);
        };
        match inner.read(&mut self.buffer) {
            Ok(length) if length > 0 => {
                let mut output = std::io::stdout().lock();
                output
                    .write_all(&self.buffer[..length])
                    .and_then(|()| output.flush())
                    .map_err(|error| {
                        Error::from_io(Stage::Caller, "write the command's output", &error)
                    })?;
                Ok(true)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(false)
            }
            // EIO: nobody holds the other end any more.
            _ => {
                self.inner = None;
                Ok(false)
            }
        }
    }

    /// What was written before the end is not lost.
    fn drain(&mut self) -> Result<()> {
        while self.copy_output()? {}
        Ok(())
    }
}
