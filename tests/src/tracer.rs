//! A program run under `ptrace(2)`, of which one system call fails, or is the last thing that a process comes to.
//!
//! Nothing is built into the program for this: the call is taken out of the processor's registers before the kernel
//! sees it. Calls are counted for each process by itself, from the moment at which it becomes the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::census::{HELD, descendants};
use crate::nsrun::DEADLINE;
use crate::{Output, Test, nsrun_path};

/// Who makes a system call. Those of a kind are numbered from 0 in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The first thread of the program.
    Program,
    /// Another thread of it.
    Thread(usize),
    /// A process that the program has made.
    Process(usize),
}

/// One system call of a traced program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who makes it.
    pub maker: Maker,
    /// How many calls the same maker made before.
    pub index: usize,
    /// What is called.
    pub number: i64,
    /// What it gave back; 0 when it never came back.
    pub result: i64,
}

impl Step {
    /// The name of the call, as errors and manuals have it.
    #[must_use]
    pub fn name(&self) -> String {
        let known = NAMES.iter().find(|(number, _)| *number == self.number);
        known.map_or_else(
            || format!("call {}", self.number),
            |(_, name)| (*name).to_owned(),
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (maker, index, name) = (self.maker, self.index, self.name());
        write!(f, "{name}, call {index} of {maker:?}")
    }
}

/// What happens in the place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error and does nothing.
    Fails(Errno),
    /// The process that is about to make it is killed.
    KillsMaker,
    /// The program is killed, and has ended before the call is made.
    KillsProgram,
}

/// A traced run that has come to its end.
#[derive(Debug)]
pub struct Traced {
    /// How the program ended and what it wrote.
    pub output: Output,
    /// Its calls, in order, up to the fault; those of the command are not among them.
    pub steps: Vec<Step>,
    /// Whether the fault has happened.
    pub is_hit: bool,
}

/// Runs `nsrun` with these arguments under a tracer, and with this file as its standard input.
#[must_use]
#[expect(
    clippy::zombie_processes,
    reason = "the tracer waits for all that it traces"
)]
pub fn trace(
    test: &Test,
    stdin: &Path,
    arguments: &[&str],
    fault: Option<(Step, Fault)>,
) -> Traced {
    let stdin = stdin.to_str().expect("UTF-8");
    // It is seized while it waits for a line, so that nothing of the program goes by.
    let begin = ["sh", "-c", "read line; exec \"$@\" <\"$0\"", stdin];
    let mut invocation = test.nsrun_under(&begin, arguments);
    let [stdout, stderr] = ["traced-stdout", "traced-stderr"].map(|name| test.path().join(name));
    let command = invocation.command();
    command.stdin(Stdio::piped());
    command.stdout(File::create(&stdout).expect("create"));
    command.stderr(File::create(&stderr).expect("create"));
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = command.spawn().expect("start the program");
    let program = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    held.insert(program.as_raw());
    drop(held);
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::seize(program, options).expect("PTRACE_SEIZE");
    let watchdog = Watchdog::start();
    std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"\n").expect("begin");
    let mut tracer = Tracer {
        program,
        fault,
        processes: BTreeMap::from([(program, Process::new(Maker::Program, false, false))]),
        early: BTreeSet::new(),
        n_threads: 0,
        n_processes: 0,
        steps: Vec::new(),
        is_hit: false,
        status: None,
    };
    tracer.run();
    let was_late = watchdog.stop();
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&program.as_raw());
    let output = output_of(tracer.status.expect("an end"), &stdout, &stderr);
    assert!(!was_late, "still running after {DEADLINE:?}: {output:?}");
    Traced {
        output,
        steps: tracer.steps,
        is_hit: tracer.is_hit,
    }
}

fn output_of(status: WaitStatus, stdout: &Path, stderr: &Path) -> Output {
    let (code, signaled) = match status {
        WaitStatus::Exited(_, code) => (code, false),
        WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, true),
        other => panic!("no end: {other:?}"),
    };
    let read = |path| String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned();
    Output {
        code,
        signaled,
        stdout: read(stdout),
        stderr: read(stderr),
    }
}

