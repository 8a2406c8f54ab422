//! What a configuration must fulfil: tables of what is refused, by pointer.

#![expect(
    clippy::panic,
    clippy::too_many_lines,
    reason = "tables, and a failed test says why"
)]

use ns_config::{
    CapabilitySet, Config, IdMap, Kind, Mount, MountKind, MountOptions, NamespaceKind, Network,
    NetworkKind, Problem, ResolvedUser, Rlimit, Rootfs, Source, UserSpec,
    cgroup::{CgroupConfig, Limit},
};

const EVERY_KEY: &str = include_str!("data/every_key.json");

/// A valid configuration with a namespace of every kind but user.
fn valid() -> Config {
    let kinds = NamespaceKind::ALL
        .into_iter()
        .filter(|kind| *kind != NamespaceKind::User);
    Config {
        rootfs: Rootfs::Directory("/srv/rootfs".to_owned()),
        namespaces: kinds.collect(),
        ..Config::default()
    }
}

fn problems(config: &Config) -> Vec<Problem> {
    config.validate().err().into_iter().flatten().collect()
}

/// Changing a valid configuration so must give exactly one problem, of this kind at this place.
fn check(change: impl FnOnce(&mut Config), kind: Kind, pointer: &str) {
    let mut config = valid();
    change(&mut config);
    let found = problems(&config);
    assert_eq!(found.len(), 1, "{pointer}: {found:#?}");
    assert_eq!(
        (found[0].kind, found[0].pointer.as_str()),
        (kind, pointer),
        "{}",
        found[0]
    );
}

/// Every edit of the text must give problems at exactly these places.
fn check_edit(from: &str, to: &str, pointers: &[&str]) {
    assert!(EVERY_KEY.contains(from), "{from} is in the sample");
    let text = EVERY_KEY.replace(from, to);
    let config = Config::from_seed(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let found = problems(&config);
    let found: Vec<&str> = found
        .iter()
        .map(|problem| problem.pointer.as_str())
        .collect();
    assert_eq!(
        found,
        pointers,
        "{from} -> {to}: {:?}",
        config.validate().err()
    );
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer: String::new(),
    }
}

fn bind(source: &str, destination: &str) -> Mount {
    let source = source.to_owned();
    mount(
        destination,
        MountKind::Bind {
            source,
            recursive: true,
            optional: false,
        },
    )
}

fn filesystem(fstype: &str, destination: &str) -> Mount {
    let kind = MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source: String::new(),
    };
    mount(destination, kind)
}

