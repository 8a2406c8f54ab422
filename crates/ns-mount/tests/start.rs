//! Plans run by the stub of ns-init in new namespaces: terminals, and sources that only the caller reaches.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it breaks, and says what it skips"
)]

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use ns_config::{
    Config, IdMap, Mount, MountAttributes, MountKind, MountOptions, NamespaceKind, Rootfs,
};
use ns_init::{Command, IdMapping, Launch, Op, Plan, PlanBuilder, Started, launch};
use ns_mount::{Host, RootfsPlanner, Sources, Terminal, TerminalSlots};

#[test]
fn cve_2025_52565_terminal_is_the_console_and_belongs_to_the_containers_devpts() {
    let config = usual_config();
    let terminal = Terminal {
        rows: 33,
        columns: 101,
        uid: 0,
        gid: 0,
    };
    let script = "stty size; tty; ls /dev/pts; stat -c '%F %t' /dev/console; echo x > /dev/console";
    let (mut started, plan) = start(&config, Some(&terminal), script, own_id(&config));
    started.wait_ready(&plan).unwrap();
    let primary = started.take_descriptors().pop().unwrap();
    let output = read_terminal(primary.into());
    assert_eq!(exit_code(started), 0, "{output}");
    assert!(output.contains("33 101"), "{output}");
    assert!(
        output.contains("/dev/pts/0"),
        "the first terminal of its own devpts: {output}"
    );
    assert!(output.contains("character special file 88"), "{output}");
    assert!(
        output.ends_with("x\r\n"),
        "what is written to the console arrives: {output}"
    );
}

#[test]
fn container_of_a_plain_or_privileged_caller_in_one_id_starts() {
    let config = usual_config();
    let script = "test -c /dev/null && echo x > /dev/null && test $$ = 1 && test -r /usr/bin/env \
        && ! touch /usr/x && touch /tmp/x && test $(cat /etc/given) = given";
    let (mut started, plan) = start(&config, None, script, own_id(&config));
    started.wait_ready(&plan).unwrap();
    assert_eq!(exit_code(started), 0);
}

#[test]
fn sources_that_only_a_privileged_caller_reaches_are_in_another_user_namespace() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP sources_that_only_a_privileged_caller_reaches: needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
    let rootfs = directory.path().join("rootfs");
    fs::create_dir(&rootfs).unwrap();
    chown(&rootfs, Some(FIRST_ID), Some(FIRST_ID)).unwrap();
    fs::write(directory.path().join("file"), "reached").unwrap();

    let mut config = usual_config();
    config.rootfs = Rootfs::Directory(rootfs.to_str().unwrap().to_owned());
    let source = directory.path().join("file").to_str().unwrap().to_owned();
    config.mounts.push(bind("/reached", &source));
    let map = IdMap {
        container_id: 0,
        host_id: FIRST_ID,
        size: 65536,
    };
    (config.uid_mappings, config.gid_mappings) = (vec![map], vec![map]);
    assert_eq!(Host::detect(&config).unwrap().sources, Sources::Caller);

    let script = "test $(cat /reached) = reached && test $(stat -c %g /dev/pts/ptmx) = 0 \
        && grep -q gid=100005 /proc/self/mountinfo && ! grep -q master: /proc/self/mountinfo";
    let (mut started, plan) = start(&config, None, script, IdMapping::Caller);
    for name in ["uid_map", "gid_map"] {
        let file = format!("/proc/{}/{name}", started.pid());
        fs::write(file, IdMap::render(&[map])).unwrap();
    }
    started.go().unwrap();
    started.wait_ready(&plan).unwrap();
    assert_eq!(exit_code(started), 0);
}

// ---- what a test is made of

const FIRST_ID: u32 = 100_000;

/// An empty root with the host's programs, in every namespace of its own.
fn usual_config() -> Config {
    let mut config = Config {
        rootfs: Rootfs::Empty { size_bytes: None },
        ..Config::default()
    };
    for kind in NamespaceKind::ALL {
        if kind != NamespaceKind::Time {
            config.namespaces.add(kind, None, "");
        }
    }
    let link = |destination: &str, target: &str| {
        let target = target.to_owned();
        mount(destination, MountKind::Symlink { target })
    };
    config.mounts = vec![
        mount("/proc", filesystem("proc")),
        mount("/dev", MountKind::DevLayout),
        mount("/tmp", filesystem("tmpfs")),
        bind("/usr", "/usr"),
        link("/bin", "usr/bin"),
        link("/lib", "usr/lib"),
        link("/lib64", "usr/lib64"),
        mount(
            "/etc/given",
            MountKind::File {
                contents: b"given".to_vec(),
                mode: 0o644,
            },
        ),
    ];
    config
}

fn own_id(config: &Config) -> IdMapping {
    assert!(config.namespaces.creates(NamespaceKind::User));
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    IdMapping::Own {
        uid_map: format!("0 {uid} 1\n"),
        gid_map: format!("0 {gid} 1\n"),
    }
}

fn start(
    config: &Config,
    terminal: Option<&Terminal>,
    script: &str,
    ids: IdMapping,
) -> (Started, Plan) {
    let host = Host::detect(config).unwrap();
    let mut plan = PlanBuilder::new();
    if ids == IdMapping::Caller {
        // The caller's own id may have no mapping; a process without one can make no file.
        plan.push("become root inside", Op::SetIds { uid: 0, gid: 0 });
    }
    let slots = RootfsPlanner::plan(config, &host, terminal, &mut plan).unwrap();
    plan.push("reset signals", Op::ResetSignals);
    if let Some(slots) = slots.terminal {
        push_terminal(slots, &mut plan);
    }
    let command = Command {
        arguments: ["/bin/sh", "-c", script].map(Into::into).into(),
        environment: vec!["PATH=/usr/bin".into()],
    };
    ns_init::execute(config, &command, &mut plan).unwrap();
    let plan = plan.finish();
    let how = Launch {
        namespaces: config.namespaces.new_flags(),
        ids,
        ..Launch::default()
    };
    (launch(&plan, &how).unwrap(), plan)
}

fn push_terminal(slots: TerminalSlots, plan: &mut PlanBuilder) {
    let terminal = slots.peer;
    plan.push("lead a session", Op::NewSession);
    plan.push("take the terminal", Op::SetControllingTerminal { terminal });
    for to in 0..3 {
        let from = terminal;
        plan.push("give the terminal", Op::Duplicate { from, to });
    }
}

/// Everything until the other end is closed, which reads as EIO.
fn read_terminal(mut primary: File) -> String {
    let mut output = Vec::new();
    let mut part = [0; 512];
    while let Ok(length @ 1..) = primary.read(&mut part) {
        output.extend_from_slice(&part[..length]);
    }
    String::from_utf8(output).unwrap()
}

fn exit_code(started: Started) -> i32 {
    let (_, pidfd) = started.into_process().unwrap();
    match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED).unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("the command ended by itself: {other:?}"),
    }
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer: format!("mount {destination}"),
    }
}

fn filesystem(fstype: &str) -> MountKind {
    MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source: fstype.to_owned(),
    }
}

/// Read-only.
fn bind(destination: &str, source: &str) -> Mount {
    let kind = MountKind::Bind {
        source: source.to_owned(),
        recursive: true,
        optional: false,
    };
    let mut mount = mount(destination, kind);
    mount.options.set_recursive = MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    };
    mount
}
