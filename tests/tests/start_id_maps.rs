//! Several id maps for a plain user, by the setuid helpers of the package uidmap. What the helpers read of `/etc` is
//! the test's own: each test has a view of it in a mount namespace of its thread.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use ns_tests::{Output, PLAIN_ID, Test, needs, wait_for_orphans};
use serde_json::{Value, json};

const HELPERS: [&str; 2] = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];
const USER: &str = "ns-tests-user";
/// The first and the number of the ids that the user is granted.
const GRANTED: (u32, u32) = (300_000, 1_000);

fn mount(words: &[&str]) {
    let status = Command::new("mount").args(words).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "mount {words:?}"
    );
}

/// A test in whose view of the host the plain user has a name and these grants; `None` after a loud skip.
fn with_grants(test: Test, subuid: &str, subgid: &str) -> Option<Test> {
    if let Some(missing) = HELPERS.iter().find(|helper| !Path::new(helper).exists()) {
        test.skip(&format!("needs {missing} (package uidmap)"));
        return None;
    }
    let [upper, work] = ["etc-upper", "etc-work"].map(|name| test.make_dir(name));
    let passwd = fs::read_to_string("/etc/passwd").expect("read");
    let line = format!("{USER}:x:{PLAIN_ID}:{PLAIN_ID}::/:/bin/sh\n");
    for (name, text) in [
        ("passwd", passwd + &line),
        ("subuid", subuid.to_owned()),
        ("subgid", subgid.to_owned()),
    ] {
        fs::write(upper.join(name), text).expect("write");
    }
    unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
    mount(&["--make-rprivate", "/"]);
    let layers = format!(
        "lowerdir=/etc,upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    mount(&["-t", "overlay", "overlay", "-o", &layers, "/etc"]);
    Some(test.rootless())
}

fn granted() -> String {
    format!("{USER}:{}:{}\n", GRANTED.0, GRANTED.1)
}

/// Root inside is the user, the ids from 1 on are those that were granted.
fn config(test: &Test, size: u32) -> Option<Value> {
    let mut config = test.container_json(test.busybox()?.path());
    let maps = json!([
        {"container_id": 0, "host_id": PLAIN_ID, "size": 1},
        {"container_id": 1, "host_id": GRANTED.0, "size": size},
    ]);
    config["uid_mappings"] = maps.clone();
    config["gid_mappings"] = maps;
    Some(config)
}

fn run(test: &Test, size: u32, script: &str) -> Option<Output> {
    let output = test.run_config(&config(test, size)?, script);
    wait_for_orphans();
    Some(output)
}

fn assert_one_line(output: &Output, words: &[&str]) {
    output.assert_error(125, words);
    assert_eq!(
        (output.stdout.as_str(), output.stderr.lines().count()),
        ("", 1),
        "{output:?}"
    );
}

#[test]
fn granted_ids_are_mapped_by_the_helpers() {
    let test = needs!(root, plain, user_namespace, busybox);
    let Some(test) = with_grants(test, &granted(), &granted()) else {
        return;
    };
    let look = "id -u; tr -s ' ' </proc/self/uid_map; tr -s ' ' </proc/self/gid_map; \
                touch /tmp/file && chown 7:8 /tmp/file && stat -c %u:%g /tmp/file; \
                sed -n 's/^Groups:\\s*/groups /p' /proc/self/status";
    let maps = format!(" 0 {PLAIN_ID} 1\n 1 {} {}\n", GRANTED.0, GRANTED.1);
    let Some(mut config) = config(&test, GRANTED.1) else {
        return;
    };
    config["mount_config"] = json!({"mounts": [{"type": "tmpfs", "destination": "/tmp"}]});
    let output = test.run_config(&config, look);
    assert_eq!(
        output.text(),
        format!("0\n{maps}{maps}7:8\ngroups ").trim_end_matches('\n')
    );
    config["user"] = json!("5:6");
    let output = test.run_config(&config, "echo $(id -u):$(id -g)");
    assert_eq!(
        output.text(),
        "5:6",
        "an id among the granted ones is to be had"
    );
}

#[test]
fn ids_that_are_not_granted_are_one_error() {
    let test = needs!(root, plain, user_namespace, busybox);
    let foreign = format!("somebody:{}:{}\n", GRANTED.0, GRANTED.1);
    let Some(test) = with_grants(test, &foreign, &granted()) else {
        return;
    };
    if let Some(output) = run(&test, GRANTED.1, "echo ran") {
        assert_one_line(&output, &["map ids", "newuidmap", "hint", "/etc/subuid"]);
    }
}

#[test]
fn groups_that_are_not_granted_are_one_error() {
    let test = needs!(root, plain, user_namespace, busybox);
    let Some(test) = with_grants(test, &granted(), "") else {
        return;
    };
    if let Some(output) = run(&test, GRANTED.1, "echo ran") {
        assert_one_line(&output, &["map ids", "newgidmap", "hint", "/etc/subgid"]);
    }
}

#[test]
fn more_ids_than_granted_are_one_error() {
    let test = needs!(root, plain, user_namespace, busybox);
    let Some(test) = with_grants(test, &granted(), &granted()) else {
        return;
    };
    if let Some(output) = run(&test, GRANTED.1 + 1, "echo ran") {
        assert_one_line(&output, &["map ids", "newuidmap", "hint"]);
    }
}

#[test]
fn helper_that_is_not_installed_is_named() {
    let test = needs!(root, plain, user_namespace, busybox);
    let Some(test) = with_grants(test, &granted(), &granted()) else {
        return;
    };
    for (helper, setting) in HELPERS.iter().zip(["/uid_mappings", "/gid_mappings"]) {
        // Something that is no program, in this thread's view alone.
        mount(&["--bind", "/dev/null", helper]);
        let config = test.path().join("rootfs");
        if config.exists() {
            fs::rename(&config, test.path().join("rootfs-before")).expect("rename");
        }
        let Some(output) = run(&test, GRANTED.1, "echo ran") else {
            return;
        };
        let name = helper.rsplit('/').next().expect("a name");
        assert_one_line(
            &output,
            &["map ids", name, "not installed", "uidmap", setting],
        );
        let status = Command::new("umount").arg(helper).status();
        assert!(status.is_ok_and(|status| status.success()), "umount");
    }
}
