//! The handle of one group, in all the hierarchies that it is in.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{errno::Errno, fcntl::OFlag};
use ns_config::CgroupConfig;

use crate::{
    controller::Controller,
    create, devices,
    dir::Dir,
    error::{Error, Kind, Result},
    layout::{Layout, Version},
    limits::{self, Phase},
    open,
    spec::CgroupSpec,
};

/// One control group: a directory in the v2 hierarchy, or one in each v1 hierarchy that is needed,
/// or both on hybrid hosts; each held open.
///
/// Dropping it changes nothing; [`remove`](Cgroup::remove) removes what was made.
///
/// # Examples
/// ```no_run
/// // Needs the right to write to the cgroup file system.
/// use std::time::Duration;
/// use ns_cgroups::{Cgroup, CgroupSpec, Layout};
/// use ns_config::{CgroupConfig, cgroup::Limit};
///
/// let config = CgroupConfig {
///     name: "box1".to_owned(),
///     pids: Some(Limit::Value(64)),
///     ..CgroupConfig::default()
/// };
/// let group = Cgroup::create(&Layout::detect()?, &CgroupSpec::new(&config)?)?;
/// let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
/// group.join(child.id().try_into().unwrap())?;
/// group.kill(Duration::from_secs(5))?;
/// child.wait().unwrap();
/// group.remove(Duration::from_secs(5))?;
/// # Ok::<(), ns_cgroups::Error>(())
/// ```
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) members: Vec<Member>,
}

/// The group in one hierarchy.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) version: Version,
    /// v1 names; empty on v2.
    pub(crate) controllers: Vec<String>,
    pub(crate) dir: Dir,
    pub(crate) parent: Dir,
    pub(crate) name: String,
    /// What we made, top first, this group last.
    pub(crate) made: Vec<Made>,
}

/// A group that was not there before us.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) parent: Dir,
    pub(crate) name: String,
}

impl Cgroup {
    /// Makes the group, with its limits and device rules, and no member.
    ///
    /// Controllers that the settings do not name stay as they are. On v2 those that they name are
    /// switched on in the groups above, and stay on: siblings may rely on them by then. The freezer
    /// state of the configuration is not applied, a frozen group would stop its own start.
    ///
    /// # Order
    /// Before the first process: limits hold from its first instruction on.
    ///
    /// # Privileges
    /// Write access to the groups above: root, or a delegated part of the tree. Device rules on v2
    /// need `CAP_BPF` and `CAP_NET_ADMIN`, or `CAP_SYS_ADMIN`, in the first user namespace.
    ///
    /// # Kernel
    /// 5.14. openat2, mkdirat, and on v2 with device rules bpf.
    ///
    /// # Errors
    /// What was made is removed again.
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `AlreadyExists` | | the group is there, see [`Existing`](crate::Existing) |
    /// | `NotFound` | ENOENT | an absolute parent of the seed's form is not there |
    /// | `Unsupported` | | no hierarchy has a controller that a setting needs, or v2 lacks the setting |
    /// | `Busy` | EBUSY | the group above has members, so its children get no controllers (v2) |
    /// | `Busy` | | the group is shared and frozen |
    /// | `TimedOut` | | a group above is frozen |
    /// | `InvalidValue` | EINVAL, ERANGE | the kernel refuses a value |
    /// | `Denied` | EACCES, EPERM, EROFS | this part of the tree is not ours |
    /// | `Limit` | EAGAIN | there are too many groups |
    ///
    /// # References
    /// `cgroups(7)`, `Documentation/admin-guide/cgroup-v1/`, `Documentation/admin-guide/cgroup-v2.rst`.
    pub fn create(layout: &Layout, spec: &CgroupSpec) -> Result<Self> {
        let members = create::members(layout, spec)?;
        let group = Cgroup { members };
        let applied = group.apply_settings(spec.config(), Phase::Create);
        match applied.and_then(|()| group.refuse_frozen(spec.existing())) {
            Ok(()) => Ok(group),
            Err(error) => Err(create::undo_all(&group.members, error)),
        }
    }

