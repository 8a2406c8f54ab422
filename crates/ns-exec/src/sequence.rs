//! The one list of what a start does, in order: first in the caller, then in the new process.

use std::os::fd::{AsFd as _, OwnedFd};

use ns_config::{Config, Mount, MountKind, NamespaceKind, ResolvedUser};
use ns_init::{Command, Init, Inside, Launch, Op, Plan, PlanBuilder, Slot, Started};
use ns_mount::{Host, RootfsPlanner, Terminal, private_procfs, sysctl};
use ns_network::{NetnsFd, NewNetns};

use crate::error::{Error, Kind, Result, Stage};
use crate::ids::Ids;
use crate::process::Process;
use crate::resources::{ResourcePlan, Resources, from_network};
use crate::start::{Start, inherit};
use crate::terminal::WindowSize;

/// A start with every step planned and every descriptor in hand; nothing has happened yet.
#[derive(Debug)]
#[must_use = "nothing happens before it is started"]
pub struct Prepared {
    plan: Plan,
    namespaces: NewNamespaces,
    ids: Ids,
    resources: ResourcePlan,
    has_terminal: bool,
    trace: bool,
    waits: Waits,
    is_parked: bool,
}

/// How far a start has come, for whoever keeps a record of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress<'a> {
    /// Nothing is there; the control group is going to be.
    Planned(&'a ResourcePlan),
    /// The control group is there, the process is not.
    Group(&'a Resources),
    /// The process waits, with its interfaces; it is not yet in all of its namespaces.
    Waiting(i32, &'a Resources),
    /// The process has done all but execute the command, for which it waits once this is recorded.
    Parked(i32),
}

/// Keeps a record; what it gives back ends the start.
pub(crate) type Recorder<'a> = dyn FnMut(Progress<'_>) -> Result<()> + 'a;

/// Which namespaces the clone makes, which the caller makes beside it, and which the new process makes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NewNamespaces {
    by_clone: u64,
    /// The network namespace, made while the new process mounts: the kernel takes as long for it as for the mounts.
    by_caller: u64,
    /// Made by `unshare(2)` once others are joined.
    by_child: u64,
    /// The process must go on as a child to be in its pid or time namespace.
    forks: bool,
}

impl NewNamespaces {
    fn choose(config: &Config) -> Self {
        let namespaces = &config.namespaces;
        let flag = |kind: NamespaceKind| match namespaces.creates(kind) {
            true => kind.clone_flag(),
            false => 0,
        };
        let is_joined = |kind| namespaces.contains(kind) && !namespaces.creates(kind);
        let all = namespaces.new_flags();
        let by_child = if is_joined(NamespaceKind::User) {
            // They are to belong to the joined user namespace.
            all
        } else if namespaces.creates(NamespaceKind::Time) {
            // KERNEL(5.6): offsets are set before the first process enters, which must be the first of its
            // pid namespace too.
            flag(NamespaceKind::Time) | flag(NamespaceKind::Pid) | flag(NamespaceKind::Cgroup)
        } else {
            // The root of a control group namespace is where its maker is: after the process has joined its group.
            flag(NamespaceKind::Cgroup)
        };
        let on_children = NamespaceKind::Pid.clone_flag() | NamespaceKind::Time.clone_flag();
        let by_caller = match namespaces.contains(NamespaceKind::User) {
            // It is to belong to that user namespace.
            true => 0,
            false if needs_network_early(config) => 0,
            false => flag(NamespaceKind::Network),
        };
        NewNamespaces {
            by_clone: all & !by_child & !by_caller,
            by_caller,
            by_child,
            forks: by_child & on_children != 0
                || is_joined(NamespaceKind::Pid)
                || is_joined(NamespaceKind::Time),
        }
    }
}

/// Whether something before the end of the mounts sees the network namespace that the process is in.
fn needs_network_early(config: &Config) -> bool {
    let sees_network = |mount: &Mount| match &mount.kind {
        MountKind::Filesystem { fstype, .. } => !NETWORK_BLIND.contains(&fstype.as_str()),
        MountKind::Bind { source, .. } => source.starts_with("/proc") || source.starts_with("/sys"),
        _ => false,
    };
    !config.sysctl.is_empty() || config.mounts.iter().any(sees_network)
}

/// File systems that are the same in every network namespace; sysfs, for one, is not.
const NETWORK_BLIND: [&str; 5] = ["tmpfs", "proc", "devpts", "mqueue", "ramfs"];

