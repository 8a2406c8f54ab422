//! Controllers, and which of them a configuration needs.

use ns_config::CgroupConfig;

/// The file of a v2 group with the controllers that it may use.
pub(crate) const AVAILABLE: &str = "cgroup.controllers";

/// Whether a file of v2 that lists controllers lists this one.
pub(crate) fn lists(text: &str, name: &str) -> bool {
    text.split_whitespace().any(|own| own == name)
}

/// A resource controller of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Controller {
    /// Processor time.
    Cpu,
    /// Processor time used (v1; v2 always counts it).
    CpuAcct,
    /// Processor and memory node placement.
    CpuSet,
    /// Memory and swap.
    Memory,
    /// Block devices: `blkio` in v1, `io` in v2.
    Io,
    /// Number of processes and threads.
    Pids,
    /// Device access (v1; v2 has programs instead).
    Devices,
    /// Freezing (v1; every v2 group can).
    Freezer,
    /// Huge pages.
    Hugetlb,
    /// RDMA resources.
    Rdma,
    /// Other resources.
    Misc,
    /// Class of packets (v1).
    NetCls,
    /// Priority of packets (v1).
    NetPrio,
    /// Grouping for perf (v1; v2 always does).
    PerfEvent,
}

impl Controller {
    /// The name in `/proc/self/cgroup` and in mount options.
    #[must_use]
    pub fn legacy_name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::CpuAcct => "cpuacct",
            Controller::CpuSet => "cpuset",
            Controller::Memory => "memory",
            Controller::Io => "blkio",
            Controller::Pids => "pids",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
            Controller::Hugetlb => "hugetlb",
            Controller::Rdma => "rdma",
            Controller::Misc => "misc",
            Controller::NetCls => "net_cls",
            Controller::NetPrio => "net_prio",
            Controller::PerfEvent => "perf_event",
        }
    }

    /// The name in `cgroup.controllers`; `None` when v2 has no such controller.
    #[must_use]
    pub fn unified_name(self) -> Option<&'static str> {
        match self {
            Controller::Io => Some("io"),
            Controller::CpuAcct
            | Controller::Devices
            | Controller::Freezer
            | Controller::NetCls
            | Controller::NetPrio
            | Controller::PerfEvent => None,
            other => Some(other.legacy_name()),
        }
    }

    /// What the configuration cannot do without, each with the setting that asks for it.
    pub(crate) fn required(config: &CgroupConfig) -> Vec<(Controller, &'static str)> {
        let (memory, cpu, io) = (&config.memory, &config.cpu, &config.io);
        let needs_memory = memory.limit_bytes.is_some()
            || memory.reservation_bytes.is_some()
            || memory.total_bytes.is_some()
            || memory.swappiness.is_some()
            || memory.oom_kill_disabled == Some(true);
        let needs_cpu = cpu.shares.is_some()
            || cpu.quota_us.is_some()
            || cpu.period_us.is_some()
            || cpu.burst_us.is_some()
            || cpu.idle.is_some()
            || cpu.realtime_runtime_us.is_some()
            || cpu.realtime_period_us.is_some();
        let needs_io = io.weight.is_some()
            || io.leaf_weight.is_some()
            || !io.device_weights.is_empty()
            || !io.throttles.is_empty();
        let needs = [
            (needs_memory, Controller::Memory, "memory"),
            (needs_cpu, Controller::Cpu, "cpu"),
            (
                cpu.cpus.is_some() || cpu.mems.is_some(),
                Controller::CpuSet,
                "cpu.cpus",
            ),
            (needs_io, Controller::Io, "io"),
            (config.pids.is_some(), Controller::Pids, "pids"),
            (
                !config.hugepages.is_empty(),
                Controller::Hugetlb,
                "hugepages",
            ),
            (!config.rdma.is_empty(), Controller::Rdma, "rdma"),
            (!config.misc.is_empty(), Controller::Misc, "misc"),
            (
                config.net_cls_classid.is_some(),
                Controller::NetCls,
                "net_cls_classid",
            ),
            (!config.net_prio.is_empty(), Controller::NetPrio, "net_prio"),
            (config.devices.is_some(), Controller::Devices, "devices"),
        ];
        let wanted = needs.into_iter().filter(|(needed, ..)| *needed);
        wanted
            .map(|(_, controller, setting)| (controller, setting))
            .collect()
    }
}
