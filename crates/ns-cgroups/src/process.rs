//! Who is in the group, and signals to all of them.

use std::{os::fd::AsFd, time::Duration};

use nix::errno::Errno;

use crate::{
    controller::Controller,
    dir::Dir,
    error::{Error, Kind, Result},
    freeze::{self, freeze_legacy},
    group::{Cgroup, Member},
    layout::Version,
    sys,
    wait::{Deadline, is_gone, wait_for_event},
};

impl Cgroup {
    /// The processes of the group and of all groups below it, ascending, as numbers of the caller's
    /// pid namespace. Each may have ended, and its number may name another, by the time it is read.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EACCES | the group cannot be read |
    pub fn processes(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        let tracking = self.unified().or_else(|| self.members.first());
        if let Some(member) = tracking {
            collect(&member.dir, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Whether the process is in the group, or below it, in every hierarchy.
    ///
    /// # Errors
    /// Those of [`processes`](Cgroup::processes).
    pub fn has_process(&self, pid: i32) -> Result<bool> {
        for member in &self.members {
            let mut pids = Vec::new();
            collect(&member.dir, &mut pids)?;
            if !pids.contains(&pid) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends a signal to every process of the group. Processes that are made meanwhile may not get
    /// it; to end all, use [`kill`](Cgroup::kill).
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | EINVAL | there is no such signal |
    /// | `Denied` | EPERM | a process of another user |
    pub fn signal(&self, signal: i32) -> Result<()> {
        match self.unified().or_else(|| self.members.first()) {
            Some(member) => signal_members(member, signal).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends every process of the group with SIGKILL, and returns when none is left. A frozen group
    /// is thawed by it where that is needed.
    ///
    /// # Kernel
    /// v2: `cgroup.kill`. v1: freeze, a signal to each by pidfd, thaw, until none is left.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `TimedOut` | | a process is still there: one that waits in the kernel |
    /// | `Denied` | EACCES, EPERM | the group, or a process of it, is another user's |
    #[doc(alias = "cgroup.kill")]
    pub fn kill(&self, timeout: Duration) -> Result<()> {
        let mut deadline = Deadline::after(timeout);
        if let Some(member) = self.unified() {
            match member.dir.write("cgroup.kill", "1") {
                Ok(()) | Err(Errno::ENODEV) => {}
                Err(Errno::ENOENT) if !member.dir.has("cgroup.procs") => {}
                Err(errno) => return Err(member.dir.error(KILL, "write", "cgroup.kill", errno)),
            }
        }
        for member in self
            .members
            .iter()
            .filter(|member| member.version == Version::V1)
        {
            self.kill_legacy(member, &mut deadline)?;
        }
        self.wait_empty(deadline.remaining())
    }

    /// Returns when no process is left in the group.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `TimedOut` | | processes are left; the message names them |
    pub fn wait_empty(&self, timeout: Duration) -> Result<()> {
        let mut deadline = Deadline::after(timeout);
        for member in &self.members {
            if !member.wait_empty(&mut deadline)? {
                let mut pids = Vec::new();
                collect(&member.dir, &mut pids)?;
                let call = format!("{:?} has the processes {pids:?}", member.dir.path());
                return Err(
                    Error::new(Kind::TimedOut, "wait for empty control group", call)
                        .with_hint("a process waits in the kernel, or was not told to end"),
                );
            }
        }
        Ok(())
    }

    /// Without a freezer a fork can win one round, but each round kills the parents it saw.
    fn kill_legacy(&self, member: &Member, deadline: &mut Deadline) -> Result<()> {
        let mut pids = Vec::new();
        collect(&member.dir, &mut pids)?;
        if pids.is_empty() {
            return Ok(());
        }
        let freezer = self.legacy(Controller::Freezer).map(|member| &member.dir);
        loop {
            if let Some(freezer) = freezer {
                // What could not be frozen in time is killed all the same, and then the rest.
                let pause = deadline.remaining().min(Duration::from_millis(200));
                match freeze_legacy(freezer, Deadline::after(pause)) {
                    Err(error) if error.kind() != Kind::TimedOut => return Err(error),
                    _ => {}
                }
            }
            let signalled = signal_members(member, libc::SIGKILL);
            if let Some(freezer) = freezer {
                freeze::write(freezer, freeze::STATE, "THAWED")?;
            }
            if signalled? == 0 || !deadline.pause() {
                return Ok(());
            }
        }
    }
}

impl Member {
    fn wait_empty(&self, deadline: &mut Deadline) -> Result<bool> {
        if self.version == Version::V2 {
            return wait_for_event(&self.dir, "populated", "0", deadline);
        }
        loop {
            let mut pids = Vec::new();
            collect(&self.dir, &mut pids)?;
            if pids.is_empty() {
                return Ok(true);
            }
            if !deadline.pause() {
                return Ok(false);
            }
        }
    }
}

/// Signals whoever is a member both before and after its pidfd was made, so that the pidfd is of a
/// member and not of a process that got its number. Returns how many there were.
fn signal_members(member: &Member, signal: i32) -> Result<usize> {
    let mut before = Vec::new();
    collect(&member.dir, &mut before)?;
    let mut held = Vec::new();
    for pid in before.into_iter().filter(|pid| *pid > 0) {
        match sys::pidfd_open(pid) {
            Ok(process) => held.push((pid, process)),
            Err(Errno::ESRCH | Errno::EINVAL) => {}
            Err(errno) => {
                return Err(Error::from_errno(KILL, format!("pidfd_open({pid})"), errno));
            }
        }
    }
    let mut after = Vec::new();
    collect(&member.dir, &mut after)?;
    let n_members = after.len();
    held.retain(|(pid, _)| after.contains(pid));
    for (pid, process) in held {
        match sys::pidfd_send_signal(process.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => {
                let call = format!("pidfd_send_signal([pidfd {pid}], {signal})");
                return Err(Error::from_errno(KILL, call, errno));
            }
        }
    }
    Ok(n_members)
}

/// Adds the processes of a group and of those below it. Groups that go meanwhile have none.
fn collect(dir: &Dir, pids: &mut Vec<i32>) -> Result<()> {
    let text = match dir.read("cgroup.procs") {
        Ok(text) => text,
        Err(error) if is_gone(&error) => return Ok(()),
        // The processes of a threaded group are listed at the group that it belongs to.
        Err(error) if error.is(Errno::EOPNOTSUPP) => String::new(),
        Err(error) => return Err(error),
    };
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    let children = match dir.children() {
        Ok(children) => children,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in children {
        match dir.child(&name) {
            Ok(child) => collect(&child, pids)?,
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const KILL: &str = "signal control group";
