//! What a member uses is counted.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use std::time::Instant;

use ns_cgroups::{Cgroup, CgroupSpec, Controller, Kind};
use ns_config::cgroup::Limit;

use support::{Guard, Process, SOON, config, is_lack_of_host, layouts, make};

#[test]
fn use_of_memory_processor_and_pids_is_counted() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        config.pids = Some(Limit::Value(20));
        config.cpu.quota_us = Some(Limit::Value(50_000));
        config.cpu.period_us = Some(100_000);
        let spec = CgroupSpec::new(&config).unwrap();
        let group = match Cgroup::create(&layout, &spec.with_accounting(&[Controller::CpuAcct])) {
            Ok(group) => Guard(group),
            Err(error) if is_lack_of_host(&error) => {
                println!("SKIP use_of_memory_processor_and_pids_is_counted: {error}");
                return;
            }
            Err(error) => panic!("{error:?}"),
        };
        let mut shell = Process::shell(
            "x=$(head -c 3000000 /dev/zero | tr '\\0' x); i=0; \
             while [ $i -lt 20000 ]; do i=$((i+1)); done; read end",
        );
        group.0.join(shell.pid()).unwrap();
        shell.go();
        let started = Instant::now();
        let stats = loop {
            let stats = group.0.stats().unwrap();
            let is_counted = stats.cgroup.cpu_stats.cpu_usage.total_usage > 1_000_000;
            let is_alone = stats.pids.is_some_and(|pids| pids.current == 1);
            if is_counted && is_alone && stats.cgroup.memory_stats.usage > 0 {
                break stats;
            }
            assert!(started.elapsed() < SOON, "nothing is counted: {stats:?}");
        };
        assert!(!stats.cgroup.memory_stats.stats.is_empty());
        let pids = stats.pids.unwrap();
        assert_eq!((pids.current, pids.limit), (1, Some(20)));
        assert!(stats.memory_counters.is_some());
        let usage = group.0.usage().unwrap();
        let total = |of: &ns_config::stats::CgroupStats| of.cpu_stats.cpu_usage.total_usage;
        assert!(total(&usage) >= total(&stats.cgroup), "{usage:?}");
        assert!(usage.memory_stats.usage > 0, "{usage:?}");
    }
}

#[test]
fn statistics_of_an_empty_group_are_quick_and_empty() {
    for layout in layouts() {
        let mut config = config();
        config.pids = Some(Limit::Max);
        let Some(group) = make(&layout, "statistics_of_an_empty_group", &config) else {
            return;
        };
        group.0.stats().unwrap();
        let mut times: Vec<_> = (0..21)
            .map(|_| {
                let started = Instant::now();
                let stats = group.0.stats().unwrap();
                assert_eq!(stats.pids.unwrap().current, 0);
                assert_eq!(stats.cgroup.memory_stats.usage, 0);
                started.elapsed()
            })
            .collect();
        times.sort();
        println!("median of stats: {:?}", times[10]);
    }
}

#[test]
fn statistics_of_a_removed_group_are_an_error() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        let Some(group) = make(&layout, "statistics_of_a_removed_group", &config) else {
            return;
        };
        group.0.remove(SOON).unwrap();
        assert_eq!(group.0.stats().unwrap_err().kind(), Kind::Gone);
        assert_eq!(group.0.usage().unwrap_err().kind(), Kind::Gone);
    }
}
