//! Attacks on other runtimes that are known by number, tried on ours: paths, descriptors, the runtime's own program,
//! capabilities, devices, terminals.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use ns_tests::hostile::{
    Attack, Exchanger, HeldStub, Shape, assert_refused, assert_safe_or_refused, children,
    leaked_directory,
};
use ns_tests::{Canary, Pty, Test, needs, nsrun_path, variants, write_json};
use serde_json::{Value, json};

/// Starts per race. More of them: `NS_TESTS_RACE=10000`.
fn n_races() -> u32 {
    std::env::var("NS_TESTS_RACE")
        .map_or(150, |text| text.parse().expect("NS_TESTS_RACE is a number"))
}

fn program(attack: &Attack<'_>, name: &str, text: &str) {
    let path = attack.in_image(name);
    fs::write(&path, text).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

#[test]
fn cve_2019_5736_command_is_never_the_runtime() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let runtime = Canary::of(nsrun_path());
    program(&attack, "bin/evil", "#!/proc/self/exe\n");
    program(&attack, "bin/evil-argument", "#!/proc/self/exe 5\n");
    program(&attack, "bin/evil-thread", "#!/proc/thread-self/exe\n");
    program(&attack, "bin/evil-first", "#!/proc/1/exe sandbox\n");
    symlink("/proc/self/exe", attack.in_image("bin/link")).expect("set up the attack");
    symlink("/bin/link", attack.in_image("bin/link-to-link")).expect("set up the attack");
    symlink("/proc/self/fd/4", attack.in_image("bin/descriptor")).expect("set up the attack");
    for command in [
        "/proc/self/exe",
        "/proc/1/exe",
        "/proc/thread-self/exe",
        "/proc/self/../self/exe",
        "/bin/evil",
        "evil",
        "evil-argument",
        "evil-thread",
        "evil-first",
        "link",
        "/bin/link-to-link",
        "descriptor",
        "/proc/self/fd/3",
        "/proc/self/root/bin/sh",
    ] {
        let output = attack.run(&attack.config(), &[command, "--version"]);
        assert!(
            (125..=127).contains(&output.code),
            "{command} ran something: {output:#?}"
        );
        assert_eq!(output.stdout, "", "{command} ran the runtime: {output:#?}");
    }
    runtime.assert_untouched();
}

/// A container whose root may look into every process of its namespace holds each program it finds that is none of its
/// own, waits until that program runs no more, and writes into it.
const THIEF: &str = r#"
echo ready
while [ ! -e /stop ]; do
    for process in /proc/[0-9]*; do
        held=$(readlink $process/exe) || continue
        case $held in */busybox | "") continue ;; esac
        echo "saw $held"
        # A shell of its own: one that cannot open the file ends.
        sh -c "exec 3<$process/exe; echo 'holds $held'; sleep 0.02
               { echo written >>/proc/self/fd/3; } && echo 'wrote $held'
               { echo written >/proc/self/fd/3; } && echo 'replaced $held'"
    done
done 2>&-
echo done
"#;

#[test]
fn cve_2019_5736_program_seen_in_a_joined_namespace_cannot_be_written() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let runtime = Canary::of(nsrun_path());
    let powers = json!({"capabilities": ["SYS_PTRACE", "DAC_OVERRIDE", "SYS_ADMIN"]});
    let config = write_json(test.path(), &attack.config_with(&powers));
    let mut thief = test
        .nsrun([
            "run",
            "--config",
            config.to_str().expect("set up the attack"),
            "--",
            "sh",
            "-c",
            THIEF,
        ])
        .spawn();
    thief.read_until("ready");
    let inner = children(thief.pid())[0];
    let joining = attack.config_with(&json!({
        "namespaces": [
            {"type": "NEWNS"}, {"type": "NEWUTS"}, {"type": "NEWNET"},
            {"type": "NEWPID", "path": format!("/proc/{inner}/ns/pid")},
        ],
    }));
    for _ in 0..n_races() {
        assert_eq!(attack.run(&joining, &["true"]).text(), "");
    }
    // One start goes so slowly that it is seen for sure, where there is strace.
    let held = HeldStub::start(&test, &joining).map(HeldStub::finish);
    fs::write(attack.in_image("stop"), "").expect("set up the attack");
    let output = thief.wait();
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (0, ""),
        "{output:#?}"
    );
    if let Some(output_of_held) = held {
        assert_eq!(output_of_held.text(), "ran");
        assert!(
            output.stdout.contains("holds /memfd:ns-init"),
            "{}",
            output.stdout
        );
    }
    for word in ["wrote", "replaced"] {
        assert!(!output.stdout.contains(word), "{}", output.stdout);
    }
    runtime.assert_untouched();
}

