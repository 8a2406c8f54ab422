//! Freezing, signals and killing.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use std::time::{Duration, Instant};

use ns_cgroups::{Cgroup, CgroupSpec, Controller, Kind, Layout};

use support::{Guard, Process, SOON, config, is_lack_of_host, layouts, make};

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
            Err(error) => assert_eq!(error.kind(), Kind::TimedOut, "{error}"),
        }
        // On v1 what is frozen cannot be killed either.
        group.0.thaw(SOON).unwrap();
        assert!(!group.0.is_frozen().unwrap());
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

#[test]
fn process_that_one_hierarchy_refuses_stays_in_all_of_them() {
    const TEST: &str = "process_that_one_hierarchy_refuses_stays_in_all_of_them";
    let layout = Layout::detect().unwrap();
    if layout.legacy("cpu").is_none() || layout.legacy("blkio").is_none() {
        println!("SKIP {TEST}: no hierarchy that could refuse a real-time process");
        return;
    }
    let mut config = config();
    config.cpu.shares = Some(512);
    // The hierarchy of blkio is joined before that of cpu.
    let spec = CgroupSpec::new(&config).unwrap();
    let spec = spec.with_accounting(&[Controller::Io]);
    let group = match Cgroup::create(&layout, &spec) {
        Ok(group) => Guard(group),
        Err(error) if is_lack_of_host(&error) => {
            println!("SKIP {TEST}: {error}");
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    let process = Process::sleeping();
    let groups = |process: &Process| {
        std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid())).unwrap()
    };
    let before = groups(&process);
    let chrt = std::process::Command::new("chrt")
        .args(["-f", "-p", "1", &process.pid().to_string()])
        .status();
    if !chrt.is_ok_and(|status| status.success()) {
        println!("SKIP {TEST}: no real-time processes for this user (chrt)");
        return;
    }
    match group.0.join_or_stay(process.pid()) {
        Ok(()) => println!("SKIP {TEST}: this kernel takes real-time processes everywhere"),
        Err(error) => {
            assert!(error.also().is_empty(), "{error}");
            assert_eq!(groups(&process), before, "{error}");
            // Without the way back it is in a part of them.
            group.0.join(process.pid()).unwrap_err();
            assert_ne!(
                groups(&process),
                before,
                "the hierarchies are as the test needs them"
            );
        }
    }
    let gone = Process::sleeping();
    let pid = gone.pid();
    drop(gone);
    let error = group.0.join_or_stay(pid).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}