#[test]
fn valid_configuration_has_no_problem() {
    assert_eq!(valid().validate(), Ok(()));
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn rootfs_that_is_the_host_or_no_path_is_refused() {
    for path in ["/", "//", "/.", "rootfs", "./rootfs", "/srv/../..", "/a\0b"] {
        check(
            |config| config.rootfs = Rootfs::Directory(path.to_owned()),
            Kind::InvalidValue,
            "rootfs",
        );
    }
}

#[test]
fn h06_setting_of_a_shared_namespace_is_refused() {
    type Change = fn(&mut Config);
    let changes: [(NamespaceKind, Change, &str); 11] = [
        (
            NamespaceKind::Uts,
            |c| c.hostname = Some("x".into()),
            "hostname",
        ),
        (
            NamespaceKind::Uts,
            |c| c.domainname = Some("x".into()),
            "domainname",
        ),
        (
            NamespaceKind::Network,
            |c| c.networks = vec![Network::new(NetworkKind::Loopback)],
            "networks",
        ),
        (
            NamespaceKind::Mount,
            |c| c.mounts = vec![bind("/a", "/b")],
            "mounts",
        ),
        (
            NamespaceKind::Mount,
            |c| c.devices = ns_config::Device::default_simple(),
            "devices",
        ),
        (
            NamespaceKind::Mount,
            |c| c.readonly_rootfs = true,
            "readonly_rootfs",
        ),
        (
            NamespaceKind::Mount,
            |c| c.root_entry = ns_config::RootEntry::Move,
            "root_entry",
        ),
        (
            NamespaceKind::Mount,
            |c| c.masked_paths = vec!["/proc/kcore".into()],
            "masked_paths",
        ),
        (
            NamespaceKind::Mount,
            |c| c.readonly_paths = vec!["/proc/sys".into()],
            "readonly_paths",
        ),
        (
            NamespaceKind::Mount,
            |c| c.mount_label = Some("l".into()),
            "mount_label",
        ),
        (
            NamespaceKind::Mount,
            |c| c.rootfs = Rootfs::Directory("/srv".into()),
            "rootfs",
        ),
    ];
    for (kind, change, pointer) in changes {
        for path in [None, Some(format!("/proc/1/ns/{}", kind.proc_name()))] {
            check(
                |config| {
                    config.rootfs = Rootfs::default();
                    change(config);
                    config.namespaces.remove(kind);
                    path.into_iter()
                        .for_each(|path| config.namespaces.add(kind, Some(path), ""));
                },
                Kind::Conflict,
                pointer,
            );
        }
    }
}

#[test]
fn h06_seed_settings_without_their_namespaces_are_named_by_pointer() {
    let text = EVERY_KEY
        .replace("\"NEWNS\"", "\"NEWCGROUP\"")
        .replace("\"NEWUTS\"", "\"NEWTIME\"");
    let config = Config::from_seed(text.as_bytes()).unwrap();
    let found = problems(&config);
    let pointers: Vec<&str> = found
        .iter()
        .map(|problem| problem.pointer.as_str())
        .collect();
    assert_eq!(
        pointers,
        [
            "/root_fs",
            "/hostname",
            "/mount_config/mounts",
            "/mount_config/device_nodes",
            "/restrict_sys",
            "/restrict_sys",
        ]
    );
}

#[test]
fn host_name_that_is_none_is_refused() {
    for name in ["", "a b", "-a", ".a", "ä", "a\n", "a/b", &"a".repeat(65)] {
        check(
            |config| config.hostname = Some(name.to_owned()),
            Kind::InvalidValue,
            "hostname",
        );
    }
    for name in ["a", "a.b-c_d", &"a".repeat(64)] {
        let config = Config {
            hostname: Some(name.to_owned()),
            ..valid()
        };
        assert_eq!(config.validate(), Ok(()), "{name}");
    }
}

#[test]
fn namespace_to_join_needs_an_absolute_path() {
    for path in ["proc/1/ns/ipc", "/proc/../ipc", "", "/x\0"] {
        check(
            |c| {
                c.namespaces
                    .add(NamespaceKind::Ipc, Some(path.to_owned()), "/namespaces/4")
            },
            Kind::InvalidValue,
            "/namespaces/4",
        );
    }
}

#[test]
fn h09_mount_over_what_protects_is_refused() {
    for destination in [
        "/",
        "//",
        "/.",
        "/proc",
        "/proc/",
        "//proc/sys",
        "/proc/self",
        "/proc/sys/x",
    ] {
        check(
            |config| config.mounts = vec![bind("/a", destination)],
            Kind::Hostile,
            "mounts/0",
        );
    }
    check(
        |config| config.mounts = vec![filesystem("tmpfs", "/proc")],
        Kind::Hostile,
        "mounts/0",
    );
    check(
        |config| config.mounts = vec![filesystem("proc", "/proc/x")],
        Kind::Hostile,
        "mounts/0",
    );
    check(
        |config| config.mounts = vec![filesystem("tmpfs", "/proc/uptime")],
        Kind::Hostile,
        "mounts/0",
    );
    for fine in [
        filesystem("proc", "/proc"),
        filesystem("sysfs", "/sys"),
        bind("/proc", "/proc"),
        bind("/lxcfs/uptime", "/proc/uptime"),
        bind("/a", "/sys/fs"),
        bind("/a", "/procfs"),
        bind("/a", "/sysfiles"),
        bind("/a/../b", "/dev/shm"),
    ] {
        let config = Config {
            mounts: vec![fine.clone()],
            ..valid()
        };
        assert_eq!(config.validate(), Ok(()), "{fine:?}");
    }
}

#[test]
fn mount_that_is_malformed_is_refused() {
    for destination in [
        "",
        "a",
        "../a",
        "/a/../b",
        "/a\0",
        &format!("/{}", "a".repeat(256)),
    ] {
        let kind = Kind::InvalidValue;
        check(
            |config| config.mounts = vec![bind("/a", destination)],
            kind,
            "mounts/0",
        );
    }
    for bad in [
        bind("", "/a"),
        bind("a", "/a"),
        bind("/a\0", "/a"),
        filesystem("", "/a"),
        filesystem("ext4,x", "/a"),
        mount(
            "/a",
            MountKind::Overlay {
                lower: vec![],
                upper: None,
            },
        ),
        mount(
            "/a",
            MountKind::Overlay {
                lower: vec!["l".to_owned()],
                upper: None,
            },
        ),
        mount("/a", MountKind::Directory { mode: 0o10000 }),
        mount(
            "/a",
            MountKind::File {
                contents: vec![],
                mode: 0o40644,
            },
        ),
        mount(
            "/a",
            MountKind::Symlink {
                target: String::new(),
            },
        ),
    ] {
        check(
            |config| config.mounts = vec![bad],
            Kind::InvalidValue,
            "mounts/0",
        );
    }
}

#[test]
fn mount_options_that_contradict_or_do_nothing_are_refused() {
    let with = |change: fn(&mut MountOptions)| {
        let mut entry = bind("/a", "/b");
        change(&mut entry.options);
        entry
    };
    for (entry, kind) in [
        (
            with(|options| {
                options.set.read_only = true;
                options.clear.read_only = true;
            }),
            Kind::Conflict,
        ),
        (with(|options| options.copy_up = true), Kind::Conflict),
        (
            with(|options| options.data = vec![("nosiud".to_owned(), None)]),
            Kind::InvalidValue,
        ),
    ] {
        check(|config| config.mounts = vec![entry], kind, "mounts/0");
    }
    let mut dev = mount("/dev", MountKind::DevLayout);
    dev.options.set.no_exec = true;
    check(
        |config| config.mounts = vec![dev],
        Kind::Conflict,
        "mounts/0",
    );
    for source in ["/", "/usr", "/etc/"] {
        let mut entry = bind(source, "/b");
        entry.options.relabel = Some(ns_config::Relabel::Shared);
        check(
            |config| config.mounts = vec![entry],
            Kind::Hostile,
            "mounts/0",
        );
    }
}

#[test]
fn device_that_is_not_what_it_says_is_refused() {
    let device = |path: &str, major, minor| ns_config::Device::char(path, major, minor, 0o666);
    for (bad, kind) in [
        (device("/dev/null", 1, 5), Kind::Hostile),
        (device("/dev/../x", 1, 5), Kind::InvalidValue),
        (device("dev/x", 1, 5), Kind::InvalidValue),
        (device("/", 1, 5), Kind::InvalidValue),
        (device("/proc/x", 1, 5), Kind::InvalidValue),
        (device("/dev/x", 4096, 5), Kind::InvalidValue),
        (device("/dev/x", 1, 1 << 20), Kind::InvalidValue),
        (
            ns_config::Device {
                mode: 0o20666,
                ..device("/dev/x", 1, 5)
            },
            Kind::InvalidValue,
        ),
        (
            ns_config::Device {
                uid: u32::MAX,
                ..device("/dev/x", 1, 5)
            },
            Kind::InvalidValue,
        ),
    ] {
        check(|config| config.devices = vec![bad], kind, "devices/0");
    }
    let twice = vec![device("/dev/x", 1, 5), device("/dev//x", 1, 5)];
    check(|config| config.devices = twice, Kind::Conflict, "devices/1");
}

#[test]
fn user_namespace_needs_mappings_and_mappings_a_user_namespace() {
    let map = |container_id, size| {
        vec![IdMap {
            container_id,
            host_id: 1000,
            size,
        }]
    };
    check(
        |config| config.uid_mappings = map(0, 1),
        Kind::Conflict,
        "uid_mappings",
    );
    let user = |uids: Vec<IdMap>, gids: Vec<IdMap>| {
        move |config: &mut Config| {
            config.namespaces.add(NamespaceKind::User, None, "");
            config.uid_mappings = uids;
            config.gid_mappings = gids;
        }
    };
    check(user(map(0, 1), vec![]), Kind::Missing, "gid_mappings");
    check(
        user(map(0, 0), map(0, 1)),
        Kind::InvalidValue,
        "uid_mappings/0",
    );
    let with_user = |spec: &'static str| {
        move |config: &mut Config| {
            user(map(0, 1), map(0, 1))(config);
            config.process.user = spec.parse::<UserSpec>().unwrap();
        }
    };
    check(with_user("5"), Kind::Conflict, "process.user");
    check(with_user("0:5"), Kind::Conflict, "process.user");
    let mut config = valid();
    with_user("0:0")(&mut config);
    assert_eq!(config.validate(), Ok(()));
    config.process.additional_gids = vec![7];
    assert_eq!(problems(&config)[0].pointer, "process.additional_gids");
}

