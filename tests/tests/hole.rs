//! The holes of the original library, H1 and H4 to H9: what is joined, read, mounted and executed, as whole starts.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use ns_tests::hostile::{Attack, Shape, assert_refused, assert_safe_or_refused};
use ns_tests::{Invocation, Test, needs, nsrun_path, write_json};
use serde_json::{Value, json};

const KINDS: [(&str, &str); 6] = [
    ("NEWNET", "net"),
    ("NEWUTS", "uts"),
    ("NEWIPC", "ipc"),
    ("NEWPID", "pid"),
    ("NEWCGROUP", "cgroup"),
    ("NEWUSER", "user"),
];

/// A configuration that shares everything with the host but one namespace, which is joined.
fn joining(kind: &str, path: &str) -> Value {
    json!({
        "namespaces": [{"type": kind, "path": path}],
        "environment": ["PATH=/usr/bin:/bin"],
        "capabilities": [],
    })
}

fn run(test: &Test, config: &Value, command: &[&str]) -> ns_tests::Output {
    let path = write_json(test.path(), config);
    let path = path.to_str().expect("temporary directories are UTF-8");
    test.nsrun(["run", "--config", path, "--"])
        .args(command)
        .run()
}

#[test]
fn h01_dead_process_is_never_joined() {
    let test = needs!(root);
    // A zombie, the child of a program that never looks after it: it outlives the shell, which might.
    let mut parent = Command::new("sh")
        .args(["-c", "sleep 0.2 & echo $!; exec sleep 600"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("set up the attack");
    let mut line = String::new();
    BufReader::new(parent.stdout.take().expect("set up the attack"))
        .read_line(&mut line)
        .expect("set up the attack");
    let pid = line.trim().to_owned();
    while !fs::read_to_string(format!("/proc/{pid}/stat"))
        .expect("set up the attack")
        .contains(") Z ")
    {
        std::thread::yield_now();
    }
    // It still has its directory in /proc, and of its namespaces only those of its processes and users.
    for (kind, name) in [
        ("NEWNET", "net"),
        ("NEWUTS", "uts"),
        ("NEWIPC", "ipc"),
        ("NEWCGROUP", "cgroup"),
    ] {
        let path = format!("/proc/{pid}/ns/{name}");
        let output = run(&test, &joining(kind, &path), &["echo", "on the host"]);
        assert_refused(&format!("{kind} of a zombie"), &output);
    }
    parent.kill().expect("set up the attack");
    parent.wait().expect("set up the attack");
    ns_tests::reap_orphans();
    for (kind, name) in KINDS {
        let path = format!("/proc/{pid}/ns/{name}");
        let output = run(&test, &joining(kind, &path), &["echo", "on the host"]);
        assert_refused(&format!("{kind} of a process that is gone"), &output);
        output.assert_error(125, &[&path]);
    }
}

#[test]
fn h01_living_process_is_joined() {
    let test = needs!(root);
    let mut other = Command::new("unshare")
        .args([
            "--uts",
            "sh",
            "-c",
            "hostname of-the-other && echo ready && read end",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("set up the attack");
    let mut line = [0; 6];
    std::io::Read::read_exact(other.stdout.as_mut().expect("set up the attack"), &mut line)
        .expect("set up the attack");
    let path = format!("/proc/{}/ns/uts", other.id());
    let output = run(&test, &joining("NEWUTS", &path), &["hostname"]);
    drop(other.stdin.take());
    other.wait().expect("set up the attack");
    assert_eq!(output.text(), "of-the-other");
}

#[test]
fn h01_path_that_is_no_namespace_of_the_kind_is_refused() {
    let test = needs!(root);
    let file = test.write("file", "no namespace");
    let fifo = test.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).expect("set up the attack");
    for path in [
        "/proc/self/ns/uts",
        "/proc/self/exe",
        "/dev/null",
        "/",
        "/nowhere",
        file.to_str().expect("set up the attack"),
        fifo.to_str().expect("set up the attack"),
    ] {
        let output = run(&test, &joining("NEWNET", path), &["echo", "on the host"]);
        assert_refused(path, &output);
    }
}

#[test]
fn h04_nothing_is_read_back_from_the_image() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    // Whoever opens one of them waits until the deadline of the test.
    for name in [
        "container.json",
        "state.json",
        "config.json",
        "nsrun.json",
        ".container.json",
    ] {
        for place in ["", "etc/", "root/", "tmp/"] {
            let path = attack.in_image(&format!("{place}{name}"));
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).expect("set up the attack");
        }
    }
    let config = write_json(test.path(), &attack.config());
    let output = test
        .nsrun([
            "run",
            "--config",
            config.to_str().expect("set up the attack"),
            "--",
            "hostname",
        ])
        .current_dir(&attack.in_image("/"))
        .run();
    assert_eq!(output.text(), "integration");
    attack.assert_canary_untouched();
}

#[test]
fn h05_unknown_namespace_is_an_error() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    for namespaces in [
        json!([{"type": "NEWNS"}, {"type": "NEWUTZ"}]),
        json!([{"type": "NEWNS"}, {"type": ""}]),
        json!([{"type": "NEWNS"}, {"type": "uts "}]),
        json!([{"type": "NEWNS"}, {"path": "/proc/self/ns/uts"}]),
        json!([{"type": "NEWNS"}, {"types": "NEWUTS"}]),
        json!([{"type": "NEWNS"}, {"type": ["NEWUTS"]}]),
        json!([{"type": "NEWNS"}, {"name": "NEWUTZ"}]),
        json!([{"type": "NEWNS"}, {}]),
        json!([{"type": "NEWNS"}, "NEWUTZ"]),
        json!([{"type": "NEWNS"}, null]),
        json!({"NEWNS": true, "NEWUTZ": true}),
        json!({"NEWNS": true, "NEWUTS": "yes"}),
        json!("NEWNS"),
    ] {
        let output = attack.script(
            &attack.config_with(&json!({"namespaces": namespaces, "networks": [], "hostname": ""})),
            "touch /ran",
        );
        assert_refused(&namespaces.to_string(), &output);
        assert!(
            !attack.in_image("ran").exists(),
            "{namespaces} started the command"
        );
    }
}