impl Prepared {
    /// Every step that the new process will take, to read or to print.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The `CLONE_NEW*` bits of the namespaces that the clone itself makes.
    #[must_use]
    pub fn clone_flags(&self) -> u64 {
        self.namespaces.by_clone
    }

    /// The `CLONE_NEW*` bits of the namespaces that a thread of the caller makes meanwhile, by `unshare(2)`.
    #[must_use]
    pub fn caller_flags(&self) -> u64 {
        self.namespaces.by_caller
    }

    /// Starts the process; returns once the command is being executed.
    ///
    /// The calling thread must outlive the command when a parent death signal was asked for.
    ///
    /// # Privileges
    /// `CAP_SYS_ADMIN` for namespaces, or a user namespace among them; `CAP_SETUID` and `CAP_SETGID`, or
    /// `newuidmap` and `newgidmap`, to map more than the own id.
    ///
    /// # Kernel
    /// 5.14: `clone3(2)`, the mount calls, `openat2(2)`.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `NotFound` | the command is not in the container ([`Stage::Command`]) |
    /// | `Denied` | a right is missing; the hint names the switch |
    /// | `Limit` | a limit of namespaces, processes or mounts is reached |
    /// | by errno | a step failed; the process is dead and reaped, nothing is left |
    pub fn start(self) -> Result<Process> {
        self.start_recorded(&mut |_| Ok(()))
    }

    pub(crate) fn start_recorded(self, record: &mut Recorder<'_>) -> Result<Process> {
        record(Progress::Planned(&self.resources))?;
        let mut resources = self.resources.create_cgroup()?;
        let recorded = record(Progress::Group(&resources));
        match recorded.and_then(|()| self.start_with(&mut resources, record)) {
            Ok((pid, pidfd, terminal, op_times)) => Ok(Process {
                pid,
                pidfd,
                terminal,
                op_times,
                resources,
            }),
            Err(error) => {
                let error = self.resources.blame(error, &resources);
                Err(resources.release_after(error))
            }
        }
    }

    fn start_with(&self, resources: &mut Resources, record: &mut Recorder<'_>) -> Result<Running> {
        let tasks = resources.tasks_files()?;
        let how = Launch {
            namespaces: self.namespaces.by_clone,
            ids: self.ids.mapping.clone(),
            cgroup: resources.cgroup_fd(),
            tasks: &tasks,
            trace: self.trace,
        };
        // ORDER: before the clone, which takes the kernel half as long: the new process would wait for it after its mounts.
        let begun = (self.namespaces.by_caller != 0).then(NewNetns::begin);
        let begun = begun
            .transpose()
            .map_err(|error| from_network(Stage::Caller, &error))?;
        let mut started =
            ns_init::launch(&self.plan, &how).map_err(|error| Error::from_start(&error))?;
        if let Err(error) = self.serve(&mut started, resources, begun, record) {
            // What failed here may have failed because the child has ended, and the child knows why.
            return Err(match started.early_end(&self.plan) {
                Some(end) => Error::from_start(&end),
                None => error,
            });
        }
        match self.is_parked {
            true => park(started, &self.plan, record),
            false => into_running(started, &self.plan, self.has_terminal),
        }
    }

    /// What the child waits for.
    fn serve(
        &self,
        started: &mut Started,
        resources: &mut Resources,
        mut begun: Option<NewNetns>,
        record: &mut Recorder<'_>,
    ) -> Result<()> {
        if self.ids.is_awaited() {
            self.ids.write(started.pid())?;
            go(started)?;
        }
        let mut netns = None;
        if self.waits.for_network {
            netns = self.attach_network(resources, started, begun.take())?;
        }
        if self.waits.for_record {
            record(Progress::Waiting(started.pid(), resources))?;
        }
        if self.waits.is_any() {
            go(started)?;
        }
        if self.waits.for_record && self.namespaces.forks {
            started
                .wait_forked(&self.plan)
                .map_err(|error| Error::from_start(&error))?;
            record(Progress::Waiting(started.pid(), resources))?;
            go(started)?;
        }
        if !self.waits.for_network {
            netns = self.attach_network(resources, started, begun)?;
        }
        if let Some(netns) = netns.filter(|_| self.namespaces.by_caller != 0) {
            unless_gone(started.send_descriptor(netns.as_fd()))?;
        }
        Ok(())
    }

