//! Where a configuration came from, and how its settings are called there.

use serde::{Deserialize, Serialize};

/// The front end that produced a [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Built by a program.
    #[default]
    Code,
    /// `container.json` of docker/libcontainer.
    Seed,
    /// `config.json` of the OCI runtime specification.
    Oci,
    /// Command-line flags.
    Flags,
}

/// A setting that has no pointer of its own in [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Setting {
    /// `Config::rootfs`.
    Rootfs,
    /// `Config::readonly_rootfs`.
    ReadonlyRootfs,
    /// `Config::root_entry`.
    RootEntry,
    /// `Config::rootfs_propagation`.
    RootfsPropagation,
    /// `Config::hostname`.
    Hostname,
    /// `Config::domainname`.
    Domainname,
    /// `Config::namespaces`.
    Namespaces,
    /// `Config::uid_mappings`.
    UidMappings,
    /// `Config::gid_mappings`.
    GidMappings,
    /// `Config::mounts`.
    Mounts,
    /// `Config::devices`.
    Devices,
    /// `Config::masked_paths`.
    MaskedPaths,
    /// `Config::readonly_paths`.
    ReadonlyPaths,
    /// `Config::sysctl`.
    Sysctl,
    /// `Config::mount_label`.
    MountLabel,
    /// `Config::networks`.
    Networks,
    /// `Config::routes`.
    Routes,
    /// `Config::cgroup`.
    Cgroup,
    /// `Process::user`.
    User,
    /// `Process::additional_gids`.
    AdditionalGids,
    /// `Process::working_dir`.
    WorkingDir,
    /// `Process::environment`.
    Environment,
    /// `Process::capabilities`.
    Capabilities,
    /// `Process::rlimits`.
    Rlimits,
    /// `Process::no_new_privileges`.
    NoNewPrivileges,
    /// `Process::apparmor_profile`.
    ApparmorProfile,
    /// `Process::selinux_label`.
    SelinuxLabel,
    /// `Process::oom_score_adj`.
    OomScoreAdj,
    /// `Process::umask`.
    Umask,
    /// `Process::terminal`.
    Terminal,
    /// `Process::new_session`.
    NewSession,
    /// `Process::parent_death_signal`.
    ParentDeathSignal,
    /// `Process::deny_terminal_injection`.
    DenyTerminalInjection,
    /// The command.
    Command,
    /// `CgroupConfig::name`.
    CgroupName,
    /// `CgroupConfig::parent`.
    CgroupParent,
    /// `CgroupConfig::slice`.
    CgroupSlice,
    /// `CgroupConfig::devices`.
    CgroupDevices,
    /// `CgroupConfig::freezer`.
    CgroupFreezer,
    /// `MemoryConfig::limit_bytes`.
    Memory,
    /// `MemoryConfig::reservation_bytes`.
    MemoryReservation,
    /// `MemoryConfig::total_bytes`.
    MemorySwap,
    /// The other fields of `MemoryConfig`.
    MemoryOther,
    /// `CpuConfig::shares`.
    CpuShares,
    /// `CpuConfig::quota_us`.
    CpuQuota,
    /// `CpuConfig::period_us`.
    CpuPeriod,
    /// `CpuConfig::burst_us`.
    CpuBurst,
    /// `CpuConfig::idle`.
    CpuIdle,
    /// `CpuConfig::realtime_runtime_us` and `realtime_period_us`.
    CpuRealtime,
    /// `CpuConfig::cpus`.
    CpusetCpus,
    /// `CpuConfig::mems`.
    CpusetMems,
    /// `IoConfig::weight`.
    IoWeight,
    /// The other fields of `IoConfig`.
    IoOther,
    /// `CgroupConfig::pids`.
    Pids,
    /// `CgroupConfig::hugepages`.
    Hugepages,
    /// `CgroupConfig::rdma`.
    Rdma,
    /// `CgroupConfig::misc`.
    Misc,
    /// `CgroupConfig::net_cls_classid` and `net_prio`.
    NetworkPriority,
    /// `CgroupConfig::unified`.
    Unified,
}

impl Source {
    /// How this front end calls a setting: a JSON pointer, a flag, or the field's name.
    ///
    /// A setting that the format cannot express is called by its field.
    pub fn pointer(self, setting: Setting) -> &'static str {
        let (field, seed, oci, flag) = names(setting);
        let name = match self {
            Source::Code => field,
            Source::Seed => seed,
            Source::Oci => oci,
            Source::Flags => flag,
        };
        if name.is_empty() { field } else { name }
    }
}

