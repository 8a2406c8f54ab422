//! The start tests of docker/libcontainer's own integration suite, and those it gained later, through
//! `nsrun run --config` and a busybox root file system.

use ns_tests::{Busybox, Output, Test, needs, variants, write_json};
use serde_json::{Value, json};

variants![
    exec_ps_lists_the_command_alone_as_root,
    ipc_private_is_not_the_hosts,
    ipc_host_is_the_hosts,
    ipc_join_path_is_the_hosts,
    ipc_bad_path_is_an_error,
    rlimit_of_the_configuration_is_set,
    pid_private_is_not_the_hosts,
    environment_of_the_configuration_is_all_there_is,
    capabilities_of_the_configuration_are_all_there_are,
    hostname_of_the_configuration_is_set,
    additional_groups_are_set,
    sysctl_of_a_new_namespace_is_set,
    mounts_of_the_configuration_are_there,
    read_only_root_cannot_be_written,
    namespaces_are_read_in_all_three_encodings,
    mount_destination_of_the_root_and_below_proc_is_refused,
    system_is_restricted_when_asked,
    working_directory_is_entered,
    exit_code_of_the_command_is_ours,
    root_is_entered_without_a_pivot_when_asked,
    loopback_is_up,
    devices_of_the_configuration_are_there,
];

/// Runs a script in the template, changed by `change`; `None` after a loud skip.
fn run(test: &Test, change: impl FnOnce(&mut Value), script: &str) -> Option<Output> {
    let rootfs = test.busybox()?;
    let mut config = test.container_json(rootfs.path());
    change(&mut config);
    Some(test.run_config(&config, script))
}

fn same(_: &mut Value) {}

fn host_namespace(kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("readlink");
    link.to_str().expect("UTF-8").to_owned()
}

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["namespaces"].as_array_mut().expect("a list")
}

/// `TestExecPS`.
fn exec_ps_lists_the_command_alone_as_root(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let path = write_json(test.path(), &test.container_json(rootfs.path()));
    let output = test
        .nsrun(["run", "--config"])
        .args([path])
        .args(["--", "ps", "-o", "pid,user,comm"])
        .run();
    let lines: Vec<Vec<&str>> = output
        .text()
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines, [["1", "root", "ps"]]);
}

/// `TestIPCPrivate`.
fn ipc_private_is_not_the_hosts(test: &Test) {
    let Some(output) = run(test, same, "readlink /proc/self/ns/ipc") else {
        return;
    };
    assert_ne!(output.text(), host_namespace("ipc"));
}

/// `TestIPCHost`.
fn ipc_host_is_the_hosts(test: &Test) {
    let host = |config: &mut Value| namespaces(config).retain(|entry| entry["type"] != "NEWIPC");
    let Some(output) = run(test, host, "readlink /proc/self/ns/ipc") else {
        return;
    };
    assert_eq!(output.text(), host_namespace("ipc"));
}

/// `TestIPCJoinPath`. Joining takes rights over the namespace, which a plain user has not got.
fn ipc_join_path_is_the_hosts(test: &Test) {
    let join = |config: &mut Value| {
        namespaces(config).retain(|entry| entry["type"] != "NEWIPC");
        let path = format!("/proc/{}/ns/ipc", std::process::id());
        namespaces(config).push(json!({"type": "NEWIPC", "path": path}));
    };
    let Some(output) = run(test, join, "readlink /proc/self/ns/ipc") else {
        return;
    };
    if test.is_root() {
        assert_eq!(output.text(), host_namespace("ipc"));
    } else {
        output.assert_error(125, &["/ns/ipc"]);
    }
}

/// `TestIPCBadPath`.
fn ipc_bad_path_is_an_error(test: &Test) {
    let bad = |config: &mut Value| {
        namespaces(config).retain(|entry| entry["type"] != "NEWIPC");
        namespaces(config).push(json!({"type": "NEWIPC", "path": "/proc/1/ns/ipcc"}));
    };
    let Some(output) = run(test, bad, "true") else {
        return;
    };
    output.assert_error(125, &["ipc namespace", "/proc/1/ns/ipcc", "ENOENT"]);
}

/// `TestRlimit`.
fn rlimit_of_the_configuration_is_set(test: &Test) {
    let Some(output) = run(test, same, "ulimit -n; ulimit -Hn") else {
        return;
    };
    assert_eq!(output.text(), "1024\n1024");
}

fn pid_private_is_not_the_hosts(test: &Test) {
    let Some(output) = run(test, same, "readlink /proc/self/ns/pid; echo $$") else {
        return;
    };
    assert_ne!(output.text(), format!("{}\n1", host_namespace("pid")));
    assert!(output.text().ends_with("\n1"), "{output:?}");
}

