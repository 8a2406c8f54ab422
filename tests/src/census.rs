//! What a start could leave behind, counted before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::poll::{PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Everything of this process and this host that a start could have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    descriptors: BTreeSet<String>,
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    state: BTreeSet<String>,
}

/// What ends by itself, a network namespace for one, gets this long.
const PATIENCE_MS: u16 = 2_000;
const STEP_MS: u16 = 20;
const STATE_DIRECTORY: &str = "/run/nsrun";

impl Census {
    /// Counts.
    #[must_use]
    pub fn take() -> Self {
        Census {
            descriptors: descriptors(),
            mounts: lines("/proc/self/mountinfo"),
            processes: descendants(),
            interfaces: interfaces(),
            cgroups: cgroups(),
            state: entries(Path::new(STATE_DIRECTORY)),
        }
    }

    /// Counts again and fails when there is anything that was not there before.
    pub fn assert_nothing_new(&self, test: &str) {
        for _ in 0..PATIENCE_MS / STEP_MS {
            if self.news().is_empty() {
                return;
            }
            pause(STEP_MS);
        }
        let news = self.news();
        assert!(news.is_empty(), "{test} left behind: {news:#?}");
    }

    /// Everything that is there now and was not then, and the other way round for what must stay.
    #[must_use]
    pub fn news(&self) -> Vec<String> {
        let now = Census::take();
        let pairs = [
            ("descriptor", &self.descriptors, &now.descriptors),
            ("mount", &self.mounts, &now.mounts),
            ("process", &self.processes, &now.processes),
            ("interface", &self.interfaces, &now.interfaces),
            ("cgroup", &self.cgroups, &now.cgroups),
            ("state", &self.state, &now.state),
        ];
        let mut news = Vec::new();
        for (what, before, now) in pairs {
            news.extend(
                now.difference(before)
                    .map(|new| format!("new {what}: {new}")),
            );
        }
        news
    }
}

/// Reaps every process that was orphaned to us and has ended, so that only living ones are left to count.
///
/// Children of our own that [`Running`](crate::Running) holds are left to it.
pub fn reap_orphans() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_ours = |process: &Process| process.parent == own_pid() && process.state == "Z";
    for process in processes().into_iter().filter(is_ours) {
        if !held.contains(&process.pid) {
            // Another call may have been quicker.
            let _reaped = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Waits until everything that was orphaned to us has ended, and reaps it.
pub fn wait_for_orphans() {
    for _ in 0..PATIENCE_MS / STEP_MS {
        reap_orphans();
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let is_left = processes()
            .iter()
            .any(|process| process.parent == own_pid() && !held.contains(&process.pid));
        drop(held);
        if !is_left {
            return;
        }
        pause(STEP_MS);
    }
    panic!("still there: {:?}", descendants());
}

/// Pids that are waited for elsewhere.
pub(crate) static HELD: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn pause(milliseconds: u16) {
    // Nothing tells when a namespace is gone.
    let _elapsed = poll(&mut [], PollTimeout::from(milliseconds));
}

/// `3 -> /dev/null`, without the one that lists and the one sealed stub that ns-exec makes once per process.
fn descriptors() -> BTreeSet<String> {
    const STUB: &str = "/memfd:ns-init (deleted)";
    let listing = fs::read_dir("/proc/self/fd").expect("/proc/self/fd");
    let own = std::process::id().to_string();
    let mut found = BTreeSet::new();
    let mut n_stubs = 0;
    for entry in listing.filter_map(Result::ok) {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        n_stubs += usize::from(target == Path::new(STUB));
        let is_known =
            target.ends_with(format!("{own}/fd")) || (target == Path::new(STUB) && n_stubs == 1);
        if !is_known {
            found.insert(format!(
                "{} -> {}",
                entry.file_name().display(),
                target.display()
            ));
        }
    }
    found
}

/// Our descendants, zombies too; orphans come to us because we are a subreaper.
pub(crate) fn descendants() -> BTreeSet<String> {
    let processes = processes();
    let mut ours = BTreeSet::from([own_pid()]);
    let mut found = BTreeSet::new();
    loop {
        let n_before = ours.len();
        for process in &processes {
            if ours.contains(&process.parent) && ours.insert(process.pid) {
                found.insert(format!(
                    "{} {} {}",
                    process.pid, process.command, process.state
                ));
            }
        }
        if ours.len() == n_before {
            return found;
        }
    }
}

#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    command: String,
    state: String,
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// Every process of the host: `PID (COMMAND) STATE PPID …` (proc_pid_stat(5)).
fn processes() -> Vec<Process> {
    let read = |name: &String| {
        let pid = name.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(") ")?;
        let mut fields = tail.split(' ');
        Some(Process {
            pid,
            command: head.split_once('(')?.1.to_owned(),
            state: fields.next()?.to_owned(),
            parent: fields.next()?.parse().ok()?,
        })
    };
    entries(Path::new("/proc"))
        .iter()
        .filter_map(read)
        .collect()
}

fn interfaces() -> BTreeSet<String> {
    lines("/proc/thread-self/net/dev")
        .iter()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect()
}

/// Our own membership, and every group that this process has named: such names have its pid in them. Other tests run
/// beside this one.
fn cgroups() -> BTreeSet<String> {
    let mut found = lines("/proc/self/cgroup");
    let own = own_pid().to_string();
    let is_ours =
        |name: &str| name.starts_with("ns-tests") && name.split('-').any(|word| word == own);
    let root = Path::new("/sys/fs/cgroup");
    for hierarchy in entries(root) {
        for group in entries(&root.join(&hierarchy)) {
            if is_ours(&group) || is_ours(&hierarchy) {
                found.insert(format!("{hierarchy}/{group}"));
            }
        }
    }
    found
}

fn entries(directory: &Path) -> BTreeSet<String> {
    let listing = fs::read_dir(directory).into_iter().flatten();
    listing
        .filter_map(|entry| Some(entry.ok()?.file_name().display().to_string()))
        .collect()
}

fn lines(path: &str) -> BTreeSet<String> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}
