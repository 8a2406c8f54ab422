//! Bad configurations and hostile root file systems given to `nsrun run`: one clear error, and nothing touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use ns_tests::{Canary, Output, Test, needs, variants};
use serde_json::{Value, json};

variants![
    config_that_is_not_there_is_refused,
    config_that_is_no_file_is_refused,
    config_that_is_no_json_is_refused,
    key_that_is_unknown_is_refused_with_a_suggestion,
    value_of_another_type_is_refused,
    namespace_typo_is_refused_with_a_suggestion,
    capability_typo_is_refused_with_a_suggestion,
    every_problem_is_told_at_once,
    rootfs_that_is_not_there_is_refused,
    rootfs_that_is_the_hosts_root_is_refused,
    rootfs_without_a_mount_namespace_is_refused,
    system_directory_that_is_a_link_does_not_reach_the_host,
    system_directory_that_is_no_directory_is_refused,
    passwd_that_is_a_link_is_read_inside_alone,
    passwd_that_is_a_fifo_does_not_hold_us_up,
    command_that_is_not_there_is_127,
    environment_with_a_nul_is_refused,
    user_that_is_unknown_is_refused,
    user_that_is_no_id_is_refused,
    id_without_a_mapping_is_refused,
    working_directory_through_a_descriptor_is_refused,
    tty_without_a_terminal_is_refused,
    hostname_without_a_namespace_is_refused,
    device_of_another_kind_than_it_says_is_not_used,
];

fn run(test: &Test, change: impl FnOnce(&mut Value)) -> Option<Output> {
    let rootfs = test.busybox()?;
    let mut config = test.container_json(rootfs.path());
    change(&mut config);
    let canaries = [
        Canary::new(&test.path().join("canary")),
        Canary::of(rootfs.path()),
    ];
    let output = test.run_config(&config, "echo started");
    assert_eq!(output.stdout, "", "{output:?}");
    canaries.iter().for_each(Canary::assert_untouched);
    Some(output)
}

/// `nsrun run` with whatever stands in a file.
fn run_text(test: &Test, text: impl AsRef<[u8]>) -> Output {
    let path = test.write("container.json", text);
    test.nsrun(["run", "--config"])
        .args([path])
        .args(["--", "true"])
        .run()
}

fn config_that_is_not_there_is_refused(test: &Test) {
    let output = test
        .nsrun(["run", "--config", "/no/such.json", "--", "true"])
        .run();
    output.assert_error(125, &["\"/no/such.json\"", "No such file"]);
    let output = test.nsrun(["run", "--", "true"]).run();
    output.assert_error(125, &["\"container.json\"", "No such file"]);
}

/// Root may read every file.
#[test]
fn config_that_is_unreadable_is_refused() {
    let test = needs!(plain, user_namespace);
    let path = test.write("secret.json", "{}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("chmod");
    let output = test
        .nsrun(["run", "--config", "secret.json", "--", "true"])
        .run();
    output.assert_error(125, &["\"secret.json\"", "Permission denied"]);
}

fn config_that_is_no_file_is_refused(test: &Test) {
    for path in ["/etc", "/dev/zero", "/dev/null"] {
        let output = test.nsrun(["run", "--config", path, "--", "true"]).run();
        output.assert_error(125, &[path, "no regular file"]);
    }
}

fn config_that_is_no_json_is_refused(test: &Test) {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\"text\"",
        "{\"user\": \"\u{0}\"}",
        "{} {}",
        "{\"a\": 1, \"a\": 2}",
    ] {
        run_text(test, text).assert_refusal(&["container.json"]);
    }
    run_text(test, [0xff, 0xfe, 0x00]).assert_refusal(&["container.json"]);
    run_text(test, "[".repeat(100_000)).assert_refusal(&["container.json"]);
}

