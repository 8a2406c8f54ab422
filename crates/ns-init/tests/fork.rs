//! A plan that forks and fails behind it. A program of its own: other tests count descriptors of their process.
#![cfg(feature = "stub")]

mod started;

use ns_init::{Kind, Launch, Op, PlanBuilder, launch};

/// The second process may fail before the first one has told its pid. One that is not followed stays a zombie, and
/// the first process of its pid namespace never ends.
#[test]
fn plan_that_fails_behind_a_fork_leaves_no_process() {
    let mut plan = PlanBuilder::new();
    plan.push("go on in a second process", Op::Fork);
    started::push_execute(&mut plan, &["/no/such/command"]);
    let plan = plan.finish();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut started = launch(&plan, &Launch::default()).expect("clone");
                    let first = started.pid();
                    let error = started.wait_ready(&plan).expect_err("there is none");
                    assert_eq!(error.kind(), Kind::NotFound);
                    assert_ne!(started.pid(), first, "the second one is to be reaped");
                }
            });
        }
    });
}