#[test]
fn user_without_a_mapping_is_found_after_the_lookup() {
    let mut config = valid();
    config.namespaces.add(NamespaceKind::User, None, "");
    config.uid_mappings = vec![IdMap {
        container_id: 0,
        host_id: 1000,
        size: 10,
    }];
    config.gid_mappings = config.uid_mappings.clone();
    let user = |uid, gid, additional_gids: &[u32]| ResolvedUser {
        uid,
        gid,
        additional_gids: additional_gids.to_vec(),
        home: "/".to_owned(),
    };
    assert_eq!(config.validate_user(&user(9, 0, &[9])), Ok(()));
    for bad in [user(10, 0, &[]), user(0, 10, &[]), user(0, 0, &[10])] {
        assert_eq!(config.validate_user(&bad).unwrap_err().len(), 1, "{bad:?}");
    }
    assert!(
        valid().validate_user(&user(10, 10, &[10])).is_ok(),
        "without a user namespace"
    );
}

#[test]
fn h11_working_directory_through_a_descriptor_is_refused() {
    for path in [
        "/proc/self/fd/7",
        "/proc//self/./fd/7",
        "/proc/1/cwd",
        "/proc/1/root/x",
        "/dev/fd/3",
    ] {
        check(
            |config| config.process.working_dir = Some(path.to_owned()),
            Kind::Hostile,
            "process.working_dir",
        );
    }
    for path in ["", "a", "/a\0"] {
        check(
            |config| config.process.working_dir = Some(path.to_owned()),
            Kind::InvalidValue,
            "process.working_dir",
        );
    }
}