/// Kills everything that the test has started when a run does not end.
struct Watchdog {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn start() -> Self {
        let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
        let thread = std::thread::spawn(move || {
            if stopped.recv_timeout(DEADLINE).is_ok() {
                return false;
            }
            for process in descendants() {
                let pid = process.split(' ').next().and_then(|pid| pid.parse().ok());
                // It may have ended by now.
                let _dead = kill(Pid::from_raw(pid.expect("a pid")), Signal::SIGKILL);
            }
            true
        });
        Watchdog { stop, thread }
    }

    fn stop(self) -> bool {
        // It is gone when it has barked.
        let _barked = self.stop.send(());
        self.thread.join().expect("the watchdog")
    }
}

/// A process that is traced: it has not become the command yet.
#[derive(Debug)]
struct Process {
    maker: Maker,
    /// It has become the program, or was made by it.
    counts: bool,
    /// What it executes next is the stub.
    becomes_stub: bool,
    /// Several of close_range(2) in a row are one: how many gaps there are between the descriptors that are kept
    /// depends on which thread of the program was faster to open its own.
    n_calls: usize,
    /// The number of the latest call.
    last: Option<i64>,
    /// Where the call that it is in stands among the steps.
    step: Option<usize>,
    /// The error that this call ends with.
    failing: Option<Errno>,
}

impl Process {
    fn new(maker: Maker, counts: bool, becomes_stub: bool) -> Self {
        Process {
            maker,
            counts,
            becomes_stub,
            n_calls: 0,
            last: None,
            step: None,
            failing: None,
        }
    }
}

struct Tracer {
    program: Pid,
    fault: Option<(Step, Fault)>,
    processes: BTreeMap<Pid, Process>,
    /// Stopped, and not told of yet.
    early: BTreeSet<Pid>,
    n_threads: usize,
    n_processes: usize,
    steps: Vec<Step>,
    is_hit: bool,
    status: Option<WaitStatus>,
}

