//! `config.json`: what is read, what is refused, what has to be ignored, and what is written.

#![expect(
    clippy::panic,
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "tables, and a failed test says why"
)]

use std::collections::BTreeMap;

use ns_config::{
    Config, DeviceAccess, DeviceRule, DeviceRuleKind, Kind, MountKind, MountOptions, NamespaceKind,
    OciConfig, OverlayUpper, Propagation, Relabel, Rootfs, Source,
    cgroup::{CgroupConfig, FreezerState, Limit},
};

const ENGINE: &str = include_str!("data/oci_engine.json");
const GOLDEN: &str = include_str!("data/oci_golden.json");

fn read(text: &str) -> OciConfig {
    OciConfig::from_json(text.as_bytes(), "/bundle").unwrap_or_else(|error| panic!("{error}"))
}

/// A document with the least that the specification asks for, and members of its own.
fn document(members: &str) -> String {
    let least = r#""ociVersion": "1.0.2", "root": {"path": "rootfs"}"#;
    match members {
        "" => format!("{{{least}}}"),
        members => format!("{{{least}, {members}}}"),
    }
}

fn linux(members: &str) -> String {
    document(&format!("\"linux\": {{{members}}}"))
}

fn process(members: &str) -> String {
    let least = r#""cwd": "/", "user": {"uid": 0, "gid": 0}"#;
    document(&format!("\"process\": {{{least}, {members}}}"))
}

fn found(text: &str) -> Vec<(Kind, String)> {
    let error = OciConfig::from_json(text.as_bytes(), "/bundle").expect_err(text);
    let problems = error.problems();
    problems
        .map(|one| (one.kind, one.pointer.clone()))
        .collect()
}

fn check_refused(text: &str, expected: &[(Kind, &str)]) {
    let expected: Vec<(Kind, String)> = expected
        .iter()
        .map(|(kind, pointer)| (*kind, (*pointer).to_owned()))
        .collect();
    assert_eq!(found(text), expected, "{text}");
}

#[test]
fn document_of_an_engine_is_understood_whole() {
    let OciConfig {
        config,
        arguments,
        annotations,
        ignored,
    } = read(ENGINE);
    assert_eq!(ignored, []);
    assert_eq!(arguments, ["sh", "-c", "id"]);
    let expected = [("org.example.one", "1"), ("a/b~c", "")];
    assert_eq!(
        annotations,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        config.rootfs,
        Rootfs::Directory("/bundle/rootfs".to_owned())
    );
    assert!(config.readonly_rootfs && config.process.new_session);
    assert_eq!(config.process.user.to_string(), "1000:100");
    assert_eq!(
        (config.process.umask, config.process.oom_score_adj),
        (Some(0o77), Some(100))
    );
    assert_eq!(config.process.capabilities.effective.len(), 1);
    assert_eq!(config.process.capabilities.bounding.len(), 2);
    assert!(config.process.capabilities.inheritable.is_empty());
    assert_eq!(config.rootfs_propagation, Propagation::Slave);
    let network = config.namespaces.get(NamespaceKind::Network).unwrap();
    assert_eq!(network.path.as_deref(), Some("/run/netns/blue"));
    assert!(
        config.networks.is_empty(),
        "a joined namespace is not set up"
    );
    let fuse = &config.devices[0];
    assert_eq!(
        (fuse.mode, fuse.uid, fuse.gid),
        (0o666, 1, 2),
        "type bits are no permissions"
    );
    let sources: Vec<&MountKind> = config.mounts.iter().map(|mount| &mount.kind).collect();
    let hosts = MountKind::Bind {
        source: "/bundle/hosts".to_owned(),
        recursive: true,
        optional: false,
    };
    assert!(sources.contains(&&hosts) && sources.contains(&&MountKind::CgroupView));
    let overlay = MountKind::Overlay {
        lower: vec!["/a".to_owned(), "/b".to_owned()],
        upper: Some(OverlayUpper {
            upper: "/u".to_owned(),
            work: "/w".to_owned(),
        }),
    };
    assert!(sources.contains(&&overlay));
    let cgroup = config.cgroup.as_ref().unwrap();
    assert_eq!(
        (cgroup.parent.as_str(), cgroup.name.as_str()),
        ("/demo", "box1")
    );
    assert_eq!(cgroup.memory.total_bytes, Some(Limit::Max));
    assert_eq!(cgroup.pids, Some(Limit::Value(64)));
    assert_eq!(
        cgroup.hugepages[0].reserved_bytes,
        Some(Limit::Value(2 << 20))
    );
    assert_eq!(
        cgroup.io.throttles.len(),
        1,
        "limits of one device are one entry"
    );
    let rules: Vec<String> = cgroup
        .devices
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(rules, ["c 1:3 rwm", "c 136:* rw", "b 8:* w"]);
}

