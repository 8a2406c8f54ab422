//! Taking away what a container has on the host.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::poll::PollTimeout;
use ns_cgroups::{Cgroup, Layout};
use ns_config::state::Phase;
use ns_config::{ContainerState, NamespaceKind};

use crate::container::{Container, cgroup_error, live_process, send, wait_ended};
use crate::error::{Error, Kind, Result, Stage};
use crate::identity::boot_id;
use crate::parked::is_parked;
use crate::process::Process;
use crate::resources::{TEARDOWN, from_network};
use crate::state_dir::Contended;

impl Container<'_> {
    /// Removes what an ended container has on the host: processes that are left in its group, the group, its
    /// interfaces, and its state. One whose command was not started yet is ended. Of a container of another boot only
    /// the state is there to be removed.
    ///
    /// # Errors
    /// What could be removed is; the state stays unless all of it was.
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Busy` | the command has not ended, or a process of the group does not die, or the container is being started |
    /// | `NotFound` | it was removed already |
    /// | `Gone` | another container has the id by now |
    pub fn delete(&self) -> Result<()> {
        self.remove(Running::Refuse)
    }

    /// As [`delete`](Self::delete), and ends the command first when it runs.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    pub fn kill_and_delete(&self) -> Result<()> {
        self.remove(Running::Kill)
    }

    fn remove(&self, running: Running) -> Result<()> {
        let contended = match self.state.phase {
            // A start may take as long as it likes.
            Phase::Creating => Contended::Refuse,
            // What else is done to a container has an end; that may be its removal.
            _ => Contended::Wait,
        };
        let locked = self.lock(contended)?;
        let Some(state) = locked.read(self.id())? else {
            return self.dir.remove(locked, self.id());
        };
        self.check_same(&state)?;
        if state.boot_id == boot_id()? {
            let pidfd = live_process(&state)?;
            // A start that was cut off has no command, and one that waits is none yet.
            let has_command =
                pidfd.is_some() && state.phase != Phase::Creating && !is_parked(&state, &locked)?;
            if has_command && running == Running::Refuse {
                return Err(still_runs(self.id()));
            }
            self.release(&state, pidfd.as_ref())?;
        }
        self.dir.remove(locked, self.id())
    }

    /// Whether the state that was read is still of the container that this handle was made for.
    pub(crate) fn check_same(&self, state: &ContainerState) -> Result<()> {
        if self.state.phase == Phase::Creating || is_same(&self.state, state) {
            return Ok(());
        }
        let message = format!("open the container {:?}: it is another by now", self.id());
        Err(Error::new(Kind::Gone, Stage::Caller, message))
    }

    fn release(&self, state: &ContainerState, pidfd: Option<&OwnedFd>) -> Result<()> {
        let others = match (&self.process, pidfd) {
            (None, None) => self.claimed_by_others(state)?,
            // The process was there all the time, so the names have not changed hands.
            _ => Claimed::default(),
        };
        let groups = match others.has_group {
            true => Ok(Vec::new()),
            false => remaining_groups(state),
        };
        let ended = groups.and_then(|groups| match has_process(state) {
            true => self.end_all(&groups, pidfd),
            false => remove_unused(&groups),
        });
        // Waiting for the kernel takes some 20 ms: they go with the first process of the container.
        let goes_by_itself =
            self.process.is_some() && state.config.namespaces.creates(NamespaceKind::Pid);
        let network = match goes_by_itself || others.has_interface {
            true => Ok(()),
            false => ns_network::remove_host_interfaces(&state.host_interfaces)
                .map_err(|error| from_network(Stage::Caller, &error)),
        };
        Error::of_many([ended, network].into_iter().filter_map(Result::err))
    }

    /// Ends all processes, and removes the groups.
    fn end_all(&self, groups: &[Cgroup], pidfd: Option<&OwnedFd>) -> Result<()> {
        for group in groups {
            group.kill(TEARDOWN).map_err(|error| cgroup_error(&error))?;
        }
        pidfd.map_or(Ok(()), end)?;
        // It may have been reaped before.
        let _reaped = self.process.as_ref().map(Process::wait);
        let removed = groups.iter().map(|group| group.remove(TEARDOWN));
        Error::of_many(removed.filter_map(|removed| removed.err().map(|e| cgroup_error(&e))))
    }

    /// A container that ended long ago may have left its names to another that lives.
    fn claimed_by_others(&self, state: &ContainerState) -> Result<Claimed> {
        let mut claimed = Claimed::default();
        if state.cgroup_paths.is_empty() && state.host_interfaces.is_empty() {
            return Ok(claimed);
        }
        let interfaces = state.host_interfaces.iter();
        let names: Vec<&str> = interfaces
            .chain(state.cgroup_paths.values())
            .map(String::as_str)
            .collect();
        for id in self.dir.ids_with(&names)? {
            // A state that cannot be read cannot tell; those that can are believed.
            let Ok(other) = Self::open(&id, self.dir) else {
                continue;
            };
            if id == self.id() {
                continue;
            }
            let shares_group = other
                .state
                .cgroup_paths
                .values()
                .any(|path| state.cgroup_paths.values().any(|own| own == path));
            let shares_interface = other
                .state
                .host_interfaces
                .iter()
                .any(|name| state.host_interfaces.contains(name));
            if (shares_group || shares_interface) && other.status()?.is_alive() {
                claimed.has_group |= shares_group;
                claimed.has_interface |= shares_interface;
            }
        }
        Ok(claimed)
    }
}

/// What is done about a command that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Refuse,
    Kill,
}

/// Which of an ended container's names another one has.
#[derive(Clone, Copy, Debug, Default)]
struct Claimed {
    has_group: bool,
    has_interface: bool,
}

/// A start that was cut off before it has no process to end: whoever is in a group of that name is another's.
fn has_process(state: &ContainerState) -> bool {
    state.phase != Phase::Creating || state.init_start_ticks != 0
}

/// Removes the groups that nobody is in. A child of the start that was cut off ends by itself at once.
fn remove_unused(groups: &[Cgroup]) -> Result<()> {
    for group in groups {
        match group.remove(ORPHAN_ENDS) {
            Err(error) if error.kind() == ns_cgroups::Kind::Busy => {}
            removed => removed.map_err(|error| cgroup_error(&error))?,
        }
    }
    Ok(())
}

fn is_same(one: &ContainerState, other: &ContainerState) -> bool {
    let key = |state: &ContainerState| {
        (
            state.init_pid,
            state.init_start_ticks,
            state.boot_id.clone(),
        )
    };
    key(one) == key(other)
}

/// The parts of the group that are still there: some may be gone, as after a removal that was cut off.
fn remaining_groups(state: &ContainerState) -> Result<Vec<Cgroup>> {
    if state.cgroup_paths.is_empty() {
        return Ok(Vec::new());
    }
    let layout = Layout::detect().map_err(|error| cgroup_error(&error))?;
    match Cgroup::open_made(&layout, &state.cgroup_paths, &state.made_cgroup_paths) {
        Ok(group) => return Ok(vec![group]),
        Err(error) if error.kind() == ns_cgroups::Kind::NotFound => {}
        Err(error) => return Err(cgroup_error(&error)),
    }
    let mut groups = Vec::new();
    for (controller, path) in &state.cgroup_paths {
        let is_above = |made: &&String| {
            let rest = path.strip_prefix(made.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let made: Vec<String> = state
            .made_cgroup_paths
            .iter()
            .filter(is_above)
            .cloned()
            .collect();
        let alone = [(controller.clone(), path.clone())].into();
        match Cgroup::open_made(&layout, &alone, &made) {
            Ok(group) => groups.push(group),
            Err(error) if error.kind() == ns_cgroups::Kind::NotFound => {}
            Err(error) => return Err(cgroup_error(&error)),
        }
    }
    Ok(groups)
}

/// Ends a process, and returns when it has ended.
fn end(pidfd: &OwnedFd) -> Result<()> {
    match send(pidfd, libc::SIGKILL) {
        Err(error) if error.kind() == Kind::Gone => return Ok(()),
        sent => sent?,
    }
    let timeout = PollTimeout::try_from(TEARDOWN).unwrap_or(PollTimeout::MAX);
    match wait_ended(pidfd, timeout)? {
        true => Ok(()),
        false => {
            let message = format!(
                "end the command: it has not ended within {} s",
                seconds(TEARDOWN)
            );
            Err(Error::new(Kind::Busy, Stage::Caller, message)
                .with_hint("it waits in the kernel, see state D in ps"))
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

fn still_runs(id: &str) -> Error {
    let message = format!("remove the container {id:?}: its command has not ended");
    let hint = format!("nsrun kill {id} asks it to, nsrun delete --force {id} does not ask");
    Error::new(Kind::Busy, Stage::Caller, message).with_hint(hint)
}

/// How long a process may take to notice that nobody waits for it any more.
const ORPHAN_ENDS: Duration = Duration::from_secs(1);