impl Tracer {
    /// Until the program and all that it made have ended; a command whose caller was killed goes on, and writes.
    fn run(&mut self) {
        loop {
            if self.processes.is_empty() {
                self.release_early();
            }
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Ok(status) => self.see(status),
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return,
                Err(errno) => panic!("waitpid: {errno}"),
            }
        }
    }

    /// Lets those go their own way whose maker was killed before it could tell of them.
    fn release_early(&mut self) {
        for pid in std::mem::take(&mut self.early) {
            // It may have been killed while it was stopped.
            let _dead = ptrace::detach(pid, None);
        }
    }

    fn see(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) => {
                self.processes.remove(&pid);
                if pid == self.program {
                    self.status = Some(status);
                }
            }
            WaitStatus::PtraceSyscall(pid) => self.at_call(pid),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_EXEC) => self.at_exec(pid),
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_STOP) => {
                if self.processes.contains_key(&pid) {
                    self.go_on(pid, None);
                } else {
                    // A new one; it waits until its maker has told of it.
                    self.early.insert(pid);
                }
            }
            WaitStatus::PtraceEvent(maker, _, _) => {
                let new = ptrace::getevent(maker).expect("PTRACE_GETEVENTMSG");
                self.meet(Pid::from_raw(i32::try_from(new).expect("a pid")), maker);
                self.go_on(maker, None);
            }
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            other => panic!("{other:?}"),
        }
    }

    fn meet(&mut self, pid: Pid, maker: Pid) {
        // What runs before the program does not count.
        let program = self.processes.get(&self.program);
        let counts = program.is_some_and(|program| program.counts);
        // The starts that are traced take no helpers.
        let becomes_stub = maker == self.program;
        let is_thread = Path::new(&format!("/proc/{}/task/{pid}", self.program)).exists();
        let (kind, number): (fn(usize) -> Maker, _) = match is_thread {
            true => (Maker::Thread, &mut self.n_threads),
            false => (Maker::Process, &mut self.n_processes),
        };
        let process = Process::new(kind(*number), counts, becomes_stub);
        *number += usize::from(counts);
        self.processes.insert(pid, process);
        if self.early.remove(&pid) {
            self.go_on(pid, None);
        }
    }

    fn at_exec(&mut self, pid: Pid) {
        let process = self.processes.get_mut(&pid).expect("a known process");
        if pid == self.program {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            let is_program = exe.file_name() == nsrun_path().file_name();
            process.counts |= is_program;
        } else if !std::mem::take(&mut process.becomes_stub) {
            // The command, or a helper; it goes its own way.
            self.processes.remove(&pid);
            // It may have been killed while it was stopped.
            let _dead = ptrace::detach(pid, None);
            return;
        }
        self.go_on(pid, None);
    }

    fn at_call(&mut self, pid: Pid) {
        let info = ptrace::syscall_info(pid).map(|info| info.op);
        // A process that was killed meanwhile is reported later.
        let Ok(at) = info else { return };
        match at {
            libc::PTRACE_SYSCALL_INFO_ENTRY => self.at_entry(pid),
            _ => self.at_exit(pid),
        }
        self.go_on(pid, None);
    }

    fn at_entry(&mut self, pid: Pid) {
        let Some(number) = registers::call(pid) else {
            return;
        };
        let process = self.processes.get_mut(&pid).expect("a known process");
        if number == libc::SYS_close_range && process.last == Some(number) {
            return;
        }
        process.last = Some(number);
        let (maker, index) = (process.maker, process.n_calls);
        process.n_calls += 1;
        process.step = Some(self.steps.len());
        self.steps.push(Step {
            maker,
            index,
            number,
            result: 0,
        });
        match self.fault {
            Some((step, fault)) if (step.maker, step.index) == (maker, index) => {
                // Threads wait for each other now more, now less often.
                let is_exact = matches!(maker, Maker::Process(_));
                assert!(
                    !is_exact || step.number == number,
                    "every run makes the same calls: {step}"
                );
                self.is_hit = true;
                self.strike(pid, fault);
            }
            _ => {}
        }
    }

    fn strike(&mut self, pid: Pid, fault: Fault) {
        match fault {
            Fault::Fails(errno) => {
                registers::leave_out(pid);
                self.processes
                    .get_mut(&pid)
                    .expect("a known process")
                    .failing = Some(errno);
            }
            Fault::KillsMaker => kill(pid, Signal::SIGKILL).expect("kill"),
            Fault::KillsProgram => {
                kill(self.program, Signal::SIGKILL).expect("kill");
                // The one that is stopped here reports nothing.
                while self.status.is_none() {
                    let status = waitpid(None, Some(WaitPidFlag::__WALL)).expect("waitpid");
                    self.see(status);
                }
            }
        }
    }

    fn at_exit(&mut self, pid: Pid) {
        let process = self.processes.get_mut(&pid).expect("a known process");
        if let Some(errno) = process.failing.take() {
            registers::give_back(pid, -i64::from(errno as i32));
        }
        // A new process begins with the end of the call that made it.
        if let (Some(step), Some(result)) = (process.step.take(), registers::result(pid)) {
            self.steps[step].result = result;
        }
    }

    /// Stops at its next call only where calls are counted.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let process = &self.processes[&pid];
        let is_watched = match self.fault {
            None => process.counts,
            Some((step, _)) => {
                process.counts
                    && (process.failing.is_some() || !self.is_hit && step.maker == process.maker)
            }
        };
        // It may have been killed while it was stopped; that is reported later.
        let _dead = match is_watched {
            true => ptrace::syscall(pid, signal),
            false => ptrace::cont(pid, signal),
        };
    }
}

/// Where a system call stands in the registers.
#[cfg(target_arch = "x86_64")]
mod registers {
    use nix::sys::ptrace::{getregs, setregs};
    use nix::unistd::Pid;

    /// Whether there is code for this processor.
    pub(super) const KNOWN: bool = true;

    /// `None` when the process is dead.
    pub(super) fn call(pid: Pid) -> Option<i64> {
        getregs(pid)
            .ok()
            .map(|registers| registers.orig_rax.cast_signed())
    }

    pub(super) fn result(pid: Pid) -> Option<i64> {
        getregs(pid)
            .ok()
            .map(|registers| registers.rax.cast_signed())
    }

    /// The kernel knows no call of this number.
    pub(super) fn leave_out(pid: Pid) {
        let mut registers = getregs(pid).expect("PTRACE_GETREGS");
        registers.orig_rax = u64::MAX;
        setregs(pid, registers).expect("PTRACE_SETREGS");
    }

