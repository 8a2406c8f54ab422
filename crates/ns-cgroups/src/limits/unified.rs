//! Files and values of cgroup v2, and those that both versions share.

use ns_config::cgroup::{CgroupConfig, CpuConfig, IoConfig, IoThrottle, Limit, MemoryConfig};

use super::{Write, io_weight, unsupported, weight_from_shares};
use crate::{
    controller::Controller,
    error::{Error, Kind, Result},
    path::check_name,
};

pub(super) fn writes(controller: Controller, config: &CgroupConfig) -> Result<Vec<Write>> {
    match controller {
        Controller::Memory => memory(&config.memory),
        Controller::Cpu => cpu(&config.cpu),
        Controller::CpuSet => Ok(cpuset(&config.cpu)),
        Controller::Io => io(&config.io),
        Controller::Pids => Ok(pids(config)),
        Controller::Hugetlb => Ok(hugetlb(config)),
        Controller::Rdma => Ok(rdma(config)),
        Controller::Misc => Ok(misc(config)),
        Controller::NetCls => Err(unsupported("net_cls_classid", "class of packets")),
        Controller::NetPrio => Err(unsupported("net_prio", "priority of packets")),
        Controller::CpuAcct | Controller::Devices | Controller::Freezer | Controller::PerfEvent => {
            Ok(Vec::new())
        }
    }
}

fn memory(memory: &MemoryConfig) -> Result<Vec<Write>> {
    if memory.swappiness.is_some() {
        return Err(unsupported("memory.swappiness", "swappiness of a group"));
    }
    if memory.oom_kill_disabled == Some(true) {
        let what = "way to make processes wait for memory";
        return Err(unsupported("memory.oom_kill_disabled", what));
    }
    let mut writes = Vec::new();
    if let Some(limit) = memory.limit_bytes {
        writes.push(Write::new("memory.limit_bytes", "memory.max", word(limit)));
    }
    match (memory.total_bytes, memory.limit_bytes) {
        (None, _) => {}
        (Some(Limit::Value(total)), Some(Limit::Value(limit))) => {
            let swap = total.saturating_sub(limit);
            writes.push(Write::new("memory.total_bytes", "memory.swap.max", swap));
        }
        (Some(_), _) => {
            let write = Write::new("memory.total_bytes", "memory.swap.max", "max");
            writes.push(write.satisfied_if_missing());
        }
    }
    if let Some(reservation) = memory.reservation_bytes {
        writes.push(Write::new(
            "memory.reservation_bytes",
            "memory.low",
            word(reservation),
        ));
    }
    Ok(writes)
}

fn cpu(cpu: &CpuConfig) -> Result<Vec<Write>> {
    if cpu.realtime_runtime_us.is_some() || cpu.realtime_period_us.is_some() {
        return Err(unsupported("cpu.realtime_runtime_us", "real-time budget"));
    }
    let mut writes = Vec::new();
    if let Some(shares) = cpu.shares {
        writes.push(Write::new(
            "cpu.shares",
            "cpu.weight",
            weight_from_shares(shares),
        ));
    }
    match (cpu.quota_us, cpu.period_us) {
        (Some(quota), Some(period)) => {
            let value = format!("{} {period}", word(quota));
            writes.push(Write::new("cpu.quota_us", "cpu.max", value));
        }
        (Some(quota), None) => writes.push(Write::new("cpu.quota_us", "cpu.max", word(quota))),
        (None, Some(period)) => {
            writes.push(Write::after_first_word("cpu.period_us", "cpu.max", period));
        }
        (None, None) => {}
    }
    if let Some(burst) = cpu.burst_us {
        writes.push(Write::new("cpu.burst_us", "cpu.max.burst", burst));
    }
    if let Some(idle) = cpu.idle {
        writes.push(Write::new("cpu.idle", "cpu.idle", u8::from(idle)));
    }
    Ok(writes)
}

pub(super) fn cpuset(cpu: &CpuConfig) -> Vec<Write> {
    let lists = [
        ("cpu.cpus", "cpuset.cpus", &cpu.cpus),
        ("cpu.mems", "cpuset.mems", &cpu.mems),
    ];
    let set = lists.into_iter().filter_map(|(setting, file, list)| {
        let list = list.as_deref()?;
        Some(Write::new(setting, file, list))
    });
    set.collect()
}

fn io(io: &IoConfig) -> Result<Vec<Write>> {
    let has_leaf_weights = io
        .device_weights
        .iter()
        .any(|device| device.leaf_weight.is_some());
    if io.leaf_weight.is_some() || has_leaf_weights {
        return Err(unsupported("io.leaf_weight", "weight against the children"));
    }
    let mut writes = Vec::new();
    if let Some(weight) = io.weight {
        let write = Write::new("io.weight", "io.bfq.weight", weight);
        writes.push(write.or("io.weight", io_weight(weight)));
    }
    for device in &io.device_weights {
        if let Some(weight) = device.weight {
            let line = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let write = Write::new("io.device_weights", "io.bfq.weight", line(weight.into()));
            writes.push(write.or("io.weight", line(io_weight(weight))));
        }
    }
    for throttle in &io.throttles {
        writes.push(Write::new(
            "io.throttles",
            "io.max",
            throttle_line(throttle),
        ));
    }
    Ok(writes)
}

fn throttle_line(throttle: &IoThrottle) -> String {
    let bound = |bound: Option<u64>| bound.map_or("max".to_owned(), |bound| bound.to_string());
    format!(
        "{}:{} rbps={} wbps={} riops={} wiops={}",
        throttle.major,
        throttle.minor,
        bound(throttle.read_bytes_per_second),
        bound(throttle.write_bytes_per_second),
        bound(throttle.read_ios_per_second),
        bound(throttle.write_ios_per_second),
    )
}