    /// Opens the group that [`paths`](Cgroup::paths) described, and checks each directory: it must
    /// be there, on a cgroup file system, below the mount of its hierarchy and not its root.
    ///
    /// Removal then removes these directories and none above.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT | a directory is gone; it is never skipped |
    /// | `Hostile` | | a path is not below a cgroup mount, is its root, or climbs; no path at all |
    pub fn open(layout: &Layout, paths: &BTreeMap<String, String>) -> Result<Self> {
        let members = open::members(layout, paths)?;
        Ok(Cgroup { members })
    }

    /// Opens the group like [`open`](Cgroup::open), and counts as made by us what
    /// [`made_paths`](Cgroup::made_paths) said.
    ///
    /// # Errors
    /// Those of [`open`](Cgroup::open), and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | a made path is neither the group nor above it |
    pub fn open_made(
        layout: &Layout,
        paths: &BTreeMap<String, String>,
        made: &[String],
    ) -> Result<Self> {
        let mut members = open::members(layout, paths)?;
        open::claim(layout, &mut members, made)?;
        Ok(Cgroup { members })
    }

    /// Controller to absolute directory; `""` is the v2 hierarchy.
    #[must_use]
    pub fn paths(&self) -> BTreeMap<String, String> {
        let mut paths = BTreeMap::new();
        for member in &self.members {
            let path = member.dir.path();
            let keys = member
                .controllers
                .iter()
                .map(|name| (name.clone(), path.to_owned()));
            paths.extend(keys);
            if member.version == Version::V2 {
                paths.insert(String::new(), path.to_owned());
            }
        }
        paths
    }

    /// The directories that were not there before, top first in each hierarchy.
    #[must_use]
    pub fn made_paths(&self) -> Vec<String> {
        let made = self.members.iter().flat_map(|member| &member.made);
        made.map(|made| made.parent.path_of(&made.name)).collect()
    }

    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    #[must_use]
    #[doc(alias = "CLONE_INTO_CGROUP")]
    pub fn dir_fd(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(|member| member.dir.as_fd())
    }

    /// The `tasks` files of the v1 hierarchies, open for writing, with their paths; none on v2.
    ///
    /// A new process that writes `0` to each is in the group before it does anything else, as by
    /// `CLONE_INTO_CGROUP` on v2. That is far cheaper than [`join`](Cgroup::join): the kernel moves a
    /// thread that asks for itself at once, and anything else after a grace period of RCU, which
    /// takes milliseconds.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EACCES, EROFS | the group is not the caller's to join |
    /// | `Gone`, `NotFound` | ENODEV, ENOENT | the group was removed |
    /// | `Limit` | EMFILE, ENFILE | no descriptor is left |
    ///
    /// # References
    /// `Documentation/admin-guide/cgroup-v1/cgroups.rst`, `cgroup_procs_write_start` in
    /// `kernel/cgroup/cgroup.c`
    pub fn tasks_files(&self) -> Result<Vec<(OwnedFd, String)>> {
        let legacy = |member: &&Member| member.version == Version::V1;
        let open = |member: &Member| {
            let file = member.dir.open_file("tasks", OFlag::O_WRONLY)?;
            Ok((file, member.dir.path_of("tasks")))
        };
        self.members.iter().filter(legacy).map(open).collect()
    }

    /// Moves a process, with all of its threads, into the group in every hierarchy; see also
    /// [`join_or_stay`](Cgroup::join_or_stay).
    ///
    /// # Shape
    /// `pid` counts in the pid namespace of the caller; 0 is the caller itself. It must be a process
    /// that cannot be replaced by another meanwhile: an unreaped child, or one held by pidfd.
    ///
    /// # Order
    /// Before the process makes others: children that it has already stay where they are.
    ///
    /// # Errors
    /// The process may then be in some hierarchies and not in others.
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ESRCH | there is no such process |
    /// | `Gone` | ENODEV | the group was removed |
    /// | `Limit` | EAGAIN, ENOSPC | the limit of processes is reached; the cpuset is empty |
    /// | `Busy` | EBUSY | the group hands controllers to its children (v2) |
    pub fn join(&self, pid: i32) -> Result<()> {
        self.members.iter().try_for_each(|member| member.join(pid))
    }

