//! Bad input to containers with groups, networks and a state: one clear error each, and nothing left behind.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use nix::unistd::Pid;
use ns_tests::{Busybox, Host, Output, Test, has_controller, needs, wait_for_orphans, write_json};
use serde_json::{Value, json};

fn group_name() -> String {
    format!("ns-tests-bad-{}", std::process::id())
}

/// Whether control groups are laid out as v2 alone.
fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// `nsrun run --id one` of a configuration with these keys, executed by a wrapper.
fn run_under(test: &Test, host: &Host<'_>, wrapper: &[&str], keys: &Value, line: &str) -> Output {
    let name = "rootfs";
    let rootfs = test.path().join(name);
    if !rootfs.exists() {
        let _made = Busybox::new(&rootfs);
    }
    let mut config = test.container_json(&rootfs);
    for (key, value) in keys.as_object().expect("keys") {
        config[key] = value.clone();
    }
    let config = write_json(test.path(), &config);
    let words = ["run", "--id", "one", "--config"];
    host.under(wrapper, &words)
        .args([config.as_os_str(), OsStr::new("--")])
        .args(["sh", "-c", line])
        .run()
}

/// The configuration is refused with these words, and there is no trace of a container.
#[track_caller]
fn check(test: &Test, wrapper: &[&str], keys: &Value, words: &[&str]) -> Output {
    check_in(test, &Host::new(test), wrapper, keys, words)
}

#[track_caller]
fn check_in(
    test: &Test,
    host: &Host<'_>,
    wrapper: &[&str],
    keys: &Value,
    words: &[&str],
) -> Output {
    let output = run_under(test, host, wrapper, keys, "echo ran");
    output.assert_error(125, words);
    assert!(!output.stdout.contains("ran"), "{output:?}");
    assert_eq!(host.entries(), [""; 0], "a state is left");
    wait_for_orphans();
    output
}

fn with_group(settings: &Value) -> Value {
    let mut group = json!({"name": group_name(), "allow_all_devices": true});
    for (key, value) in settings.as_object().expect("settings") {
        group[key] = value.clone();
    }
    json!({"cgroups": group})
}

// ---- control groups

const DELEGATED: &str = "hint: the group above must be delegated these controllers";

#[test]
fn memory_limit_below_a_start_is_told() {
    let test = needs!(root, busybox, cgroup);
    let keys = with_group(&json!({"memory": 4096}));
    if !has_controller("memory") {
        check(
            &test,
            &[],
            &keys,
            &["lacks memory", "(from /cgroups)", DELEGATED],
        );
        return;
    }
    let host = Host::new(&test);
    // The first does not even execute the stub, in memory that it shares with nsrun, which is not to be killed for it.
    for limit in [4096, 65536] {
        let keys = with_group(&json!({"memory": limit}));
        let output = run_under(&test, &host, &[], &keys, "echo ran");
        let words = [
            "(from /cgroups/memory)",
            "hint: a memory limit below what a start takes",
        ];
        output.assert_error(125, &words);
        assert_eq!(output.stdout, "");
        assert_eq!(host.entries(), [""; 0]);
        wait_for_orphans();
    }
}

#[test]
fn cpuset_that_does_not_exist_is_told_with_what_there_is() {
    let test = needs!(root, busybox, cgroup);
    let keys = with_group(&json!({"cpuset_cpus": "4000"}));
    let words: &[&str] = match has_controller("cpuset") {
        true => &[
            "cpuset.cpus",
            "\"4000\"",
            "(from /cgroups/cpuset_cpus)",
            "hint: this group may use 0",
        ],
        false => &["lacks cpuset", "(from /cgroups)", DELEGATED],
    };
    check(&test, &[], &keys, words);
}

#[test]
fn device_of_an_unknown_type_is_told() {
    let test = needs!(root, busybox, cgroup);
    let device = json!({
        "type": 120, "path": "/dev/null", "major_number": 1, "minor_number": 3,
        "cgroup_permissions": "rwm", "file_mode": 438,
    });
    let keys = json!({"cgroups": {"name": group_name(), "allowed_devices": [device]}});
    let words = [
        "/cgroups/allowed_devices/0/type",
        "120",
        "is not a device type",
        "99 (c), 98 (b)",
    ];
    check(&test, &[], &keys, &words);
}

