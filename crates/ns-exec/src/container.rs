//! A container with a name: created and started once, found again by any later process, removed without a trace.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::poll::PollTimeout;
use ns_cgroups::{Cgroup, Layout, MemoryEvents};
use ns_config::state::Phase;
use ns_config::stats::{ContainerStats, NetworkStats};
use ns_config::{CgroupConfig, Config, ContainerState, NamespaceKind};
use ns_network::NetnsFd;

use crate::error::{Error, Kind, Result, Stage};
use crate::exec_in::Target;
use crate::identity::{ProcessIdentity, boot_id, processes_of_pid_namespace};
use crate::process::{ExitStatus, Process};
use crate::resources::{TEARDOWN, from_cgroups, from_network};
use crate::sequence::Progress;
use crate::start::Start;
use crate::state_dir::{Contended, Locked, StateDir, no_container};

/// A container that a [`StateDir`] remembers, whoever started it.
///
/// What the state says is compared with what there is at every step: its process is only touched when it is the very
/// one that was started, by start time and namespace, through a pidfd. Dropping this value changes nothing.
///
/// # Examples
/// ```no_run
/// // no_run: it takes root or user namespaces.
/// use ns_exec::{Container, Sandbox, Start, StateDir, Stream};
///
/// let dir = StateDir::default_place()?;
/// let config = Sandbox::default().config()?;
/// let start = Start::new(&config, ["sleep", "60"]).stdin(Stream::Null);
/// Container::run(start, "box1", &dir)?;
/// // In this program or in another, now or later:
/// let container = Container::open("box1", &dir)?;
/// container.signal(15)?;
/// container.kill_and_delete()?;
/// # Ok::<(), ns_exec::Error>(())
/// ```
#[derive(Debug)]
pub struct Container<'a> {
    pub(crate) dir: &'a StateDir,
    pub(crate) state: ContainerState,
    /// When it was started here.
    pub(crate) process: Option<Process>,
    /// Found once, by whoever asks first; containers of one list share it.
    layout: Arc<OnceLock<Layout>>,
}

/// How a container is, as found out by looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Somebody is starting it.
    Creating,
    /// Set up; the command waits for the start.
    Created,
    /// The command runs.
    Running,
    /// The command and all processes of its group stand still.
    Paused,
    /// The command has ended; what the container had on the host waits to be removed.
    Stopped,
    /// It is of another boot, or its start was cut off.
    Stale,
}

impl Status {
    /// The word for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
            Status::Stale => "stale",
        }
    }

    /// Whether there is a command that has not ended.
    #[must_use]
    pub fn is_alive(self) -> bool {
        !matches!(self, Status::Stopped | Status::Stale)
    }
}

impl<'a> Container<'a> {
    /// Does all that [`run`](Self::run) does but execute the command, which waits for [`start`](Self::start), by this
    /// process or any later one of the same user. It goes on waiting when this process ends, unless a parent death
    /// signal was asked for.
    ///
    /// # Shape
    /// `id`: as of [`run`](Self::run).
    ///
    /// # Privileges
    /// See [`Prepared::start`](crate::Prepared::start).
    ///
    /// # Errors
    /// As [`run`](Self::run), but for a command that cannot be executed, which the start tells.
    pub fn create(start: Start<'_>, id: &str, dir: &'a StateDir) -> Result<Self> {
        let listener = crate::parked::new_socket()?;
        let childs = listener
            .try_clone()
            .map_err(|error| Error::from_io(Stage::Caller, "copy a socket", &error))?;
        Self::begin(start.parked_at(childs), id, dir, |locked| {
            crate::parked::publish(&listener, locked)
        })
    }

    /// Starts a command in a container of this name; returns once the command is being executed.
    ///
    /// The state is written before there is a process, again while the process waits, and again when the command is
    /// being executed: whenever the caller dies, [`delete`](Self::delete) finds what is left.
    ///
    /// # Shape
    /// `id`: 1 to 255 letters, digits, `_`, `-`, `.` and `+`, not beginning with `.`.
    ///
    /// # Privileges
    /// See [`Prepared::start`](crate::Prepared::start).
    ///
    /// # Errors
    /// Nothing is left; what could not be removed is told by [`Error::also`], and the state then stays for a later
    /// removal. Those of [`Start::prepare`] and [`Prepared::start`](crate::Prepared::start), and
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `AlreadyExists` | | there is a container of this id, however it is |
    /// | `InvalidValue` | | the id is none |
    /// | `Hostile` | | the state directory lies inside the root file system |
    /// | `Limit`, `Kernel` | ENOSPC, EDQUOT | the state cannot be written |
    pub fn run(start: Start<'_>, id: &str, dir: &'a StateDir) -> Result<Self> {
        Self::begin(start, id, dir, |_| Ok(()))
    }