#[test]
fn cve_2019_16884_volume_over_proc_never_takes_the_label() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let fake = test.make_dir("fake");
    fs::create_dir(fake.join("self")).expect("set up the attack");
    fs::create_dir(fake.join("self/attr")).expect("set up the attack");
    fs::write(fake.join("self/attr/exec"), "").expect("set up the attack");
    symlink("self", fake.join("thread-self")).expect("set up the attack");
    for (destination, key) in [
        ("/proc", "process_label"),
        ("/proc/self/attr", "process_label"),
        ("/volume", "apparmor_profile"),
        ("/volume/self/attr", "process_label"),
    ] {
        let _missing = fs::remove_file(attack.in_image("volume"));
        symlink("/proc", attack.in_image("volume")).expect("set up the attack");
        let volume =
            json!({"type": "bind", "source": fake, "destination": destination, "writable": true});
        // A host without a security module refuses the label for that alone: the volume is to be reason enough.
        for label in [json!({}), json!({key: "a_label"})] {
            let mut config = attack.config_with(&label);
            config["mount_config"] = json!({"mounts": [volume]});
            assert_refused(destination, &attack.script(&config, "echo ran"));
        }
        assert_eq!(
            fs::read_to_string(fake.join("self/attr/exec")).expect("set up the attack"),
            ""
        );
    }
}

/// Says `safe` when `/proc` is the kernel's, and a setting of the container's own name cannot be written.
const PROC_IS_SAFE: &str = "[ $(stat -f -c %T /proc) = proc ] && ! (echo broken >/proc/sys/kernel/hostname) 2>&- && [ -z \"$(head -c1 /proc/keys)\" ] && echo safe";

#[test]
fn cve_2019_19921_proc_that_turns_into_a_link_is_never_left_open() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    fs::create_dir(attack.in_image("fake")).expect("set up the attack");
    symlink("/fake", attack.in_image("other")).expect("set up the attack");
    let whole = attack.script(&attack.config(), ALL_MOUNTS);
    let neighbour = Exchanger::start(attack.in_image("proc"), attack.in_image("other"));
    for round in 0..n_races() {
        let output = attack.script(&attack.config(), ALL_MOUNTS);
        assert_safe_or_refused(&format!("round {round}"), &output, whole.text());
    }
    assert!(neighbour.rounds() > u64::from(n_races()));
}

/// The number of mounts. The neighbour goes on, and takes the name away again and again; what counts is that no mask
/// and no read-only path was left out.
const ALL_MOUNTS: &str = "for try in $(seq 999); do \
                          n=$( (wc -l </proc/self/mountinfo) 2>&-) && break; done; echo $n mounts";