const READ_ONLY: &str = "for place in $(awk '$5 ~ /^.sys.fs.cgroup/ {print $5}' /proc/self/mountinfo); do \
    mount -o remount,ro,bind $place || exit 99; done; exec \"$@\"";

#[test]
fn control_groups_that_are_read_only_are_told() {
    let test = needs!(root, busybox, cgroup);
    let wrapper = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"];
    let words = [
        "make control group",
        &group_name(),
        "EROFS",
        "(from /cgroups)",
        "hint: the cgroup file system is mounted read-only",
    ];
    check(&test, &wrapper, &with_group(&json!({})), &words);
}

/// As systemd leaves it: the hierarchies can be written, and the directory that they are mounted in cannot.
#[test]
fn sandbox_with_an_id_has_a_group_below_a_read_only_directory() {
    const COVERED: &str = "mount --bind -o ro /sys/fs/cgroup /mnt || exit 99; \
        for place in /sys/fs/cgroup/*/cgroup.procs; do place=$(dirname $place); \
        mount --bind $place /mnt/${place##*/} || exit 99; done; \
        mount --rbind /mnt /sys/fs/cgroup && exec \"$@\"";
    let test = needs!(root, cgroup);
    if is_unified() {
        return test.skip("v2 is mounted at the directory itself");
    }
    let host = Host::new(&test);
    let wrapper = ["unshare", "--mount", "sh", "-c", COVERED, "sh"];
    let words = ["sandbox", "--id", "one", "--detach", "--", "sleep", "1000"];
    assert_eq!(host.under(&wrapper, &words).run().text(), "");
    host.done(&["pause", "one"]);
    assert_eq!(host.status("one"), "paused");
    host.delete("one", "a container in a group");
}

#[test]
fn controller_that_is_not_delegated_is_told() {
    let test = needs!(plain, user_namespace, cgroup);
    let host = Host::new(&test);
    let flags = ["sandbox", "--id", "one", "--memory", "64m", "--", "true"];
    let output = host.nsrun(&flags);
    let words: &[&str] = match has_controller("memory") {
        true => &[
            "make control group",
            "EACCES",
            "hint: this part of the tree is not delegated",
        ],
        false => &["memory", "hint:"],
    };
    output.assert_error(125, words);
    assert_eq!(host.entries(), [""; 0]);
}

/// A process of the group waits in the kernel for an automounter that never answers.
#[test]
fn group_that_never_freezes_is_told_and_thawed() {
    let test = needs!(root, cgroup);
    let host = Host::new(&test);
    host.done(&["sandbox", "--id", "one", "-d", "--", "sleep", "1000"]);
    let stuck = Stuck::start(&test);
    let state: Value = serde_json::from_str(host.nsrun(&["state", "one"]).text()).expect("JSON");
    let paths = state["cgroup_paths"].as_object().expect("paths");
    for dir in ["freezer", ""].iter().filter_map(|name| paths.get(*name)) {
        let procs = format!("{}/cgroup.procs", dir.as_str().expect("a path"));
        std::fs::write(procs, stuck.0.pid().to_string()).expect("join the group");
    }
    host.nsrun(&["pause", "one"])
        .assert_error(125, &["freeze", "nsrun-one", "hint:"]);
    assert_eq!(host.status("one"), "running", "it was thawed again");
    host.delete("one", "a group that never freezes");
    assert!(stuck.0.wait().signaled, "it was killed with the group");
}

/// A process that nothing but SIGKILL wakes.
struct Stuck(ns_tests::Running);

impl Stuck {
    fn start(test: &Test) -> Self {
        const SCRIPT: &str = "cd \"$0\" && mkfifo pipe && mkdir auto && exec 3<>pipe && \
            mount -t autofs -o fd=3,pgrp=$$,minproto=5,maxproto=5,indirect auto auto && \
            echo mounted && exec stat auto/x";
        let program = ns_tests::Invocation::new(Path::new("/usr/bin/unshare"))
            .args(["--mount", "sh", "-c", SCRIPT])
            .args([test.make_dir("stuck")]);
        let mut running = program.spawn();
        running.read_until("mounted");
        let stat = format!("/proc/{}/stat", running.pid());
        loop {
            let text = std::fs::read_to_string(&stat).expect("it lives");
            assert!(!text.contains(") Z "), "the automounter has answered");
            if text.contains(") D ") {
                break;
            }
            std::thread::yield_now();
        }
        Stuck(running)
    }
}

