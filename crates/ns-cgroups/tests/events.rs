//! Out-of-memory and pressure reports.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ns_cgroups::{Cgroup, MemoryEvent, PressureLevel};
use ns_config::cgroup::Limit;

use support::{Guard, Process, SOON, config, layouts, make};

fn small_group(layout: &ns_cgroups::Layout, test: &str) -> Option<Guard> {
    let mut config = config();
    config.memory.limit_bytes = Some(Limit::Value(8 << 20));
    make(layout, test, &config)
}

fn is_readable(source: &impl AsFd, timeout: u16) -> bool {
    let mut waiting = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
    poll(&mut waiting, PollTimeout::from(timeout)).unwrap() == 1
}

/// A process that takes more memory than the group may have.
fn overrun(group: &Cgroup) {
    let mut shell = Process::shell("exec tail /dev/zero");
    group.join(shell.pid()).unwrap();
    shell.go();
    assert!(!shell.0.wait().unwrap().success(), "it was to be killed");
}

#[test]
fn process_without_memory_is_reported_and_so_is_the_end_of_the_group() {
    for layout in layouts() {
        let Some(group) = small_group(&layout, "process_without_memory_is_reported") else {
            return;
        };
        let mut events = group.0.memory_events().unwrap();
        assert_eq!(events.take().unwrap(), None);
        assert!(!is_readable(&events, 0));
        overrun(&group.0);
        assert!(is_readable(&events, 10_000), "no event");
        let event = events.take().unwrap();
        assert!(
            matches!(event, Some(MemoryEvent::OutOfMemory(1..))),
            "{event:?}"
        );
        assert!(group.0.stats().unwrap().memory_counters.unwrap().oom_kill > 0);
        group.0.remove(SOON).unwrap();
        while events.take().unwrap() != Some(MemoryEvent::Ended) {
            assert!(is_readable(&events, 10_000), "the end was not reported");
        }
    }
}

#[test]
fn pressure_is_watched_at_every_level() {
    for layout in layouts() {
        let Some(group) = small_group(&layout, "pressure_is_watched_at_every_level") else {
            return;
        };
        let levels = [
            PressureLevel::Low,
            PressureLevel::Medium,
            PressureLevel::Critical,
        ];
        let watches = levels.map(|level| group.0.memory_pressure(level).unwrap());
        for watch in &watches {
            assert!(!watch.take().unwrap());
        }
        if group.0.paths().contains_key("memory") {
            overrun(&group.0);
            assert!(
                is_readable(&watches[0], 10_000),
                "no pressure while memory ran out"
            );
            assert!(watches[0].take().unwrap());
        }
    }
}

#[test]
fn pressure_trigger_of_v2_is_accepted() {
    let layout = ns_cgroups::Layout::detect().unwrap();
    let Some(group) = make(&layout, "pressure_trigger_of_v2_is_accepted", &config()) else {
        return;
    };
    if group.0.dir_fd().is_none() {
        println!("SKIP pressure_trigger_of_v2_is_accepted: no cgroup v2");
        return;
    }
    let watch = group.0.memory_pressure(PressureLevel::Low).unwrap();
    assert!(!is_readable(&watch, 0));
    assert!(!watch.take().unwrap());
}
