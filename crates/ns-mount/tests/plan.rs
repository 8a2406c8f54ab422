//! What the planners write, and what they refuse, without running anything.

#![expect(clippy::unwrap_used, reason = "a test stops where it breaks")]

use std::os::unix::fs::symlink;

use ns_config::{
    Config, Device, IdMap, Mount, MountKind, MountOptions, NamespaceKind, Propagation, Relabel,
    RootEntry, Rootfs, Source, Sysctl,
};
use ns_init::PlanBuilder;
use ns_mount::{
    CgroupLayout, Host, Kind, MountPlan, Rights, RootfsPlanner, Sources, Terminal, private_procfs,
    sysctl,
};

#[test]
fn seed_configuration_is_planned_in_the_order_of_the_manual() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        r#"{{"root_fs": "{}", "namespaces": {{"NEWNS": true, "NEWPID": true, "NEWIPC": true}},
            "restrict_sys": true, "mount_config": {{"readonly_fs": true}}}}"#,
        directory.path().display()
    );
    let config = Config::from_seed(text.as_bytes()).unwrap();
    let calls = explain(&config, &initial(), None).unwrap();
    let order = [
        "umask",
        "mount_setattr(\"/\", AT_RECURSIVE",
        "AT_RECURSIVE -> [",
        "\"/\")",
        "\"proc\"",
        "</proc>",
        "\"tmpfs\"",
        "</dev>",
        "\"null\"",
        "\"ptmx\"",
        "\"devpts\"",
        "\"shm\"",
        "\"mqueue\"",
        "\"sysfs\"",
        "\"sys\"",
        "\"/dev/null\"",
        "\"kcore\"",
        "an empty cover",
        "set 0x1",
        "pivot_root",
    ];
    let mut rest = calls.as_slice();
    for part in order {
        let found = rest.iter().position(|call| call.contains(part));
        let found = found.unwrap_or_else(|| panic!("{part} is missing or too early in {calls:#?}"));
        rest = &rest[found + 1..];
    }
    assert!(rest.is_empty(), "pivot_root is the last: {rest:?}");
}

#[test]
fn plan_in_a_user_namespace_makes_no_node_and_binds_checked_ones() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mounts = vec![mount("/dev", MountKind::DevLayout)];
    config.namespaces.add(NamespaceKind::User, None, "");
    let user = Host {
        rights: Rights::UserNamespace,
        ..initial()
    };
    let calls = explain(&config, &user, None).unwrap().join("\n");
    assert!(!calls.contains("mknod"), "{calls}");
    assert!(!calls.contains("gid=5"), "group 5 has no mapping: {calls}");
    config.gid_mappings = vec![IdMap {
        container_id: 0,
        host_id: 100_000,
        size: 65536,
    }];
    let calls = explain(&config, &user, None).unwrap().join("\n");
    assert!(calls.contains("gid=5"), "{calls}");
    let calls = explain(&config, &initial(), None).unwrap().join("\n");
    assert_eq!(calls.matches("mknodat").count(), 6, "{calls}");
}

#[test]
fn device_of_the_layout_that_is_configured_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mounts = vec![mount("/dev", MountKind::DevLayout)];
    config.devices = vec![
        Device::char("/dev/tty", 5, 0, 0o620),
        Device::char("/dev/x", 1, 3, 0o600),
    ];
    let calls = explain(&config, &initial(), None).unwrap().join("\n");
    assert!(calls.contains("\"tty\", 0o20620, 5:0"), "{calls}");
    assert!(calls.contains("\"x\", 0o20600, 1:3"), "{calls}");
    assert_eq!(
        calls.matches("mknodat").count(),
        7,
        "no node is made twice: {calls}"
    );
}

#[test]
fn plan_without_an_ipc_namespace_shows_no_queues() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mounts = vec![mount("/dev", MountKind::DevLayout)];
    let calls = explain(&config, &initial(), None).unwrap().join("\n");
    assert!(
        !calls.contains("mqueue"),
        "the queues are the host's: {calls}"
    );
}