    /// Makes the interfaces in the namespace that the caller has begun to make, or else in that of the process.
    fn attach_network(
        &self,
        resources: &mut Resources,
        started: &Started,
        begun: Option<NewNetns>,
    ) -> Result<Option<NetnsFd>> {
        let netns = match begun {
            Some(begun) => begun.finish(),
            None if self.resources.has_network() => NetnsFd::of_process(started.pidfd()),
            None => return Ok(None),
        };
        let netns = netns.map_err(|error| from_network(Stage::Caller, &error))?;
        self.resources.make_interfaces(resources, &netns)?;
        Ok(Some(netns))
    }
}

/// What the new process waits for before it does anything: its record, its interfaces.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    for_record: bool,
    for_network: bool,
}

impl Waits {
    fn is_any(self) -> bool {
        self.for_record || self.for_network
    }
}

/// Waits until everything but the command is done, and takes the waiting process over.
fn park(mut started: Started, plan: &Plan, record: &mut Recorder<'_>) -> Result<Running> {
    let failed = |error: ns_init::Error| Error::from_start(&error);
    started.wait_parked(plan).map_err(failed)?;
    // ORDER: before the process is let go of: a caller that dies before this is noticed, and ends it.
    record(Progress::Parked(started.pid()))?;
    started.go().map_err(failed)?;
    // Until it has let go of us.
    started.wait_ready(plan).map_err(failed)?;
    let terminal = started.take_descriptors().pop();
    let (pid, pidfd) = started.into_process().map_err(failed)?;
    Ok((pid, pidfd, terminal, Vec::new()))
}

/// Waits until the command is being executed, and takes the process over.
pub(crate) fn into_running(
    mut started: Started,
    plan: &Plan,
    has_terminal: bool,
) -> Result<Running> {
    started
        .wait_ready(plan)
        .map_err(|error| Error::from_start(&error))?;
    let times = started
        .op_times_ns(plan)
        .map_err(|error| Error::from_start(&error))?;
    // The words take longer to put together than many of the steps.
    let op_times = match times.is_empty() {
        true => Vec::new(),
        false => plan.explain().into_iter().zip(times).collect(),
    };
    let terminal = started.take_descriptors().pop();
    if has_terminal && terminal.is_none() {
        let message = "the new process was to send its terminal and did not";
        return Err(Error::new(Kind::Hostile, Stage::Caller, message));
    }
    let (pid, pidfd) = started
        .into_process()
        .map_err(|error| Error::from_start(&error))?;
    Ok((pid, pidfd, terminal, op_times))
}

/// The parts of a process, before it gets its resources.
pub(crate) type Running = (
    i32,
    OwnedFd,
    Option<OwnedFd>,
    Vec<(ns_init::Explained, u64)>,
);

/// A child that has died while it waited tells why only when it is asked.
pub(crate) fn go(started: &Started) -> Result<()> {
    unless_gone(started.go())
}

fn unless_gone(sent: ns_init::Result<()>) -> Result<()> {
    match sent {
        Err(error) if error.kind() != ns_init::Kind::Gone => Err(Error::from_start(&error)),
        _ => Ok(()),
    }
}

/// What the steps in the caller have found out, for the steps in the new process.
struct Known<'a> {
    config: &'a Config,
    user: ResolvedUser,
    command: Command,
    host: Option<Host>,
    ids: Ids,
    namespaces: NewNamespaces,
    window_size: WindowSize,
    is_recorded: bool,
    parked_at: Option<Slot>,
}

/// The steps in the caller. Nothing of the host is touched: sources are opened, files are read.
pub(crate) fn prepare(start: Start<'_>) -> Result<Prepared> {
    let config = start.config;
    config
        .validate()
        .map_err(|problems| Error::from_problems(&problems))?;
    let user = crate::user::resolve(config)?;
    config
        .validate_user(&user)
        .map_err(|problems| Error::from_problems(&problems))?;
    let environment = ns_init::load_container_environment(config, &user)?;
    let command = Command {
        arguments: start.arguments,
        environment,
    };
    let host = match config.namespaces.creates(NamespaceKind::Mount) {
        true => Some(Host::detect(config).map_err(|error| Error::from_mount(&error))?),
        false => None,
    };
    let ids = Ids::choose(config)?;
    let resources = ResourcePlan::new(config)?;
    let namespaces = NewNamespaces::choose(config);
    let is_parked = start.parked_at.is_some();
    let mut plan = PlanBuilder::new();
    let parked_at = start
        .parked_at
        .map(|listener| plan.inherit(listener, "the socket of the start"));
    let known = Known {
        config,
        user,
        command,
        host,
        ids,
        namespaces,
        window_size: start.window_size,
        is_recorded: start.is_recorded,
        parked_at: parked_at.transpose()?,
    };

    let descriptors = inherit(start.streams, start.descriptors, &mut plan)?;
    let waits = Waits {
        for_record: start.is_recorded,
        // A namespace of the caller's making is handed over with its interfaces in it, at the end of the mounts; the
        // record is to name them.
        for_network: match namespaces.by_caller {
            0 => resources.has_network(),
            _ => start.is_recorded,
        },
    };
    plan_child(&known, &descriptors, waits.is_any(), &mut plan)?;
    Ok(Prepared {
        plan: plan.finish(),
        namespaces,
        ids: known.ids,
        resources,
        has_terminal: config.process.terminal,
        trace: start.trace,
        waits,
        is_parked,
    })
}