/// Field, seed pointer, OCI pointer, flag; empty where there is none.
#[expect(clippy::too_many_lines, reason = "one table")]
fn names(setting: Setting) -> (&'static str, &'static str, &'static str, &'static str) {
    use Setting as S;
    match setting {
        S::Rootfs => ("rootfs", "/root_fs", "/root/path", "--rootfs"),
        S::ReadonlyRootfs => (
            "readonly_rootfs",
            "/mount_config/readonly_fs",
            "/root/readonly",
            "--read-only",
        ),
        S::RootEntry => (
            "root_entry",
            "/mount_config/no_pivot_root",
            "",
            "--no-pivot",
        ),
        S::RootfsPropagation => (
            "rootfs_propagation",
            "/mount_config/no_pivot_root",
            "/linux/rootfsPropagation",
            "",
        ),
        S::Hostname => ("hostname", "/hostname", "/hostname", "--hostname"),
        S::Domainname => ("domainname", "/domainname", "/domainname", "--domainname"),
        S::Namespaces => (
            "namespaces",
            "/namespaces",
            "/linux/namespaces",
            "--unshare",
        ),
        S::UidMappings => (
            "uid_mappings",
            "/uid_mappings",
            "/linux/uidMappings",
            "--uid-map",
        ),
        S::GidMappings => (
            "gid_mappings",
            "/gid_mappings",
            "/linux/gidMappings",
            "--gid-map",
        ),
        S::Mounts => ("mounts", "/mount_config/mounts", "/mounts", "--bind"),
        S::Devices => (
            "devices",
            "/mount_config/device_nodes",
            "/linux/devices",
            "--device",
        ),
        S::MaskedPaths => (
            "masked_paths",
            "/restrict_sys",
            "/linux/maskedPaths",
            "--mask",
        ),
        S::ReadonlyPaths => (
            "readonly_paths",
            "/restrict_sys",
            "/linux/readonlyPaths",
            "",
        ),
        S::Sysctl => ("sysctl", "/sysctl", "/linux/sysctl", "--sysctl"),
        S::MountLabel => (
            "mount_label",
            "/mount_config/mount_label",
            "/linux/mountLabel",
            "",
        ),
        S::Networks => ("networks", "/networks", "", "--net"),
        S::Routes => ("routes", "/routes", "", "--route"),
        S::Cgroup => ("cgroup", "/cgroups", "/linux/resources", "--cgroup"),
        S::User => ("process.user", "/user", "/process/user", "--user"),
        S::AdditionalGids => (
            "process.additional_gids",
            "/additional_groups",
            "/process/user/additionalGids",
            "--group",
        ),
        S::WorkingDir => (
            "process.working_dir",
            "/working_dir",
            "/process/cwd",
            "--chdir",
        ),
        S::Environment => (
            "process.environment",
            "/environment",
            "/process/env",
            "--env",
        ),
        S::Capabilities => (
            "process.capabilities",
            "/capabilities",
            "/process/capabilities",
            "--cap-add",
        ),
        S::Rlimits => (
            "process.rlimits",
            "/rlimits",
            "/process/rlimits",
            "--rlimit",
        ),
        S::NoNewPrivileges => (
            "process.no_new_privileges",
            "/no_new_privileges",
            "/process/noNewPrivileges",
            "",
        ),
        S::ApparmorProfile => (
            "process.apparmor_profile",
            "/apparmor_profile",
            "/process/apparmorProfile",
            "",
        ),
        S::SelinuxLabel => (
            "process.selinux_label",
            "/process_label",
            "/process/selinuxLabel",
            "",
        ),
        S::OomScoreAdj => (
            "process.oom_score_adj",
            "",
            "/process/oomScoreAdj",
            "--oom-score-adj",
        ),
        S::Umask => ("process.umask", "", "/process/user/umask", "--umask"),
        S::Terminal => ("process.terminal", "/tty", "/process/terminal", "--tty"),
        S::NewSession => ("process.new_session", "", "", "--new-session"),
        S::ParentDeathSignal => ("process.parent_death_signal", "", "", "--die-with-parent"),
        S::Command => ("command", "", "/process/args", "CMD"),
        S::DenyTerminalInjection => ("process.deny_terminal_injection", "", "", ""),
        other => cgroup_names(other),
    }
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn cgroup_names(setting: Setting) -> (&'static str, &'static str, &'static str, &'static str) {
    use Setting as S;
    match setting {
        S::CgroupName => ("cgroup.name", "/cgroups/name", "/linux/cgroupsPath", "--id"),
        S::CgroupParent => (
            "cgroup.parent",
            "/cgroups/parent",
            "/linux/cgroupsPath",
            "--cgroup",
        ),
        S::CgroupSlice => ("cgroup.slice", "/cgroups/slice", "/linux/cgroupsPath", ""),
        S::CgroupDevices => (
            "cgroup.devices",
            "/cgroups/allowed_devices",
            "/linux/resources/devices",
            "",
        ),
        S::CgroupFreezer => ("cgroup.freezer", "/cgroups/freezer", "", ""),
        S::Memory => (
            "cgroup.memory.limit_bytes",
            "/cgroups/memory",
            "/linux/resources/memory/limit",
            "--memory",
        ),
        S::MemoryReservation => (
            "cgroup.memory.reservation_bytes",
            "/cgroups/memory_reservation",
            "/linux/resources/memory/reservation",
            "--memory-reservation",
        ),
        S::MemorySwap => (
            "cgroup.memory.total_bytes",
            "/cgroups/memory_swap",
            "/linux/resources/memory/swap",
            "--memory-swap",
        ),
        S::MemoryOther => ("cgroup.memory", "", "/linux/resources/memory", ""),
        S::CpuShares => (
            "cgroup.cpu.shares",
            "/cgroups/cpu_shares",
            "/linux/resources/cpu/shares",
            "--cpu-shares",
        ),
        S::CpuQuota => (
            "cgroup.cpu.quota_us",
            "/cgroups/cpu_quota",
            "/linux/resources/cpu/quota",
            "--cpu-quota",
        ),
        S::CpuPeriod => (
            "cgroup.cpu.period_us",
            "/cgroups/cpu_period",
            "/linux/resources/cpu/period",
            "--cpu-period",
        ),
        S::CpuBurst => ("cgroup.cpu.burst_us", "", "/linux/resources/cpu/burst", ""),
        S::CpuIdle => ("cgroup.cpu.idle", "", "/linux/resources/cpu/idle", ""),
        S::CpuRealtime => (
            "cgroup.cpu.realtime_runtime_us",
            "",
            "/linux/resources/cpu/realtimeRuntime",
            "",
        ),
        S::CpusetCpus => (
            "cgroup.cpu.cpus",
            "/cgroups/cpuset_cpus",
            "/linux/resources/cpu/cpus",
            "--cpuset-cpus",
        ),
        S::CpusetMems => (
            "cgroup.cpu.mems",
            "/cgroups/cpuset_mems",
            "/linux/resources/cpu/mems",
            "--cpuset-mems",
        ),
        S::IoWeight => (
            "cgroup.io.weight",
            "/cgroups/blkio_weight",
            "/linux/resources/blockIO/weight",
            "--blkio-weight",
        ),
        S::IoOther => ("cgroup.io", "", "/linux/resources/blockIO", ""),
        S::Pids => (
            "cgroup.pids",
            "",
            "/linux/resources/pids/limit",
            "--pids-limit",
        ),
        S::Hugepages => (
            "cgroup.hugepages",
            "",
            "/linux/resources/hugepageLimits",
            "",
        ),
        S::Rdma => ("cgroup.rdma", "", "/linux/resources/rdma", ""),
        S::Misc => ("cgroup.misc", "", "", ""),
        S::NetworkPriority => ("cgroup.net_prio", "", "/linux/resources/network", ""),
        S::Unified => ("cgroup.unified", "", "/linux/resources/unified", ""),
        _ => ("", "", "", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_is_called_as_its_front_end_calls_it() {
        for (source, name) in [
            (Source::Code, "process.working_dir"),
            (Source::Seed, "/working_dir"),
            (Source::Oci, "/process/cwd"),
            (Source::Flags, "--chdir"),
        ] {
            assert_eq!(source.pointer(Setting::WorkingDir), name);
        }
        assert_eq!(Source::Oci.pointer(Setting::Hostname), "/hostname");
        assert_eq!(Source::Flags.pointer(Setting::Hostname), "--hostname");
    }

    #[test]
    fn setting_that_a_format_lacks_is_called_by_its_field() {
        assert_eq!(Source::Seed.pointer(Setting::Umask), "process.umask");
        assert_eq!(
            Source::Oci.pointer(Setting::Unified),
            "/linux/resources/unified"
        );
        assert_eq!(Source::Seed.pointer(Setting::Unified), "cgroup.unified");
    }
}
