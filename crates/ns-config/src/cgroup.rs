//! The container's control group, as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::DeviceRule;

/// An upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// No bound (`max` in v2, -1 in v1).
    Max,
    /// At most this much, in the unit of the setting.
    Value(u64),
}

/// A control group and its settings. `None` and empty leave the kernel's default, which for most is
/// no limit of its own.
///
/// Seed keys are those of the `cgroups` object of `container.json`; where none is named the setting
/// is not part of that format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupConfig {
    /// Last component of the path, may be empty when `parent` is not. Seed key: `name`.
    pub name: String,
    /// Path before the name, relative to the caller's group, or absolute and then existing.
    /// Seed key: `parent`.
    pub parent: String,
    /// systemd slice; `None` is `system.slice`. Used by the systemd driver alone. Seed key: `slice`.
    pub slice: Option<String>,
    /// Which devices may be used: everything is denied first, then the rules apply in order and the
    /// last match decides. `None` allows all. Seed keys: `allow_all_devices`, `allowed_devices`.
    pub devices: Option<Vec<DeviceRule>>,
    /// State that the group is put into; `None` leaves it. Seed key: `freezer`.
    pub freezer: Option<FreezerState>,
    /// Memory.
    pub memory: MemoryConfig,
    /// Processor time and placement.
    pub cpu: CpuConfig,
    /// Block devices.
    pub io: IoConfig,
    /// Number of processes and threads.
    pub pids: Option<Limit>,
    /// Huge pages, by size.
    pub hugepages: Vec<HugepageLimit>,
    /// RDMA resources, by device.
    pub rdma: Vec<RdmaLimit>,
    /// Other resources (`misc.max`), by name, in units of the resource.
    pub misc: Vec<(String, Limit)>,
    /// `net_cls.classid` (v1): class of packets, `0xAAAABBBB` is AAAA:BBBB.
    pub net_cls_classid: Option<u32>,
    /// `net_prio.ifpriomap` (v1): priority of packets, by interface.
    pub net_prio: Vec<(String, u32)>,
    /// Files of cgroup v2 written as they are, name to content.
    pub unified: BTreeMap<String, String>,
}

/// Memory limits.
///
/// # Units
/// Bytes; the kernel rounds down to pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryConfig {
    /// Hard limit: `memory.limit_in_bytes`, `memory.max`. Seed key: `memory`, 0 is unset.
    pub limit_bytes: Option<Limit>,
    /// Protected or soft amount: `memory.soft_limit_in_bytes`, `memory.low`.
    /// Seed key: `memory_reservation`, 0 is unset.
    pub reservation_bytes: Option<Limit>,
    /// Memory and swap together, as v1 counts: `memory.memsw.limit_in_bytes`, and less `limit_bytes`
    /// `memory.swap.max`. Seed key: `memory_swap`, where 0 and -1 leave it alone; the seed turned 0
    /// into twice the memory, which fails on hosts without swap accounting.
    pub total_bytes: Option<Limit>,
    /// Tendency to swap (v1), 0 to 100.
    pub swappiness: Option<u64>,
    /// Whether a process that finds no memory waits instead of being killed (v1).
    pub oom_kill_disabled: Option<bool>,
}

/// Processor limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuConfig {
    /// Relative weight as v1 counts, 2 to 262144, default 1024: `cpu.shares`, converted for
    /// `cpu.weight`. Seed key: `cpu_shares`, 0 is unset.
    pub shares: Option<u64>,
    /// Time per period, in microseconds: `cpu.cfs_quota_us`, `cpu.max`. Seed key: `cpu_quota`, 0 is
    /// unset and -1 is no limit.
    pub quota_us: Option<Limit>,
    /// Length of the period, in microseconds, 1000 to 1000000, default 100000: `cpu.cfs_period_us`,
    /// `cpu.max`. Seed key: `cpu_period`, 0 is unset.
    pub period_us: Option<u64>,
    /// Unused time that may be saved up, in microseconds: `cpu.cfs_burst_us`, `cpu.max.burst`.
    pub burst_us: Option<u64>,
    /// `cpu.idle`: run only when nothing else wants to.
    pub idle: Option<bool>,
    /// Real-time time per period, in microseconds (v1).
    pub realtime_runtime_us: Option<i64>,
    /// Real-time period, in microseconds (v1).
    pub realtime_period_us: Option<u64>,
    /// Processors, e.g. `0-3,7`; `None` inherits. Seed key: `cpuset_cpus`.
    pub cpus: Option<String>,
    /// Memory nodes, e.g. `0`; `None` inherits. Seed key: `cpuset_mems`.
    pub mems: Option<String>,
}

/// Block device limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoConfig {
    /// Relative weight as v1 counts, 10 to 1000. Seed key: `blkio_weight`, 0 is unset.
    pub weight: Option<u16>,
    /// Relative weight against the children (v1), 10 to 1000.
    pub leaf_weight: Option<u16>,
    /// Weights by device.
    pub device_weights: Vec<IoDeviceWeight>,
    /// Upper bounds by device.
    pub throttles: Vec<IoThrottle>,
}

/// The weight of one block device, 10 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoDeviceWeight {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Weight; `None` leaves it.
    pub weight: Option<u16>,
    /// Weight against the children (v1); `None` leaves it.
    pub leaf_weight: Option<u16>,
}

/// Upper bounds of one block device; `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoThrottle {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read per second.
    pub read_bytes_per_second: Option<u64>,
    /// Bytes written per second.
    pub write_bytes_per_second: Option<u64>,
    /// Read requests per second.
    pub read_ios_per_second: Option<u64>,
    /// Write requests per second.
    pub write_ios_per_second: Option<u64>,
}

/// Bounds for huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugepageLimit {
    /// Size as the kernel writes it in file names: `64KB`, `2MB`, `1GB`.
    pub page_size: String,
    /// Pages in use, in bytes.
    pub limit_bytes: Option<Limit>,
    /// Pages reserved, in bytes (`rsvd`).
    pub reserved_bytes: Option<Limit>,
}

/// Bounds for one RDMA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdmaLimit {
    /// Device name, e.g. `mlx5_0`.
    pub device: String,
    /// Handles.
    pub hca_handles: Option<Limit>,
    /// Objects.
    pub hca_objects: Option<Limit>,
}

/// What the freezer does with the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FreezerState {
    /// `FROZEN`: no process runs.
    Frozen,
    /// `THAWED`: processes run.
    Thawed,
}

impl FreezerState {
    /// The word of `container.json` and of the v1 freezer.
    pub fn word(self) -> &'static str {
        match self {
            FreezerState::Frozen => "FROZEN",
            FreezerState::Thawed => "THAWED",
        }
    }
}
