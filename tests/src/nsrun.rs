//! Running `nsrun`, with a deadline.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::census::{HELD, reap_orphans};

/// A run that takes longer is killed, and its test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// `nsrun`: `$NSRUN` when it is set; else what cargo builds now, in the same profile as this program.
///
/// `cargo test` alone does not build the program of another package, and the one that lies there may be old.
#[must_use]
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| std::env::var_os("NSRUN").map_or_else(build, PathBuf::from))
}

/// This program is TARGET/TRIPLE/PROFILE/deps/NAME.
fn build() -> PathBuf {
    let own = std::env::current_exe().expect("/proc/self/exe");
    let profile = own.ancestors().nth(2).expect("a directory of cargo");
    let target = own.ancestors().nth(4).expect("a directory of cargo");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package=nsrun", "--target-dir"])
        .arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("start cargo; or set NSRUN");
    assert!(status.success(), "cargo build --package=nsrun: {status}");
    profile.join("nsrun")
}

/// A program about to be run; its standard input is empty and its environment this process's own.
#[derive(Debug)]
#[must_use = "nothing runs before `run` or `spawn`"]
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
}

impl Invocation {
    /// Any program.
    pub fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Invocation {
            command,
            input: Vec::new(),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Leaves a variable out.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts without any variable.
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Starts in this directory.
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What stands in the standard input; at most what a pipe holds, 64 KiB.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Replaces the standard input.
    pub fn stdin(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stdin(stdio);
        self
    }

    /// Replaces the standard output, which then is not captured.
    pub fn stdout(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stdout(stdio);
        self
    }

    /// Replaces the standard error, which then is not captured.
    pub fn stderr(mut self, stdio: impl Into<Stdio>) -> Self {
        self.command.stderr(stdio);
        self
    }

    /// The command itself, for what is set nowhere else.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it, writes its input and closes that.
    pub fn spawn(self) -> Running {
        let input = self.input.clone();
        let mut running = self.spawn_open();
        if let Some(mut stdin) = running.child.stdin.take() {
            // A program may end without reading its input.
            let _unread = stdin.write_all(&input);
        }
        running
    }

    /// Starts it and leaves its standard input open.
    pub fn spawn_open(mut self) -> Running {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = self.command.spawn().expect("start the program");
        held.insert(i32::try_from(child.id()).expect("a pid"));
        drop(held);
        // The command holds the ends that were put in for the standard streams.
        drop(self.command);
        let pid = rustix::process::Pid::from_child(&child);
        let flags = rustix::process::PidfdFlags::empty();
        let pidfd = rustix::process::pidfd_open(pid, flags).expect("pidfd_open");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pipes = [
            stdout.as_ref().map(AsFd::as_fd),
            stderr.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("fcntl(F_SETFL)");
        }
        Running {
            child,
            pidfd,
            stdout,
            stderr,
            seen: [Vec::new(), Vec::new()],
            deadline: Instant::now() + DEADLINE,
        }
    }
}

/// How a program ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code, or 128 and the signal.
    pub code: i32,
    /// Whether a signal ended it.
    pub signaled: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// As [`assert_error`](Self::assert_error) where the words may stand on any line, as errors of the command line and of reading JSON do.
    #[track_caller]
    pub fn assert_refusal(&self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (125, ""), "{self:#?}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{word:?} is not in the error {:?}",
                self.stderr
            );
        }
    }

    /// The standard output without the last line break, of a program that has gone well.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> &str {
        assert_eq!(
            (self.code, self.stderr.as_str()),
            (0, ""),
            "stdout: {}",
            self.stdout
        );
        self.stdout.trim_end_matches('\n')
    }

    /// The one error of `nsrun`: the last line of the standard error, which must say all these words.
    #[track_caller]
    pub fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let ours = |line: &&&str| line.starts_with("nsrun: ") && !line.starts_with("nsrun: also: ");
        assert_eq!(
            lines.iter().filter(ours).count(),
            1,
            "one error, please: {self:#?}"
        );
        let last = lines.last().expect("an error");
        assert!(last.starts_with("nsrun: "), "{self:#?}");
        for word in words {
            assert!(last.contains(word), "{word:?} is not in the error {last:?}");
        }
    }
}

/// A running program; killed and reaped when dropped.
#[derive(Debug)]
#[must_use = "it is killed when dropped"]
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    seen: [Vec<u8>; 2],
    deadline: Instant,
}

impl Running {
    /// Its process id, valid until it is waited for.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("kill");
    }

    /// Writes to its standard input, which `spawn_open` left open.
    pub fn write(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("an open standard input");
        stdin
            .write_all(text.as_bytes())
            .expect("write to the program");
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Closes our end of its standard output.
    pub fn close_stdout(&mut self) {
        drop(self.stdout.take());
    }

    /// Waits until its standard output holds the text, and gives all of it.
    pub fn read_until(&mut self, text: &str) -> String {
        loop {
            let stdout = String::from_utf8_lossy(&self.seen[0]).into_owned();
            if stdout.contains(text) {
                return stdout;
            }
            let has_ended = self.step();
            let seen = self.texts();
            assert!(
                !has_ended || seen.0.contains(text),
                "it ended without {text:?}: {seen:?}"
            );
        }
    }

    /// Waits for its end, and reaps it and the orphans that it left.
    #[must_use]
    pub fn wait(mut self) -> Output {
        self.close_stdin();
        self.end()
    }

    /// As [`wait`](Self::wait), and leaves its standard input open.
    #[must_use]
    pub fn wait_with_open_stdin(mut self) -> Output {
        let stdin = self.child.stdin.take();
        let output = self.end();
        drop(stdin);
        output
    }

    fn end(&mut self) -> Output {
        while !self.step() {}
        let status = self.child.wait().expect("wait");
        reap_orphans();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let (stdout, stderr) = self.texts();
        let code = status
            .code()
            .or(signal.map(|signal| 128 + signal))
            .expect("a status");
        Output {
            code,
            signaled: signal.is_some(),
            stdout,
            stderr,
        }
    }

    fn texts(&self) -> (String, String) {
        let [stdout, stderr] = self
            .seen
            .each_ref()
            .map(|seen| String::from_utf8_lossy(seen).into_owned());
        (stdout, stderr)
    }

    /// Waits for output or the end; tells whether it has ended. Output is never waited for once it has ended: a
    /// process left behind may hold it open.
    fn step(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "still running after {DEADLINE:?}: {:?}",
            self.texts()
        );
        let mut polled = vec![PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        let pipes = [
            self.stdout.as_ref().map(AsFd::as_fd),
            self.stderr.as_ref().map(AsFd::as_fd),
        ];
        polled.extend(
            pipes
                .into_iter()
                .flatten()
                .map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)),
        );
        match poll(
            &mut polled,
            PollTimeout::try_from(left).expect("a short time"),
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => panic!("poll: {errno}"),
        }
        let has_ended = polled[0].revents().is_some_and(|events| !events.is_empty());
        if !drain(&mut self.stdout, &mut self.seen[0]) {
            self.stdout = None;
        }
        if !drain(&mut self.stderr, &mut self.seen[1]) {
            self.stderr = None;
        }
        has_ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have been waited for already; then both do nothing.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        HELD.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.pid());
    }
}

/// Reads what is there; false at the end of the file.
fn drain(pipe: &mut Option<impl std::io::Read>, seen: &mut Vec<u8>) -> bool {
    let Some(pipe) = pipe else { return false };
    let mut buffer = [0; 16 * 1024];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => seen.extend(&buffer[..length]),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