#[test]
fn h05_every_spelling_of_a_namespace_isolates() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let host = fs::read_link("/proc/self/ns/uts").expect("set up the attack");
    for namespaces in [
        json!([{"type": "NEWNS"}, {"type": "NEWUTS"}, {"type": "NEWNET"}]),
        json!([{"name": "NEWNS"}, {"name": "NEWUTS"}, {"name": "NEWNET"}]),
        json!({"NEWNS": true, "NEWUTS": true, "NEWNET": true}),
    ] {
        let config = attack.config_with(&json!({"namespaces": namespaces}));
        let output = attack.run(&config, &["readlink", "/proc/self/ns/uts"]);
        assert_ne!(
            output.text(),
            host.to_str().expect("set up the attack"),
            "{namespaces} is silently no isolation"
        );
    }
}

#[test]
fn h06_setting_without_its_namespace_is_refused() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").expect("set up the attack");
    let all = ["NEWNS", "NEWUTS", "NEWIPC", "NEWPID", "NEWNET"];
    for (missing, keys, pointer) in [
        ("NEWNS", json!({}), "root_fs"),
        (
            "NEWNS",
            json!({"restrict_sys": false, "mount_config": {"readonly_fs": true}}),
            "root_fs",
        ),
        (
            "NEWNS",
            json!({"mount_config": {"no_pivot_root": true}}),
            "root_fs",
        ),
        ("NEWUTS", json!({}), "hostname"),
        ("NEWNET", json!({}), "networks"),
        (
            "NEWNET",
            json!({"networks": [], "routes": [{"destination": "10.1.0.0/16", "interface_name": "lo"}]}),
            "routes",
        ),
    ] {
        let left: Vec<Value> = all
            .iter()
            .filter(|kind| **kind != missing)
            .map(|kind| json!({"type": kind}))
            .collect();
        let mut config = attack.config_with(&keys);
        config["namespaces"] = json!(left);
        let output = attack.script(&config, "echo ran");
        assert_refused(&format!("{pointer} without {missing}"), &output);
        assert!(output.stderr.contains(pointer), "{output:#?}");
    }
    assert_eq!(
        host_name,
        fs::read_to_string("/proc/sys/kernel/hostname").expect("set up the attack"),
        "the host keeps its name"
    );
}

