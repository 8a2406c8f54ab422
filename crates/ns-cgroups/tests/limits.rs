//! Each setting lands in its file, and what the kernel refuses says why.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use ns_cgroups::{Kind, Layout};
use ns_config::cgroup::{CgroupConfig, HugepageLimit, IoThrottle, Limit};

use support::{config, create, file, layouts, make, read};

/// A whole disk, as in `/proc/partitions`.
fn disk() -> Option<(u32, u32)> {
    let partitions = std::fs::read_to_string("/proc/partitions").unwrap_or_default();
    partitions.lines().skip(2).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [major, minor, _, name] = words[..] else {
            return None;
        };
        let is_disk = std::path::Path::new(&format!("/sys/block/{name}/queue")).exists();
        is_disk.then_some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[test]
fn processor_settings_land() {
    for layout in layouts() {
        let mut config = config();
        config.cpu.shares = Some(512);
        config.cpu.quota_us = Some(Limit::Value(50_000));
        config.cpu.period_us = Some(200_000);
        config.cpu.burst_us = Some(10_000);
        let Some(group) = make(&layout, "processor_settings_land", &config) else {
            return;
        };
        let group = &group.0;
        match group.paths().contains_key("cpu") {
            true => {
                assert_eq!(read(group, "cpu", "cpu.shares"), "512");
                assert_eq!(read(group, "cpu", "cpu.cfs_quota_us"), "50000");
                assert_eq!(read(group, "cpu", "cpu.cfs_period_us"), "200000");
                assert_eq!(read(group, "cpu", "cpu.cfs_burst_us"), "10000");
            }
            false => {
                assert_eq!(read(group, "", "cpu.weight"), "59");
                assert_eq!(read(group, "", "cpu.max"), "50000 200000");
                assert_eq!(read(group, "", "cpu.max.burst"), "10000");
            }
        }
        // The quota is below the burst until both have changed, and only the period is next.
        let mut change = CgroupConfig::default();
        change.cpu.quota_us = Some(Limit::Value(5_000));
        change.cpu.burst_us = Some(1_000);
        group.update(&change).unwrap();
        let mut change = CgroupConfig::default();
        change.cpu.period_us = Some(100_000);
        group.update(&change).unwrap();
        let quota = file(group, "cpu", "cpu.cfs_quota_us", "cpu.max");
        assert!(read(group, "cpu", quota).starts_with("5000"));
    }
}

#[test]
fn idle_group_lands_and_gets_its_weight_back() {
    for layout in layouts() {
        let mut config = config();
        config.cpu.idle = Some(true);
        let Some(group) = make(&layout, "idle_group_lands", &config) else {
            return;
        };
        assert_eq!(read(&group.0, "cpu", "cpu.idle"), "1");
        let mut change = CgroupConfig::default();
        change.cpu.shares = Some(1024);
        change.cpu.idle = Some(false);
        group
            .0
            .update(&change)
            .expect("the weight is written once the group is not idle");
        assert_eq!(read(&group.0, "cpu", "cpu.idle"), "0");
    }
}

#[test]
fn cpuset_lands_below_new_parents() {
    for layout in layouts() {
        let mut config = CgroupConfig {
            parent: support::name(),
            ..config()
        };
        config.cpu.cpus = Some("0".to_owned());
        let Some(group) = make(&layout, "cpuset_lands_below_new_parents", &config) else {
            return;
        };
        assert_eq!(read(&group.0, "cpuset", "cpuset.cpus"), "0");
        let mems = file(&group.0, "cpuset", "cpuset.mems", "cpuset.mems.effective");
        assert_eq!(read(&group.0, "cpuset", mems), "0", "inherited");
        let process = support::Process::sleeping();
        group.0.join(process.pid()).unwrap();
    }
}

#[test]
fn throttle_lands_and_an_unknown_device_is_named() {
    for layout in layouts() {
        let Some((major, minor)) = disk() else {
            println!("SKIP throttle_lands: no disk");
            return;
        };
        let throttle = IoThrottle {
            major,
            minor,
            read_bytes_per_second: Some(1 << 20),
            ..IoThrottle::default()
        };
        let mut config = config();
        config.io.throttles = vec![throttle];
        let Some(group) = make(&layout, "throttle_lands", &config) else {
            return;
        };
        let bps = file(
            &group.0,
            "blkio",
            "blkio.throttle.read_bps_device",
            "io.max",
        );
        let line = read(&group.0, "blkio", bps);
        assert!(line.starts_with(&format!("{major}:{minor} ")), "{line}");
        assert!(line.contains("1048576"), "{line}");

        config.name = support::name();
        config.io.throttles[0].major = 4001;
        let error = create(&layout, &config).unwrap_err();
        assert_eq!(
            (error.kind(), error.setting()),
            (Kind::NotFound, Some("io.throttles"))
        );
        assert!(
            error.hint().unwrap().contains("/proc/partitions"),
            "{error:?}"
        );
    }
}

#[test]
fn huge_pages_land_and_an_unknown_size_is_named() {
    let layout = Layout::detect().unwrap();
    let mut config = config();
    let limit = HugepageLimit {
        page_size: "2MB".to_owned(),
        limit_bytes: Some(Limit::Value(4 << 20)),
        reserved_bytes: Some(Limit::Value(2 << 20)),
    };
    config.hugepages = vec![limit];
    let Some(group) = make(&layout, "huge_pages_land", &config) else {
        return;
    };
    let max = file(
        &group.0,
        "hugetlb",
        "hugetlb.2MB.limit_in_bytes",
        "hugetlb.2MB.max",
    );
    assert_eq!(read(&group.0, "hugetlb", max), "4194304");
    assert!(group.0.stats().unwrap().hugetlb.contains_key("2MB"));

    config.name = support::name();
    config.hugepages[0].page_size = "3MB".to_owned();
    let error = create(&layout, &config).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(
        error.hint().unwrap().contains("huge pages of this size"),
        "{error:?}"
    );
}

#[test]
fn setting_without_its_hierarchy_is_refused() {
    let layout = Layout::detect().unwrap();
    if layout.legacy("net_cls").is_some() {
        println!("SKIP setting_without_its_hierarchy_is_refused: net_cls is mounted");
        return;
    }
    let config = CgroupConfig {
        net_cls_classid: Some(1),
        ..config()
    };
    let error = create(&layout, &config).unwrap_err();
    assert_eq!(
        (error.kind(), error.setting()),
        (Kind::Unsupported, Some("net_cls_classid"))
    );
}

#[test]
fn host_without_control_groups_is_refused() {
    let layout = Layout::from_proc(b"", b"0::/\n").unwrap();
    let error = create(&layout, &config()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.hint().is_some());
}

#[test]
fn explained_steps_are_what_is_found_afterwards() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        config.pids = Some(Limit::Value(9));
        config.cpu.shares = Some(1024);
        let Some(group) = make(&layout, "explained_steps", &config) else {
            return;
        };
        let steps = ns_cgroups::CgroupSpec::new(&config)
            .unwrap()
            .explain(&layout)
            .unwrap();
        let made: Vec<String> = steps
            .iter()
            .filter_map(|step| step.strip_prefix("make group \"")?.split('"').next())
            .map(str::to_owned)
            .collect();
        assert_eq!(made, group.0.made_paths());
        let writes: Vec<&String> = steps
            .iter()
            .filter(|step| step.starts_with("write"))
            .collect();
        assert_eq!(writes.len(), 3, "{steps:?}");
        for step in writes {
            let words: Vec<&str> = step.split('"').collect();
            let content = std::fs::read_to_string(words[1]).unwrap();
            assert_eq!(content.trim(), words[3], "{step}");
        }
    }
}