#[test]
fn mount_label_goes_to_file_systems_without_labels_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mount_label = Some("u:r:t:s0:c1,c2".to_owned());
    config.mounts = vec![
        mount("/proc", filesystem("proc")),
        mount("/dev", MountKind::DevLayout),
        mount("/tmp", filesystem("tmpfs")),
    ];
    let calls = explain(&config, &initial(), None).unwrap();
    let labelled = calls
        .iter()
        .filter(|call| call.contains("context=u:r:t:s0:c1,c2"));
    assert_eq!(
        labelled.count(),
        4,
        "/dev, /dev/pts, /dev/shm, /tmp: {calls:#?}"
    );
}

#[test]
fn terminal_is_opened_from_the_containers_devpts_and_becomes_the_console() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mounts = vec![mount("/dev", MountKind::DevLayout)];
    let terminal = Terminal {
        rows: 24,
        columns: 80,
        uid: 7,
        gid: 5,
    };
    let calls = explain(&config, &initial(), Some(&terminal))
        .unwrap()
        .join("\n");
    let opened = calls.find("TIOCGPTPEER").unwrap();
    let attached = calls.find("<console>").unwrap();
    assert!(
        calls.find("<pts>").unwrap() < opened && opened < attached,
        "{calls}"
    );

    config.mounts.clear();
    let error = explain(&config, &initial(), Some(&terminal)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidValue);
    assert!(error.hint().unwrap().contains("devpts"));
}

#[test]
fn terminal_over_a_later_mount_on_dev_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    config.mounts = vec![
        mount("/dev", MountKind::DevLayout),
        mount("/dev", filesystem("tmpfs")),
    ];
    let error = explain(&config, &initial(), Some(&Terminal::default())).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidValue, "the devpts is covered");
}

#[test]
fn shared_bind_is_opened_before_the_ties_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path().to_str().unwrap());
    let shared = MountOptions {
        propagation: Some(Propagation::Shared),
        ..MountOptions::default()
    };
    config.mounts = vec![Mount {
        options: shared,
        ..mount("/tied", bind("/usr"))
    }];
    let calls = explain(&config, &initial(), None).unwrap();
    let opened = calls
        .iter()
        .position(|call| call.contains("\"/usr\""))
        .unwrap();
    let cut = calls
        .iter()
        .position(|call| call.contains("mount_setattr(\"/\""))
        .unwrap();
    assert!(opened < cut, "{calls:#?}");
}

#[test]
fn h06_root_without_a_mount_namespace_of_its_own_is_refused() {
    let mut config = Config {
        rootfs: Rootfs::Directory("/tmp".to_owned()),
        source: Source::Seed,
        ..Config::default()
    };
    refuse(&config, Kind::InvalidValue, "/namespaces");
    config
        .namespaces
        .add(NamespaceKind::Mount, Some("/proc/1/ns/mnt".to_owned()), "");
    refuse(&config, Kind::InvalidValue, "/namespaces");
}

#[test]
fn root_that_is_no_directory_of_its_own_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "").unwrap();
    symlink("/", path("link-to-root")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    for (rootfs, kind) in [
        (path("missing"), Kind::NotFound),
        (path("dangling"), Kind::NotFound),
        (path("file"), Kind::InvalidValue),
        (path("file/below"), Kind::NotFound),
        ("/".to_owned(), Kind::InvalidValue),
        ("//./".to_owned(), Kind::InvalidValue),
        ("/usr/..".to_owned(), Kind::InvalidValue),
        (path("link-to-root"), Kind::InvalidValue),
        ("srv/box".to_owned(), Kind::InvalidValue),
    ] {
        let mut config = config(&rootfs);
        config.source = Source::Seed;
        refuse(&config, kind, "/root_fs");
    }
}

