//! `container.json`: what is read, what is refused, and that it is written back the same.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::cognitive_complexity,
    reason = "tables, and a failed test says why"
)]

use ns_config::{
    Capabilities, Capability, CapabilitySet, Config, Device, DeviceKind, DeviceRule, Kind,
    MASKED_PATHS, MountKind, NamespaceKind, NetworkKind, Propagation, READONLY_PATHS, Relabel,
    RootEntry, Rootfs, Source, cgroup::Limit,
};

const MINIMAL: &str = include_str!("data/minimal.json");
const APPARMOR: &str = include_str!("data/apparmor.json");
const SELINUX: &str = include_str!("data/selinux.json");
const ATTACH_TO_BRIDGE: &str = include_str!("data/attach_to_bridge.json");
const ROUTE: &str = include_str!("data/route_source_address_selection.json");
const HOST_PID: &str = include_str!("data/host-pid.json");
const USERNS: &str = include_str!("data/userns.json");
const EVERY_KEY: &str = include_str!("data/every_key.json");

const SAMPLES: [(&str, &str); 8] = [
    ("minimal", MINIMAL),
    ("apparmor", APPARMOR),
    ("selinux", SELINUX),
    ("attach_to_bridge", ATTACH_TO_BRIDGE),
    ("route_source_address_selection", ROUTE),
    ("host-pid", HOST_PID),
    ("userns", USERNS),
    ("every_key", EVERY_KEY),
];

