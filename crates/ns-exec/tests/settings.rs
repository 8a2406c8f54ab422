//! Settings of a configuration that no flag of `nsrun` reaches, each seen from inside.

#![expect(clippy::print_stdout, reason = "a test says what it skips")]

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;

use ns_config::{
    Config, Mount, MountKind, MountOptions, Network, NetworkKind, OverlayUpper, Sysctl,
};
use ns_exec::{Kind, Prepared, Sandbox, Stage, Start, Stream};

/// A sandbox's configuration, to be changed.
fn sandbox() -> Config {
    Sandbox::default().config().expect("a sandbox")
}

/// What a shell line writes in a container of this configuration.
fn output(config: &Config, line: &str) -> String {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(config, ["sh", "-c", line])
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(OwnedFd::from(writer)));
    let process = start
        .prepare()
        .and_then(Prepared::start)
        .expect("it starts");
    let mut output = String::new();
    File::from(OwnedFd::from(reader))
        .read_to_string(&mut output)
        .expect("text");
    assert_eq!(process.wait().expect("it ends").code(), 0, "{output}");
    output.trim_end().to_owned()
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    let options = MountOptions::default();
    let pointer = destination.to_owned();
    Mount {
        destination: destination.to_owned(),
        kind,
        options,
        pointer,
    }
}

#[test]
fn domainname_is_set() {
    let mut config = sandbox();
    config.domainname = Some("example.org".to_owned());
    assert_eq!(
        output(&config, "cat /proc/sys/kernel/domainname"),
        "example.org"
    );
}

#[test]
fn umask_is_the_configured_one_or_022() {
    let mut config = sandbox();
    assert_eq!(output(&config, "umask"), "0022");
    config.process.umask = Some(0o077);
    assert_eq!(output(&config, "umask"), "0077");
}

#[test]
fn oom_score_is_the_configured_one() {
    let mut config = sandbox();
    config.process.oom_score_adj = Some(777);
    assert_eq!(output(&config, "cat /proc/self/oom_score_adj"), "777");
}

#[test]
fn kernel_setting_of_the_own_network_is_written() {
    let mut config = sandbox();
    let name = "net.ipv4.conf.all.forwarding".to_owned();
    let pointer = "/sysctl/0".to_owned();
    config.sysctl = vec![Sysctl {
        name,
        value: "1".to_owned(),
        pointer,
    }];
    assert_eq!(
        output(&config, "cat /proc/sys/net/ipv4/conf/all/forwarding"),
        "1"
    );
}

/// The caller's thread stands for the host: a network namespace of its own with a bridge.
fn enter_a_network_with_a_bridge(test: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP {test}: a network namespace without a user namespace takes root");
        return false;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root");
    let ip = |words: &[&str]| {
        let done = std::process::Command::new("ip").args(words).status();
        done.is_ok_and(|status| status.success())
    };
    let made = ip(&["link", "add", "br0", "type", "bridge"])
        && ip(&["addr", "add", "10.9.0.1/24", "dev", "br0"])
        && ip(&["link", "set", "br0", "up"]);
    if !made {
        println!("SKIP {test}: no bridges, or no ip(8)");
    }
    made
}

#[test]
fn interfaces_are_in_the_network_that_is_made_beside_the_mounts() {
    if !enter_a_network_with_a_bridge(
        "interfaces_are_in_the_network_that_is_made_beside_the_mounts",
    ) {
        return;
    }
    let mut config = sandbox();
    let mut network = Network::new(NetworkKind::Veth {
        bridge: "br0".to_owned(),
        prefix: "nst".to_owned(),
        host_interface_name: None,
        hairpin: false,
    });
    network
        .addresses
        .push("10.9.0.2/24".parse().expect("an address"));
    network
        .gateways
        .push("10.9.0.1".parse().expect("an address"));
    config.networks.push(network);
    let prepared = Start::new(&config, ["true"]).prepare().expect("a plan");
    assert_eq!(
        prepared.caller_flags(),
        0x4000_0000,
        "it is made beside the mounts"
    );
    let inside = output(
        &config,
        "cat /proc/net/route; ls /sys/class/net 2>/dev/null; true",
    );
    assert!(
        inside.contains("eth0"),
        "the interface has its route: {inside}"
    );
    assert!(
        inside.contains("0100090A"),
        "by way of the gateway: {inside}"
    );
}

