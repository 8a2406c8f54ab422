//! Files and values of cgroup v1.

use ns_config::cgroup::{CgroupConfig, CpuConfig, IoConfig, IoThrottle, Limit, MemoryConfig};

use super::{Phase, Write};
use crate::{controller::Controller, error::Result};

pub(super) fn writes(
    controller: Controller,
    config: &CgroupConfig,
    phase: Phase,
) -> Result<Vec<Write>> {
    Ok(match controller {
        Controller::Memory => memory(&config.memory),
        Controller::Cpu => cpu(&config.cpu),
        Controller::CpuSet => super::unified::cpuset(&config.cpu),
        Controller::Io => io(&config.io, phase),
        Controller::Pids => super::unified::pids(config),
        Controller::Hugetlb => hugetlb(config),
        Controller::Rdma => super::unified::rdma(config),
        Controller::Misc => super::unified::misc(config),
        Controller::NetCls => net_cls(config),
        Controller::NetPrio => net_prio(config),
        Controller::CpuAcct | Controller::Devices | Controller::Freezer | Controller::PerfEvent => {
            Vec::new()
        }
    })
}

fn memory(memory: &MemoryConfig) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(limit) = memory.limit_bytes {
        let file = "memory.limit_in_bytes";
        writes.push(Write::new("memory.limit_bytes", file, number(limit)));
    }
    if let Some(total) = memory.total_bytes {
        let file = "memory.memsw.limit_in_bytes";
        let write = Write::new("memory.total_bytes", file, number(total));
        writes.push(match total {
            Limit::Max => write.satisfied_if_missing(),
            Limit::Value(_) => write,
        });
    }
    if let Some(reservation) = memory.reservation_bytes {
        let file = "memory.soft_limit_in_bytes";
        writes.push(Write::new(
            "memory.reservation_bytes",
            file,
            number(reservation),
        ));
    }
    if let Some(swappiness) = memory.swappiness {
        writes.push(Write::new(
            "memory.swappiness",
            "memory.swappiness",
            swappiness,
        ));
    }
    if let Some(disabled) = memory.oom_kill_disabled {
        let value = u8::from(disabled);
        let write = Write::new("memory.oom_kill_disabled", "memory.oom_control", value);
        writes.push(write);
    }
    writes
}

fn cpu(cpu: &CpuConfig) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(shares) = cpu.shares {
        writes.push(Write::new("cpu.shares", "cpu.shares", shares));
    }
    if let Some(period) = cpu.period_us {
        writes.push(Write::new("cpu.period_us", "cpu.cfs_period_us", period));
    }
    if let Some(quota) = cpu.quota_us {
        writes.push(Write::new(
            "cpu.quota_us",
            "cpu.cfs_quota_us",
            number(quota),
        ));
    }
    if let Some(burst) = cpu.burst_us {
        writes.push(Write::new("cpu.burst_us", "cpu.cfs_burst_us", burst));
    }
    if let Some(idle) = cpu.idle {
        writes.push(Write::new("cpu.idle", "cpu.idle", u8::from(idle)));
    }
    if let Some(period) = cpu.realtime_period_us {
        writes.push(Write::new(
            "cpu.realtime_period_us",
            "cpu.rt_period_us",
            period,
        ));
    }
    if let Some(runtime) = cpu.realtime_runtime_us {
        writes.push(Write::new(
            "cpu.realtime_runtime_us",
            "cpu.rt_runtime_us",
            runtime,
        ));
    }
    writes
}

/// The files without `bfq` belong to the CFQ scheduler, which kernels before 5.0 had.
fn io(io: &IoConfig, phase: Phase) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(weight) = io.weight {
        let write = Write::new("io.weight", "blkio.bfq.weight", weight);
        writes.push(write.or("blkio.weight", weight));
    }
    if let Some(weight) = io.leaf_weight {
        writes.push(Write::new("io.leaf_weight", "blkio.leaf_weight", weight));
    }
    for device in &io.device_weights {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight {
            let write = Write::new("io.device_weights", "blkio.bfq.weight_device", line(weight));
            writes.push(write.or("blkio.weight_device", line(weight)));
        }
        if let Some(weight) = device.leaf_weight {
            let file = "blkio.leaf_weight_device";
            writes.push(Write::new("io.device_weights", file, line(weight)));
        }
    }
    for throttle in &io.throttles {
        writes.extend(throttles(throttle, phase));
    }
    writes
}

