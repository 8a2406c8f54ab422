//! The holes of the original library, H10 to H14, H16 and H17: the command's rights, ids, descriptors and streams, as
//! whole starts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ns_tests::hostile::{
    Attack, HeldStub, Shape, assert_refused, assert_safe_or_refused, leaked_directory,
};
use ns_tests::{Invocation, Test, needs, nsrun_path, variants, write_json};
use serde_json::{Value, json};

/// The five sets, as `/proc/self/status` tells them.
fn sets(text: &str) -> Vec<(&str, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter(|(name, _)| name.starts_with("Cap"))
        .map(|(name, hex)| (name, u64::from_str_radix(hex, 16).expect("hex")))
        .collect()
}

/// 37 AUDIT_READ, 38 PERFMON, 39 BPF, 40 CHECKPOINT_RESTORE: unknown to the seed, which left them.
const NEWER_THAN_THE_SEED: u64 = 0b1111 << 37;

variants![h10_only_what_is_kept_is_left];

fn h10_only_what_is_kept_is_left(test: &Test) {
    let attack = Attack::new(test);
    let kill_and_chown = 1 << 5 | 1;
    for (kept, wanted) in [(json!([]), 0), (json!(["KILL", "CHOWN"]), kill_and_chown)] {
        let config = attack.config_with(&json!({"capabilities": kept}));
        let output = attack.run(&config, &["cat", "/proc/self/status"]);
        let found = sets(output.text());
        let expected = [
            ("CapInh", 0),
            ("CapPrm", wanted),
            ("CapEff", wanted),
            ("CapBnd", wanted),
            ("CapAmb", 0),
        ];
        assert_eq!(
            found, expected,
            "kept {kept}, nothing inheritable, nothing ambient"
        );
        assert_eq!(
            found[3].1 & NEWER_THAN_THE_SEED,
            0,
            "37 to 40 are dropped too"
        );
    }
}

#[test]
fn h10_sandbox_has_no_capability_and_gains_none() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    for flags in [&[][..], &["--unshare-user"], &["--user", "1000:1000"]] {
        let output = attack.sandbox(flags, &["cat", "/proc/self/status"]);
        let found = sets(output.text());
        assert!(
            found.iter().all(|(_, set)| *set == 0),
            "{flags:?}: {found:?}"
        );
        assert!(output.stdout.contains("NoNewPrivs:\t1\n"), "{flags:?}");
        assert!(output.stdout.contains("Seccomp:\t2\n"), "{flags:?}");
    }
}

/// Gives a program capabilities; false, said loudly, where that does not work.
fn set_capabilities(test: &Test, capabilities: &str, program: &Path) -> bool {
    match Command::new("setcap")
        .arg(capabilities)
        .arg(program)
        .status()
    {
        Ok(status) if status.success() => true,
        other => {
            test.skip(&format!(
                "setcap {capabilities} (package libcap2-bin): {other:?}"
            ));
            false
        }
    }
}

#[test]
fn h10_file_capabilities_give_nothing_above_what_is_kept() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    fs::create_dir(attack.in_image("capable")).expect("set up the attack");
    let program = attack.in_image("capable/busybox");
    fs::copy(attack.in_image("bin/busybox"), &program).expect("set up the attack");
    for (on_file, kept, expected) in [
        ("cap_sys_admin,cap_kill,cap_bpf+p", json!([]), 0),
        ("cap_sys_admin,cap_kill,cap_bpf+p", json!(["KILL"]), 1 << 5),
        ("cap_kill,cap_sys_admin+i", json!(["KILL"]), 0),
    ] {
        if !set_capabilities(&test, on_file, &program) {
            return;
        }
        let config = attack.config_with(&json!({"capabilities": kept, "user": "1000"}));
        let output = attack.run(
            &config,
            &["/capable/busybox", "grep", "Cap", "/proc/self/status"],
        );
        let permitted = sets(output.text())[1];
        assert_eq!(
            permitted,
            ("CapPrm", expected),
            "{on_file} with {kept} kept"
        );
        let output = attack.sandbox(
            &["--rootfs", attack.image_text(), "--user", "1000"],
            &["/capable/busybox", "grep", "Cap", "/proc/self/status"],
        );
        assert_eq!(
            sets(output.text())[1],
            ("CapPrm", 0),
            "{on_file} in a sandbox"
        );
    }
}

/// What is open in a shell that is the first process; another process looks.
const DESCRIPTORS: &str = "ls /proc/1/fd; :";

variants![h11_command_has_exactly_its_three_descriptors];

fn h11_command_has_exactly_its_three_descriptors(test: &Test) {
    let attack = Attack::new(test);
    // A caller that leaks: the host's root, its control groups, and more, up to number 40 and above.
    let leaks: Vec<_> = (0..40).map(|_| leaked_directory(Path::new("/"))).collect();
    let run = attack.script(&attack.config(), DESCRIPTORS);
    let sandbox = attack.sandbox(&["--bind", "/tmp", "/b"], &["sh", "-c", DESCRIPTORS]);
    drop(leaks);
    for (what, output) in [("run", run), ("sandbox", sandbox)] {
        let open: Vec<&str> = output.text().lines().collect();
        assert_eq!(
            open,
            ["0", "1", "2"],
            "{what}: a descriptor of the runtime leaks"
        );
    }
}