/// A volume that two containers share, a neighbour that exchanges a directory of it with a link, and mounts below.
fn race_on_a_volume(
    test: &Test,
    target_of_link: impl Fn(&Attack<'_>) -> String,
    mounts: &Value,
    script: &str,
) {
    let attack = Attack::new(test);
    let volume = test.make_dir("volume");
    fs::create_dir(volume.join("spot")).expect("mkdir");
    symlink(target_of_link(&attack), volume.join("link")).expect("symlink");
    let shared =
        json!({"type": "bind", "source": volume, "destination": "/shared", "writable": true});
    let mut all = vec![shared];
    all.extend(mounts.as_array().expect("mounts").iter().cloned());
    // A mount that went outside is not among those that the command sees.
    let harmless = attack.script(&attack.config(), "wc -l </proc/self/mountinfo");
    let n_mounts = harmless.text().parse::<usize>().expect("a count") + all.len();
    let config = attack.config_with(&json!({"mount_config": {"mounts": all}}));
    let neighbour = Exchanger::start(volume.join("spot"), volume.join("link"));
    let mut n_started = 0;
    for round in 0..n_races() {
        let output = attack.script(&config, script);
        assert_safe_or_refused(&format!("round {round}"), &output, &n_mounts.to_string());
        n_started += u32::from(output.code == 0);
    }
    assert!(neighbour.rounds() > u64::from(n_races()));
    assert!(n_started > 0, "some starts go well, or nothing was tried");
}

/// Links that lead to the canary: absolute, and up and down again.
fn ways_out(attack: &Attack<'_>) -> [String; 2] {
    let canary = attack.canary().to_str().expect("UTF-8");
    [canary.to_owned(), format!("{}{canary}", "../".repeat(24))]
}

const NO_CANARY: &str = "for place in /shared/spot /shared/link /shared/spot/* /shared/link/*; do \
                         [ -e $place/secret ] && echo $place leads to the host; done; wc -l </proc/self/mountinfo";

#[test]
fn cve_2021_30465_mounts_on_a_racing_volume_stay_inside() {
    for way in 0..2 {
        let test = needs!(root, busybox);
        let mounts = json!([
            {"type": "tmpfs", "destination": "/shared/spot"},
            {"type": "bind", "source": "/usr/bin", "destination": "/shared/spot"},
            {"type": "tmpfs", "destination": "/shared/link"},
        ]);
        race_on_a_volume(
            &test,
            |attack| ways_out(attack)[way].clone(),
            &mounts,
            NO_CANARY,
        );
    }
}

#[test]
fn cve_2024_45310_nothing_is_made_outside_a_racing_volume() {
    for way in 0..2 {
        let test = needs!(root, busybox);
        let mounts = json!([
            {"type": "tmpfs", "destination": "/shared/spot/new/directory"},
            {"type": "bind", "source": "/bin/busybox", "destination": "/shared/spot/other/file"},
        ]);
        race_on_a_volume(
            &test,
            |attack| ways_out(attack)[way].clone(),
            &mounts,
            NO_CANARY,
        );
    }
}

variants![cve_2022_29162_nothing_is_inheritable];

fn cve_2022_29162_nothing_is_inheritable(test: &Test) {
    let attack = Attack::new(test);
    let users: &[&str] = if test.is_root() {
        &["", "1000", "1000:33"]
    } else {
        &[""]
    };
    for user in users {
        let keys =
            json!({"user": user, "capabilities": ["KILL", "NET_RAW", "SETPCAP", "SYS_ADMIN"]});
        let output = attack.run(
            &attack.config_with(&keys),
            &["grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"],
        );
        assert_eq!(
            output.text(),
            "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000",
            "user {user:?}: kept capabilities are not inherited"
        );
    }
}

const BUSYBOX: &str = "/bin/busybox";

#[test]
fn cve_2024_21626_no_descriptor_leads_out() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let leaks: Vec<_> = (0..40).map(|_| leaked_directory(Path::new("/"))).collect();
    for number in 3..=40 {
        let through = format!("/proc/self/fd/{number}");
        symlink(&through, attack.in_image(&format!("way-{number}"))).expect("set up the attack");
        for way in [through, format!("/way-{number}")] {
            // A static program, which runs wherever it is found.
            let command = format!("{way}{BUSYBOX}");
            let words = [&command, "echo", "on the host"];
            assert_refused(&command, &attack.run(&attack.config(), &words));
            let flags = ["--rootfs", attack.image_text(), "--chdir", &way];
            assert_refused(&way, &attack.sandbox(&flags, &["/bin/pwd"]));
        }
    }
    drop(leaks);
    let output = attack.script(
        &attack.config(),
        "ls -d /proc/1/fd/[0-9]*/etc /proc/1/fd/[0-9]*/.. 2>/dev/null; :",
    );
    assert_eq!(
        output.text(),
        "",
        "no descriptor of the command is a directory"
    );
}

/// Covers of masked files are read-only: root inside must not change the host's null device through them.
const CHANGE_MASK: &str = "for mask in /proc/keys /proc/timer_list /proc/interrupts; do \
                           chmod 666 $mask 2>/dev/null && echo chmod $mask; \
                           chown 0:0 $mask 2>/dev/null && echo chown $mask; \
                           touch $mask 2>/dev/null && echo touch $mask; done; echo safe";

