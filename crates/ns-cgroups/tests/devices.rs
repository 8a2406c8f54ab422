//! Device rules hold, by v1 files and by programs on v2.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use ns_cgroups::{Cgroup, Layout};
use ns_config::{CgroupConfig, DeviceAccess, DeviceRule, DeviceRuleKind};

use support::{Process, config, make};

fn char(minor: u32, access: &str) -> DeviceRule {
    let access = DeviceAccess::parse(access).unwrap();
    DeviceRule::allow(DeviceRuleKind::Char, Some(1), Some(minor), access)
}

/// What a member finds: whether null can be written and zero be read.
fn null_and_zero(group: &Cgroup) -> (bool, bool) {
    let script = |test: &str| {
        let mut shell = Process::shell(test);
        group.join(shell.pid()).unwrap();
        shell.go();
        shell.0.wait().unwrap().success()
    };
    // Built-in commands, so that nothing else is opened.
    (script("exec 3>/dev/null"), script("exec 3</dev/zero"))
}

fn check(layout: &Layout, test: &str) {
    let mut config = config();
    config.devices = Some(vec![char(3, "rw")]);
    let Some(group) = make(layout, test, &config) else {
        return;
    };
    assert_eq!(null_and_zero(&group.0), (true, false));
    let change = CgroupConfig {
        devices: Some(vec![char(5, "r")]),
        ..CgroupConfig::default()
    };
    group.0.update(&change).unwrap();
    assert_eq!(
        null_and_zero(&group.0),
        (false, true),
        "the new rules are in place of the old"
    );
    group.0.update(&CgroupConfig::default()).unwrap();
    assert_eq!(
        null_and_zero(&group.0),
        (false, true),
        "an update without rules keeps them"
    );
}

#[test]
fn device_rules_hold_and_are_replaced() {
    check(
        &Layout::detect().unwrap(),
        "device_rules_hold_and_are_replaced",
    );
}

#[test]
#[allow(non_snake_case, reason = "the variant is a suffix")]
fn device_rules_hold_and_are_replaced__by_program() {
    // Without the v1 hierarchies it is the v2 one that must do it.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_kept = |line: &&str| !line.contains(" - cgroup ");
    let unified: String = mounts.split_inclusive('\n').filter(is_kept).collect();
    let groups = std::fs::read("/proc/self/cgroup").unwrap();
    let layout = Layout::from_proc(unified.as_bytes(), &groups).unwrap();
    check(&layout, "device_rules_hold_and_are_replaced__by_program");
}