#[test]
fn h11_working_directory_through_a_descriptor_is_refused() {
    let test = needs!(root, busybox);
    let leaks: Vec<_> = (0..40).map(|_| leaked_directory(Path::new("/"))).collect();
    for number in 3..=40 {
        let attack = Attack::named(&test, &format!("image{number}"));
        let magic = format!("/proc/self/fd/{number}");
        symlink(&magic, attack.in_image("place")).expect("set up the attack");
        for directory in [&magic, "/place", "/place/etc"] {
            let config = attack.config_with(&json!({"working_dir": directory}));
            let output = attack.script(&config, "pwd");
            assert_refused(&format!("{directory} of {number}"), &output);
        }
    }
    let attack = Attack::new(&test);
    for (index, target) in [
        "/proc/self/cwd",
        "/proc/1/cwd",
        "/proc/self/root",
        "/proc/thread-self/root",
    ]
    .into_iter()
    .enumerate()
    {
        let link = format!("place{index}");
        symlink(target, attack.in_image(&link)).expect("set up the attack");
        let config = attack.config_with(&json!({"working_dir": format!("/{link}")}));
        assert_refused(target, &attack.script(&config, "pwd"));
    }
    drop(leaks);
}

#[test]
fn h12_number_is_never_a_name() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let passwd = "root:x:0:0:root:/root:/bin/sh\n10:x:0:0::/root:/bin/sh\nbroken:x:abc:def::/:/bin/sh\n\
                  short\nempty:x:::/:/bin/sh\nhuge:x:4294967296:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";
    fs::write(attack.in_image("etc/passwd"), passwd).expect("set up the attack");
    fs::write(
        attack.in_image("etc/group"),
        "root:x:0:\n20:x:0:\nbad:x:zero:app\n",
    )
    .expect("set up the attack");
    for (user, expected) in [
        ("10", Some("10:")),
        ("10:20", Some("10:20")),
        ("app:20", Some("1000:20")),
        ("app", Some("1000:1000")),
        ("1", Some("1:")),
        ("broken", None),
        ("short", None),
        ("empty", None),
        ("huge", None),
        ("nobody-here", None),
        ("app:bad", None),
        ("-1", None),
        (" 1", None),
        ("1x", None),
        ("4294967295", None),
        ("4294967296", None),
        ("1:4294967295", None),
    ] {
        let config = attack.config_with(&json!({"user": user}));
        let output = attack.run(&config, &["cat", "/proc/self/status"]);
        match expected {
            Some(ids) => {
                let found = format!(
                    "{}:{}",
                    id_of("Uid", output.text()),
                    id_of("Gid", output.text())
                );
                assert!(found.starts_with(ids), "{user:?} is not {ids} but {found}");
            }
            None => assert_refused(&format!("user {user:?}"), &output),
        }
    }
}

/// The real id out of `/proc/self/status`.
fn id_of<'s>(name: &str, status: &'s str) -> &'s str {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .expect("a line of that name");
    line.split_whitespace().nth(1).expect("an id")
}

#[test]
fn h13_label_of_a_module_that_is_not_enabled_is_an_error() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let has = |path: &str| Path::new(path).exists();
    let labels = [
        (
            "apparmor_profile",
            "a-profile",
            has("/sys/kernel/security/apparmor"),
        ),
        (
            "process_label",
            "system_u:system_r:svirt_t:s0:c1,c2",
            has("/sys/fs/selinux/enforce"),
        ),
    ];
    for (key, label, is_enabled) in labels {
        if is_enabled {
            test.skip(&format!("{key}: the module is enabled here"));
            continue;
        }
        let config = attack.config_with(&json!({key: label}));
        let output = attack.script(&config, "touch /ran");
        assert_refused(key, &output);
        output.assert_error(125, &["security label"]);
        assert!(
            !attack.in_image("ran").exists(),
            "{key}: the command ran unlabelled"
        );
    }
}

#[test]
fn h14_nobody_can_attach_before_anything_is_joined_or_opened() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let of = |namespaces: Value| {
        let config = attack.config_with(&json!({"namespaces": namespaces, "networks": []}));
        let path = write_json(test.path(), &config);
        let output = test
            .nsrun([
                "explain",
                "--json",
                "run",
                "--config",
                path.to_str().expect("set up the attack"),
                "--",
                "true",
            ])
            .run();
        let plan: Value = serde_json::from_str(output.text()).expect("set up the attack");
        let calls: Vec<String> = plan["steps"]
            .as_array()
            .expect("set up the attack")
            .iter()
            .map(|step| step["call"].as_str().expect("set up the attack").to_owned())
            .collect();
        calls
    };
    let fresh = json!([{"type": "NEWNS"}, {"type": "NEWUTS"}, {"type": "NEWPID"}]);
    assert_eq!(
        of(fresh)[0],
        "prctl(PR_SET_DUMPABLE, 0)",
        "it is the first step"
    );
    let joined = json!([{"type": "NEWNS"}, {"type": "NEWUTS"}, {"type": "NEWPID", "path": "/proc/self/ns/pid"}]);
    assert_eq!(
        of(joined)[0],
        "prctl(PR_SET_DUMPABLE, 0)",
        "before the first join"
    );
}