// ---- networks

/// In a network namespace of its own with a bridge; what is left of interfaces is printed last.
const BRIDGED: &str = "ip link add br0 type bridge && ip addr add 10.9.0.1/24 dev br0 && ip link set br0 up || exit 99; \
    \"$@\"; code=$?; ip -o link | sed 's/^[0-9]*: \\([^:@]*\\).*/left \\1/'; exit $code";
const BRIDGED_WRAPPER: [&str; 6] = ["unshare", "--net", "sh", "-c", BRIDGED, "sh"];

fn veth(changes: &Value) -> Value {
    let mut network = json!({
        "type": "veth", "bridge": "br0", "veth_prefix": "nt", "address": "10.9.0.2/24", "mtu": 1500,
    });
    for (key, value) in changes.as_object().expect("changes") {
        network[key] = value.clone();
    }
    json!({"networks": [{"type": "loopback", "address": "127.0.0.1/0", "gateway": "localhost", "mtu": 1500}, network]})
}

/// Refused with these words, and no interface is left in the namespace where the bridge is.
#[track_caller]
fn check_network(test: &Test, host: &Host<'_>, changes: &Value, words: &[&str]) {
    let output = check_in(test, host, &BRIDGED_WRAPPER, &veth(changes), words);
    assert_eq!(output.stdout, "left lo\nleft br0\n");
}

fn has_ip(test: &Test) -> bool {
    let works = std::process::Command::new("ip").arg("-V").output().is_ok();
    if !works {
        test.skip("needs ip (package iproute2)");
    }
    works
}

#[test]
fn network_that_cannot_be_is_told() {
    let test = needs!(root, busybox);
    if !has_ip(&test) {
        return;
    }
    let host = Host::new(&test);
    let long = "sixteen-bytes-xx";
    let table: [(Value, &[&str]); 6] = [
        (
            json!({"bridge": "br9"}),
            &["find interface", "\"br9\"", "ENODEV", "(from /networks/1)"],
        ),
        (
            json!({"address": "10.9.0.1/24"}),
            &[
                "10.9.0.1 is the address of the bridge \"br0\"",
                "(from /networks/1)",
            ],
        ),
        (
            json!({"name": long}),
            &[
                "/networks/1/name",
                long,
                "is not an interface name",
                "1 to 15 bytes",
            ],
        ),
        (
            json!({"host_interface_name": long, "veth_prefix": ""}),
            &["/networks/1/host_interface_name", long, "1 to 15 bytes"],
        ),
        (
            json!({"mtu": 1}),
            &[
                "/networks/1/mtu",
                "1: is not an MTU",
                "accepted: 68 to 65535",
            ],
        ),
        (
            json!({"gateway": "10.77.0.1"}),
            &[
                "add route",
                "10.77.0.1",
                "ENETUNREACH",
                "(from /networks/1)",
                "hint: the gateway must lie",
            ],
        ),
    ];
    for (changes, words) in table {
        check_network(&test, &host, &changes, words);
    }
}