#[test]
fn process_setting_out_of_range_is_refused() {
    let nofile = |text: &str| text.parse::<Rlimit>().unwrap();
    check(
        |c| c.process.oom_score_adj = Some(1001),
        Kind::InvalidValue,
        "process.oom_score_adj",
    );
    check(
        |c| c.process.umask = Some(0o1000),
        Kind::InvalidValue,
        "process.umask",
    );
    check(
        |c| c.process.parent_death_signal = 65,
        Kind::InvalidValue,
        "process.parent_death_signal",
    );
    check(
        |c| c.process.rlimits = vec![nofile("nofile=1"), nofile("nofile=2")],
        Kind::Conflict,
        "process.rlimits/1",
    );
    check(
        |c| {
            c.process.rlimits = vec![Rlimit {
                soft: 3,
                ..nofile("nofile=2")
            }]
        },
        Kind::Conflict,
        "process.rlimits/0",
    );
    check(
        |c| c.process.environment = vec!["A".into()],
        Kind::InvalidValue,
        "process.environment/0",
    );
    check(
        |c| c.process.additional_gids = vec![u32::MAX],
        Kind::InvalidValue,
        "process.additional_gids",
    );
    check(
        |c| c.process.apparmor_profile = Some(String::new()),
        Kind::InvalidValue,
        "process.apparmor_profile",
    );
}

