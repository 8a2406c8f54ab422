//! Plans of one command, started and waited for.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program takes what it needs of this module"
)]
#![expect(clippy::panic, reason = "a test fails by it")]

use std::os::fd::AsFd as _;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use ns_config::Config;
use ns_init::{Command, Launch, Op, Plan, PlanBuilder, Started, launch};

/// A plan of one command.
pub fn command(arguments: &[&str]) -> Plan {
    let mut plan = PlanBuilder::new();
    plan.push("reset signals", Op::ResetSignals);
    push_execute(&mut plan, arguments);
    plan.finish()
}

/// Adds the command that ends a plan.
pub fn push_execute(plan: &mut PlanBuilder, arguments: &[&str]) {
    let command = Command {
        arguments: arguments.iter().map(Into::into).collect(),
        environment: vec!["PATH=/nowhere:/usr/bin:/bin".into()],
    };
    ns_init::execute(&Config::default(), &command, plan).expect("a command");
}

/// The exit code of a command that was started.
pub fn exit_code(started: Started) -> i32 {
    let (_, pidfd) = started.into_process().expect("a descriptor to spare");
    match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED).expect("our child") {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

/// The exit code of a plan's command.
pub fn run(plan: &Plan, how: &Launch<'_>) -> i32 {
    let mut started = launch(plan, how).expect("clone");
    started.wait_ready(plan).expect("ready");
    exit_code(started)
}