    fn begin(
        start: Start<'_>,
        id: &str,
        dir: &'a StateDir,
        publish: impl FnOnce(&Locked) -> Result<()>,
    ) -> Result<Self> {
        dir.check_outside(&start.config.rootfs)?;
        let mut state = ContainerState {
            schema_version: ContainerState::SCHEMA_VERSION,
            id: id.to_owned(),
            boot_id: boot_id()?,
            init_pid: std::process::id(),
            init_start_ticks: 0,
            namespace_inodes: [].into(),
            cgroup_paths: [].into(),
            made_cgroup_paths: Vec::new(),
            host_interfaces: Vec::new(),
            phase: Phase::Creating,
            command: start.arguments.clone(),
            config: start.config.clone(),
        };
        let prepared = start.recorded().prepare()?;
        let locked = dir.claim(id)?;
        let started = publish(&locked)
            .and_then(|()| {
                prepared.start_recorded(&mut |progress| {
                    note(&mut state, progress)?;
                    locked.write(&state)
                })
            })
            .and_then(|process| confirm(process, &mut state, &locked));
        match started {
            Ok(process) => Ok(Container {
                dir,
                state,
                process: Some(process),
                layout: Arc::default(),
            }),
            Err(error) => Err(abandon(dir, locked, id, error)),
        }
    }

    /// Finds a container by its id.
    ///
    /// # Errors
    /// Those of [`StateDir::read`], and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `NotFound` | there is no container of this id |
    pub fn open(id: &str, dir: &'a StateDir) -> Result<Self> {
        Self::open_with(id, dir, Arc::default())
    }

    fn open_with(id: &str, dir: &'a StateDir, layout: Arc<OnceLock<Layout>>) -> Result<Self> {
        let state = dir.read(id)?.ok_or_else(|| no_container(id))?;
        Ok(Container {
            dir,
            state,
            process: None,
            layout,
        })
    }

    /// Finds all containers, by id. One whose state cannot be read does not hide the others.
    ///
    /// # Errors
    /// Those of [`StateDir::ids`].
    pub fn list(dir: &'a StateDir) -> Result<Vec<(String, Result<Self>)>> {
        let layout = Arc::default();
        let found = dir.ids()?.into_iter().filter_map(|id| {
            let container = match Self::open_with(&id, dir, Arc::clone(&layout)) {
                // Removed meanwhile, or not yet written.
                Err(error) if error.kind() == Kind::NotFound => return None,
                container => container,
            };
            Some((id, container))
        });
        Ok(found.collect())
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.state.id
    }

    /// What was written about it when it was opened or started.
    #[must_use]
    pub fn state(&self) -> &ContainerState {
        &self.state
    }

    /// The command as a child of this process, when it was started here.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Looks how it is.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Limit` | no descriptor is left |
    /// | `Denied` | the process, or the group, is not the caller's to see |
    pub fn status(&self) -> Result<Status> {
        if self.state.boot_id != boot_id()? {
            return Ok(Status::Stale);
        }
        if self.state.phase != Phase::Creating {
            return self.status_of_made();
        }
        let locked = match self.dir.lock(self.id(), Contended::Look) {
            Err(error) if error.kind() == Kind::Busy => return Ok(Status::Creating),
            locked => locked?,
        };
        let state = locked.map(|locked| locked.read(self.id())).transpose()?;
        // Whoever was making it may have been done since its state was read.
        match state.flatten().filter(|now| now.phase != Phase::Creating) {
            None => Ok(Status::Stale),
            Some(state) => Container {
                dir: self.dir,
                state,
                process: None,
                layout: Arc::clone(&self.layout),
            }
            .status_of_made(),
        }
    }

    fn status_of_made(&self) -> Result<Status> {
        if live_process(&self.state)?.is_none() {
            return Ok(Status::Stopped);
        }
        if self.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(match self.is_parked()? {
            true => Status::Created,
            false => Status::Running,
        })
    }

    fn is_parked(&self) -> Result<bool> {
        match self.dir.open_dir(self.id())? {
            Some(dir) => crate::parked::is_parked(&self.state, &dir),
            None => Ok(false),
        }
    }

