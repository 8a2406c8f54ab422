//! The one list of what a start does, in order: first in the caller, then in the new process.

use std::os::fd::OwnedFd;

use ns_config::{Config, NamespaceKind, ResolvedUser};
use ns_init::{Command, Init, Inside, Launch, Op, Plan, PlanBuilder, Slot, Started};
use ns_mount::{Host, RootfsPlanner, Terminal, private_procfs, sysctl};

use crate::error::{Error, Kind, Result, Stage};
use crate::ids::Ids;
use crate::process::Process;
use crate::resources::{ResourcePlan, Resources};
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
    is_recorded: bool,
}

/// How far a start has come, for whoever keeps a record of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Progress<'a> {
    /// Nothing is there; the control group is going to be.
    Planned(&'a ResourcePlan),
    /// The control group is there, the process is not.
    Group(&'a Resources),
    /// The process waits, in its group and with its interfaces; it is not yet in all of its namespaces.
    Waiting(i32, &'a Resources),
}

/// Keeps a record; what it gives back ends the start.
pub(crate) type Recorder<'a> = dyn FnMut(Progress<'_>) -> Result<()> + 'a;

/// Which namespaces the clone makes, and which the new process makes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NewNamespaces {
    by_clone: u64,
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
        NewNamespaces {
            by_clone: all & !by_child,
            by_child,
            forks: by_child & on_children != 0
                || is_joined(NamespaceKind::Pid)
                || is_joined(NamespaceKind::Time),
        }
    }
}

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
            Err(error) => Err(resources.release_after(error)),
        }
    }

    fn start_with(&self, resources: &mut Resources, record: &mut Recorder<'_>) -> Result<Running> {
        let how = Launch {
            namespaces: self.namespaces.by_clone,
            ids: self.ids.mapping.clone(),
            cgroup: resources.cgroup_fd(),
            trace: self.trace,
        };
        let started =
            ns_init::launch(&self.plan, &how).map_err(|error| Error::from_start(&error))?;
        if self.ids.is_awaited() {
            self.ids.write(started.pid())?;
            go(&started)?;
        }
        if self.resources.is_awaited() {
            self.resources
                .attach(resources, started.pid(), started.pidfd())?;
        }
        if self.is_recorded {
            record(Progress::Waiting(started.pid(), resources))?;
        }
        if self.is_recorded || self.resources.is_awaited() {
            go(&started)?;
        }
        into_running(started, &self.plan, self.has_terminal)
    }
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
    match started.go() {
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
    let known = Known {
        config,
        user,
        command,
        host,
        ids,
        namespaces,
        window_size: start.window_size,
    };

    let mut plan = PlanBuilder::new();
    let descriptors = inherit(start.streams, start.descriptors, &mut plan)?;
    let awaits_caller = start.is_recorded || resources.is_awaited();
    plan_child(&known, &descriptors, awaits_caller, &mut plan)?;
    Ok(Prepared {
        plan: plan.finish(),
        namespaces,
        ids: known.ids,
        resources,
        has_terminal: config.process.terminal,
        trace: start.trace,
        is_recorded: start.is_recorded,
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
        // ORDER: before the control group namespace, whose root is the group that the process is in by then.
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
    }
    become_root_of_the_namespace(known, plan)?;
    let init = Init {
        config,
        user: &known.user,
        groups: known.ids.groups,
        command: &known.command,
        descriptors,
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
    Ok(Inside { terminal, procfs })
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
                by_child: 0,
                forks: false
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
                forks: false
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
                forks: true
            }
        );
    }

    #[test]
    fn namespaces_belong_to_a_joined_user_namespace() {
        let chosen = choose(&[NamespaceKind::Pid], &[NamespaceKind::User]);
        assert_eq!(
            chosen,
            NewNamespaces {
                by_clone: 0,
                by_child: PID,
                forks: true
            }
        );
    }
}