fn read(text: &str) -> Config {
    Config::from_seed(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reading must fail with exactly these kinds and pointers, in this order.
fn check_refused(text: &str, expected: &[(Kind, &str)]) {
    let error = Config::from_seed(text.as_bytes()).expect_err(text);
    let found: Vec<(Kind, &str)> = error
        .problems()
        .map(|problem| (problem.kind, problem.pointer.as_str()))
        .collect();
    assert_eq!(found, expected, "{text}\n{error}");
}

fn capability(name: &str) -> Capability {
    name.parse().unwrap()
}

#[test]
fn sample_configs_are_read_and_valid() {
    for (name, text) in SAMPLES {
        let config = read(text);
        assert_eq!(config.validate(), Ok(()), "{name}");
        assert_eq!(config.source, Source::Seed);
    }
}

#[test]
fn sample_configs_are_written_back_the_same() {
    for (name, text) in SAMPLES {
        let config = read(text);
        let written = config.to_seed().unwrap();
        let again = read(&written);
        assert_eq!(
            again.without_pointers(),
            config.without_pointers(),
            "{name}\n{written}"
        );
        assert_eq!(again.to_seed().unwrap(), written, "{name} is stable");
    }
}

/// The original's TestConfigJsonFormat.
#[test]
fn attach_to_bridge_gives_what_the_original_test_asserts() {
    let config = read(ATTACH_TO_BRIDGE);
    assert_eq!(config.hostname.as_deref(), Some("koye"));
    assert!(config.process.terminal);
    assert!(config.namespaces.contains(NamespaceKind::Network));
    assert!(!config.namespaces.contains(NamespaceKind::User));
    let kept = config.process.capabilities.bounding;
    assert!(!kept.contains(capability("SYS_ADMIN")));
    assert!(kept.contains(capability("MKNOD")) && kept.contains(capability("SYS_CHROOT")));
    assert_eq!(kept.len(), 12);
    let veth = &config.networks[1];
    let NetworkKind::Veth {
        bridge,
        prefix,
        hairpin: false,
        ..
    } = &veth.kind
    else {
        panic!("{veth:?}")
    };
    assert_eq!((bridge.as_str(), prefix.as_str()), ("docker0", "veth"));
    assert_eq!(veth.addresses[0].to_string(), "172.17.0.101/16");
    assert_eq!(veth.gateways[0].to_string(), "172.17.42.1");
    assert_eq!(veth.mtu_bytes, Some(1500));
    let nodes: Vec<Device> = config
        .devices
        .iter()
        .map(|device| Device {
            pointer: String::new(),
            ..device.clone()
        })
        .collect();
    assert_eq!(nodes, Device::default_simple());
    assert_eq!(config.masked_paths, MASKED_PATHS);
    assert_eq!(config.readonly_paths, READONLY_PATHS);
}

/// The original's TestApparmorProfile and TestSelinuxLabels.
#[test]
fn labels_of_the_samples_are_read() {
    assert_eq!(
        read(APPARMOR).process.apparmor_profile.as_deref(),
        Some("docker-default")
    );
    let config = read(SELINUX);
    let label = Some("system_u:system_r:svirt_lxc_net_t:s0:c164,c475");
    assert_eq!(config.process.selinux_label.as_deref(), label);
    assert_eq!(config.mount_label.as_deref(), label);
}

#[test]
fn allowed_devices_of_the_samples_are_the_default_rules() {
    let rules = read(MINIMAL).cgroup.unwrap().devices.unwrap();
    let rules: Vec<DeviceRule> = rules
        .into_iter()
        .map(|rule| DeviceRule {
            pointer: String::new(),
            ..rule
        })
        .collect();
    assert_eq!(rules, DeviceRule::default_allowed());
}

#[test]
fn every_key_reaches_the_model() {
    let config = read(EVERY_KEY);
    assert_eq!(config.rootfs, Rootfs::Directory("/srv/rootfs".to_owned()));
    assert_eq!(config.process.user.to_string(), "app:www");
    assert_eq!(config.process.working_dir.as_deref(), Some("/srv"));
    assert_eq!(
        config.process.environment,
        ["PATH=/usr/bin:/bin", "TERM=xterm"]
    );
    let ipc = config.namespaces.get(NamespaceKind::Ipc).unwrap();
    assert_eq!(ipc.path.as_deref(), Some("/proc/4242/ns/ipc"));
    assert_eq!(ipc.pointer, "/namespaces/4");
    assert_eq!(config.process.rlimits[0].resource.name(), "RLIMIT_NOFILE");
    let veth = &config.networks[1];
    assert_eq!(veth.mac_address.unwrap().to_string(), "02:42:ac:11:00:65");
    assert_eq!(veth.addresses[1].to_string(), "fd00::2/64");
    assert_eq!(veth.gateways[1].to_string(), "fd00::1");
    assert_eq!(veth.tx_queue_packets, Some(1000));
    assert_eq!(config.routes[0].source.unwrap().to_string(), "10.9.0.2");
    let cgroup = config.cgroup.as_ref().unwrap();
    assert_eq!(cgroup.memory.limit_bytes, Some(Limit::Value(268_435_456)));
    assert_eq!(cgroup.memory.total_bytes, Some(Limit::Value(536_870_912)));
    assert_eq!(cgroup.cpu.quota_us, Some(Limit::Value(50_000)));
    assert_eq!(cgroup.cpu.cpus.as_deref(), Some("0-1"));
    let bind = &config.mounts[3];
    assert_eq!(bind.pointer, "/mount_config/mounts/0");
    assert!(
        matches!(&bind.kind, MountKind::Bind { source, recursive: true, .. } if source == "/srv/data")
    );
    assert_eq!(bind.options.propagation, Some(Propagation::Private));
    assert!(!bind.options.set_recursive.read_only);
    assert_eq!(config.devices[0].kind, DeviceKind::Char);
}

#[test]
fn new_mount_namespace_implies_the_system_mounts() {
    let config = read(r#"{"namespaces": [{"type": "NEWNS"}]}"#);
    let destinations: Vec<&str> = config
        .mounts
        .iter()
        .map(|mount| mount.destination.as_str())
        .collect();
    assert_eq!(destinations, ["/proc", "/dev", "/sys"]);
    let [proc, dev, sys] = config.mounts.as_slice() else {
        panic!("three mounts")
    };
    let set = proc.options.set;
    assert!(set.no_suid && set.no_dev && set.no_exec && !set.read_only);
    assert_eq!(dev.kind, MountKind::DevLayout);
    assert!(!sys.options.set.read_only);
    assert!(config.masked_paths.is_empty());

    let config = read(r#"{"namespaces": {"NEWNS": true}, "restrict_sys": true}"#);
    assert!(
        config.mounts[2].options.set.read_only,
        "/sys is read-only under restrict_sys"
    );
    for namespaces in ["[]", r#"[{"type": "NEWNS", "path": "/proc/1/ns/mnt"}]"#] {
        let config = read(&format!("{{\"namespaces\": {namespaces}}}"));
        assert!(
            config.mounts.is_empty(),
            "nothing is mounted in a namespace that is not ours"
        );
    }
}

#[test]
fn bind_that_is_not_writable_is_read_only_all_the_way_down() {
    let config = read(
        r#"{"mount_config": {"mounts": [
            {"type": "bind", "source": "/a", "destination": "/b", "slave": true, "relabel": "Z"}]}}"#,
    );
    let options = &config.mounts[0].options;
    assert!(options.set_recursive.read_only);
    assert_eq!(options.propagation, Some(Propagation::Slave));
    assert_eq!(options.relabel, Some(Relabel::Private));
}

#[test]
fn no_pivot_root_enters_by_move_and_is_a_slave() {
    let config = read(r#"{"mount_config": {"no_pivot_root": true, "readonly_fs": true}}"#);
    assert_eq!(config.root_entry, RootEntry::Move);
    assert_eq!(config.rootfs_propagation, Propagation::Slave);
    assert!(config.readonly_rootfs);
}

#[test]
fn namespaces_in_all_three_encodings_are_the_same() {
    let forms = [
        r#"{"namespaces": {"NEWPID": true, "NEWIPC": false, "NEWNET": true}}"#,
        r#"{"namespaces": [{"name": "NEWPID"}, {"name": "NEWNET", "path": ""}]}"#,
        r#"{"namespaces": [{"type": "NEWPID"}, {"type": "NEWNET", "path": null}]}"#,
    ];
    for text in forms {
        let config = read(text);
        assert_eq!(config.namespaces.new_flags(), 0x6000_0000, "{text}");
        assert_eq!(config.namespaces.entries.len(), 2, "{text}");
        assert!(
            config.to_seed().unwrap().contains("\"type\": \"NEWPID\""),
            "the third is written"
        );
    }
}

#[test]
fn h05_unknown_namespace_is_an_error() {
    for (text, expected) in [
        (
            r#"{"namespaces": [{"type": "NEWPIDS"}]}"#,
            (Kind::InvalidValue, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": [{"type": "net"}]}"#,
            (Kind::InvalidValue, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": [{"type": "newpid"}]}"#,
            (Kind::InvalidValue, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": [{"type": ""}]}"#,
            (Kind::InvalidValue, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": [{"name": "NEWPIDS"}]}"#,
            (Kind::InvalidValue, "/namespaces/0/name"),
        ),
        (
            r#"{"namespaces": [{}]}"#,
            (Kind::Missing, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": [{"path": "/x"}]}"#,
            (Kind::Missing, "/namespaces/0/type"),
        ),
        (
            r#"{"namespaces": {"NEWPIDS": true}}"#,
            (Kind::UnknownKey, "/namespaces/NEWPIDS"),
        ),
        (
            r#"{"namespaces": {"NEWPIDS": false}}"#,
            (Kind::UnknownKey, "/namespaces/NEWPIDS"),
        ),
        (
            r#"{"namespaces": {"NEWPID": 1}}"#,
            (Kind::WrongType, "/namespaces/NEWPID"),
        ),
        (
            r#"{"namespaces": {"NEWPID": true, "NEWPID": true}}"#,
            (Kind::DuplicateKey, "/namespaces/NEWPID"),
        ),
        (
            r#"{"namespaces": [{"type": "NEWPID"}, {"type": "NEWPID"}]}"#,
            (Kind::Conflict, "/namespaces/1/type"),
        ),
        (
            r#"{"namespaces": [{"type": "NEWPID", "name": "NEWNET"}]}"#,
            (Kind::InvalidValue, "/namespaces/0/name"),
        ),
        (
            r#"{"namespaces": ["NEWPID"]}"#,
            (Kind::WrongType, "/namespaces/0"),
        ),
        (
            r#"{"namespaces": "NEWPID"}"#,
            (Kind::WrongType, "/namespaces"),
        ),
    ] {
        check_refused(text, &[expected]);
    }
    let error = Config::from_seed(br#"{"namespaces": [{"type": "net"}]}"#).unwrap_err();
    assert_eq!(error.hint(), Some("did you mean \"NEWNET\"?"));
}

#[test]
fn old_ways_to_join_a_namespace_are_understood() {
    let config = read(
        r#"{"ipc": "/proc/1/ns/ipc", "namespaces": {"NEWNET": true, "NEWIPC": true},
            "networks": [{"type": "netns", "ns_path": "/run/netns/a"}]}"#,
    );
    for (kind, path, pointer) in [
        (NamespaceKind::Ipc, "/proc/1/ns/ipc", "/ipc"),
        (NamespaceKind::Network, "/run/netns/a", "/networks/0"),
    ] {
        let namespace = config.namespaces.get(kind).unwrap();
        assert_eq!(namespace.path.as_deref(), Some(path));
        assert_eq!(namespace.pointer, pointer);
    }
    assert_eq!(config.namespaces.new_flags(), 0);
    assert!(config.networks.is_empty());
}

#[test]
fn keys_are_taken_in_any_case() {
    let config = read(r#"{"HostName": "box", "Mount_Config": {"READONLY_FS": true}}"#);
    assert_eq!(config.hostname.as_deref(), Some("box"));
    assert!(config.readonly_rootfs);
}

#[test]
fn key_given_twice_is_refused_in_any_case() {
    check_refused(
        r#"{"tty": true, "tty": true}"#,
        &[(Kind::DuplicateKey, "/tty")],
    );
    check_refused(
        r#"{"tty": true, "TTY": false}"#,
        &[(Kind::DuplicateKey, "/TTY")],
    );
    check_refused(
        r#"{"mount_config": {"mounts": [{"type": "tmpfs", "destination": "/a", "Type": "bind"}]}}"#,
        &[(Kind::DuplicateKey, "/mount_config/mounts/0/Type")],
    );
}

#[test]
fn unknown_key_is_refused_with_the_nearest_one() {
    for (text, pointer, hint) in [
        (
            r#"{"hostnam": "x"}"#,
            "/hostnam",
            Some("did you mean \"hostname\"?"),
        ),
        (
            r#"{"capabilites": []}"#,
            "/capabilites",
            Some("did you mean \"capabilities\"?"),
        ),
        (
            r#"{"cgroups": {"memmory": 1}}"#,
            "/cgroups/memmory",
            Some("did you mean \"memory\"?"),
        ),
        (r#"{"xyzzy/~": 1}"#, "/xyzzy~1~0", None),
        (
            r#"{"mounts": []}"#,
            "/mounts",
            Some("write it as /mount_config/mounts"),
        ),
        (
            r#"{"no_pivot_root": true}"#,
            "/no_pivot_root",
            Some("write it as /mount_config/no_pivot_root"),
        ),
        (
            r#"{"networks": [{"type": "veth", "context": {}}]}"#,
            "/networks/0/context",
            Some("write it as bridge, veth_prefix and ns_path"),
        ),
    ] {
        let error = Config::from_seed(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::UnknownKey, "{text}");
        assert_eq!((error.pointer(), error.hint()), (pointer, hint), "{text}");
    }
}

#[test]
fn document_that_is_not_an_object_is_refused() {
    for text in [
        "null",
        "",
        " ",
        "{",
        "{}x",
        "{\"a\": }",
        "{\"hostname\": \"a\0\"}",
        "\u{feff}{}",
    ] {
        let error = Config::from_seed(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Syntax, "{text:?}");
    }
    assert!(Config::from_seed(b"{\"hostname\": \"\xff\"}").is_err());
    for text in ["[]", "1", "\"x\"", "true"] {
        check_refused(text, &[(Kind::WrongType, "")]);
    }
    assert_eq!(read("{}").namespaces.new_flags(), 0);
}

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    check_refused(
        r#"{
            "hostname": 5, "tty": "yes", "capabilities": ["CHWON", 1],
            "rlimits": [{"type": 99, "hard": 1, "soft": -1}, {"hard": 1, "soft": 1}],
            "networks": [{"type": "veht"}, {"type": "veth", "address": "10.0.0.1", "mtu": 1.5}],
            "routes": [{"gateway": "localhost"}],
            "cgroups": {"memory": "1g", "freezer": "frozen", "allowed_devices": [{"type": 100}]},
            "mount_config": {"mounts": [{"type": "devtmpfs", "destination": "/dev"}],
                             "device_nodes": [{"type": "x", "path": "/dev/x", "minor_number": -1}]},
            "user": "1:", "uid_mappings": [{"size": -1}], "bogus": null
        }"#,
        &[
            (Kind::WrongType, "/hostname"),
            (Kind::WrongType, "/tty"),
            (Kind::InvalidValue, "/capabilities/0"),
            (Kind::WrongType, "/capabilities/1"),
            (Kind::InvalidValue, "/rlimits/0/type"),
            (Kind::InvalidValue, "/rlimits/0/soft"),
            (Kind::Missing, "/rlimits/1/type"),
            (Kind::InvalidValue, "/networks/0/type"),
            (Kind::InvalidValue, "/networks/1/address"),
            (Kind::WrongType, "/networks/1/mtu"),
            (Kind::Missing, "/routes/0/interface_name"),
            (Kind::InvalidValue, "/routes/0/gateway"),
            (Kind::WrongType, "/cgroups/memory"),
            (Kind::InvalidValue, "/cgroups/freezer"),
            (
                Kind::Missing,
                "/cgroups/allowed_devices/0/cgroup_permissions",
            ),
            (Kind::InvalidValue, "/cgroups/allowed_devices/0/type"),
            (Kind::InvalidValue, "/mount_config/mounts/0/type"),
            (Kind::InvalidValue, "/mount_config/device_nodes/0/type"),
            (
                Kind::InvalidValue,
                "/mount_config/device_nodes/0/minor_number",
            ),
            (Kind::InvalidValue, "/user"),
            (Kind::InvalidValue, "/uid_mappings/0/size"),
            (Kind::UnknownKey, "/bogus"),
        ],
    );
}

#[test]
fn value_that_means_nothing_is_refused() {
    for (text, expected) in [
        (
            r#"{"rlimits": [{"type": 0, "hard": 1}]}"#,
            vec![(Kind::Missing, "/rlimits/0/soft")],
        ),
        (
            r#"{"mount_config": {"mounts": [{"type": "bind", "destination": "/a"}]}}"#,
            vec![(Kind::Missing, "/mount_config/mounts/0/source")],
        ),
        (
            r#"{"mount_config": {"mounts": [{"type": "tmpfs", "destination": "/a", "source": "/b"}]}}"#,
            vec![(Kind::InvalidValue, "/mount_config/mounts/0/source")],
        ),
        (
            r#"{"mount_config": {"mounts": [{"type": "tmpfs", "destination": "/a", "private": true, "slave": true}]}}"#,
            vec![(Kind::Conflict, "/mount_config/mounts/0/slave")],
        ),
        (
            r#"{"mount_config": {"mounts": [{"type": "bind", "source": "/a", "destination": "/a", "relabel": "zZ"}]}}"#,
            vec![(Kind::InvalidValue, "/mount_config/mounts/0/relabel")],
        ),
        (
            r#"{"mount_config": {"pivot_dir": "/x"}}"#,
            vec![(Kind::UnknownKey, "/mount_config/pivot_dir")],
        ),
        (
            r#"{"cgroups": {"memory": -2}}"#,
            vec![(Kind::InvalidValue, "/cgroups/memory")],
        ),
        (
            r#"{"cgroups": {"cpu_shares": -1}}"#,
            vec![(Kind::InvalidValue, "/cgroups/cpu_shares")],
        ),
        (
            r#"{"cgroups": {"blkio_weight": 70000}}"#,
            vec![(Kind::InvalidValue, "/cgroups/blkio_weight")],
        ),
        (
            r#"{"additional_groups": ["wheel"]}"#,
            vec![(Kind::Unsupported, "/additional_groups/0")],
        ),
        (
            r#"{"additional_groups": [-1]}"#,
            vec![(Kind::InvalidValue, "/additional_groups/0")],
        ),
        (
            r#"{"sysctl": {"net.a": 1}}"#,
            vec![(Kind::WrongType, "/sysctl/net.a")],
        ),
        (
            r#"{"networks": [{"type": "loopback", "bridge": "b"}]}"#,
            vec![(Kind::InvalidValue, "/networks/0/bridge")],
        ),
        (
            r#"{"networks": [{"type": "netns"}]}"#,
            vec![(Kind::Missing, "/networks/0/ns_path")],
        ),
        (
            r#"{"networks": [{}]}"#,
            vec![(Kind::Missing, "/networks/0/type")],
        ),
        (
            r#"{"networks": [{"type": "veth", "address": "fd00::1/64", "gateway": "fd00::1"}]}"#,
            vec![
                (Kind::InvalidValue, "/networks/0/address"),
                (Kind::InvalidValue, "/networks/0/gateway"),
            ],
        ),
        (
            r#"{"routes": [{"interface_name": "eth0", "source": "10.0.0.1/32"}]}"#,
            vec![(Kind::InvalidValue, "/routes/0/source")],
        ),
        (
            r#"{"user": "4294967295"}"#,
            vec![(Kind::InvalidValue, "/user")],
        ),
    ] {
        check_refused(text, &expected);
    }
}

#[test]
fn later_keys_are_read() {
    let config = read(
        r#"{"additional_groups": [5, 6], "no_new_privileges": true, "domainname": "d",
            "sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmni": "4"},
            "namespaces": [{"type": "NEWCGROUP"}, {"type": "NEWTIME"}],
            "cgroups": {"name": "x", "blkio_weight": 500, "allow_all_devices": true},
            "rlimits": [{"type": "nofile", "hard": 18446744073709551615, "soft": 1}],
            "mount_config": {"device_nodes": [{"type": "b", "path": "/dev/x"}]},
            "networks": [
              {"type": "veth", "bridge": "b", "veth_prefix": "v", "hairpin_mode": true,
               "name": "e1", "host_interface_name": "h1"},
              {"type": "macvlan", "parent": "eth0", "mode": "vepa", "name": "m"},
              {"type": "ipvlan", "parent": "eth0", "name": "i"},
              {"type": "device", "host_interface_name": "eth5", "name": "d"}]}"#,
    );
    assert_eq!(config.process.additional_gids, [5, 6]);
    assert!(config.process.no_new_privileges);
    assert_eq!(config.sysctl[0].pointer, "/sysctl/net.ipv4.ip_forward");
    assert_eq!(config.namespaces.new_flags(), 0x0200_0080);
    let cgroup = config.cgroup.as_ref().unwrap();
    assert_eq!((cgroup.io.weight, &cgroup.devices), (Some(500), &None));
    assert_eq!(config.process.rlimits[0].hard, u64::MAX);
    assert_eq!(config.devices[0].kind, DeviceKind::Block);
    assert_eq!(config.networks.len(), 4);
    assert_eq!(
        read(&config.to_seed().unwrap()).without_pointers(),
        config.without_pointers()
    );
}

#[test]
fn h10_capabilities_of_the_config_are_never_inheritable_or_ambient() {
    let sets = read(r#"{"capabilities": ["CAP_SYS_ADMIN", "bpf"]}"#)
        .process
        .capabilities;
    let expected: CapabilitySet = [capability("SYS_ADMIN"), capability("BPF")]
        .into_iter()
        .collect();
    assert_eq!(sets, Capabilities::kept(expected));
    assert_eq!(read("{}").process.capabilities, Capabilities::default());
}

#[test]
fn setting_that_the_format_lacks_is_refused_by_name() {
    let mut config = read(EVERY_KEY);
    config.process.umask = Some(0o77);
    config.process.oom_score_adj = Some(1);
    config.rootfs = Rootfs::Empty { size_bytes: None };
    config.cgroup.as_mut().unwrap().pids = Some(Limit::Value(5));
    config.mounts.remove(0);
    config
        .process
        .capabilities
        .ambient
        .insert(capability("CHOWN"));
    let error = config.to_seed().unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let has_way_out = |problem: &ns_config::Problem| problem.hint.is_some();
    assert!(error.problems().all(has_way_out), "{error}");
    let mut pointers: Vec<&str> = error.problems().map(|p| p.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/capabilities",
            "/mount_config/mounts",
            "/root_fs",
            "cgroup.pids",
            "process.oom_score_adj",
            "process.umask",
        ]
    );
}
