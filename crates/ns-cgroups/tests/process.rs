//! Freezing, signals and killing.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use std::time::{Duration, Instant};

use ns_cgroups::Kind;

use support::{Process, SOON, config, layouts, make};

#[test]
fn frozen_group_stands_still_until_it_is_thawed() {
    for layout in layouts() {
        let Some(group) = make(&layout, "frozen_group_stands_still", &config()) else {
            return;
        };
        let mut shell = Process::shell("while :; do :; done");
        group.0.join(shell.pid()).unwrap();
        shell.go();
        assert!(!group.0.is_frozen().unwrap());
        group.0.freeze(SOON).unwrap();
        assert!(group.0.is_frozen().unwrap());
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", shell.pid())).unwrap();
        let frozen = stat();
        group.0.wait_empty(Duration::from_millis(30)).unwrap_err();
        assert_eq!(frozen, stat(), "it used time while frozen");
        group.0.thaw(SOON).unwrap();
        assert!(!group.0.is_frozen().unwrap());
    }
}

#[test]
fn kill_ends_forking_processes_in_groups_below_and_frozen_ones() {
    for layout in layouts() {
        let Some(group) = make(&layout, "kill_ends_forking_processes", &config()) else {
            return;
        };
        let mut shell = Process::shell("for i in 1 2 3 4 5; do sleep 300 & done; wait");
        let below = Process::sleeping();
        group.0.join(shell.pid()).unwrap();
        for path in group.0.made_paths() {
            std::fs::create_dir(format!("{path}/below")).unwrap();
            std::fs::write(
                format!("{path}/below/cgroup.procs"),
                below.pid().to_string(),
            )
            .unwrap();
        }
        shell.go();
        assert!(group.0.processes().unwrap().contains(&below.pid()));
        group.0.freeze(SOON).unwrap();
        let started = Instant::now();
        group.0.kill(SOON).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(group.0.processes().unwrap(), [0_i32; 0]);
        group
            .0
            .remove(SOON)
            .expect("groups that the processes made go too");
    }
}

#[test]
fn signal_reaches_every_member() {
    for layout in layouts() {
        let Some(group) = make(&layout, "signal_reaches_every_member", &config()) else {
            return;
        };
        let processes = [Process::sleeping(), Process::sleeping()];
        for process in &processes {
            group.0.join(process.pid()).unwrap();
        }
        group.0.signal(15).unwrap();
        group.0.wait_empty(SOON).unwrap();
    }
}

#[test]
fn wait_for_a_group_that_stays_in_use_ends_at_the_deadline_and_names_the_process() {
    for layout in layouts() {
        let Some(group) = make(&layout, "wait_for_a_group_that_stays_in_use", &config()) else {
            return;
        };
        let process = Process::sleeping();
        group.0.join(process.pid()).unwrap();
        let error = group.0.wait_empty(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut);
        assert!(error.call().contains(&process.pid().to_string()), "{error}");
    }
}

#[test]
fn freeze_that_is_not_done_in_time_is_taken_back() {
    for layout in layouts() {
        let Some(group) = make(&layout, "freeze_that_is_not_done_in_time", &config()) else {
            return;
        };
        let mut shells: Vec<Process> = (0..4)
            .map(|_| Process::shell("while :; do :; done"))
            .collect();
        for shell in &mut shells {
            group.0.join(shell.pid()).unwrap();
            shell.go();
        }
        // Whether no time at all is enough is up to the kernel; what must hold is the state after.
        match group.0.freeze(Duration::ZERO) {
            Ok(()) => assert!(group.0.is_frozen().unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), Kind::TimedOut, "{error}");
                group.0.thaw(SOON).unwrap();
                assert!(!group.0.is_frozen().unwrap());
            }
        }
    }
}

#[test]
fn thaw_below_a_frozen_group_ends_at_the_deadline_and_says_why() {
    for layout in layouts() {
        let above = config();
        let Some(outer) = make(&layout, "thaw_below_a_frozen_group", &above) else {
            return;
        };
        let below = ns_config::CgroupConfig {
            parent: above.name.clone(),
            ..config()
        };
        let inner = make(&layout, "thaw_below_a_frozen_group", &below).unwrap();
        let process = Process::sleeping();
        inner.0.join(process.pid()).unwrap();
        outer.0.freeze(SOON).unwrap();
        let error = inner.0.thaw(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut, "{error}");
        assert!(error.hint().unwrap().contains("above"), "{error:?}");
        outer.0.thaw(SOON).unwrap();
    }
}