#[test]
fn cve_2025_31133_masks_are_made_of_the_hosts_null_device() {
    let test = needs!(root, busybox);
    let host_null = node_of("/dev/null");
    for target in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/self/root/dev/kmsg",
        "../proc/sys/kernel/hostname",
    ] {
        let attack = Attack::named(&test, &target.replace('/', "-"));
        let dev = test.make_dir(&format!("dev{}", target.replace('/', "-")));
        symlink(target, dev.join("null")).expect("set up the attack");
        let volume =
            json!({"type": "bind", "source": dev, "destination": "/dev", "writable": true});
        let config = attack.config_with(&json!({"mount_config": {"mounts": [volume]}}));
        assert_safe_or_refused(target, &attack.script(&config, PROC_IS_SAFE), "safe");
        let left: Vec<_> = fs::read_dir(&dev)
            .expect("set up the attack")
            .map(|entry| entry.expect("set up the attack").file_name())
            .collect();
        assert_eq!(left, ["null"], "nothing is made in the volume");
    }
    let attack = Attack::new(&test);
    let powers = json!({"capabilities": ["CHOWN", "FOWNER", "DAC_OVERRIDE", "MKNOD"]});
    let output = attack.script(&attack.config_with(&powers), CHANGE_MASK);
    assert_eq!(
        output.text(),
        "safe",
        "the host's null device is changed through a mask"
    );
    assert_eq!(node_of("/dev/null"), host_null);
}

#[test]
fn cve_2025_31133_hosts_devices_keep_their_mode_in_a_user_namespace() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    // Root inside is root outside, and so owns the host's nodes that are bound. The modes are those they have.
    let script = "for node in null zero full random urandom tty; do \
                  chmod 666 /dev/$node 2>/dev/null && echo chmod $node; \
                  chown 0:0 /dev/$node 2>/dev/null && echo chown $node; done; echo works >/dev/null && echo safe";
    let flags = [
        "--unshare-user",
        "--cap-add",
        "ALL",
        "--rootfs",
        attack.image_text(),
    ];
    assert_eq!(
        attack.sandbox(&flags, &["/bin/sh", "-c", script]).text(),
        "safe"
    );
}

#[test]
fn cve_2025_52565_console_is_the_containers_own_terminal() {
    let test = needs!(root, busybox);
    for shape in Shape::ALL {
        for in_volume in [false, true] {
            let attack = Attack::named(&test, &format!("{shape:?}-{in_volume}"));
            shape.put(&attack, "dev/console");
            shape.put(&attack, "dev/pts");
            let mut keys = json!({"tty": true});
            if in_volume {
                keys["mount_config"] = json!({"mounts": [image_dev(&attack)]});
            }
            let config = write_json(test.path(), &attack.config_with(&keys));
            let pty = Pty::new(24, 80);
            let output = test
                .nsrun([
                    "run",
                    "--config",
                    config.to_str().expect("set up the attack"),
                    "--",
                    "/bin/sh",
                    "-c",
                ])
                .args(["stat -c %t:%F /dev/console >/seen; tty >>/seen; ls -1 /dev/pts >/own"])
                .stdin(pty.end())
                .run();
            attack.assert_canary_untouched();
            // Over a /dev of its own nothing of the image counts.
            if output.code != 0 && in_volume {
                assert!((125..=127).contains(&output.code), "{shape:?}: {output:#?}");
                continue;
            }
            let seen = fs::read_to_string(attack.in_image("seen")).expect("set up the attack");
            // A terminal of another devpts has no entry in that of the container.
            let is_own = ["/dev/console", "/dev/pts/0"]
                .map(|name| format!("88:character special file\n{name}\n"));
            assert!(is_own.contains(&seen), "{shape:?} {in_volume}: {seen}");
            let own = fs::read_to_string(attack.in_image("own")).expect("set up the attack");
            assert!(
                in_volume || own.lines().any(|name| name == "0"),
                "{shape:?}: its devpts has {own:?}"
            );
        }
    }
}