/// The whole way, as a counterpart of what is refused: address inside, port on the bridge, both gone at the end.
#[test]
fn veth_on_a_bridge_is_there_while_the_container_is() {
    let test = needs!(root, busybox);
    if !has_ip(&test) {
        return;
    }
    let host = Host::new(&test);
    let script = "ip link add br0 type bridge && ip addr add 10.9.0.1/24 dev br0 && ip link set br0 up || exit 99; \
        ports() { ip -o link show master br0 | wc -l; }; \
        \"$@\" run --id one --config container.json -d -- sleep 1000 && echo ports $(ports) && \
        \"$@\" exec one -- ip -o -4 addr show dev eth0 && \"$@\" exec one -- ip route && \
        \"$@\" stats one | grep -c rx_ ; \
        \"$@\" delete --force one && echo ports $(ports)";
    let rootfs = Busybox::new(&test.path().join("rootfs"));
    let mut config = test.container_json(rootfs.path());
    config["networks"] = veth(&json!({"gateway": "10.9.0.1"}))["networks"].clone();
    let _path = write_json(test.path(), &config);
    let output = host
        .under(&["unshare", "--net", "sh", "-c", script, "sh"], &[])
        .run();
    let text = output.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        (lines[0], lines[lines.len() - 1]),
        ("ports 1", "ports 0"),
        "{text}"
    );
    assert!(text.contains("inet 10.9.0.2/24"), "{text}");
    assert!(text.contains("default via 10.9.0.1 dev eth0"), "{text}");
    assert_eq!(host.entries(), [""; 0]);
}

// ---- the state

/// A file system of this size as state directory, filled before or not; what is in it afterwards is printed.
const TINY: &str = "mount -t tmpfs -o $0,mode=700 tiny \"$1\" || exit 99; \
    case $2 in filled) dd if=/dev/zero of=\"$1\"/.fill bs=4k 2>/dev/null;; esac; dir=$1; shift 2; \
    \"$@\"; code=$?; rm -f \"$dir\"/.fill; ls -A \"$dir\"; exit $code";

#[test]
fn full_disk_of_the_state_directory_is_told_and_leaves_nothing() {
    let test = needs!(root, busybox, cgroup);
    let host = Host::new(&test);
    let root = host.root().to_str().expect("UTF-8");
    for (options, fill, call) in [
        // No room for a directory, for a file, for the first state, for a later one.
        ("nr_inodes=1", "empty", "mkdir("),
        ("nr_inodes=3", "empty", "state.json.new\")"),
        ("size=64k", "filled", "write("),
        ("size=4k", "empty", "write("),
    ] {
        let wrapper = ["unshare", "--mount", "sh", "-c", TINY, options, root, fill];
        for verb in ["run", "create"] {
            let rootfs = test.path().join("rootfs");
            if !rootfs.exists() {
                let _made = Busybox::new(&rootfs);
            }
            let mut config = test.container_json(&rootfs);
            config["cgroups"] = with_group(&json!({}))["cgroups"].clone();
            let config = write_json(test.path(), &config);
            let config = config.to_str().expect("UTF-8");
            let mut words = vec![verb, "--id", "one", "--config", config];
            if verb == "run" {
                words.push("-d");
            }
            words.extend(["--", "sleep", "1000"]);
            let output = host.under(&wrapper, &words).run();
            output.assert_error(125, &["the state: ", call, "/one", "ENOSPC"]);
            assert_eq!(
                output.stdout, "",
                "{options} {fill} {verb}: something is left"
            );
            wait_for_orphans();
        }
    }
}

/// A way to spoil a state: what it is then, how it is done, and what is said.
struct Damage {
    what: &'static str,
    make: fn(&Path, &str),
    words: &'static [&'static str],
}

const FORGET: &str = "hint: nsrun delete --force one";

const DAMAGES: [Damage; 8] = [
    Damage {
        what: "empty",
        make: |file, _| std::fs::write(file, "").expect("write"),
        words: &["EOF", FORGET],
    },
    Damage {
        what: "truncated",
        make: |file, text| std::fs::write(file, &text[..text.len() / 2]).expect("write"),
        words: &["read container state", FORGET],
    },
    Damage {
        what: "from the future",
        make: |file, text| {
            let newer = text.replacen("\"schema_version\":1", "\"schema_version\":99", 1);
            std::fs::write(file, newer).expect("write");
        },
        words: &[
            "/schema_version: 99",
            "another version",
            "accepted: 1",
            FORGET,
        ],
    },
    Damage {
        what: "of another user",
        make: |file, _| chown(file, Some(65_533), None).expect("chown"),
        words: &["belongs to user 65533", "hint:"],
    },
    Damage {
        what: "open to others",
        make: |file, _| {
            let open = std::fs::Permissions::from_mode(0o666);
            std::fs::set_permissions(file, open).expect("chmod");
        },
        words: &["has mode 0666", "hint:"],
    },
    Damage {
        what: "a link",
        make: |file, _| replace(file, |path| symlink("../../elsewhere", path)),
        words: &["is a link"],
    },
    Damage {
        what: "a fifo",
        make: |file, _| {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            replace(file, |path| {
                nix::unistd::mkfifo(path, mode).map_err(Into::into)
            });
        },
        words: &["is no regular file"],
    },
    Damage {
        what: "a directory",
        make: |file, _| replace(file, |path| std::fs::create_dir(path)),
        words: &["is no regular file"],
    },
];