#[test]
fn document_of_an_engine_is_written_back_the_same() {
    let first = read(ENGINE);
    let again = read(&first.to_json().unwrap());
    assert_eq!(
        again.config.without_pointers(),
        first.config.without_pointers()
    );
    assert_eq!(
        (again.arguments, again.annotations),
        (first.arguments, first.annotations)
    );
}

#[test]
fn dev_in_another_order_has_the_devices_and_links_of_the_specification() {
    let config = read(ENGINE).config;
    let links: BTreeMap<&str, &str> = config
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Symlink { target } => Some((mount.destination.as_str(), target.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(links.len(), 5);
    assert_eq!(links["/dev/ptmx"], "pts/ptmx");
    for path in [
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
    ] {
        assert!(
            config.devices.iter().any(|device| device.path == path),
            "{path}"
        );
    }
    assert!(
        !read(ENGINE).to_json().unwrap().contains("pts/ptmx"),
        "links are implied"
    );
}

#[test]
fn dev_of_the_host_stays_as_it_is() {
    let mount = r#""mounts": [{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]"#;
    let config = read(&document(&format!(
        r#"{mount}, "linux": {{"namespaces": [{{"type": "mount"}}]}}"#
    )));
    assert_eq!(
        (config.config.mounts.len(), config.config.devices.len()),
        (1, 0)
    );
}

#[test]
fn network_namespace_has_its_loopback_device() {
    let new = read(&linux(r#""namespaces": [{"type": "network"}]"#)).config;
    assert_eq!(new.networks.len(), 1);
    assert_eq!(new.networks[0].pointer, "/linux/namespaces/0");
}

#[test]
fn host_paths_start_from_the_bundle() {
    for (path, expected) in [
        ("rootfs", "/bundle/rootfs"),
        ("./a/b", "/bundle/a/b"),
        (".", "/bundle"),
        ("/srv", "/srv"),
    ] {
        let text = format!(r#"{{"ociVersion": "1.0.0", "root": {{"path": "{path}"}}}}"#);
        assert_eq!(
            read(&text).config.rootfs,
            Rootfs::Directory(expected.to_owned())
        );
    }
    let here = OciConfig::from_json(document("").as_bytes(), "").unwrap();
    assert_eq!(here.config.rootfs, Rootfs::Directory("rootfs".to_owned()));
}

/// The specification: a runtime MUST NOT fail for a property, and SHOULD NOT for a capability, that it does not know.
#[test]
fn unknown_property_and_capability_are_ignored_and_told() {
    let capabilities = r#""capabilities": {"bounding": ["CAP_KILL", "CAP_KIL"]}"#;
    let text = process(&format!("{capabilities}, \"noNewPrivilege\": true"));
    let text = text.replacen('{', r#"{"Hostname": "x", "vendor": {"a": null}, "#, 1);
    let oci = read(&text);
    assert_eq!(oci.config.hostname, None, "keys count in their case");
    assert_eq!(oci.config.process.capabilities.bounding.len(), 1);
    let ignored: Vec<(&str, Option<&str>)> = oci
        .ignored
        .iter()
        .map(|one| (one.pointer.as_str(), one.hint.as_deref()))
        .collect();
    assert_eq!(
        ignored,
        [
            ("/Hostname", Some("did you mean \"hostname\"?")),
            ("/vendor", None),
            (
                "/process/capabilities/bounding/1",
                Some("did you mean \"KILL\"?")
            ),
            (
                "/process/noNewPrivilege",
                Some("did you mean \"noNewPrivileges\"?")
            ),
        ]
    );
    let error = oci.strict().unwrap_err();
    assert_eq!(error.problems().count(), 4, "{error}");
    assert_eq!(error.kind(), Kind::UnknownKey);
}

#[test]
fn namespace_that_is_unknown_or_listed_twice_is_refused() {
    check_refused(
        &linux(r#""namespaces": [{"type": "net"}, {"type": "pid"}, {"type": "pid"}, {}]"#),
        &[
            (Kind::InvalidValue, "/linux/namespaces/0/type"),
            (Kind::Conflict, "/linux/namespaces/2/type"),
            (Kind::Missing, "/linux/namespaces/3/type"),
        ],
    );
}

#[test]
fn malformed_document_is_refused_with_every_place() {
    for (text, expected) in [
        ("null", (Kind::Syntax, "")),
        ("[]", (Kind::WrongType, "")),
        ("{", (Kind::Syntax, "")),
    ] {
        check_refused(text, &[expected]);
    }
    check_refused(
        "{}",
        &[(Kind::Missing, "/ociVersion"), (Kind::Missing, "/root")],
    );
    let versions = [
        ("2.0.0", Kind::Unsupported),
        ("1", Kind::InvalidValue),
        ("0.5.0", Kind::Unsupported),
    ];
    for (version, kind) in versions {
        let text = format!(r#"{{"ociVersion": "{version}", "root": {{"path": "r"}}}}"#);
        check_refused(&text, &[(kind, "/ociVersion")]);
    }
    check_refused(
        &document(r#""process": {"args": "sh", "user": {"uid": 4294967296}}, "hostname": 1"#),
        &[
            (Kind::Missing, "/process/cwd"),
            (Kind::WrongType, "/process/args"),
            (Kind::Missing, "/process/user/gid"),
            (Kind::InvalidValue, "/process/user/uid"),
            (Kind::WrongType, "/hostname"),
        ],
    );
}

#[test]
fn property_that_cannot_be_applied_is_refused_with_a_way_out() {
    let id_map = r#"[{"containerID": 0, "hostID": 1, "size": 1}]"#;
    let mount = |members: &str| {
        document(&format!(
            r#""mounts": [{{"destination": "/a", {members}}}]"#
        ))
    };
    for (text, pointer) in [
        (
            document(r#""hooks": {"poststop": [{"path": "/x"}]}"#),
            "/hooks",
        ),
        (
            document(r#""windows": {"layerFolders": ["x"]}"#),
            "/windows",
        ),
        (
            process(r#""scheduler": {"policy": "SCHED_IDLE"}"#),
            "/process/scheduler",
        ),
        (
            process(r#""ioPriority": {"class": "IOPRIO_CLASS_IDLE"}"#),
            "/process/ioPriority",
        ),
        (
            process(r#""execCPUAffinity": {"initial": "0"}"#),
            "/process/execCPUAffinity",
        ),
        (
            process(r#""terminal": true, "consoleSize": {"height": 1, "width": 1}"#),
            "/process/consoleSize",
        ),
        (
            linux(r#""seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}"#),
            "/linux/seccomp",
        ),
        (
            linux(r#""timeOffsets": {"monotonic": {"secs": 1}}"#),
            "/linux/timeOffsets",
        ),
        (linux(r#""netDevices": {"eth1": {}}"#), "/linux/netDevices"),
        (
            linux(r#""personality": {"domain": "LINUX32"}"#),
            "/linux/personality",
        ),
        (linux(r#""intelRdt": {"closID": "a"}"#), "/linux/intelRdt"),
        (
            linux(r#""memoryPolicy": {"mode": "MPOL_BIND"}"#),
            "/linux/memoryPolicy",
        ),
        (
            linux(r#""cgroupsPath": "system.slice:engine:box""#),
            "/linux/cgroupsPath",
        ),
        (
            linux(r#""resources": {"memory": {"kernel": 1}}"#),
            "/linux/resources/memory/kernel",
        ),
        (
            mount(&format!(
                r#""type": "bind", "source": "/a", "options": ["bind"], "uidMappings": {id_map}"#
            )),
            "/mounts/0/uidMappings",
        ),
        (
            mount(r#""source": "/a", "options": ["bind", "idmap"]"#),
            "/mounts/0/options/1",
        ),
        (
            mount(r#""source": "/a", "options": ["bind", "nofail"]"#),
            "/mounts/0/options/1",
        ),
        (
            mount(r#""source": "/a", "options": ["bind", "Z"]"#),
            "/mounts/0/options/1",
        ),
    ] {
        check_refused(&text, &[(Kind::Unsupported, pointer)]);
        let error = OciConfig::from_json(text.as_bytes(), "/bundle").unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
    // What says nothing is no loss; without a terminal its size has to be ignored.
    let nothing = r#""hooks": {}, "linux": {"seccomp": null, "netDevices": {}}"#;
    assert_eq!(read(&document(nothing)).ignored, []);
    assert_eq!(
        read(&process(r#""consoleSize": {"height": 1, "width": 1}"#)).ignored,
        []
    );
}

#[test]
fn value_that_is_not_accepted_is_refused_at_its_place() {
    for (text, kind, pointer) in [
        (
            linux(r#""rootfsPropagation": "rprivat""#),
            Kind::InvalidValue,
            "/linux/rootfsPropagation",
        ),
        (
            linux(r#""devices": [{"type": "x", "path": "/d"}]"#),
            Kind::InvalidValue,
            "/linux/devices/0/type",
        ),
        (
            linux(r#""devices": [{"type": "c", "path": "/d", "major": 1}]"#),
            Kind::Missing,
            "/linux/devices/0/minor",
        ),
        (
            linux(r#""resources": {"devices": [{"allow": true}]}"#),
            Kind::Missing,
            "/linux/resources/devices/0/access",
        ),
        (
            linux(r#""resources": {"cpu": {"idle": 2}}"#),
            Kind::InvalidValue,
            "/linux/resources/cpu/idle",
        ),
        (
            linux(r#""resources": {"memory": {"limit": -2}}"#),
            Kind::InvalidValue,
            "/linux/resources/memory/limit",
        ),
        (
            linux(r#""resources": {"hugepageLimits": [{"limit": 1}]}"#),
            Kind::Missing,
            "/linux/resources/hugepageLimits/0/pageSize",
        ),
        (
            linux(r#""uidMappings": [{"containerID": 0, "size": 1}]"#),
            Kind::Missing,
            "/linux/uidMappings/0/hostID",
        ),
        (
            linux(r#""sysctl": {"a.b": "1", "a.b": "2"}"#),
            Kind::DuplicateKey,
            "/linux/sysctl/a.b",
        ),
        (
            linux(r#""resources": {"rdma": {"mlx5": {}, "mlx5": {}}}"#),
            Kind::DuplicateKey,
            "/linux/resources/rdma/mlx5",
        ),
        (
            process(r#""rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]"#),
            Kind::InvalidValue,
            "/process/rlimits/0/type",
        ),
        (
            process(
                r#""rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]"#,
            ),
            Kind::Conflict,
            "/process/rlimits/1/type",
        ),
        (
            document(r#""mounts": [{"destination": "/a", "type": "bind", "source": "/a"}]"#),
            Kind::InvalidValue,
            "/mounts/0/type",
        ),
        (
            document(r#""mounts": [{"destination": "/a", "source": "/a"}]"#),
            Kind::Missing,
            "/mounts/0/type",
        ),
        (
            document(
                r#""mounts": [{"destination": "/a", "type": "tmpfs", "options": ["ro", "rw"]}]"#,
            ),
            Kind::Conflict,
            "/mounts/0/options",
        ),
        (
            document(
                r#""mounts": [{"destination": "/a", "type": "overlay", "options": ["upperdir=/u"]}]"#,
            ),
            Kind::InvalidValue,
            "/mounts/0/options",
        ),
        (
            document(r#""annotations": {"a": 1}"#),
            Kind::WrongType,
            "/annotations/a",
        ),
    ] {
        check_refused(&text, &[(kind, pointer)]);
    }
}

#[test]
fn device_rules_keep_their_meaning() {
    let rules = |list: &str| {
        let config = read(&linux(&format!(r#""resources": {{"devices": {list}}}"#))).config;
        let rules = config.cgroup.and_then(|cgroup| cgroup.devices);
        rules.map(|rules| {
            rules
                .iter()
                .map(|rule| format!("{} {rule}", rule.allow))
                .collect::<Vec<_>>()
        })
    };
    let deny = r#"{"allow": false, "access": "rwm"}"#;
    let allow = r#"{"allow": true, "access": "rwm"}"#;
    let one = r#"{"allow": false, "type": "c", "major": 1, "minor": 3, "access": "w"}"#;
    assert_eq!(rules("[]"), None);
    assert_eq!(rules(&format!("[{allow}]")), None);
    assert_eq!(rules(&format!("[{deny}]")), Some(vec![]));
    assert_eq!(
        rules(&format!("[{deny}, {allow}]")),
        Some(vec!["true a *:* rwm".to_owned()])
    );
    let without_deny = ["true a *:* rwm".to_owned(), "false c 1:3 w".to_owned()];
    assert_eq!(rules(&format!("[{one}]")), Some(without_deny.to_vec()));
}

#[test]
fn setting_that_config_json_lacks_is_refused_by_its_place() {
    let seed =
        br#"{"user": "app", "mount_config": {"no_pivot_root": true}, "cgroups": {"name": "a"}}"#;
    let mut config = Config::from_seed(seed).unwrap();
    config.process.new_session = false;
    config.process.parent_death_signal = 9;
    config.process.deny_terminal_injection = true;
    config
        .process
        .environment
        .push(std::os::unix::ffi::OsStringExt::from_vec(vec![b'a', 0xff]));
    config.hostname = Some(String::new());
    let cgroup = config.cgroup.as_mut().unwrap();
    cgroup.slice = Some("a.slice".to_owned());
    cgroup.freezer = Some(FreezerState::Frozen);
    cgroup.misc = vec![("a".to_owned(), Limit::Max)];
    cgroup.memory.limit_bytes = Some(Limit::Value(u64::MAX));
    let oci = OciConfig {
        config,
        ..OciConfig::default()
    };
    let error = oci.to_json().unwrap_err();
    let mut pointers: Vec<&str> = error.problems().map(|one| one.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/cgroups/freezer",
            "/cgroups/memory",
            "/cgroups/slice",
            "/environment",
            "/hostname",
            "/mount_config/no_pivot_root",
            "/user",
            "cgroup.misc",
            "process.deny_terminal_injection",
            "process.new_session",
            "process.parent_death_signal",
        ]
    );
    assert!(error.problems().all(|one| one.hint.is_some()), "{error}");
}

#[test]
fn mount_that_config_json_lacks_is_refused() {
    let mount = r#""mounts": [{"destination": "/a", "source": "/a", "options": ["bind"]}]"#;
    let user = r#""process": {"cwd": "/", "user": {"uid": 0, "gid": 0}}"#;
    let base = read(&document(&format!("{mount}, {user}")));
    let bind = |optional| MountKind::Bind {
        source: "/a".to_owned(),
        recursive: false,
        optional,
    };
    let relabel = MountOptions {
        relabel: Some(Relabel::Shared),
        ..MountOptions::default()
    };
    let overlay = MountKind::Overlay {
        lower: vec!["/a:b".to_owned()],
        upper: None,
    };
    let file = MountKind::File {
        contents: Vec::new(),
        mode: 0,
    };
    for (kind, options) in [
        (bind(true), MountOptions::default()),
        (bind(false), relabel),
        (overlay, MountOptions::default()),
        (file, MountOptions::default()),
        (MountKind::Directory { mode: 0 }, MountOptions::default()),
        (MountKind::DevLayout, MountOptions::default()),
    ] {
        let mut oci = base.clone();
        oci.config.mounts[0].kind = kind;
        oci.config.mounts[0].options = options;
        let error = oci.to_json().unwrap_err();
        assert_eq!(
            (error.kind(), error.pointer()),
            (Kind::Unsupported, "/mounts/0"),
            "{error}"
        );
    }
}

#[test]
fn command_and_annotations_are_refused_by_container_json() {
    let error = read(ENGINE).to_seed().unwrap_err();
    let pointers: Vec<&str> = error.problems().map(|one| one.pointer.as_str()).collect();
    for pointer in [
        "/process/args",
        "/annotations/org.example.one",
        "/annotations/a~1b~0c",
        "/process/user/umask",
        "/linux/resources/pids/limit",
        "/mounts",
    ] {
        assert!(
            pointers.contains(&pointer),
            "{pointer} is not in {pointers:?}"
        );
    }
    assert!(error.problems().all(|one| one.hint.is_some()), "{error}");
}

#[test]
fn rule_that_denies_is_kept() {
    let write = DeviceAccess::parse("w").unwrap();
    let deny = DeviceRule {
        allow: false,
        ..DeviceRule::allow(DeviceRuleKind::Block, Some(8), None, write)
    };
    let mut oci = read(&process(r#""args": ["true"]"#));
    oci.config.cgroup = Some(CgroupConfig {
        name: "box".to_owned(),
        devices: Some(vec![deny.clone()]),
        ..CgroupConfig::default()
    });
    let again = read(&oci.to_json().unwrap()).config.without_pointers();
    assert_eq!(again.cgroup.unwrap().devices, Some(vec![deny]));
}

#[test]
fn kind_of_a_document_is_told_by_its_version() {
    for (text, source) in [
        (ENGINE, Source::Oci),
        ("{\"ociversion\": \"1\"}", Source::Seed),
        ("{", Source::Seed),
        ("null", Source::Seed),
    ] {
        assert_eq!(Source::of_document(text.as_bytes()), source, "{text}");
    }
}

/// The whole text, so that a change of what is written is seen.
#[test]
fn sample_is_written_as_it_ever_was() {
    let mut config = Config::from_seed(include_bytes!("data/minimal.json")).unwrap();
    config.process.user = "1:1".parse().unwrap();
    let oci = OciConfig {
        config,
        arguments: vec!["sh".into()],
        ..OciConfig::default()
    };
    assert_eq!(oci.to_json().unwrap(), GOLDEN.trim_end());
}