#[test]
fn cve_2026_41579_dev_that_is_a_link_is_refused() {
    let test = needs!(root, busybox);
    for shape in Shape::ALL {
        let attack = Attack::named(&test, &format!("{shape:?}"));
        shape.put(&attack, "dev");
        fs::write(attack.in_image("etc/ptmx"), "not to be removed").expect("set up the attack");
        let node = json!({"type": 99, "path": "/dev/made", "major_number": 1, "minor_number": 3, "file_mode": 438});
        for devices in [json!([]), json!([node])] {
            let config = attack.config_with(&json!({"mount_config": {"device_nodes": devices}}));
            assert_refused(&format!("{shape:?}"), &attack.script(&config, "echo ran"));
        }
    }
}

#[test]
fn cve_2026_47766_device_through_a_link_stays_inside() {
    let test = needs!(root, busybox);
    for shape in Shape::ALL {
        let attack = Attack::named(&test, &format!("{shape:?}"));
        shape.put(&attack, "place");
        let node = |path: &str| json!({"type": 99, "path": path, "major_number": 1, "minor_number": 5, "file_mode": 438});
        for path in ["/place", "/place/node", "/place/new/node"] {
            let config =
                attack.config_with(&json!({"mount_config": {"device_nodes": [node(path)]}}));
            assert_safe_or_refused(path, &attack.script(&config, "echo ran"), "ran");
        }
    }
}

#[test]
fn cve_2026_88264_console_and_null_never_touch_a_host_file() {
    let test = needs!(root, busybox);
    let host_null = node_of("/dev/null");
    for shape in Shape::ALL {
        for user in ["", "1000:1000"] {
            for in_volume in [false, true] {
                let attack = Attack::named(&test, &format!("{shape:?}{}{in_volume}", user.len()));
                shape.put(&attack, "dev/null");
                shape.put(&attack, "dev/console");
                let mut keys = json!({"user": user});
                if in_volume {
                    keys["mount_config"] = json!({"mounts": [image_dev(&attack)]});
                }
                let config = attack.config_with(&keys);
                let output = with_null_streams(&test, &config, &["/bin/echo", "lost"]);
                assert_safe_or_refused(&format!("{shape:?} {in_volume}"), &output, "");
                assert!(in_volume || output.code == 0, "{shape:?}: {output:#?}");
                attack.assert_canary_untouched();
                // A runtime that hands the streams to the user changes their owner.
                assert_eq!(node_of("/dev/null"), host_null, "{shape:?} {user}");
            }
        }
    }
}

/// The image's own `/dev` instead of a fresh one.
fn image_dev(attack: &Attack<'_>) -> Value {
    json!({"type": "bind", "source": attack.in_image("dev"), "destination": "/dev", "writable": true})
}

fn node_of(path: &str) -> (u64, u32, u32, u32) {
    use std::os::unix::fs::MetadataExt as _;
    let node = fs::metadata(path).expect("stat");
    (node.ino(), node.mode(), node.uid(), node.gid())
}

fn with_null_streams(test: &Test, config: &Value, command: &[&str]) -> ns_tests::Output {
    let config = write_json(test.path(), config);
    let null = || fs::File::options().read(true).write(true).open("/dev/null");
    test.nsrun(["run", "--config"])
        .args([config])
        .args(["--"])
        .args(command)
        .stdin(null().expect("/dev/null"))
        .stdout(null().expect("/dev/null"))
        .run()
}

/// `ioctl(2)` by perl, which every Debian has, on a terminal that the sandbox shares with the caller.
fn ioctl_in_sandbox(test: &Test, flags: &[&str], request: &str) -> (ns_tests::Output, String) {
    let number = if cfg!(target_arch = "x86_64") { 16 } else { 29 };
    let script = format!(
        "my $key = 'x'; my $r = syscall({number}, 0, {request}, $key); print $r < 0 ? $! + 0 : 'typed';"
    );
    let mut pty = Pty::new(24, 80);
    let output = test
        .nsrun(["sandbox"])
        .args(flags)
        .args(["--", "perl", "-e", &script])
        .stdin(pty.end())
        .run();
    (output, pty.read_shown())
}

variants![cve_2017_5226_nothing_is_typed_into_the_callers_terminal];