/// `TestProcessEnv`: what is in the configuration, and HOME of the user.
fn environment_of_the_configuration_is_all_there_is(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let mut config = test.container_json(rootfs.path());
    config["environment"] = json!(["FOO=BAR", "PATH=/bin"]);
    let path = write_json(test.path(), &config);
    let output = test
        .nsrun(["run", "--config"])
        .args([path])
        .args(["--", "env"])
        .env("SECRET", "x")
        .run();
    let mut lines: Vec<&str> = output.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["FOO=BAR", "HOME=/root", "PATH=/bin"]);
}

/// `TestProcessCaps`.
fn capabilities_of_the_configuration_are_all_there_are(test: &Test) {
    let few = |config: &mut Value| config["capabilities"] = json!(["NET_ADMIN", "cap_kill"]);
    let Some(output) = run(test, few, "grep -E 'Cap(Eff|Bnd|Prm)' /proc/self/status") else {
        return;
    };
    let set = format!("{:016x}", 1_u64 << 12 | 1 << 5);
    assert_eq!(
        output.text(),
        format!("CapPrm:\t{set}\nCapEff:\t{set}\nCapBnd:\t{set}")
    );
}

fn hostname_of_the_configuration_is_set(test: &Test) {
    let Some(output) = run(test, same, "hostname") else {
        return;
    };
    assert_eq!(output.text(), "integration");
}

/// `TestAdditionalGroups`. Groups other than the own take rights over them.
fn additional_groups_are_set(test: &Test) {
    let groups = |config: &mut Value| config["additional_groups"] = json!([3, 33]);
    let Some(output) = run(test, groups, "id -G") else {
        return;
    };
    if test.is_root() {
        assert_eq!(output.text(), "0 3 33");
    } else {
        output.assert_error(125, &["/additional_groups"]);
    }
}

/// `TestSysctl`.
fn sysctl_of_a_new_namespace_is_set(test: &Test) {
    let before = std::fs::read_to_string("/proc/sys/kernel/shmmni").expect("shmmni");
    let set = |config: &mut Value| config["sysctl"] = json!({"kernel.shmmni": "8192"});
    let Some(output) = run(test, set, "cat /proc/sys/kernel/shmmni") else {
        return;
    };
    assert_eq!(output.text(), "8192");
    assert_eq!(
        std::fs::read_to_string("/proc/sys/kernel/shmmni").expect("shmmni"),
        before
    );
}

fn mounts_of_the_configuration_are_there(test: &Test) {
    let shared = test.make_dir("shared");
    test.give_away(&shared);
    let mounts = |config: &mut Value| {
        config["mount_config"] = json!({"mounts": [
            {"type": "bind", "source": shared, "destination": "/data", "writable": true},
            {"type": "bind", "source": shared, "destination": "/frozen"},
            {"type": "tmpfs", "destination": "/tmp"},
        ]});
    };
    let script = "echo x > /data/file; cat /frozen/file; touch /frozen/new 2>/dev/null || echo refused; stat -f -c %T /tmp";
    // A target that is missing is made in the root file system, which must belong to the user.
    let Some(rootfs) = test.busybox() else { return };
    test.give_away(rootfs.path());
    let mut config = test.container_json(rootfs.path());
    mounts(&mut config);
    let output = test.run_config(&config, script);
    assert_eq!(output.text(), "x\nrefused\ntmpfs");
    assert!(shared.join("file").exists());
}

fn read_only_root_cannot_be_written(test: &Test) {
    let frozen = |config: &mut Value| config["mount_config"] = json!({"readonly_fs": true});
    let Some(output) = run(
        test,
        frozen,
        "touch /file 2>&1; touch /bin/file 2>&1; touch /dev/shm/file",
    ) else {
        return;
    };
    assert_eq!(
        output.stdout.matches("Read-only file system").count(),
        2,
        "{output:?}"
    );
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!test.path().join("rootfs/file").exists());
}

fn namespaces_are_read_in_all_three_encodings(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let mut kinds = vec!["NEWNS", "NEWUTS", "NEWIPC", "NEWPID", "NEWNET"];
    if !test.is_root() {
        kinds.push("NEWUSER");
    }
    let by_type: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    let by_name: Vec<Value> = kinds.iter().map(|kind| json!({"name": kind})).collect();
    let by_switch: serde_json::Map<String, Value> = kinds
        .iter()
        .map(|kind| ((*kind).to_owned(), json!(true)))
        .collect();
    for encoding in [json!(by_type), json!(by_name), Value::Object(by_switch)] {
        let mut config = test.container_json(rootfs.path());
        config["namespaces"] = encoding;
        let output = test.run_config(&config, "echo $$ $(hostname)");
        assert_eq!(output.text(), "1 integration");
    }
}