#[test]
fn h09_destination_over_the_root_or_in_proc_is_refused() {
    let cases = [
        ("/", bind("/usr"), Kind::InvalidValue),
        ("//.", filesystem("tmpfs"), Kind::InvalidValue),
        ("data", bind("/usr"), Kind::InvalidValue),
        ("", bind("/usr"), Kind::InvalidValue),
        ("/a/../..", bind("/usr"), Kind::Hostile),
        ("/proc", bind("/usr"), Kind::Hostile),
        ("/proc", filesystem("tmpfs"), Kind::Hostile),
        ("/proc/", filesystem("tmpfs"), Kind::Hostile),
        ("/proc/sys", filesystem("proc"), Kind::Hostile),
        ("//proc/./self/attr", bind("/usr"), Kind::Hostile),
        (
            "/proc/self/attr/exec",
            MountKind::Directory { mode: 0o755 },
            Kind::Hostile,
        ),
        ("/proc", MountKind::DevLayout, Kind::Hostile),
    ];
    for (destination, kind, expected) in cases {
        let mut config = config("/tmp");
        config.mounts = vec![mount(destination, kind)];
        refuse(&config, expected, "the mount");
    }
}

#[test]
fn proc_of_the_host_may_be_bound_at_proc_alone() {
    let mut config = config("/tmp");
    config.mounts = vec![mount("/proc", bind("/proc"))];
    assert!(explain(&config, &initial(), None).is_ok());
    config.mounts = vec![mount("/proc", bind("/proc/self"))];
    refuse(&config, Kind::Hostile, "the mount");
}

#[test]
fn mount_that_cannot_be_made_is_refused_with_its_place() {
    let copy_up = MountOptions {
        copy_up: true,
        ..MountOptions::default()
    };
    let relabel = MountOptions {
        relabel: Some(Relabel::Shared),
        ..MountOptions::default()
    };
    let overlay = |lower: &[&str]| MountKind::Overlay {
        lower: lower.iter().map(|path| (*path).to_owned()).collect(),
        upper: None,
    };
    let plain = MountOptions::default();
    let cases = [
        (bind("/no/such/source"), plain.clone(), Kind::NotFound),
        (bind("relative"), plain.clone(), Kind::InvalidValue),
        (bind("/usr\0"), plain.clone(), Kind::NotFound),
        (filesystem("tmpfs"), copy_up, Kind::Unsupported),
        (bind("/usr"), relabel, Kind::Unsupported),
        (overlay(&[]), plain.clone(), Kind::InvalidValue),
        (overlay(&["/no/such/layer"]), plain.clone(), Kind::NotFound),
        (MountKind::CgroupView, plain, Kind::Unsupported),
    ];
    for (kind, options, expected) in cases {
        let mut config = config("/tmp");
        config.mounts = vec![Mount {
            options,
            ..mount("/x", kind)
        }];
        let host = Host {
            cgroup_layout: CgroupLayout::Absent,
            ..initial()
        };
        let error = explain(&config, &host, None).unwrap_err();
        // NUL is an invalid path to the host, in whatever words.
        let nul = error.to_string().contains("\\0");
        assert!(
            error.kind() == expected || nul,
            "{:?}: {error:?}",
            config.mounts
        );
        assert_eq!(error.config_pointer(), Some("the mount"));
    }
}

#[test]
fn writable_cgroup_view_of_the_host_is_refused() {
    let mut config = config("/tmp");
    let mut writable = mount("/sys/fs/cgroup", MountKind::CgroupView);
    writable.options.clear.read_only = true;
    config.mounts = vec![writable];
    refuse(&config, Kind::Denied, "the mount");
    config.namespaces.add(NamespaceKind::Cgroup, None, "");
    assert!(explain(&config, &initial(), None).is_ok());
}

#[test]
fn cgroup_view_on_a_v2_host_is_one_mount() {
    let mut config = config("/tmp");
    config.namespaces.add(NamespaceKind::Cgroup, None, "");
    config.mounts = vec![mount("/sys/fs/cgroup", MountKind::CgroupView)];
    let calls = explain(&config, &initial(), None).unwrap();
    let groups = calls.iter().filter(|call| call.contains("cgroup2"));
    assert_eq!(groups.count(), 2, "made and attached: {calls:#?}");
}

#[test]
fn device_outside_its_place_is_refused() {
    for (path, kind) in [
        ("/dev/../etc/passwd", Kind::Hostile),
        ("/proc/x", Kind::Hostile),
        ("dev/null", Kind::InvalidValue),
        ("/", Kind::InvalidValue),
    ] {
        let mut device = Device::char(path, 1, 3, 0o666);
        device.pointer = "the device".to_owned();
        let mut config = config("/tmp");
        config.devices = vec![device];
        refuse(&config, kind, "the device");
    }
}