fn cve_2017_5226_nothing_is_typed_into_the_callers_terminal(test: &Test) {
    if !Path::new("/usr/bin/perl").exists() {
        return test.skip("needs /usr/bin/perl (package perl-base)");
    }
    for request in [
        "0x5412",
        // CVE-2019-10063: the kernel looks at 32 bits, a filter that compares 64 lets it pass.
        "0x5412 | (1 << 32)",
        "0x5412 | (0xdeadbeef << 32)",
        "0x541c",
        "0x541c | (1 << 32)",
    ] {
        for flags in [
            &[][..],
            &["--new-session"],
            &["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_TTY_CONFIG"],
        ] {
            let (output, shown) = ioctl_in_sandbox(test, flags, request);
            assert_eq!(output.text(), "1", "{request} with {flags:?} is EPERM");
            assert!(
                !shown.contains('x'),
                "{request} with {flags:?} was typed: {shown:?}"
            );
        }
    }
    // TIOCGWINSZ writes into the buffer; other requests go through the filter.
    let (output, _) = ioctl_in_sandbox(test, &[], "0x540f");
    assert_ne!(output.text(), "1", "TIOCGPGRP is no typing");
}

variants![cve_2026_87766_nothing_is_made_through_links_of_a_bound_directory];

fn cve_2026_87766_nothing_is_made_through_links_of_a_bound_directory(test: &Test) {
    for shape in Shape::ALL {
        let attack = Attack::named(test, &format!("{shape:?}"));
        shape.put(&attack, "tmp/link");
        let volume = attack.in_image("tmp");
        let volume = volume.to_str().expect("set up the attack");
        for change in [
            &["--dir", "/d/link/x"][..],
            &["--dir", "/d/link/x/y/z"],
            &["--dir", "/d/link"],
            &["--symlink", "target", "/d/link/x"],
            &["--symlink", "target", "/d/link/x/y"],
            &["--symlink", "target", "/d/link"],
            &["--tmpfs", "/d/link/x"],
            &["--ro-bind", "/usr/bin/env", "/d/link/x"],
            &["--bind", "/usr", "/d/link/x/y"],
        ] {
            let flags = [&["--bind", volume, "/d"][..], change].concat();
            let output = attack.sandbox(&flags, &["echo", "ran"]);
            assert_safe_or_refused(&format!("{shape:?} {change:?}"), &output, "ran");
        }
    }
}

variants![issue_801_good_links_in_sources_work];

fn issue_801_good_links_in_sources_work(test: &Test) {
    let real = test.make_dir("real");
    fs::write(real.join("file"), "found").expect("set up the attack");
    let other = test.make_dir("other");
    symlink("../real", other.join("relative")).expect("set up the attack");
    symlink(&real, other.join("absolute")).expect("set up the attack");
    symlink("absolute", other.join("twice")).expect("set up the attack");
    symlink(real.join("file"), other.join("to-file")).expect("set up the attack");
    for (source, inside) in [
        ("relative", "/d/file"),
        ("absolute", "/d/file"),
        ("twice", "/d/file"),
        ("twice/../real/file", "/d"),
        ("to-file", "/d"),
        ("relative/file", "/d"),
    ] {
        for flag in ["--bind", "--ro-bind"] {
            let source = other.join(source);
            let output = test
                .nsrun([
                    "sandbox",
                    flag,
                    source.to_str().expect("set up the attack"),
                    "/d",
                    "--",
                    "cat",
                    inside,
                ])
                .run();
            assert_eq!(output.text(), "found", "{flag} {source:?}");
        }
    }
}

variants![cve_2023_25809_control_groups_cannot_be_changed_from_inside];

fn cve_2023_25809_control_groups_cannot_be_changed_from_inside(test: &Test) {
    let attack = Attack::new(test);
    let config = attack.config_with(&json!({"capabilities": ["SYS_ADMIN", "DAC_OVERRIDE"]}));
    let output = attack.script(
        &config,
        "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $group/escaped 2>/dev/null && echo made in $group; done; \
         mkdir /sys/fs/escaped 2>/dev/null && echo made; echo safe",
    );
    assert_eq!(output.text(), "safe");
    // The host's groups come along with a bind of /sys, which is read-only as a whole or not at all.
    fs::create_dir(attack.in_image("host-sys")).expect("set up the attack");
    let volume = json!({"type": "bind", "source": "/sys", "destination": "/host-sys"});
    let config = attack.config_with(&json!({
        "capabilities": ["DAC_OVERRIDE"], "mount_config": {"mounts": [volume]},
    }));
    let output = attack.script(
        &config,
        "ls /host-sys/fs/cgroup >/dev/null && for group in $(find /host-sys/fs/cgroup -maxdepth 2 -type d); do \
         mkdir $group/ns-tests-escaped 2>/dev/null && echo made in $group && rmdir $group/ns-tests-escaped; done; echo safe",
    );
    assert_eq!(output.text(), "safe");
}