#[test]
fn k06_capability_sets_that_the_kernel_would_refuse_are_named() {
    let chown: CapabilitySet = std::iter::once("CHOWN".parse().unwrap()).collect();
    let mut config = valid();
    config.source = Source::Oci;
    config.process.capabilities.ambient = chown;
    config.process.capabilities.effective = chown;
    let found: Vec<String> = problems(&config).into_iter().map(|p| p.pointer).collect();
    assert_eq!(
        found,
        [
            "/process/capabilities/effective",
            "/process/capabilities/ambient"
        ]
    );
    config.process.capabilities.bounding = chown;
    config.process.capabilities.permitted = chown;
    config.process.capabilities.inheritable = chown;
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn sysctl_of_the_host_is_refused() {
    let sysctl = |name: &str, pointer: &str| ns_config::Sysctl {
        name: name.to_owned(),
        value: "1".to_owned(),
        pointer: pointer.to_owned(),
    };
    check(
        |c| c.sysctl = vec![sysctl("kernel.core_pattern", "")],
        Kind::Unsupported,
        "sysctl/0",
    );
    check(
        |c| c.sysctl = vec![sysctl("net/../x", "/sysctl/x")],
        Kind::InvalidValue,
        "/sysctl/x",
    );
    check(
        |c| c.sysctl = vec![sysctl("user.max_mnt_namespaces", "")],
        Kind::Conflict,
        "sysctl/0",
    );
    check(
        |c| c.sysctl = vec![sysctl("net.a", ""), sysctl("net.a", "")],
        Kind::Conflict,
        "sysctl/1",
    );
    let config = Config {
        sysctl: vec![sysctl("net.ipv4.ip_forward", "")],
        ..valid()
    };
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn network_settings_that_cannot_work_are_refused() {
    for (from, to, pointers) in [
        ("\"br0\"", "\"\"", &["/networks/1/bridge"][..]),
        (
            "\"br0\"",
            "\"bridge-name-too-long\"",
            &["/networks/1/bridge"],
        ),
        (
            "\"veth\",\n\t\t\t\"mac",
            "\"vethprefx\",\n\t\t\t\"mac",
            &["/networks/1/veth_prefix"],
        ),
        (
            "02:42:ac:11:00:65",
            "01:42:ac:11:00:65",
            &["/networks/1/mac_address"],
        ),
        ("\"mtu\": 1500", "\"mtu\": 1", &["/networks/1/mtu"]),
        ("\"mtu\": 1500", "\"mtu\": 1279", &["/networks/1/mtu"]),
        ("10.9.0.2/24", "0.0.0.0/24", &["/networks/1/address"]),
        (
            "192.168.7.0/24",
            "192.168.7.1/24",
            &["/routes/0/destination"],
        ),
        ("192.168.7.0/24", "fd00::/64", &["/routes/0"]),
        ("\"eth0\"", "\"eth1\"", &["/routes/0/interface_name"]),
        (
            "\"type\": \"loopback\"",
            "\"type\": \"device\", \"host_interface_name\": \"a b\"",
            &["/networks/0/host_interface_name", "/networks/1/name"],
        ),
    ] {
        check_edit(from, to, pointers);
    }
}

#[test]
fn cgroup_settings_that_cannot_work_are_refused() {
    for (from, to, pointer) in [
        (
            "\"memory\": 268435456",
            "\"memory\": 26843545",
            "/cgroups/memory_reservation",
        ),
        (
            "\"memory_swap\": 536870912",
            "\"memory_swap\": 1",
            "/cgroups/memory_swap",
        ),
        (
            "\"cpu_shares\": 512",
            "\"cpu_shares\": 1",
            "/cgroups/cpu_shares",
        ),
        (
            "\"cpu_quota\": 50000",
            "\"cpu_quota\": 999",
            "/cgroups/cpu_quota",
        ),
        (
            "\"cpu_period\": 100000",
            "\"cpu_period\": 1000001",
            "/cgroups/cpu_period",
        ),
        ("\"0-1\"", "\"1-0\"", "/cgroups/cpuset_cpus"),
        (
            "\"cpuset_mems\": \"0\"",
            "\"cpuset_mems\": \"a\"",
            "/cgroups/cpuset_mems",
        ),
        ("\"system.slice\"", "\"system\"", "/cgroups/slice"),
        ("\"box1\"", "\"a/b\"", "/cgroups/name"),
        ("\"demo\"", "\"../demo\"", "/cgroups/parent"),
    ] {
        check_edit(from, to, &[pointer]);
    }
}

#[test]
fn h15_cgroup_that_would_be_the_callers_own_is_refused() {
    for (name, parent) in [
        ("", ""),
        ("", "/"),
        ("..", "a"),
        (".", "a"),
        ("a\n", ""),
        ("x", "a/.."),
    ] {
        let cgroup = CgroupConfig {
            name: name.to_owned(),
            parent: parent.to_owned(),
            ..CgroupConfig::default()
        };
        let found = problems(&Config {
            cgroup: Some(cgroup),
            ..valid()
        });
        assert!(!found.is_empty(), "{name:?} {parent:?}");
        assert!(
            found.iter().all(|problem| problem.kind == Kind::Hostile),
            "{found:?}"
        );
    }
    let parent_alone = CgroupConfig {
        parent: "integration".to_owned(),
        ..CgroupConfig::default()
    };
    assert_eq!(
        Config {
            cgroup: Some(parent_alone),
            ..valid()
        }
        .validate(),
        Ok(())
    );
}

#[test]
fn memory_settings_without_a_limit_are_checked_against_none() {
    let mut cgroup = CgroupConfig {
        name: "x".to_owned(),
        ..CgroupConfig::default()
    };
    cgroup.memory.reservation_bytes = Some(Limit::Value(5));
    assert_eq!(
        Config {
            cgroup: Some(cgroup.clone()),
            ..valid()
        }
        .validate(),
        Ok(())
    );
    cgroup.memory.total_bytes = Some(Limit::Value(5));
    check(
        |config| config.cgroup = Some(cgroup),
        Kind::Conflict,
        "cgroup.memory.total_bytes",
    );
}

#[test]
fn v2_file_that_is_ours_to_write_is_refused() {
    for name in ["cgroup.procs", "../x.y", "memory", "a/b.c", ".x", ""] {
        let mut cgroup = CgroupConfig {
            name: "x".to_owned(),
            ..CgroupConfig::default()
        };
        cgroup.unified.insert(name.to_owned(), "1".to_owned());
        check(
            |config| config.cgroup = Some(cgroup),
            Kind::InvalidValue,
            "cgroup.unified",
        );
    }
}

#[test]
fn problems_are_all_reported_at_once() {
    let mut config = valid();
    config.hostname = Some("a b".to_owned());
    config.process.umask = Some(0o7777);
    config.rootfs = Rootfs::Directory("/".to_owned());
    let text = config.validate().unwrap_err().to_string();
    assert_eq!(
        text,
        "check configuration: rootfs: \"/\": is the root of the host; accepted: an absolute path \
         of a directory, not /\n\
         also: hostname: \"a b\": is not a name; accepted: 1 to 64 letters, digits, '-', '_' and \
         '.', beginning with none of '-' and '.'\n\
         also: process.umask: 4095: has more than permission bits; accepted: 0 to 0777"
    );
}