#[test]
fn h07_program_is_never_looked_up_in_the_image() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    // It leaves its mark beside itself, whether it runs inside or, as the seed had it, on the host.
    let thief = "#!/bin/sh\necho >\"${0%/*}/stolen\"\n";
    for name in [
        "nsrun",
        "ns-init",
        "bin/nsrun",
        "bin/ns-init",
        "init",
        "exe",
    ] {
        let path = attack.in_image(name);
        fs::write(&path, thief).expect("set up the attack");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set up the attack");
    }
    symlink(nsrun_path(), test.path().join("nsrun")).expect("set up the attack");
    let config = write_json(test.path(), &attack.config());
    for (program, directory) in [
        ("./nsrun", test.path()),
        ("../nsrun", &attack.in_image("bin/..")),
    ] {
        let mut invocation = Invocation::new(Path::new(program))
            .args([
                "run",
                "--config",
                config.to_str().expect("set up the attack"),
                "--",
                "echo",
                "ran",
            ])
            .current_dir(directory);
        std::os::unix::process::CommandExt::arg0(invocation.command(), "./nsrun");
        assert_eq!(invocation.run().text(), "ran");
        for mark in ["stolen", "bin/stolen"] {
            assert!(
                !attack.in_image(mark).exists(),
                "{program} ran a program of the image"
            );
        }
    }
}

#[test]
fn h08_place_through_links_of_the_image_stays_inside() {
    let test = needs!(root, busybox);
    let source = test.make_dir("source");
    let harmless = Attack::new(&test);
    let n_mounts: u32 = harmless
        .script(&harmless.config(), MOUNTS)
        .text()
        .parse()
        .expect("set up the attack");
    for shape in Shape::ALL {
        for (kind, below) in [
            ("bind", ""),
            ("bind", "/new/deeper"),
            ("tmpfs", ""),
            ("tmpfs", "/new"),
        ] {
            let name = format!("{shape:?}-{kind}{}", below.replace('/', "-"));
            let attack = Attack::named(&test, &name);
            shape.put(&attack, "place");
            let mut mount = json!({"type": kind, "destination": format!("/place{below}")});
            if kind == "bind" {
                mount["source"] = json!(source);
                mount["writable"] = json!(true);
            }
            let config = attack.config_with(&json!({"mount_config": {"mounts": [mount]}}));
            let output = attack.script(&config, MOUNTS);
            assert_safe_or_refused(&name, &output, &(n_mounts + 1).to_string());
        }
    }
}

/// How many mounts the command sees: one that went outside the root is not among them.
const MOUNTS: &str = "wc -l </proc/self/mountinfo";

#[test]
fn h09_nothing_covers_the_root_or_proc() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let source = test.make_dir("source");
    for destination in [
        "/",
        "//",
        "/.",
        "/proc",
        "/proc/",
        "//proc",
        "/./proc",
        "/proc/self/attr",
        "/proc/sys/kernel",
        "/proc/../proc",
        "/tmp/../proc",
        "/..",
        "proc",
        "",
        ".",
    ] {
        for mount in [
            json!({"type": "tmpfs", "destination": destination}),
            json!({"type": "bind", "source": source, "destination": destination, "writable": true}),
        ] {
            let output = attack.script(
                &attack.config_with(&json!({"mount_config": {"mounts": [mount]}})),
                "echo ran",
            );
            assert_refused(&mount.to_string(), &output);
        }
    }
    for node in [
        "/proc/node",
        "/proc/self/attr/exec",
        "/..",
        "/tmp/../proc/node",
    ] {
        let device = json!({"type": 99, "path": node, "major_number": 1, "minor_number": 3, "file_mode": 438});
        let output = attack.script(
            &attack.config_with(&json!({"mount_config": {"device_nodes": [device]}})),
            "echo ran",
        );
        assert_refused(&device.to_string(), &output);
    }
}

#[test]
fn h09_link_of_the_image_into_proc_is_refused() {
    let test = needs!(root, busybox);
    let source = test.make_dir("source");
    for (index, (target, destination)) in [
        ("/proc", "/data"),
        ("proc", "/data"),
        ("/proc/self/attr", "/data"),
        ("/proc", "/data/sys/kernel"),
        ("../../proc/sys", "/data"),
    ]
    .into_iter()
    .enumerate()
    {
        let attack = Attack::named(&test, &format!("image{index}"));
        symlink(target, attack.in_image("data")).expect("set up the attack");
        for mount in [
            json!({"type": "tmpfs", "destination": destination}),
            json!({"type": "bind", "source": source, "destination": destination, "writable": true}),
        ] {
            let output = attack.script(
                &attack.config_with(&json!({"mount_config": {"mounts": [mount]}})),
                "echo ran",
            );
            assert_refused(&format!("{mount} with {target}"), &output);
        }
    }
}