/// A control group file system is not to be had in a user namespace whose root has every capability there.
#[test]
fn cve_2022_0492_release_agent_cannot_be_set_from_a_user_namespace() {
    let test = needs!(root, plain, user_namespace);
    let script = "for controller in rdma misc memory pids name=ns; do \
                  for type in \"-t cgroup -o $controller\" '-t cgroup2'; do \
                  mkdir -p /tmp/groups && mount $type none /tmp/groups 2>/dev/null || continue; \
                  echo /bin/true 2>/dev/null >/tmp/groups/release_agent && echo set $controller; \
                  umount /tmp/groups 2>/dev/null; done; done; \
                  for agent in $(find /sys -name release_agent 2>/dev/null); do echo seen $agent; done; echo safe";
    let flags = ["--unshare-user", "--cap-add", "ALL"];
    assert_eq!(test.sandbox(&flags, script).text(), "safe");
    assert_eq!(test.rootless().sandbox(&flags, script).text(), "safe");
}

#[test]
fn cve_2016_3697_number_is_never_the_name_of_a_user() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let passwd = "root:x:0:0::/:/bin/sh\n10:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n";
    fs::write(attack.in_image("etc/passwd"), passwd).expect("set up the attack");
    fs::write(
        attack.in_image("etc/group"),
        "root:x:0:\n10:x:0:\n20:x:0:\n",
    )
    .expect("set up the attack");
    for (user, ids) in [
        ("10", "10 0"),
        ("1000", "1000 0"),
        ("10:20", "10 20"),
        ("10:10", "10 10"),
    ] {
        let config = attack.config_with(&json!({"user": user}));
        assert_eq!(
            attack.script(&config, "echo $(id -u) $(id -g)").text(),
            ids,
            "{user}"
        );
    }
}

#[test]
fn cve_2026_30892_user_that_is_no_user_is_never_root() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let ids = "echo $(id -u) $(id -g)";
    for (user, expected) in [("1", "1 1"), ("1:2", "1 2"), ("7", "7 0"), ("7:8", "7 8")] {
        let config = attack.config_with(&json!({"user": user}));
        assert_eq!(attack.script(&config, ids).text(), expected, "{user:?}");
    }
    // CVE-2024-40635: numbers that wrap around.
    for user in [
        "1:",
        ":",
        ":1",
        " 1",
        "1 ",
        "1x",
        "0x1",
        "-1",
        "+1",
        "1:-1",
        "1:2:3",
        "4294967295",
        "4294967296",
        "2147483648:4294967296",
        "1:4294967295",
        "18446744073709551616",
    ] {
        let config = attack.config_with(&json!({"user": user}));
        assert_refused(user, &attack.script(&config, ids));
    }
}

#[test]
fn cve_2020_5291_program_that_is_setuid_gives_no_rights() {
    let test = needs!(root, plain, busybox);
    let copy = test.path().join("setuid-nsrun");
    fs::copy(nsrun_path(), &copy).expect("set up the attack");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("set up the attack");
    let secret = test.write("secret", "of root");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("set up the attack");
    let output = Command::new("setpriv")
        .args(["--reuid=65533", "--regid=65533", "--clear-groups", "--"])
        .arg(&copy)
        .args(["sandbox", "--ro-bind"])
        .arg(&secret)
        .args(["/secret", "--", "cat", "/secret"])
        .output()
        .expect("set up the attack");
    assert!(
        !output.status.success(),
        "a plain user read root's file: {output:?}"
    );
    assert!(!String::from_utf8_lossy(&output.stdout).contains("of root"));
}