pub(super) fn pids(config: &CgroupConfig) -> Vec<Write> {
    let limit = config.pids.iter();
    limit
        .map(|limit| Write::new("pids", "pids.max", word(*limit)))
        .collect()
}

fn hugetlb(config: &CgroupConfig) -> Vec<Write> {
    let mut writes = Vec::new();
    for size in &config.hugepages {
        for (file, limit) in [("max", size.limit_bytes), ("rsvd.max", size.reserved_bytes)] {
            if let Some(limit) = limit {
                let file = format!("hugetlb.{}.{file}", size.page_size);
                writes.push(Write::new("hugepages", file, word(limit)));
            }
        }
    }
    writes
}

pub(super) fn rdma(config: &CgroupConfig) -> Vec<Write> {
    let devices = config.rdma.iter().map(|device| {
        let mut line = device.device.clone();
        let bounds = [
            ("hca_handle", device.hca_handles),
            ("hca_object", device.hca_objects),
        ];
        for (name, bound) in bounds {
            if let Some(bound) = bound {
                line.push_str(&format!(" {name}={}", word(bound)));
            }
        }
        Write::new("rdma", "rdma.max", line)
    });
    devices.collect()
}

pub(super) fn misc(config: &CgroupConfig) -> Vec<Write> {
    let resources = config.misc.iter();
    let write = |(name, limit): &(String, Limit)| {
        Write::new("misc", "misc.max", format!("{name} {}", word(*limit)))
    };
    resources.map(write).collect()
}

/// A file of the group itself, of a controller, and none that moves, strands or ends processes.
pub(super) fn check_file_name(file: &str) -> Result<()> {
    let harmless = |file: &str| matches!(file, "cgroup.max.depth" | "cgroup.max.descendants");
    let of_controller = file.contains('.') && !file.starts_with("cgroup.");
    if check_name(file).is_ok() && !file.starts_with('.') && (of_controller || harmless(file)) {
        return Ok(());
    }
    let call = format!("{file:?} is not a file of a controller");
    Err(Error::new(Kind::Hostile, "limit control group", call)
        .with_setting("unified")
        .with_hint("file names of controllers, e.g. memory.high"))
}

fn word(limit: Limit) -> String {
    match limit {
        Limit::Max => "max".to_owned(),
        Limit::Value(value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::tests::lines;

    #[test]
    fn seed_limits_become_their_v2_counterparts() {
        let mut config = CgroupConfig::default();
        config.memory.limit_bytes = Some(Limit::Value(64));
        config.memory.total_bytes = Some(Limit::Value(100));
        config.memory.reservation_bytes = Some(Limit::Value(32));
        assert_eq!(
            lines(memory(&config.memory)),
            ["memory.max=64", "memory.swap.max=36", "memory.low=32"]
        );
        config.memory.total_bytes = Some(Limit::Max);
        assert_eq!(lines(memory(&config.memory))[1], "memory.swap.max=max");
    }

    #[test]
    fn cpu_quota_and_period_share_a_file() {
        let cpu_lines = |quota, period| {
            let config = CpuConfig {
                quota_us: quota,
                period_us: period,
                ..CpuConfig::default()
            };
            lines(cpu(&config))
        };
        assert_eq!(cpu_lines(Some(Limit::Value(5)), Some(9)), ["cpu.max=5 9"]);
        assert_eq!(cpu_lines(Some(Limit::Max), None), ["cpu.max=max"]);
        assert_eq!(cpu_lines(None, Some(9)), ["cpu.max=_ 9"]);
    }

    #[test]
    fn what_v2_lacks_is_refused_by_name() {
        let refused = |change: &dyn Fn(&mut CgroupConfig)| {
            let mut config = CgroupConfig::default();
            change(&mut config);
            let results = [Controller::Memory, Controller::Cpu, Controller::Io]
                .map(|controller| writes(controller, &config).err());
            let error = results.into_iter().flatten().next().expect("refused");
            assert_eq!(error.kind(), Kind::Unsupported);
            error.setting().unwrap_or_default().to_owned()
        };
        assert_eq!(
            refused(&|config| config.memory.swappiness = Some(1)),
            "memory.swappiness"
        );
        let oom = |config: &mut CgroupConfig| config.memory.oom_kill_disabled = Some(true);
        assert_eq!(refused(&oom), "memory.oom_kill_disabled");
        let realtime = |config: &mut CgroupConfig| config.cpu.realtime_runtime_us = Some(1);
        assert_eq!(refused(&realtime), "cpu.realtime_runtime_us");
        assert_eq!(
            refused(&|config| config.io.leaf_weight = Some(100)),
            "io.leaf_weight"
        );
    }

    #[test]
    fn throttle_is_one_line_with_max_for_what_is_not_bounded() {
        let throttle = IoThrottle {
            major: 8,
            minor: 16,
            write_ios_per_second: Some(7),
            ..IoThrottle::default()
        };
        assert_eq!(
            throttle_line(&throttle),
            "8:16 rbps=max wbps=max riops=max wiops=7"
        );
    }

    #[test]
    fn unified_keys_that_move_or_kill_are_refused() {
        for file in ["memory.high", "io.latency", "cgroup.max.depth"] {
            assert!(check_file_name(file).is_ok(), "{file}");
        }
        for file in [
            "cgroup.procs",
            "cgroup.kill",
            "../memory.max",
            "x/memory.max",
            "memory",
            ".a",
            "",
        ] {
            assert!(check_file_name(file).is_err(), "{file}");
        }
    }
}