    /// Changes the settings that `config` names and keeps the others. Its path is not looked at.
    ///
    /// # Errors
    /// Settings before the refused one stay changed.
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | | the group is in no hierarchy with that controller |
    /// | `InvalidValue` | EINVAL, ERANGE | the kernel refuses a value |
    /// | `Busy` | EBUSY | more memory is in use than the limit allows (v1) |
    pub fn update(&self, config: &CgroupConfig) -> Result<()> {
        let wanted =
            create::unified_controllers(config, |controller| self.legacy(controller).is_none());
        if let Some(member) = self.unified() {
            create::enable(&member.parent, &wanted)?;
        }
        self.apply_settings(config, Phase::Update)
    }

    fn apply_settings(&self, config: &CgroupConfig, phase: Phase) -> Result<()> {
        for (controller, setting) in Controller::required(config) {
            let member = self.member_for(controller, setting)?;
            let writes = limits::writes(member.version, controller, config, phase)?;
            if controller == Controller::Cpu {
                member.share_realtime(config)?;
            }
            limits::apply(&member.dir, &writes)?;
        }
        if !config.unified.is_empty() {
            let Some(member) = self.unified() else {
                let call = "the host has no cgroup v2 hierarchy";
                return Err(Error::new(Kind::Unsupported, "limit control group", call)
                    .with_setting("unified"));
            };
            limits::apply(&member.dir, &limits::unified_map_writes(config)?)?;
        }
        match &config.devices {
            None => Ok(()),
            Some(rules) => {
                let member = self.member_for(Controller::Devices, "devices")?;
                devices::apply(member, rules)
            }
        }
    }

    fn member_for(&self, controller: Controller, setting: &'static str) -> Result<&Member> {
        let by_program = controller == Controller::Devices;
        let on_unified = controller.unified_name().is_some() || by_program;
        let unified = || self.unified().filter(|_| on_unified);
        self.legacy(controller).or_else(unified).ok_or_else(|| {
            let call = format!("the group is in no hierarchy with {controller:?}");
            Error::new(Kind::Unsupported, "limit control group", call)
                .with_setting(setting)
                .with_hint("the group must be made with a setting of that controller")
        })
    }

    pub(crate) fn unified(&self) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.version == Version::V2)
    }

    pub(crate) fn legacy(&self, controller: Controller) -> Option<&Member> {
        let has = |member: &&Member| member.has(controller);
        self.members.iter().find(has)
    }
}

impl Member {
    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.controllers
            .iter()
            .any(|own| own == controller.legacy_name())
    }

    pub(crate) fn join(&self, pid: i32) -> Result<()> {
        let Err(errno) = self.dir.write("cgroup.procs", &pid.to_string()) else {
            return Ok(());
        };
        let call = format!("write({:?}, \"{pid}\")", self.dir.path_of("cgroup.procs"));
        let error = Error::from_errno("join control group", call, errno);
        Err(match errno {
            Errno::ENOSPC => error.with_hint("cpuset.cpus or cpuset.mems of the group is empty"),
            Errno::EBUSY => error.with_hint(
                "the group hands controllers to groups below it, so members belong there",
            ),
            Errno::EINVAL if self.has(Controller::Cpu) => {
                error.with_hint("a process with a real-time policy needs cpu.rt_runtime_us")
            }
            _ => error,
        })
    }

    /// A group has no more real-time time than the one above, and new ones have none (v1).
    fn share_realtime(&self, config: &CgroupConfig) -> Result<()> {
        let is_realtime = config.cpu.realtime_runtime_us.is_some();
        if self.version == Version::V2 || !is_realtime {
            return Ok(());
        }
        let mut shared = CgroupConfig::default();
        shared.cpu.realtime_runtime_us = config.cpu.realtime_runtime_us;
        shared.cpu.realtime_period_us = config.cpu.realtime_period_us;
        let writes = limits::writes(Version::V1, Controller::Cpu, &shared, Phase::Create)?;
        for made in self.made.split_last().map_or(&[][..], |(_, above)| above) {
            limits::apply(&made.parent.child(&made.name)?, &writes)?;
        }
        Ok(())
    }
}