    /// The command as something to join, see [`exec_in`](crate::exec_in): alive, the one that was started, and in the
    /// namespaces that it was started in.
    ///
    /// # Errors
    /// Those of [`ProcessIdentity::open_checked`] and [`Target::from_pidfd`], and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Busy` | it was being started when its state was read: it may not be in all of its namespaces |
    pub fn target(&self) -> Result<Target> {
        if self.state.phase == Phase::Creating {
            let message = format!("join the container {:?}: it is being started", self.id());
            let hint = format!("nsrun state {} tells when it runs", self.id());
            return Err(Error::new(Kind::Busy, Stage::Caller, message).with_hint(hint));
        }
        Target::from_pidfd(ProcessIdentity::of_state(&self.state).open_checked()?)
    }

    /// The command as a pidfd, which becomes readable when it has ended.
    ///
    /// # Errors
    /// Those of [`ProcessIdentity::open_process`].
    pub fn open_process(&self) -> Result<OwnedFd> {
        let opened = ProcessIdentity::of_state(&self.state).open_process();
        opened.map_err(|error| match error.kind() {
            Kind::Gone => {
                let hint = format!("nsrun delete {} removes what it has left", self.id());
                error.with_hint(hint)
            }
            _ => error,
        })
    }

    /// The control group; `None` when it has none of its own.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT | it is gone |
    /// | `Hostile` | | the state names something that is no group |
    pub fn cgroup(&self) -> Result<Option<Cgroup>> {
        let state = &self.state;
        self.open_group(|layout| {
            Cgroup::open_made(layout, &state.cgroup_paths, &state.made_cgroup_paths)
        })
    }

    /// The group to look at or to join, without a look at what above it was made.
    pub(crate) fn group_in_use(&self) -> Result<Option<Cgroup>> {
        self.open_group(|layout| Cgroup::open(layout, &self.state.cgroup_paths))
    }

    fn open_group(
        &self,
        open: impl FnOnce(&Layout) -> ns_cgroups::Result<Cgroup>,
    ) -> Result<Option<Cgroup>> {
        if self.state.cgroup_paths.is_empty() {
            return Ok(None);
        }
        let layout = match self.layout.get() {
            Some(layout) => Ok(layout),
            None => Layout::detect().map(|found| self.layout.get_or_init(|| found)),
        };
        let opened = layout.and_then(open);
        opened.map(Some).map_err(|error| cgroup_error(&error))
    }

    /// Sends a signal to the command.
    ///
    /// One that is the first of its pid namespace takes only signals that it handles, and SIGKILL and SIGSTOP. A paused
    /// one takes it when it goes on.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | ESRCH | the command has ended |
    /// | `InvalidValue` | EINVAL | there is no such signal |
    /// | `Denied` | EPERM | it is another user's |
    pub fn signal(&self, signal: i32) -> Result<()> {
        let pidfd = self.open_process()?;
        send(&pidfd, signal)
    }

    /// Sends a signal to every process of the group. Processes that are made meanwhile may not get it.
    ///
    /// # Errors
    /// Those of [`signal`](Self::signal), and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Unsupported` | the container has no group of its own |
    pub fn signal_all(&self, signal: i32) -> Result<()> {
        let group = self.live_group()?;
        group.signal(signal).map_err(|error| cgroup_error(&error))
    }

    /// Stops every process of the container, and returns when all stand still.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Unsupported` | the container has no group of its own, or the host has no freezer |
    /// | `Gone` | the command has ended |
    /// | `Busy` | a process did not stop within ten seconds, and the group was thawed again |
    pub fn pause(&self) -> Result<()> {
        let _locked = self.lock(Contended::Wait)?;
        let group = self.live_group()?;
        group.freeze(TEARDOWN).map_err(|error| cgroup_error(&error))
    }