#[test]
fn h14_program_that_the_container_sees_is_sealed() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let Some(stub) = HeldStub::start(&test, &attack.config()) else {
        return;
    };
    let program = fs::read_link(stub.proc("exe")).unwrap();
    assert!(
        program.to_str().unwrap().starts_with("/memfd:ns-init"),
        "no file of the host: {program:?}"
    );
    let file = fs::File::open(stub.proc("exe")).unwrap();
    let seals = nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_GET_SEALS).unwrap();
    let wanted = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    assert_eq!(
        seals & wanted,
        wanted,
        "it can be changed once it runs no more"
    );
    let environment = fs::read(stub.proc("environ")).unwrap();
    assert_eq!(environment, b"", "the host's environment is not in sight");
    assert_eq!(stub.finish().text(), "ran");
    // It runs no more; whoever has kept it open still cannot change it.
    let reopened = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let written = fs::File::options()
        .append(true)
        .open(reopened)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"changed"));
    assert!(written.is_err(), "the program was changed");
}

#[test]
fn h16_null_device_of_the_image_is_never_used() {
    let test = needs!(root, busybox);
    for shape in Shape::ALL {
        let attack = Attack::named(&test, &format!("{shape:?}"));
        shape.put(&attack, "dev/null");
        shape.put(&attack, "dev/console");
        let config = write_json(test.path(), &attack.config());
        // All three streams closed: what takes their place is the host's own null device.
        let output = Invocation::new(Path::new("/bin/sh"))
            .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
            .args([nsrun_path().as_os_str()])
            .args(["run", "--config", config.to_str().expect("set up the attack"), "--", "sh", "-c"])
            .args(["stat -L -c '%t:%T %F' /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /dev/null >/seen"])
            .run();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{shape:?}");
        let seen = fs::read_to_string(attack.in_image("seen")).expect("set up the attack");
        // The second is the file that the shell writes to.
        let lines: Vec<&str> = seen.lines().collect();
        for index in [0, 2, 3] {
            assert_eq!(
                lines[index], "1:3 character special file",
                "{shape:?}: {seen}"
            );
        }
        attack.assert_canary_untouched();
        // The seed took streams for the null device when both had the device number 0, as pipes and files have.
        let output = attack.script(
            &attack.config(),
            "stat -L -c %F /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2",
        );
        assert_safe_or_refused(&format!("{shape:?}"), &output, "fifo\nfifo\nfifo");
        assert_eq!(output.code, 0, "{shape:?}: it is not in the way");
    }
}

#[test]
fn h17_program_gains_nothing_where_new_privileges_are_forbidden() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    fs::create_dir(attack.in_image("gaining")).expect("set up the attack");
    let program = attack.in_image("gaining/busybox");
    fs::copy(attack.in_image("bin/busybox"), &program).expect("set up the attack");
    let on_file = "cap_kill+p";
    if !set_capabilities(&test, on_file, &program) {
        return;
    }
    // The shell, an ordinary program of an ordinary user, has no capability; what it executes could have one.
    let script = "/gaining/busybox grep Cap /proc/self/status";
    let permitted = |output: &ns_tests::Output| sets(output.text())[1].1;
    let kill = 1 << 5;
    // As the seed started it: the program gains what its file says.
    let config = attack.config_with(&json!({"user": "1000", "capabilities": ["KILL"]}));
    assert_eq!(
        permitted(&attack.script(&config, script)),
        kill,
        "it can be gained"
    );
    let config = attack
        .config_with(&json!({"user": "1000", "capabilities": ["KILL"], "no_new_privileges": true}));
    assert_eq!(permitted(&attack.script(&config, script)), 0);
}

variants![h17_nothing_is_kept_that_was_not_named];

/// The seed's samples kept twelve capabilities, MKNOD, NET_RAW, SYS_CHROOT, SETFCAP and SETPCAP among them.
fn h17_nothing_is_kept_that_was_not_named(test: &Test) {
    let attack = Attack::new(test);
    let mut config = attack.config();
    config
        .as_object_mut()
        .expect("set up the attack")
        .remove("capabilities");
    for output in [
        attack.run(&config, &["cat", "/proc/self/status"]),
        attack.sandbox(&[], &["cat", "/proc/self/status"]),
    ] {
        let found = sets(output.text());
        assert!(found.iter().all(|(_, set)| *set == 0), "{found:?}");
    }
    let output = attack.sandbox(&[], &["cat", "/proc/self/status"]);
    assert!(output.stdout.contains("NoNewPrivs:\t1\n"), "{output:?}");
    assert!(output.stdout.contains("Seccomp:\t2\n"), "{output:?}");
}