/// What every verb says about a state that cannot be believed; the container itself is not touched.
#[test]
fn state_that_cannot_be_believed_is_told_by_every_verb() {
    let test = needs!(root);
    let host = Host::new(&test);
    host.done(&["sandbox", "--id", "one", "-d", "--", "sleep", "1000"]);
    let file = host.state_file("one");
    let text = std::fs::read_to_string(&file).expect("a state");
    let elsewhere = test.write("elsewhere", &text);
    for Damage { what, make, words } in DAMAGES {
        make(&file, &text);
        let words = [words, &["one/state.json"]].concat();
        for verb in ["state", "ps", "stats", "kill", "pause", "start", "delete"] {
            host.nsrun(&[verb, "one"]).assert_error(125, &words);
        }
        host.nsrun(&["exec", "one", "--", "true"])
            .assert_error(125, &words);
        host.nsrun(&["sandbox", "--id", "one", "--", "true"])
            .assert_error(125, &["\"one\" exists"]);
        assert_eq!(host.status("one"), "damaged", "{what}");
        let removed = std::fs::remove_file(&file).or_else(|_| std::fs::remove_dir(&file));
        removed.expect("remove what is damaged");
        std::fs::write(&file, &text).expect("a state");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, private).expect("chmod");
        assert_eq!(host.status("one"), "running", "{what}: it was touched");
    }
    let untouched = std::fs::read_to_string(&elsewhere).expect("a file");
    assert_eq!(untouched, text, "the link was followed");
    host.delete("one", "a state that is whole again");
}

fn replace(file: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) {
    std::fs::remove_file(file).expect("unlink");
    make(file).expect("make another thing");
}

/// Force forgets what cannot be read; the group that the state named is not looked for.
#[test]
fn damaged_state_is_forgotten_by_force() {
    let test = needs!(root);
    let host = Host::new(&test);
    for damage in ["empty", "a link"] {
        host.done(&["sandbox", "--id", "one", "-d", "--", "sleep", "1000"]);
        let file = host.state_file("one");
        let text = std::fs::read_to_string(&file).expect("a state");
        let elsewhere = test.write("elsewhere", &text);
        match damage {
            "empty" => std::fs::write(&file, "").expect("write"),
            _ => replace(&file, |path| symlink(&elsewhere, path)),
        }
        let state: Value = serde_json::from_str(&text).expect("JSON");
        host.nsrun(&["delete", "one"])
            .assert_error(125, &["one/state.json"]);
        host.done(&["delete", "--force", "one"]);
        assert_eq!(host.entries(), [""; 0], "{damage}");
        assert_eq!(std::fs::read_to_string(&elsewhere).expect("a file"), text);
        let pid = i32::try_from(state["init_pid"].as_i64().expect("a pid")).expect("a pid");
        nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
            .expect("what the container has on the host stays");
        wait_for_orphans();
        for dir in state["cgroup_paths"].as_object().expect("paths").values() {
            std::fs::remove_dir(dir.as_str().expect("a path")).expect("its group is still there");
        }
    }
}

#[test]
fn state_directory_of_another_user_is_told() {
    let test = needs!(root);
    let host = Host::new(&test);
    chown(host.root(), Some(65_533), None).expect("chown");
    for verb in [
        &["list"][..],
        &["state", "one"],
        &["sandbox", "--id", "one", "--", "true"],
    ] {
        host.nsrun(verb).assert_error(
            125,
            &[
                "check the state directory",
                "belongs to user 65533",
                "hint:",
            ],
        );
    }
    chown(host.root(), Some(0), None).expect("chown");
}
