//! What a container holds on the host while it runs: its control group and its network interfaces.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use ns_cgroups::{Cgroup, CgroupSpec, Existing, Layout};
use ns_config::cgroup::Limit;
use ns_config::{Config, NamespaceKind, Setting, Source};
use ns_network::{Made, NetnsFd, NetworkPlan};

use crate::error::{Error, Kind, Result, Stage};

/// How long the processes of a container may take to die, and its group to become empty.
pub(crate) const TEARDOWN: Duration = Duration::from_secs(10);

/// What is to be made, checked as far as it can be without a change of the host.
#[derive(Debug)]
pub(crate) struct ResourcePlan {
    cgroup: Option<(Layout, CgroupSpec)>,
    network: Option<NetworkPlan>,
    has_own_pids: bool,
    has_memory_limit: bool,
    source: Source,
}

/// Directories by controller, and those that are made.
pub(crate) type PlannedCgroup = (BTreeMap<String, String>, Vec<String>);

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    cgroup: Option<Cgroup>,
    network: Option<Made>,
    /// Whether the network namespace ends with the first process, and takes the interfaces with it.
    network_ends_with_process: bool,
}

impl ResourcePlan {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        Ok(ResourcePlan {
            cgroup: plan_cgroup(config)?,
            network: plan_network(config)?,
            has_own_pids: config.namespaces.creates(NamespaceKind::Pid),
            has_memory_limit: config
                .cgroup
                .as_ref()
                .is_some_and(|cgroup| matches!(cgroup.memory.limit_bytes, Some(Limit::Value(_)))),
            source: config.source,
        })
    }

    /// Whether the caller makes interfaces for the container.
    pub(crate) fn has_network(&self) -> bool {
        self.network.is_some()
    }

    /// Where the group is going to be, by controller, and which of its directories are going to be made.
    pub(crate) fn planned_cgroup(&self) -> Result<PlannedCgroup> {
        let planned = self
            .cgroup
            .as_ref()
            .map(|(layout, spec)| spec.planned_paths(layout));
        let planned = planned
            .transpose()
            .map_err(|error| of_setting(self.source, Stage::Caller, &error))?;
        Ok(planned.unwrap_or_default())
    }

    /// Makes the control group, with its limits, before there is a process.
    pub(crate) fn create_cgroup(&self) -> Result<Resources> {
        let cgroup = self
            .cgroup
            .as_ref()
            .map(|(layout, spec)| Cgroup::create(layout, spec));
        let cgroup = cgroup
            .transpose()
            .map_err(|error| of_setting(self.source, Stage::Caller, &error))?;
        Ok(Resources {
            cgroup,
            ..Resources::default()
        })
    }

    /// Says which setting ended a start that found no memory.
    pub(crate) fn blame(&self, error: Error, resources: &Resources) -> Error {
        let is_silent = error.kind() == Kind::Gone || error.errno() == Some(libc::ENOMEM);
        let is_unexplained = is_silent && error.config_pointer().is_none();
        if !is_unexplained || !self.has_memory_limit || !resources.has_met_memory_limit() {
            return error;
        }
        error
            .with_pointer(self.source.pointer(Setting::Memory))
            .with_hint("a memory limit below what a start takes ends a start like this")
    }

    /// Makes the container's interfaces in its network namespace.
    pub(crate) fn make_interfaces(&self, resources: &mut Resources, netns: &NetnsFd) -> Result<()> {
        if let Some(network) = &self.network {
            let made = network.apply(netns);
            resources.network_ends_with_process = self.has_own_pids;
            resources.network = Some(made.map_err(|error| from_network(Stage::Caller, &error))?);
        }
        Ok(())
    }
}

impl Resources {
    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// Whether the group has met its memory limit. A process that cannot be given memory while it is executed is killed
    /// without being counted as such.
    pub(crate) fn has_met_memory_limit(&self) -> bool {
        let stats = self.cgroup.as_ref().and_then(|group| group.stats().ok());
        let counters = stats.and_then(|stats| stats.memory_counters);
        counters.is_some_and(|counters| counters.oom_kill > 0 || counters.max > 0)
    }

    /// Names of interfaces that were made on the host.
    pub(crate) fn host_interfaces(&self) -> Vec<String> {
        let names = self.network.iter().flat_map(Made::host_names);
        names.map(str::to_owned).collect()
    }

    /// The v1 groups that the process joins as its first step.
    pub(crate) fn tasks_files(&self) -> Result<Vec<(OwnedFd, String)>> {
        tasks_files(self.cgroup())
    }

    /// The v2 group that the process is cloned into.
    pub(crate) fn cgroup_fd(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().and_then(Cgroup::dir_fd)
    }

    /// After the first process has ended: ends every process that is left in the group, removes the group, and the
    /// interfaces unless they go with their namespace, which waiting for would take the kernel some 20 ms. All is
    /// tried; further failures are `also` lines of the first.
    pub(crate) fn release(&self) -> Result<()> {
        let network = match self.network_ends_with_process {
            true => Ok(()),
            false => self.remove_interfaces(),
        };
        Error::of_many(
            [self.remove_group(), network]
                .into_iter()
                .filter_map(Result::err),
        )
    }

    /// After a failed start: the first error is kept, what goes wrong here is added to it.
    pub(crate) fn release_after(&self, error: Error) -> Error {
        let outcomes = [self.remove_group(), self.remove_interfaces()];
        outcomes
            .into_iter()
            .filter_map(Result::err)
            .fold(error, |error, also| error.with_also(&also))
    }

    fn remove_interfaces(&self) -> Result<()> {
        let removed = self.network.as_ref().map(Made::remove).transpose();
        removed
            .map(drop)
            .map_err(|error| from_network(Stage::Caller, &error))
    }

