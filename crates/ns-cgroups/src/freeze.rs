//! Freezing and thawing.

use std::time::Duration;

use nix::errno::Errno;

use crate::{
    controller::Controller,
    dir::Dir,
    error::{Error, Kind, Result},
    group::Cgroup,
    spec::Existing,
    wait::{Deadline, wait_for_event},
};

impl Cgroup {
    /// Stops every process of the group, and returns when all stand still.
    ///
    /// A group that is not frozen at the deadline is thawed again.
    ///
    /// # Kernel
    /// v2: `cgroup.freeze` and a wait on `cgroup.events`. v1: `freezer.state`, which has no event and
    /// is read again after pauses of 1 to 50 ms.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `TimedOut` | | a process did not stop: one that waits in the kernel without a way to interrupt it |
    /// | `Busy` | | the calling process is a member |
    /// | `Unsupported` | | there is neither v2 nor a v1 freezer |
    /// | `Gone` | ENODEV | the group was removed |
    ///
    /// # References
    /// `Documentation/admin-guide/cgroup-v2.rst` § Core interface files,
    /// `Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst`.
    pub fn freeze(&self, timeout: Duration) -> Result<()> {
        self.refuse_own_process()?;
        let deadline = Deadline::after(timeout);
        match self.freezer()? {
            Freezer::Unified(dir) => freeze_unified(dir, &deadline),
            Freezer::Legacy(dir) => freeze_legacy(dir, deadline),
        }
    }

    /// Lets the processes of the group run again.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `TimedOut` | | the group is still frozen: one above it is |
    /// | `Unsupported` | | there is neither v2 nor a v1 freezer |
    /// | `Gone` | ENODEV | the group was removed |
    pub fn thaw(&self, timeout: Duration) -> Result<()> {
        let mut deadline = Deadline::after(timeout);
        let thawed = match self.freezer()? {
            Freezer::Unified(dir) => {
                write(dir, "cgroup.freeze", "0")?;
                wait_for_event(dir, "frozen", "0", &deadline)?
            }
            Freezer::Legacy(dir) => {
                write(dir, STATE, "THAWED")?;
                loop {
                    if dir.read(STATE)?.trim() == "THAWED" {
                        break true;
                    }
                    if !deadline.pause() {
                        break false;
                    }
                }
            }
        };
        match thawed {
            true => Ok(()),
            false => Err(
                Error::new(Kind::TimedOut, "thaw control group", "still frozen")
                    .with_hint("a group above it is frozen"),
            ),
        }
    }

    /// Whether every process stands still.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | | there is neither v2 nor a v1 freezer |
    /// | `Gone` | ENODEV | the group was removed |
    pub fn is_frozen(&self) -> Result<bool> {
        match self.freezer()? {
            Freezer::Unified(dir) => {
                Ok(dir.read("cgroup.events")?.lines().any(|l| l == "frozen 1"))
            }
            Freezer::Legacy(dir) => Ok(dir.read(STATE)?.trim() == "FROZEN"),
        }
    }

    pub(crate) fn freezer(&self) -> Result<Freezer<'_>> {
        let legacy = self
            .legacy(Controller::Freezer)
            .map(|member| Freezer::Legacy(&member.dir));
        let unified = self.unified().map(|member| Freezer::Unified(&member.dir));
        unified.or(legacy).ok_or_else(|| {
            let call = "the group is neither in the v2 hierarchy nor in one with a freezer";
            Error::new(Kind::Unsupported, "freeze control group", call)
                .with_hint("mount the freezer controller, or cgroup v2")
        })
    }

    /// Thaws a group that a start left frozen when it died. A process that is cloned into a frozen group never comes to
    /// its first step, and whoever cloned it waits without end.
    pub(crate) fn refuse_frozen(&self, existing: Existing) -> Result<()> {
        if self.freezer().is_err() || !self.is_frozen()? {
            return Ok(());
        }
        if existing != Existing::Share {
            return self.thaw(THAW_OF_EMPTY);
        }
        Err(
            Error::new(Kind::Busy, "make control group", "it is frozen already").with_hint(
                "thaw it first: what is started in it would stand still, and its starter with it",
            ),
        )
    }

    fn refuse_own_process(&self) -> Result<()> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        if !self.processes()?.contains(&own) {
            return Ok(());
        }
        let call = format!("the calling process, {own}, is a member");
        Err(Error::new(Kind::Busy, "freeze control group", call)
            .with_hint("it would stop itself; call from outside of the group"))
    }
}

/// Nothing is in it that would have to wake up.
const THAW_OF_EMPTY: Duration = Duration::from_millis(100);

/// What the group is frozen by.
pub(crate) enum Freezer<'g> {
    Unified(&'g Dir),
    Legacy(&'g Dir),
}

fn freeze_unified(dir: &Dir, deadline: &Deadline) -> Result<()> {
    write(dir, "cgroup.freeze", "1")?;
    if wait_for_event(dir, "frozen", "1", deadline)? {
        return Ok(());
    }
    Err(give_up(dir, "cgroup.freeze", "0"))
}

/// Thawed on the way to frozen, it must be asked again: processes that were just made are missed.
pub(crate) fn freeze_legacy(dir: &Dir, mut deadline: Deadline) -> Result<()> {
    loop {
        write(dir, STATE, "FROZEN")?;
        if dir.read(STATE)?.trim() == "FROZEN" {
            return Ok(());
        }
        if !deadline.pause() {
            return Err(give_up(dir, STATE, "THAWED"));
        }
    }
}

fn give_up(dir: &Dir, file: &str, thawed: &str) -> Error {
    let call = format!("{:?} is not frozen", dir.path());
    let error = Error::new(Kind::TimedOut, "freeze control group", call)
        .with_hint("a process waits in the kernel, see state D in ps; the group was thawed again");
    match write(dir, file, thawed) {
        Ok(()) => error,
        Err(other) => error.with_also(other),
    }
}

pub(crate) fn write(dir: &Dir, file: &str, value: &str) -> Result<()> {
    dir.write(file, value).map_err(|errno: Errno| {
        let call = format!("write({:?}, {value:?})", dir.path_of(file));
        Error::from_errno("change control group", call, errno)
    })
}

pub(crate) const STATE: &str = "freezer.state";
