//! Writing `cgroups`.

use serde::Serialize;

use super::{
    write::is_default,
    write_mount::{DeviceForm, rule_form},
};
use crate::{
    cgroup::{CgroupConfig, FreezerState, IoConfig, Limit},
    device::DeviceAccess,
    refusal::Refusals,
    source::Setting,
};

#[derive(Serialize)]
pub(super) struct CgroupForm<'a> {
    #[serde(skip_serializing_if = "is_default")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    parent: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    allow_all_devices: bool,
    #[serde(skip_serializing_if = "is_default")]
    allowed_devices: Vec<DeviceForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    memory: i64,
    #[serde(skip_serializing_if = "is_default")]
    memory_reservation: i64,
    #[serde(skip_serializing_if = "is_default")]
    memory_swap: i64,
    #[serde(skip_serializing_if = "is_default")]
    cpu_shares: i64,
    #[serde(skip_serializing_if = "is_default")]
    cpu_quota: i64,
    #[serde(skip_serializing_if = "is_default")]
    cpu_period: i64,
    #[serde(skip_serializing_if = "is_default")]
    cpuset_cpus: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    cpuset_mems: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    blkio_weight: u32,
    #[serde(skip_serializing_if = "is_default")]
    freezer: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    slice: &'a str,
}

pub(super) fn form<'a>(cgroup: &'a CgroupConfig, refusals: &mut Refusals) -> CgroupForm<'a> {
    refuse_inexpressible(cgroup, refusals);
    let (memory, cpu) = (&cgroup.memory, &cgroup.cpu);
    if memory.total_bytes == Some(Limit::Max) {
        refusals.refuse(
            Setting::MemorySwap,
            "container.json cannot lift the limit, only leave it",
            "remove it",
        );
    }
    CgroupForm {
        name: &cgroup.name,
        parent: &cgroup.parent,
        allow_all_devices: cgroup.devices.is_none(),
        allowed_devices: cgroup.devices.iter().flatten().map(rule_form).collect(),
        memory: limit(memory.limit_bytes, Setting::Memory, refusals),
        memory_reservation: limit(
            memory.reservation_bytes,
            Setting::MemoryReservation,
            refusals,
        ),
        memory_swap: limit(memory.total_bytes, Setting::MemorySwap, refusals),
        cpu_shares: amount(cpu.shares, Setting::CpuShares, refusals),
        cpu_quota: limit(cpu.quota_us, Setting::CpuQuota, refusals),
        cpu_period: amount(cpu.period_us, Setting::CpuPeriod, refusals),
        cpuset_cpus: cpu.cpus.as_deref().unwrap_or_default(),
        cpuset_mems: cpu.mems.as_deref().unwrap_or_default(),
        blkio_weight: cgroup.io.weight.unwrap_or_default().into(),
        freezer: cgroup.freezer.map(FreezerState::word).unwrap_or_default(),
        slice: cgroup.slice.as_deref().unwrap_or_default(),
    }
}

fn refuse_inexpressible(cgroup: &CgroupConfig, refusals: &mut Refusals) {
    let (memory, cpu) = (&cgroup.memory, &cgroup.cpu);
    let memory_other = memory.swappiness.is_some() || memory.oom_kill_disabled.is_some();
    let realtime = cpu.realtime_runtime_us.is_some() || cpu.realtime_period_us.is_some();
    let io_weight_alone = IoConfig {
        weight: cgroup.io.weight,
        ..IoConfig::default()
    };
    let network_priority = cgroup.net_cls_classid.is_some() || !cgroup.net_prio.is_empty();
    let inexpressible_rule = cgroup
        .devices
        .iter()
        .flatten()
        .any(|rule| !rule.allow || rule.access == DeviceAccess::default());
    for (is_set, setting) in [
        (inexpressible_rule, Setting::CgroupDevices),
        (memory_other, Setting::MemoryOther),
        (cpu.burst_us.is_some(), Setting::CpuBurst),
        (cpu.idle.is_some(), Setting::CpuIdle),
        (realtime, Setting::CpuRealtime),
        (cpu.cpus.as_deref() == Some(""), Setting::CpusetCpus),
        (cpu.mems.as_deref() == Some(""), Setting::CpusetMems),
        (cgroup.io.weight == Some(0), Setting::IoWeight),
        (cgroup.io != io_weight_alone, Setting::IoOther),
        (cgroup.slice.as_deref() == Some(""), Setting::CgroupSlice),
        (cgroup.pids.is_some(), Setting::Pids),
        (!cgroup.hugepages.is_empty(), Setting::Hugepages),
        (!cgroup.rdma.is_empty(), Setting::Rdma),
        (!cgroup.misc.is_empty(), Setting::Misc),
        (network_priority, Setting::NetworkPriority),
        (!cgroup.unified.is_empty(), Setting::Unified),
    ] {
        refusals.refuse_if(is_set, setting);
    }
}

/// 0 is unset, so a limit of 0 cannot be written.
fn limit(limit: Option<Limit>, setting: Setting, refusals: &mut Refusals) -> i64 {
    match limit {
        None => 0,
        Some(Limit::Max) => -1,
        Some(Limit::Value(value)) => amount(Some(value), setting, refusals),
    }
}

fn amount(amount: Option<u64>, setting: Setting, refusals: &mut Refusals) -> i64 {
    let Some(amount) = amount else { return 0 };
    let written = i64::try_from(amount).unwrap_or_default();
    if written == 0 {
        refusals.refuse(
            setting,
            "0 and numbers above 9223372036854775807 cannot be written",
            "choose another number, or leave it out",
        );
    }
    written
}