/// The steps in the new process.
fn plan_child(
    known: &Known<'_>,
    descriptors: &[(Slot, i32)],
    awaits_caller: bool,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let config = known.config;
    ns_init::protect(config, plan)?;
    if awaits_caller {
        plan.push("wait for the caller", Op::AwaitGo);
    }
    crate::join::plan(config, plan)?;
    if known.namespaces.by_child != 0 {
        plan.push(
            "make namespaces",
            Op::Unshare {
                flags: known.namespaces.by_child,
            },
        );
    }
    if known.namespaces.forks {
        plan.push("go on as the first process of the namespace", Op::Fork);
        if known.is_recorded {
            plan.push("wait for the caller to note the process", Op::AwaitGo);
        }
    }
    become_root_of_the_namespace(known, plan)?;
    let init = Init {
        config,
        user: &known.user,
        groups: known.ids.groups,
        command: &known.command,
        descriptors,
        parked_at: known.parked_at,
    };
    ns_init::init(&init, plan, |plan| plan_inside(known, plan))
}

/// Where the caller maps the ids, its own need not be among them; files could then not be made by anyone.
fn become_root_of_the_namespace(known: &Known<'_>, plan: &mut PlanBuilder) -> Result<()> {
    let first = |maps: &[ns_config::IdMap]| maps.iter().map(|map| map.container_id).min();
    let config = known.config;
    if let (true, Some(uid), Some(gid)) = (
        known.ids.is_awaited(),
        first(&config.uid_mappings),
        first(&config.gid_mappings),
    ) {
        let gids = plan.bytes(b"")?;
        plan.push("leave the caller's groups", Op::SetGroups { gids });
        plan.push("become an id of the namespace", Op::SetIds { uid, gid });
        plan.push("forbid to attach to this process", Op::ForbidDump);
    }
    Ok(())
}

/// The root file system, and what has to be done while the host's is still in sight.
fn plan_inside(known: &Known<'_>, plan: &mut PlanBuilder) -> Result<Inside> {
    let config = known.config;
    let process = &config.process;
    let has_label = process.apparmor_profile.is_some() || process.selinux_label.is_some();
    let mounted = |error: ns_mount::Error| Error::from_mount(&error);
    // ORDER: before masks: in a user namespace the kernel gives a new procfs only beside one that is fully visible.
    let procfs = match has_label || !config.sysctl.is_empty() {
        true => Some(private_procfs(plan).map_err(mounted)?),
        false => None,
    };
    if let Some(procfs) = procfs {
        sysctl(config, procfs, plan).map_err(mounted)?;
    }
    let terminal = match &known.host {
        Some(host) => plan_rootfs(known, host, plan).map_err(mounted)?,
        None if process.terminal => {
            let message = "a terminal takes a mount namespace of its own";
            return Err(Error::new(
                Kind::InvalidValue,
                Stage::Configuration,
                message,
            ));
        }
        None => None,
    };
    join_network_of_caller(known, plan);
    Ok(Inside {
        terminal,
        procfs,
        is_loopback_up: known.namespaces.by_caller != 0,
    })
}

fn join_network_of_caller(known: &Known<'_>, plan: &mut PlanBuilder) {
    let flags = known.namespaces.by_caller;
    if flags != 0 {
        let namespace = plan.slot("the network namespace");
        plan.push(
            "wait for the network namespace",
            Op::ReceiveDescriptor { out: namespace },
        );
        plan.push(
            "join the network namespace",
            Op::JoinNamespace { namespace, flags },
        );
    }
}