#[test]
fn masked_path_outside_the_root_is_refused() {
    let mut config = config("/tmp");
    config.source = Source::Oci;
    config.masked_paths = vec!["/ok".to_owned(), "/a/../b".to_owned()];
    refuse(&config, Kind::Hostile, "/linux/maskedPaths/1");
}

#[test]
fn moved_root_in_a_user_namespace_is_refused() {
    let mut config = config("/tmp");
    config.root_entry = RootEntry::Move;
    let host = Host {
        rights: Rights::UserNamespace,
        ..initial()
    };
    let error = explain(&config, &host, None).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn kernel_settings_are_written_below_the_private_procfs() {
    let mut config = config("/tmp");
    config.namespaces.add(NamespaceKind::Network, None, "");
    config.sysctl = vec![
        setting("net.ipv4.ip_forward"),
        setting("net/core/somaxconn"),
    ];
    let mut plan = PlanBuilder::new();
    let procfs = private_procfs(&mut plan).unwrap();
    sysctl(&config, procfs, &mut plan).unwrap();
    let steps = plan.finish().explain();
    assert_eq!(steps.len(), 3);
    assert!(
        steps[1].call.contains("<proc>/sys/net/ipv4/ip_forward"),
        "{}",
        steps[1].call
    );
    assert!(
        steps[2].call.contains("<proc>/sys/net/core/somaxconn"),
        "{}",
        steps[2].call
    );
    assert_eq!(steps[1].pointer.as_deref(), Some("the setting"));
}

#[test]
fn kernel_setting_of_the_host_is_refused() {
    for (name, kind) in [
        ("kernel.core_pattern", Kind::InvalidValue),
        ("net/../kernel/core_pattern", Kind::InvalidValue),
        ("kernel.hostname", Kind::Denied),
        ("net.ipv4.ip_forward", Kind::Denied),
    ] {
        let mut config = config("/tmp");
        config.sysctl = vec![setting(name)];
        let mut plan = PlanBuilder::new();
        let procfs = private_procfs(&mut plan).unwrap();
        let error = sysctl(&config, procfs, &mut plan).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        assert_eq!(error.config_pointer(), Some("the setting"));
    }
}

#[test]
fn mount_plan_below_a_missing_directory_is_refused() {
    let error = MountPlan::new("/no/such", &[], &initial()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (Kind::NotFound, Some(2)));
    assert_eq!(
        error.to_string(),
        "look for the source: stat(\"/no/such\"): ENOENT (no such file or directory)"
    );
}

// ---- what a test is made of

fn initial() -> Host {
    Host {
        rights: Rights::Initial,
        sources: Sources::Child,
        cgroup_layout: CgroupLayout::V2 {
            mount_point: "/sys/fs/cgroup".to_owned(),
        },
    }
}

fn config(rootfs: &str) -> Config {
    let mut config = Config {
        rootfs: Rootfs::Directory(rootfs.to_owned()),
        ..Config::default()
    };
    config.namespaces.add(NamespaceKind::Mount, None, "");
    config
}

fn explain(
    config: &Config,
    host: &Host,
    terminal: Option<&Terminal>,
) -> Result<Vec<String>, ns_mount::Error> {
    let mut plan = PlanBuilder::new();
    RootfsPlanner::plan(config, host, terminal, &mut plan)?;
    Ok(plan
        .finish()
        .explain()
        .into_iter()
        .map(|step| step.call)
        .collect())
}

fn refuse(config: &Config, kind: Kind, pointer: &str) {
    let error = explain(config, &initial(), None).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.config_pointer(), Some(pointer), "{error:?}");
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer: "the mount".to_owned(),
    }
}

fn filesystem(fstype: &str) -> MountKind {
    MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source: fstype.to_owned(),
    }
}

fn bind(source: &str) -> MountKind {
    MountKind::Bind {
        source: source.to_owned(),
        recursive: true,
        optional: false,
    }
}

fn setting(name: &str) -> Sysctl {
    Sysctl {
        name: name.to_owned(),
        value: "1".to_owned(),
        pointer: "the setting".to_owned(),
    }
}