#[test]
fn own_network_is_not_that_of_the_caller() {
    let host = std::fs::read_link("/proc/thread-self/ns/net").expect("procfs");
    let inside = output(&sandbox(), "readlink /proc/self/ns/net; cat /proc/net/dev");
    assert!(!inside.contains(&*host.to_string_lossy()), "{inside}");
    let interfaces = inside.lines().filter(|line| line.contains(':')).skip(1);
    let names: Vec<_> = interfaces
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names.len(), 1, "loopback alone: {inside}");
}

#[test]
fn kernel_setting_of_the_host_is_refused() {
    let mut config = sandbox();
    let name = "kernel.core_pattern".to_owned();
    let pointer = "/sysctl/0".to_owned();
    config.sysctl = vec![Sysctl {
        name,
        value: "x".to_owned(),
        pointer,
    }];
    let error = Start::new(&config, ["true"])
        .prepare()
        .expect_err("it is the host's");
    assert_eq!(
        (error.stage(), error.config_pointer()),
        (Stage::Configuration, Some("/sysctl/0"))
    );
}

#[test]
fn h13_security_label_without_its_module_starts_nothing() {
    if fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|lsm| lsm.contains("apparmor")) {
        eprintln!(
            "SKIP h13_security_label_without_its_module_starts_nothing: AppArmor is enabled here"
        );
        return;
    }
    let mut config = sandbox();
    config.process.apparmor_profile = Some("docker-default".to_owned());
    let error = Start::new(&config, ["true"])
        .prepare()
        .and_then(Prepared::start)
        .map(drop);
    let error = error.expect_err("it must not start without its label");
    assert_eq!(error.stage(), Stage::Child, "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("security module")),
        "{error:?}"
    );
}

#[test]
fn file_from_bytes_is_there_with_its_mode() {
    let mut config = sandbox();
    let kind = MountKind::File {
        contents: b"given\n".to_vec(),
        mode: 0o640,
    };
    config.mounts.push(mount("/run/note", kind));
    assert_eq!(
        output(&config, "cat /run/note; stat -c %a /run/note"),
        "given\n640"
    );
}

#[test]
fn overlay_shows_lower_files_and_keeps_changes_above() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| {
        let path = directory.path().join(name);
        fs::create_dir(&path).expect("mkdir");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (lower, upper, work) = (path("lower"), path("upper"), path("work"));
    fs::write(format!("{lower}/file"), "below\n").expect("write");
    let mut config = sandbox();
    let kind = MountKind::Overlay {
        lower: vec![lower.clone()],
        upper: Some(OverlayUpper {
            upper: upper.clone(),
            work: work.clone(),
        }),
    };
    config.mounts.push(mount("/merged", kind));
    let seen = output(
        &config,
        "cat /merged/file; echo above > /merged/file; cat /merged/file",
    );
    // overlayfs leaves a directory that its owner may not enter, and so could not remove.
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(format!("{work}/work"), closed).expect("chmod");
    assert_eq!(seen, "below\nabove");
    assert_eq!(
        fs::read_to_string(format!("{lower}/file")).expect("read"),
        "below\n"
    );
    assert_eq!(
        fs::read_to_string(format!("{upper}/file")).expect("read"),
        "above\n"
    );
}

#[test]
fn every_problem_of_a_configuration_is_told_at_once() {
    let mut config = sandbox();
    config.hostname = Some("no spaces".to_owned());
    config.process.umask = Some(0o7777);
    config.process.oom_score_adj = Some(5000);
    let error = Start::new(&config, ["true"])
        .prepare()
        .expect_err("three problems");
    assert_eq!(
        (error.kind(), error.also().len()),
        (Kind::InvalidValue, 2),
        "{error:?}"
    );
}
