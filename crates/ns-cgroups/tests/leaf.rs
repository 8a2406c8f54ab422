//! Room is made in a delegated group. Alone in its program: it moves the whole of it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use ns_cgroups::{Kind, Layout};
use ns_config::cgroup::{HugepageLimit, Limit};

use support::{config, make, read};

#[test]
fn members_move_to_a_leaf_and_controllers_can_be_handed_down() {
    const TEST: &str = "members_move_to_a_leaf_and_controllers_can_be_handed_down";
    let before = Layout::detect().unwrap();
    let Some(unified) = before.unified() else {
        println!("SKIP {TEST}: no cgroup v2");
        return;
    };
    let home = format!("{}/{}", unified.mount_point(), unified.own_group().unwrap());
    let mut delegated = config();
    delegated.hugepages = vec![HugepageLimit {
        page_size: "2MB".to_owned(),
        limit_bytes: Some(Limit::Value(8 << 20)),
        reserved_bytes: None,
    }];
    let Some(group) = make(&before, TEST, &delegated) else {
        return;
    };
    if !group.0.tasks_files().unwrap().is_empty() {
        println!("SKIP {TEST}: hugetlb is a v1 controller here");
        return;
    }
    let own_pid = i32::try_from(std::process::id()).unwrap();
    group.0.join(own_pid).unwrap();
    let error = group.0.freeze(support::SOON).unwrap_err();
    assert_eq!(
        error.kind(),
        Kind::Busy,
        "it would have frozen itself: {error}"
    );

    let moved = Layout::detect().unwrap().move_own_group_to_leaf("leaf");
    let made = moved.and_then(|layout| {
        assert!(
            layout
                .unified()
                .unwrap()
                .own_group()
                .unwrap()
                .ends_with("/leaf")
        );
        delegated.name = "box".to_owned();
        let below = support::create(&layout, &delegated)?;
        assert_eq!(read(&below, "", "hugetlb.2MB.max"), "8388608");
        assert!(below.paths()[""].starts_with(&group.0.paths()[""]));
        Ok(())
    });
    std::fs::write(format!("{home}/cgroup.procs"), own_pid.to_string()).unwrap();
    made.unwrap();
    let refused = before.move_own_group_to_leaf("..").unwrap_err();
    assert_eq!(refused.kind(), Kind::Hostile);
}