fn throttles(throttle: &IoThrottle, phase: Phase) -> Vec<Write> {
    let bounds = [
        (
            "blkio.throttle.read_bps_device",
            throttle.read_bytes_per_second,
        ),
        (
            "blkio.throttle.write_bps_device",
            throttle.write_bytes_per_second,
        ),
        (
            "blkio.throttle.read_iops_device",
            throttle.read_ios_per_second,
        ),
        (
            "blkio.throttle.write_iops_device",
            throttle.write_ios_per_second,
        ),
    ];
    // Zero removes a bound, which a new group has none of.
    let absent = match phase {
        Phase::Create => None,
        Phase::Update => Some(0),
    };
    let line = |bound| format!("{}:{} {bound}", throttle.major, throttle.minor);
    let bounds = bounds
        .into_iter()
        .filter_map(|(file, bound)| Some((file, bound.or(absent)?)));
    bounds
        .map(|(file, bound)| Write::new("io.throttles", file, line(bound)))
        .collect()
}

fn hugetlb(config: &CgroupConfig) -> Vec<Write> {
    let mut writes = Vec::new();
    for size in &config.hugepages {
        let files = [
            ("limit_in_bytes", size.limit_bytes),
            ("rsvd.limit_in_bytes", size.reserved_bytes),
        ];
        for (file, limit) in files {
            if let Some(limit) = limit {
                let file = format!("hugetlb.{}.{file}", size.page_size);
                writes.push(Write::new("hugepages", file, number(limit)));
            }
        }
    }
    writes
}

fn net_cls(config: &CgroupConfig) -> Vec<Write> {
    let classid = config.net_cls_classid.iter();
    classid
        .map(|id| Write::new("net_cls_classid", "net_cls.classid", id))
        .collect()
}

fn net_prio(config: &CgroupConfig) -> Vec<Write> {
    let interfaces = config.net_prio.iter();
    let write = |(interface, priority): &(String, u32)| {
        Write::new(
            "net_prio",
            "net_prio.ifpriomap",
            format!("{interface} {priority}"),
        )
    };
    interfaces.map(write).collect()
}

fn number(limit: Limit) -> String {
    match limit {
        Limit::Max => "-1".to_owned(),
        Limit::Value(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layout::Version, limits::tests::lines};

    #[test]
    fn seed_limits_become_the_v1_files_of_its_table() {
        let mut config = CgroupConfig::default();
        config.memory.limit_bytes = Some(Limit::Value(64));
        config.memory.total_bytes = Some(Limit::Max);
        config.memory.reservation_bytes = Some(Limit::Value(32));
        config.cpu.shares = Some(512);
        config.cpu.quota_us = Some(Limit::Max);
        config.cpu.period_us = Some(100_000);
        config.cpu.cpus = Some("0-1".to_owned());
        let of = |controller| {
            lines(super::super::writes(
                Version::V1,
                controller,
                &config,
                Phase::Create,
            ))
        };
        assert_eq!(
            of(Controller::Memory),
            [
                "memory.limit_in_bytes=64",
                "memory.memsw.limit_in_bytes=-1",
                "memory.soft_limit_in_bytes=32"
            ]
        );
        assert_eq!(
            of(Controller::Cpu),
            [
                "cpu.shares=512",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=-1"
            ]
        );
        assert_eq!(of(Controller::CpuSet), ["cpuset.cpus=0-1"]);
        assert!(of(Controller::Io).is_empty());
    }

    #[test]
    fn throttles_that_are_not_named_are_cleared_by_an_update_only() {
        let throttle = IoThrottle {
            major: 8,
            read_bytes_per_second: Some(1000),
            ..IoThrottle::default()
        };
        assert_eq!(
            lines(Ok(throttles(&throttle, Phase::Create))),
            ["blkio.throttle.read_bps_device=8:0 1000"]
        );
        assert_eq!(lines(Ok(throttles(&throttle, Phase::Update))).len(), 4);
    }
}