    pub(super) fn give_back(pid: Pid, value: i64) {
        let mut registers = getregs(pid).expect("PTRACE_GETREGS");
        registers.rax = value.cast_unsigned();
        setregs(pid, registers).expect("PTRACE_SETREGS");
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod registers {
    use nix::unistd::Pid;

    /// Whether there is code for this processor; a test that needs it is skipped without.
    pub(super) const KNOWN: bool = false;

    pub(super) fn call(_pid: Pid) -> Option<i64> {
        None
    }

    pub(super) fn result(_pid: Pid) -> Option<i64> {
        None
    }

    pub(super) fn leave_out(_pid: Pid) {}

    pub(super) fn give_back(_pid: Pid, _value: i64) {}
}

/// Whether calls can be made to fail here; said aloud when not.
#[must_use]
pub fn is_possible(test: &Test) -> bool {
    if !registers::KNOWN {
        test.skip("needs the registers of x86_64, in which calls are made to fail");
    }
    registers::KNOWN
}

/// Calls that processors have in common.
const NAMES: &[(i64, &str)] = &[
    (libc::SYS_bind, "bind"),
    (libc::SYS_brk, "brk"),
    (libc::SYS_capget, "capget"),
    (libc::SYS_capset, "capset"),
    (libc::SYS_chdir, "chdir"),
    (libc::SYS_chroot, "chroot"),
    (libc::SYS_clock_gettime, "clock_gettime"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_close, "close"),
    (libc::SYS_close_range, "close_range"),
    (libc::SYS_dup3, "dup3"),
    (libc::SYS_epoll_create1, "epoll_create1"),
    (libc::SYS_epoll_ctl, "epoll_ctl"),
    (libc::SYS_epoll_pwait, "epoll_pwait"),
    (libc::SYS_eventfd2, "eventfd2"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_exit, "exit"),
    (libc::SYS_exit_group, "exit_group"),
    (libc::SYS_fchdir, "fchdir"),
    (libc::SYS_fchmodat, "fchmodat"),
    (libc::SYS_fchownat, "fchownat"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fsconfig, "fsconfig"),
    (libc::SYS_fsmount, "fsmount"),
    (libc::SYS_fsopen, "fsopen"),
    (libc::SYS_fstatfs, "fstatfs"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_getcwd, "getcwd"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_getegid, "getegid"),
    (libc::SYS_geteuid, "geteuid"),
    (libc::SYS_getrandom, "getrandom"),
    (libc::SYS_getsockname, "getsockname"),
    (libc::SYS_getsockopt, "getsockopt"),
    (libc::SYS_gettid, "gettid"),
    (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_lseek, "lseek"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_memfd_create, "memfd_create"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_mount_setattr, "mount_setattr"),
    (libc::SYS_move_mount, "move_mount"),
    (libc::SYS_mprotect, "mprotect"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_newfstatat, "newfstatat"),
    (libc::SYS_open_tree, "open_tree"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_openat2, "openat2"),
    (libc::SYS_pidfd_open, "pidfd_open"),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal"),
    (libc::SYS_pivot_root, "pivot_root"),
    (libc::SYS_ppoll, "ppoll"),
    (libc::SYS_prctl, "prctl"),
    (libc::SYS_prlimit64, "prlimit64"),
    (libc::SYS_read, "read"),
    (libc::SYS_readlinkat, "readlinkat"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_rt_sigaction, "rt_sigaction"),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    (libc::SYS_sched_getaffinity, "sched_getaffinity"),
    (libc::SYS_seccomp, "seccomp"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_setdomainname, "setdomainname"),
    (libc::SYS_setgroups, "setgroups"),
    (libc::SYS_sethostname, "sethostname"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_setresgid, "setresgid"),
    (libc::SYS_setresuid, "setresuid"),
    (libc::SYS_setsid, "setsid"),
    (libc::SYS_setsockopt, "setsockopt"),
    (libc::SYS_sigaltstack, "sigaltstack"),
    (libc::SYS_signalfd4, "signalfd4"),
    (libc::SYS_socket, "socket"),
    (libc::SYS_socketpair, "socketpair"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_umask, "umask"),
    (libc::SYS_umount2, "umount2"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_unshare, "unshare"),
    (libc::SYS_waitid, "waitid"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
];