    /// Lets the processes of the container go on. One that is not paused is left as it is.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self) -> Result<()> {
        let _locked = self.lock(Contended::Wait)?;
        let group = self.live_group()?;
        group.thaw(TEARDOWN).map_err(|error| cgroup_error(&error))
    }

    /// Changes the settings of the group that `config` names, and keeps the others.
    ///
    /// The configuration in the state stays the one that the container was started with.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | | there is no group, or it was made without that controller |
    /// | `InvalidValue` | EINVAL, ERANGE | the kernel refuses a value; those before it stay changed |
    /// | `Busy` | EBUSY | more is in use than the limit allows |
    /// | `Gone` | | the command has ended |
    pub fn update(&self, config: &CgroupConfig) -> Result<()> {
        let _locked = self.lock(Contended::Wait)?;
        let group = self.live_group()?;
        group.update(config).map_err(|error| cgroup_error(&error))
    }

    /// Reads what the container uses, in the form of the seed's `nsinit stats`; traffic is as the container sees it.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Gone` | the command has ended |
    /// | `Denied` | interfaces without an end on the host are counted inside, which takes `CAP_SYS_ADMIN` |
    pub fn stats(&self) -> Result<ContainerStats> {
        let pidfd = self.open_process()?;
        let cgroup_stats = match self.group_in_use()? {
            Some(group) => group.usage().map_err(|error| cgroup_error(&error))?,
            None => ns_config::stats::CgroupStats::default(),
        };
        Ok(ContainerStats {
            network_stats: self.network_stats(&pidfd)?,
            cgroup_stats,
        })
    }

    /// Starts to report processes that find no memory.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Unsupported` | there is no group, or it does not count memory |
    /// | `Gone` | the command has ended |
    pub fn memory_events(&self) -> Result<MemoryEvents> {
        let group = self.live_group()?;
        group.memory_events().map_err(|error| cgroup_error(&error))
    }

    /// The processes of the container, as numbers of the caller's pid namespace, ascending: those of its group, or
    /// else those of its pid namespace. Each may have ended, and its number may name another, when it is read.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Gone` | the command has ended |
    /// | `Unsupported` | it has neither a group nor a pid namespace of its own |
    pub fn processes(&self) -> Result<Vec<i32>> {
        let _alive = self.open_process()?;
        if let Some(group) = self.cgroup()? {
            return group.processes().map_err(|error| cgroup_error(&error));
        }
        let inode = self.state.namespace_inode(NamespaceKind::Pid);
        match inode.filter(|_| self.state.config.namespaces.creates(NamespaceKind::Pid)) {
            Some(inode) => processes_of_pid_namespace(inode),
            None => Err(no_group(self.id())),
        }
    }

    /// Waits for the command to end. How it ended is known when it was started here; it is reaped.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EMFILE | no descriptor is left |
    pub fn wait(&self) -> Result<Option<ExitStatus>> {
        if let Some(process) = &self.process {
            return process.wait().map(Some);
        }
        match live_process(&self.state)? {
            Some(pidfd) => wait_ended(&pidfd, PollTimeout::NONE).map(|_| None),
            None => Ok(None),
        }
    }

    fn network_stats(&self, pidfd: &OwnedFd) -> Result<NetworkStats> {
        let made = &self.state.host_interfaces;
        let interfaces = match made.is_empty() {
            false => ns_network::statistics(made),
            true => {
                let names = inside_names(&self.state.config);
                match names.is_empty() {
                    true => Ok(Vec::new()),
                    false => NetnsFd::of_process(pidfd.as_fd())
                        .and_then(|netns| ns_network::statistics_inside(&netns, &names)),
                }
            }
        };
        let interfaces = interfaces.map_err(|error| from_network(Stage::Caller, &error))?;
        Ok(ns_network::InterfaceStats::total(&interfaces))
    }

    /// The group, of a command that has not ended: otherwise its name may be another's by now.
    fn live_group(&self) -> Result<Cgroup> {
        let _alive = self.open_process()?;
        self.cgroup()?.ok_or_else(|| no_group(self.id()))
    }

    pub(crate) fn is_frozen(&self) -> Result<bool> {
        match self.group_in_use() {
            Ok(Some(group)) => group_is_frozen(&group),
            Ok(None) => Ok(false),
            // Somebody has removed the group below the container's feet.
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn lock(&self, contended: Contended) -> Result<Locked> {
        let locked = self.dir.lock(self.id(), contended)?;
        locked.ok_or_else(|| no_container(self.id()))
    }
}

/// Brings a state up to how far the start has come.
fn note(state: &mut ContainerState, progress: Progress<'_>) -> Result<()> {
    match progress {
        Progress::Planned(plan) => {
            (state.cgroup_paths, state.made_cgroup_paths) = plan.planned_cgroup()?;
            Ok(())
        }
        Progress::Group(resources) => {
            if let Some(group) = resources.cgroup() {
                state.cgroup_paths = group.paths();
                state.made_cgroup_paths = group.made_paths();
            }
            Ok(())
        }
        Progress::Waiting(pid, resources) => {
            state.host_interfaces = resources.host_interfaces();
            match ProcessIdentity::capture_start(pid) {
                Ok(identity) => {
                    adopt(state, identity);
                    Ok(())
                }
                // Why it has ended is told when it is asked.
                Err(error) if error.kind() == Kind::Gone => Ok(()),
                Err(error) => Err(error),
            }
        }
        Progress::Parked(pid) => {
            adopt(state, ProcessIdentity::capture_child(pid)?);
            state.phase = Phase::Created;
            Ok(())
        }
    }
}

/// Writes that the command runs, unless it waits, which was written before; otherwise ends it.
fn confirm(process: Process, state: &mut ContainerState, locked: &Locked) -> Result<Process> {
    if state.phase == Phase::Created {
        return Ok(process);
    }
    state.phase = Phase::Running;
    let written = ProcessIdentity::capture_child(process.pid()).and_then(|identity| {
        adopt(state, identity);
        locked.write(state)
    });
    let Err(error) = written else {
        return Ok(process);
    };
    let undone = [
        process.signal(libc::SIGKILL),
        process.wait().map(drop),
        process.release(),
    ];
    let undone = undone.into_iter().filter_map(Result::err);
    Err(undone
        .filter(|also| also.errno() != Some(libc::ESRCH))
        .fold(error, |error, also| error.with_also(&also)))
}

fn adopt(state: &mut ContainerState, identity: ProcessIdentity) {
    state.init_pid = identity.pid.unsigned_abs();
    state.init_start_ticks = identity.start_ticks;
    state.namespace_inodes = identity.namespace_inodes;
}

/// After a failed start: nothing is left, unless removing it has failed too.
fn abandon(dir: &StateDir, locked: Locked, id: &str, error: Error) -> Error {
    if !error.also().is_empty() {
        return error;
    }
    match dir.remove(locked, id) {
        Ok(()) => error,
        Err(also) => error.with_also(&also),
    }
}

/// The command, when it is alive and the one that was started.
pub(crate) fn live_process(state: &ContainerState) -> Result<Option<OwnedFd>> {
    if state.init_start_ticks == 0 {
        return Ok(None);
    }
    match ProcessIdentity::of_state(state).open_process() {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(error) if matches!(error.kind(), Kind::Gone | Kind::Hostile) => Ok(None),
        Err(error) => Err(error),
    }
}

fn inside_names(config: &Config) -> Vec<&str> {
    let all = config.networks.iter();
    all.filter(|network| network.kind != ns_config::NetworkKind::Loopback)
        .map(ns_config::Network::name_inside)
        .collect()
}

pub(crate) fn send(pidfd: &OwnedFd, signal: i32) -> Result<()> {
    crate::sys::pidfd_send_signal(pidfd.as_fd(), signal).map_err(|errno| match errno {
        Errno::ESRCH => {
            let message = "signal the command: it has ended";
            Error::new(Kind::Gone, Stage::Caller, message)
        }
        errno => {
            let step = format!("signal the command: pidfd_send_signal({signal})");
            Error::from_errno(Stage::Caller, &step, errno as i32)
        }
    })
}

pub(crate) fn wait_ended(pidfd: &OwnedFd, timeout: PollTimeout) -> Result<bool> {
    loop {
        match crate::sys::wait_readable(pidfd.as_fd(), timeout) {
            Err(Errno::EINTR) => {}
            waited => {
                return waited.map_err(|errno| {
                    let step = "wait for the command: poll(pidfd)";
                    Error::from_errno(Stage::Caller, step, errno as i32)
                });
            }
        }
    }
}

fn no_group(id: &str) -> Error {
    let message =
        format!("open the control group of {id:?}: the container was started without one");
    let hint = "name one in the configuration, e.g. \"cgroups\": {\"name\": \"box1\"}";
    Error::new(Kind::Unsupported, Stage::Caller, message).with_hint(hint)
}

/// A group in no hierarchy that freezes is not frozen.
pub(crate) fn group_is_frozen(group: &Cgroup) -> Result<bool> {
    match group.is_frozen() {
        Err(error) if error.kind() == ns_cgroups::Kind::Unsupported => Ok(false),
        frozen => frozen.map_err(|error| cgroup_error(&error)),
    }
}

pub(crate) fn cgroup_error(error: &ns_cgroups::Error) -> Error {
    from_cgroups(Stage::Caller, error)
}