fn key_that_is_unknown_is_refused_with_a_suggestion(test: &Test) {
    run_text(test, r#"{"hostnam": "x"}"#).assert_refusal(&["/hostnam", "hostname"]);
    run_text(test, r#"{"mounts": []}"#).assert_refusal(&["/mounts", "/mount_config/mounts"]);
}

fn value_of_another_type_is_refused(test: &Test) {
    run_text(test, r#"{"hostname": 5}"#).assert_refusal(&["/hostname"]);
    run_text(test, r#"{"rlimits": [{"type": "x"}]}"#).assert_refusal(&["/rlimits/0/type"]);
    run_text(test, r#"{"tty": "yes"}"#).assert_refusal(&["/tty"]);
    run_text(test, r#"{"capabilities": "KILL"}"#).assert_refusal(&["/capabilities"]);
}

fn namespace_typo_is_refused_with_a_suggestion(test: &Test) {
    run_text(test, r#"{"namespaces": [{"type": "NEWNETT"}]}"#).assert_refusal(&[
        "/namespaces/0",
        "NEWNETT",
        "NEWNET",
    ]);
    run_text(test, r#"{"namespaces": {"NEWPDI": true}}"#)
        .assert_refusal(&["/namespaces/NEWPDI", "NEWPID"]);
}

fn capability_typo_is_refused_with_a_suggestion(test: &Test) {
    let output = run_text(test, r#"{"capabilities": ["KILL", "NET_ADMN"]}"#);
    output.assert_refusal(&["/capabilities/1", "NET_ADMN", "NET_ADMIN"]);
}

fn every_problem_is_told_at_once(test: &Test) {
    let text = r#"{"hostnam": "x", "tty": 5, "capabilities": ["NET_ADMN"]}"#;
    let output = run_text(test, text);
    assert_eq!(output.code, 125);
    for pointer in ["/hostnam", "/tty", "/capabilities/0"] {
        assert!(output.stderr.contains(pointer), "{output:?}");
    }
}

fn rootfs_that_is_not_there_is_refused(test: &Test) {
    let Some(output) = run(test, |config| config["root_fs"] = json!("/no/such/rootfs")) else {
        return;
    };
    output.assert_error(125, &["/root_fs", "\"/no/such/rootfs\"", "ENOENT"]);
}

fn rootfs_that_is_the_hosts_root_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    symlink("/", test.path().join("link")).expect("symlink");
    let link = test.path().join("link");
    for root in [
        json!("/"),
        json!("//"),
        json!("/usr/.."),
        json!("/proc/1/root"),
        json!(link),
    ] {
        let mut config = test.container_json(rootfs.path());
        config["root_fs"] = root;
        let output = test.run_config(&config, "echo started");
        assert_eq!(output.stdout, "", "{output:?}");
        // The pointer is missing where the kernel has refused the link already.
        output.assert_error(125, &["root"]);
    }
}

fn rootfs_without_a_mount_namespace_is_refused(test: &Test) {
    let without = |config: &mut Value| {
        let namespaces = config["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|entry| entry["type"] != "NEWNS");
    };
    let Some(output) = run(test, without) else {
        return;
    };
    output.assert_error(125, &["NEWNS"]);
}

/// Every shape of link where the system's own mounts go: the start is refused or stays inside, and the host's
/// directory behind the link is as it was.
fn system_directory_that_is_a_link_does_not_reach_the_host(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let canary = Canary::new(&test.path().join("canary"));
    let outside = canary.path().to_str().expect("UTF-8").to_owned();
    let mounts = Mounts::now();
    for name in ["proc", "dev", "sys", "etc"] {
        let targets = [
            outside.clone(),
            format!("../../../../../../../..{outside}"),
            "/proc/self/cwd".to_owned(),
            "/proc/self/fd/3".to_owned(),
            format!("/{name}"),
            ".".to_owned(),
            "..".to_owned(),
            "/dev/shm".to_owned(),
        ];
        for target in targets {
            replace(rootfs.path(), name, |path| {
                symlink(&target, path).expect("symlink")
            });
            let mut config = test.container_json(rootfs.path());
            config["user"] = json!("0");
            let output = test.run_config(&config, "echo started; ls /proc/self/ > /dev/null");
            canary.assert_untouched();
            assert_eq!(Mounts::now(), mounts, "{name} -> {target}");
            if output.code == 125 {
                output.assert_error(125, &[name]);
            } else {
                assert!(
                    name == "etc" && output.stdout == "started\n",
                    "{name} -> {target}: {output:?}"
                );
            }
            restore(rootfs.path(), name);
        }
    }
}

#[derive(Debug, PartialEq)]
struct Mounts(String);

impl Mounts {
    fn now() -> Self {
        Mounts(fs::read_to_string("/proc/self/mountinfo").expect("mountinfo"))
    }
}

/// Puts something else in the place of a directory, which is kept beside it.
fn replace(rootfs: &Path, name: &str, make: impl FnOnce(&Path)) {
    fs::rename(rootfs.join(name), rootfs.join(format!("{name}.kept"))).expect("rename");
    make(&rootfs.join(name));
}

fn restore(rootfs: &Path, name: &str) {
    fs::remove_file(rootfs.join(name)).expect("unlink");
    fs::rename(rootfs.join(format!("{name}.kept")), rootfs.join(name)).expect("rename");
}

fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("mkfifo");
}

fn system_directory_that_is_no_directory_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let config = test.container_json(rootfs.path());
    for name in ["proc", "dev", "sys"] {
        for make in [make_fifo, |path: &Path| fs::write(path, "").expect("write")] {
            replace(rootfs.path(), name, make);
            let output = test.run_config(&config, "echo started");
            assert_eq!(output.stdout, "", "{output:?}");
            output.assert_error(125, &[name]);
            restore(rootfs.path(), name);
        }
    }
}

/// The user is looked up before the start, in the caller: a link must not make it read a file of the host.
fn passwd_that_is_a_link_is_read_inside_alone(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let outside = test.write("passwd", "intruder:x:0:0::/:/bin/sh\n");
    let outside = outside.to_str().expect("UTF-8");
    for target in [
        outside,
        &format!("../../../../../../../..{outside}"),
        "/proc/self/fd/0",
        "passwd",
    ] {
        replace(rootfs.path(), "etc/passwd", |path| {
            symlink(target, path).expect("symlink")
        });
        let mut config = test.container_json(rootfs.path());
        config["user"] = json!("intruder");
        let output = test.run_config(&config, "echo started");
        assert_eq!(output.stdout, "", "{target}: {output:?}");
        output.assert_error(125, &["passwd"]);
        restore(rootfs.path(), "etc/passwd");
    }
}

fn passwd_that_is_a_fifo_does_not_hold_us_up(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    replace(rootfs.path(), "etc/passwd", make_fifo);
    let mut config = test.container_json(rootfs.path());
    config["user"] = json!("app");
    test.run_config(&config, "echo started")
        .assert_error(125, &["passwd"]);
    restore(rootfs.path(), "etc/passwd");
}

fn command_that_is_not_there_is_127(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let path = ns_tests::write_json(test.path(), &test.container_json(rootfs.path()));
    let run = |command: &str| {
        test.nsrun(["run", "--config"])
            .args([&path])
            .args(["--", command])
            .run()
    };
    run("no-such-command").assert_error(127, &["no-such-command", "ENOENT"]);
    run("/etc/passwd").assert_error(126, &["/etc/passwd", "EACCES"]);
    run("/etc").assert_error(126, &["/etc"]);
}

fn environment_with_a_nul_is_refused(test: &Test) {
    for entry in ["A=b\0c", "A\0=b", "no-equals-sign", "=value"] {
        let mut config = test.container_json(Path::new("/no/such"));
        config["environment"] = json!(["PATH=/bin", entry]);
        test.run_config(&config, "true")
            .assert_error(125, &["/environment/1"]);
    }
}

fn user_that_is_unknown_is_refused(test: &Test) {
    let Some(output) = run(test, |config| config["user"] = json!("no-such-user")) else {
        return;
    };
    output.assert_error(125, &["user", "no-such-user", "/etc/passwd"]);
}

fn user_that_is_no_id_is_refused(test: &Test) {
    for user in ["4294967295", "4294967296", "-1", "0:4294967295"] {
        let mut config = test.container_json(Path::new("/no/such"));
        config["user"] = json!(user);
        test.run_config(&config, "true")
            .assert_error(125, &["/user", user]);
    }
}

fn id_without_a_mapping_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let mut config = ns_tests::container_json(rootfs.path());
    ns_tests::map_own_ids(&mut config, test.ids());
    config["user"] = json!("app");
    test.run_config(&config, "echo started")
        .assert_error(125, &["/user", "1000"]);
}

fn working_directory_through_a_descriptor_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    for directory in [
        "/proc/self/fd/8",
        "/proc/self/cwd",
        "/no/such",
        "relative",
        "/etc/passwd",
    ] {
        let mut config = test.container_json(rootfs.path());
        config["working_dir"] = json!(directory);
        let output = test.run_config(&config, "echo started");
        assert_eq!(output.stdout, "", "{output:?}");
        output.assert_error(125, &["/working_dir", directory]);
    }
}

fn tty_without_a_terminal_is_refused(test: &Test) {
    let Some(output) = run(test, |config| config["tty"] = json!(true)) else {
        return;
    };
    output.assert_error(125, &["standard input", "not a terminal", "\"tty\": false"]);
}

/// Seed hole H6: without the namespace it would change the host.
fn hostname_without_a_namespace_is_refused(test: &Test) {
    let without = |config: &mut Value| {
        let namespaces = config["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|entry| entry["type"] != "NEWUTS");
    };
    let Some(output) = run(test, without) else {
        return;
    };
    output.assert_error(125, &["/hostname", "NEWUTS"]);
}

/// `/dev/null` of the image is a regular file: what is thrown away must not end up in it.
fn device_of_another_kind_than_it_says_is_not_used(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    fs::write(rootfs.path().join("dev/null"), "").expect("write");
    let output = test.run_config(
        &test.container_json(rootfs.path()),
        "echo thrown away > /dev/null; stat -c %F /dev/null",
    );
    assert_eq!(output.text(), "character special file");
    assert_eq!(fs::read(rootfs.path().join("dev/null")).expect("read"), b"");
}

#[test]
fn error_of_reading_is_one_line() {
    let test = needs!();
    let output = run_text(&test, r#"{"hostnam": "x", "tty": 5}"#);
    let is_ours = |line: &str| line.starts_with("nsrun: ");
    assert!(output.stderr.lines().all(is_ours), "{output:?}");
    output.assert_error(125, &["container.json", "/hostnam"]);
}