fn plan_rootfs(
    known: &Known<'_>,
    host: &Host,
    plan: &mut PlanBuilder,
) -> ns_mount::Result<Option<Slot>> {
    let terminal = known.config.process.terminal.then_some(Terminal {
        rows: known.window_size.rows,
        columns: known.window_size.columns,
        uid: known.user.uid,
        gid: known.user.gid,
    });
    let slots = RootfsPlanner::plan(known.config, host, terminal.as_ref(), plan)?;
    Ok(slots.terminal.map(|terminal| terminal.peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u64 = 0x1000_0000;
    const PID: u64 = 0x2000_0000;
    const NETWORK: u64 = 0x4000_0000;
    const CGROUP: u64 = 0x0200_0000;
    const TIME: u64 = 0x80;

    fn choose(new: &[NamespaceKind], joined: &[NamespaceKind]) -> NewNamespaces {
        let mut config = Config::default();
        for kind in new {
            config.namespaces.add(*kind, None, "");
        }
        for kind in joined {
            config
                .namespaces
                .add(*kind, Some("/proc/1/ns/x".to_owned()), "");
        }
        NewNamespaces::choose(&config)
    }

    #[test]
    fn plain_set_is_made_by_one_clone() {
        let chosen = choose(&[NamespaceKind::User, NamespaceKind::Pid], &[]);
        assert_eq!(
            chosen,
            NewNamespaces {
                by_clone: USER | PID,
                ..NewNamespaces::default()
            }
        );
    }

    #[test]
    fn cgroup_namespace_is_made_by_the_child() {
        let chosen = choose(&[NamespaceKind::Cgroup, NamespaceKind::Pid], &[]);
        assert_eq!(
            chosen,
            NewNamespaces {
                by_clone: PID,
                by_child: CGROUP,
                ..NewNamespaces::default()
            }
        );
    }

    #[test]
    fn joined_pid_namespace_takes_a_fork() {
        assert!(
            choose(&[], &[NamespaceKind::Pid]).forks,
            "setns acts on children only"
        );
    }

    #[test]
    fn time_namespace_moves_the_pid_namespace_behind_it() {
        let chosen = choose(
            &[NamespaceKind::Time, NamespaceKind::Pid, NamespaceKind::User],
            &[],
        );
        assert_eq!(
            chosen,
            NewNamespaces {
                by_clone: USER,
                by_child: TIME | PID,
                forks: true,
                ..NewNamespaces::default()
            }
        );
    }

    #[test]
    fn network_is_made_beside_the_clone() {
        let chosen = choose(&[NamespaceKind::Network, NamespaceKind::Pid], &[]);
        assert_eq!((chosen.by_clone, chosen.by_caller), (PID, NETWORK));
    }

    #[test]
    fn network_belongs_to_the_new_user_namespace() {
        let chosen = choose(&[NamespaceKind::Network, NamespaceKind::User], &[]);
        assert_eq!((chosen.by_clone, chosen.by_caller), (NETWORK | USER, 0));
    }

    #[test]
    fn network_that_a_mount_or_a_setting_sees_is_made_by_the_clone() {
        let mount = |kind| Config {
            mounts: vec![Mount {
                destination: "/x".to_owned(),
                kind,
                options: ns_config::MountOptions::default(),
                pointer: String::new(),
            }],
            ..Config::default()
        };
        let sysfs = mount(MountKind::Filesystem {
            fstype: "sysfs".to_owned(),
            source: "sysfs".to_owned(),
        });
        let bind = mount(MountKind::Bind {
            source: "/proc/self/net".to_owned(),
            recursive: true,
            optional: false,
        });
        let sysctl = Config {
            sysctl: vec![ns_config::Sysctl {
                name: "net.ipv4.ip_forward".to_owned(),
                value: "1".to_owned(),
                pointer: String::new(),
            }],
            ..Config::default()
        };
        for mut config in [sysfs, bind, sysctl] {
            config.namespaces.add(NamespaceKind::Network, None, "");
            let chosen = NewNamespaces::choose(&config);
            assert_eq!(
                (chosen.by_clone, chosen.by_caller),
                (NETWORK, 0),
                "{config:?}"
            );
        }
    }

    #[test]
    fn namespaces_belong_to_a_joined_user_namespace() {
        let chosen = choose(&[NamespaceKind::Pid], &[NamespaceKind::User]);
        assert_eq!(
            chosen,
            NewNamespaces {
                by_child: PID,
                forks: true,
                ..NewNamespaces::default()
            }
        );
    }
}