    fn remove_group(&self) -> Result<()> {
        let Some(cgroup) = &self.cgroup else {
            return Ok(());
        };
        let gone = cgroup.kill(TEARDOWN).and_then(|()| cgroup.remove(TEARDOWN));
        gone.map_err(|error| from_cgroups(Stage::Caller, &error))
    }
}

/// The v1 groups that a new process joins as its first step, to be in the group.
pub(crate) fn tasks_files(cgroup: Option<&Cgroup>) -> Result<Vec<(OwnedFd, String)>> {
    let files = cgroup.map(Cgroup::tasks_files).transpose();
    files
        .map(Option::unwrap_or_default)
        .map_err(|error| from_cgroups(Stage::Caller, &error))
}

/// The configured group, and where groups are here; `None` when the configuration has none.
pub(crate) fn plan_cgroup(config: &Config) -> Result<Option<(Layout, CgroupSpec)>> {
    let Some(cgroup) = &config.cgroup else {
        return Ok(None);
    };
    let refused = |error| of_setting(config.source, Stage::Configuration, &error);
    let spec = CgroupSpec::new(cgroup).map_err(refused)?;
    let layout = Layout::detect().map_err(refused)?;
    // A start that was killed leaves an empty group, which is not in anybody's way.
    Ok(Some((layout, spec.with_existing(Existing::TakeOverEmpty))))
}

fn plan_network(config: &Config) -> Result<Option<NetworkPlan>> {
    let plan = NetworkPlan::new(&config.networks, &config.routes)
        .map_err(|error| from_network(Stage::Configuration, &error))?;
    if plan.is_loopback_only() {
        return Ok(None);
    }
    let namespaces = &config.namespaces;
    if namespaces.contains(NamespaceKind::User) && !namespaces.creates(NamespaceKind::User) {
        let message = "interfaces cannot be made for a container in a joined user namespace";
        return Err(Error::new(Kind::Unsupported, Stage::Configuration, message)
            .with_pointer(config.source.pointer(ns_config::Setting::Networks)));
    }
    plan.check_host()
        .map_err(|error| from_network(Stage::Configuration, &error))?;
    Ok(Some(plan))
}

/// As [`from_cgroups`], with the name that the configuration's format has for the setting.
fn of_setting(source: Source, stage: Stage, error: &ns_cgroups::Error) -> Error {
    let setting = match error.setting().unwrap_or_default() {
        "name" => Setting::CgroupName,
        "parent" => Setting::CgroupParent,
        "devices" => Setting::CgroupDevices,
        "freezer" => Setting::CgroupFreezer,
        "memory.limit_bytes" => Setting::Memory,
        "memory.reservation_bytes" => Setting::MemoryReservation,
        "memory.total_bytes" => Setting::MemorySwap,
        "cpu.shares" => Setting::CpuShares,
        "cpu.quota_us" => Setting::CpuQuota,
        "cpu.period_us" => Setting::CpuPeriod,
        "cpu.cpus" => Setting::CpusetCpus,
        "cpu.mems" => Setting::CpusetMems,
        "io.weight" => Setting::IoWeight,
        "pids" => Setting::Pids,
        // None, or a controller that is missing.
        "" | "memory" | "cpu" | "cpuset" | "io" | "hugetlb" if source != Source::Flags => {
            Setting::Cgroup
        }
        // Settings that only some formats have are called as they are in all.
        _ => return from_cgroups(stage, error),
    };
    from_cgroups(stage, error).with_pointer(source.pointer(setting))
}

pub(crate) fn from_cgroups(stage: Stage, error: &ns_cgroups::Error) -> Error {
    let kind = match error.kind() {
        ns_cgroups::Kind::AlreadyExists => Kind::AlreadyExists,
        ns_cgroups::Kind::NotFound => Kind::NotFound,
        ns_cgroups::Kind::Unsupported => Kind::Unsupported,
        ns_cgroups::Kind::Denied => Kind::Denied,
        ns_cgroups::Kind::Hostile => Kind::Hostile,
        ns_cgroups::Kind::Limit => Kind::Limit,
        ns_cgroups::Kind::InvalidValue => Kind::InvalidValue,
        ns_cgroups::Kind::Busy | ns_cgroups::Kind::TimedOut => Kind::Busy,
        ns_cgroups::Kind::Gone => Kind::Gone,
        _ => Kind::Kernel,
    };
    let also = error.also().iter().map(ToString::to_string);
    Error::relayed(
        kind,
        stage,
        error,
        error.errno(),
        error.hint(),
        error.setting(),
        also,
    )
}

pub(crate) fn from_network(stage: Stage, error: &ns_network::Error) -> Error {
    let kind = match error.kind() {
        ns_network::Kind::AlreadyExists => Kind::AlreadyExists,
        ns_network::Kind::NotFound => Kind::NotFound,
        ns_network::Kind::Unsupported => Kind::Unsupported,
        ns_network::Kind::Denied => Kind::Denied,
        ns_network::Kind::Hostile => Kind::Hostile,
        ns_network::Kind::Limit => Kind::Limit,
        ns_network::Kind::InvalidValue => Kind::InvalidValue,
        ns_network::Kind::Gone => Kind::Gone,
        ns_network::Kind::Busy => Kind::Busy,
        _ => Kind::Kernel,
    };
    let also = error.also().iter().map(ToString::to_string);
    Error::relayed(
        kind,
        stage,
        error,
        error.errno(),
        error.hint(),
        error.config_pointer(),
        also,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_no_namespace_stays_hostile() {
        let error = NetnsFd::open("/dev/null").expect_err("it is no namespace");
        let relayed = from_network(Stage::Caller, &error);
        assert_eq!(relayed.kind(), Kind::Hostile, "{relayed}");
    }
}