/// As the mount tests that came later: `/proc` itself is the system's, `/sysfiles` is not below `/sys`.
fn mount_destination_of_the_root_and_below_proc_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    for destination in ["/", "/proc/sys", "/proc/../proc/1", "//"] {
        let mut config = test.container_json(rootfs.path());
        config["mount_config"] = json!({"mounts": [{"type": "tmpfs", "destination": destination}]});
        let output = test.run_config(&config, "true");
        output.assert_error(125, &["/mount_config/mounts/0", destination]);
    }
    test.give_away(rootfs.path());
    let mut config = test.container_json(rootfs.path());
    config["mount_config"] = json!({"mounts": [{"type": "tmpfs", "destination": "/sysfiles"}]});
    assert_eq!(
        test.run_config(&config, "stat -f -c %T /sysfiles").text(),
        "tmpfs"
    );
}

fn system_is_restricted_when_asked(test: &Test) {
    let restrict = |config: &mut Value| config["restrict_sys"] = json!(true);
    let script = "for file in /proc/sys/kernel/hostname /proc/sysrq-trigger; do
                      { echo x > $file; } 2>/dev/null && echo $file; done
                  cat /proc/kcore /proc/keys 2>/dev/null | wc -c; mkdir /sys/x 2>&1 | grep -c Read-only";
    let Some(output) = run(test, restrict, script) else {
        return;
    };
    assert_eq!(output.text(), "0\n1");
}

fn working_directory_is_entered(test: &Test) {
    let entered = |config: &mut Value| config["working_dir"] = json!("/home/app");
    let Some(output) = run(test, entered, "pwd") else {
        return;
    };
    assert_eq!(output.text(), "/home/app");
}

fn exit_code_of_the_command_is_ours(test: &Test) {
    let Some(output) = run(test, same, "exit 33") else {
        return;
    };
    assert_eq!((output.code, output.stderr.as_str()), (33, ""));
}

/// `no_pivot_root`, for a host that runs from an initramfs; a user namespace cannot have it.
fn root_is_entered_without_a_pivot_when_asked(test: &Test) {
    let moved = |config: &mut Value| config["mount_config"] = json!({"no_pivot_root": true});
    let script = "ls / | tr '\\n' ' '; cd /..; ls -d /tmp/ns-tests-* 2>/dev/null; true";
    let Some(output) = run(test, moved, script) else {
        return;
    };
    if !test.is_root() {
        return output.assert_error(
            125,
            &[
                "/mount_config/no_pivot_root",
                "user namespace",
                "pivot_root",
            ],
        );
    }
    assert_eq!(output.text(), "bin dev etc home proc root sys tmp ");
}

/// A port where nobody listens refuses; a loopback that is down is unreachable.
fn loopback_is_up(test: &Test) {
    let Some(output) = run(test, same, "nc 127.0.0.1 9 2>&1; ls /sys/class/net") else {
        return;
    };
    assert!(output.stdout.contains("Connection refused"), "{output:?}");
    assert!(output.stdout.ends_with("\nlo\n"), "{output:?}");
}

/// With the numbers of the configuration as root, and the host's own node in a user namespace.
fn devices_of_the_configuration_are_there(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let mut config = test.container_json(rootfs.path());
    config["mount_config"] = json!({"device_nodes": [
        {"type": 99, "path": "/dev/null", "major_number": 1, "minor_number": 3, "cgroup_permissions": "rwm", "file_mode": 438},
        {"type": 99, "path": "/dev/full", "major_number": 1, "minor_number": 7, "cgroup_permissions": "rwm", "file_mode": 438},
    ]});
    let output = test.run_config(
        &config,
        "stat -c '%F %t:%T %a' /dev/null /dev/full; echo x > /dev/full",
    );
    let expected = "character special file 1:3 666\ncharacter special file 1:7 666\n";
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (1, expected),
        "{output:?}"
    );
}

/// As the sample `userns.json`: several ranges, which take rights.
#[test]
fn several_ids_are_mapped_by_root() {
    let test = needs!(root, busybox);
    let rootfs = Busybox::new(&test.path().join("rootfs"));
    let mut config = test.container_json(rootfs.path());
    namespaces(&mut config).push(json!({"type": "NEWUSER"}));
    let maps = json!([
        {"container_id": 0, "host_id": 100_000, "size": 1},
        {"container_id": 1, "host_id": 100_001, "size": 999},
        {"container_id": 1000, "host_id": 200_000, "size": 10},
    ]);
    config["uid_mappings"] = maps.clone();
    config["gid_mappings"] = maps;
    config["user"] = json!("app");
    let shared = test.make_dir("shared");
    std::os::unix::fs::chown(&shared, Some(200_000), Some(200_000)).expect("chown");
    config["mount_config"] = json!({"mounts": [
        {"type": "bind", "source": shared, "destination": "/tmp", "writable": true},
    ]});
    let output = test.run_config(
        &config,
        "id -u; wc -l < /proc/self/uid_map; touch /tmp/file",
    );
    assert_eq!(output.text(), "1000\n3");
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(shared.join("file")).expect("stat"));
    assert_eq!(owner, 200_000);
}
