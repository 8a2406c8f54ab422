//! Attacks on commands that are started in a running container by `nsrun exec`, and on what is remembered of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use ns_tests::hostile::{Attack, leaked_directory};
use ns_tests::{
    Canary, Invocation, Output, STRACE, Test, has_strace, needs, nsrun_path, write_json,
};
use serde_json::{Value, json};

const ID: &str = "attacked";

/// A container that runs until it is dropped, remembered in the test's own directory.
struct Container<'t> {
    test: &'t Test,
    state: String,
}

impl<'t> Container<'t> {
    fn start(test: &'t Test, config: &Value, script: &str) -> Self {
        let state = test.path().join("state");
        let state = state.to_str().expect("UTF-8").to_owned();
        let config = write_json(test.path(), config);
        let config = config.to_str().expect("UTF-8");
        let container = Container { test, state };
        let command = ["--id", ID, "--detach", "--", "/bin/sh", "-c", script];
        let started = container.nsrun("run", &[&["--config", config][..], &command].concat());
        assert_eq!(
            (started.code, started.stderr.as_str()),
            (0, ""),
            "{started:#?}"
        );
        container
    }

    fn nsrun(&self, verb: &str, words: &[&str]) -> Output {
        self.test
            .nsrun([&[verb, "--root", &self.state], words].concat())
            .run()
    }

    fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        self.nsrun("exec", &[flags, &[ID, "--"], command].concat())
    }

    /// With every call of this name held up for a second.
    fn exec_slowly(&self, call: &str, command: &[&str]) -> Output {
        let inject = format!("inject={call}:delay_enter=1000000");
        Invocation::new(Path::new(STRACE))
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &inject,
            ])
            .args([nsrun_path()])
            .args(["exec", "--root", &self.state, ID, "--"])
            .args(command)
            .run()
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let deleted = self.nsrun("delete", &["--force", ID]);
        assert!(
            std::thread::panicking() || deleted.code == 0,
            "{deleted:#?}"
        );
        ns_tests::wait_for_orphans();
    }
}

fn assert_nothing_ran(what: &str, output: &Output) {
    assert!((125..=127).contains(&output.code), "{what}: {output:#?}");
    assert_eq!(output.stdout, "", "{what}: {output:#?}");
    assert_eq!(output.stderr.lines().count(), 1, "{what}: {output:#?}");
}

const SLEEP: &str = "exec sleep 1000";

#[test]
fn cve_2019_5736_joined_command_is_never_the_runtime() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let runtime = Canary::of(nsrun_path());
    for (name, first_line) in [
        ("evil", "#!/proc/self/exe\n"),
        ("evil-first", "#!/proc/1/exe\n"),
    ] {
        fs::write(attack.in_image("bin").join(name), first_line).expect("set up the attack");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(attack.in_image("bin").join(name), mode).expect("set up the attack");
    }
    symlink("/proc/self/exe", attack.in_image("bin/link")).expect("set up the attack");
    let container = Container::start(&test, &attack.config(), SLEEP);
    for command in [
        "/proc/self/exe",
        "/proc/thread-self/exe",
        "evil",
        "link",
        "/bin/link",
        "/proc/self/fd/3",
    ] {
        let output = container.exec(&[], &[command, "--version"]);
        assert_eq!(output.stdout, "", "{command}: {output:#?}");
        assert!((125..=127).contains(&output.code), "{command}: {output:#?}");
    }
    // The first process of the container is the image's own program, and may be.
    let output = container.exec(&[], &["evil-first", "--version"]);
    assert!(!output.stdout.contains("nsrun"), "{output:#?}");
    drop(container);
    runtime.assert_untouched();
    attack.assert_canary_untouched();
}

/// Tries to see into every process that is none of the image's programs: its memory, descriptors and directories. What
/// has become one of them meanwhile does not count.
const LOOK: &str = r#"
is_ours() { case $(cat $1/comm) in sh | cat | readlink | head | grep | sleep | sort | true | touch | "") true ;; *) false ;; esac }
look() {
    for name in root cwd exe fd/0 fd/3; do
        readlink $1/$name >/dev/null && echo "sees $name"
    done
    # A shell of its own: one that cannot open the file ends.
    (: <$1/mem) && echo "opens memory"
    head -c1 $1/environ | grep -q . && echo "reads the environment"
}
while [ ! -e /stop ]; do
    for process in /proc/[0-9]*; do
        is_ours $process && continue
        echo looked
        found=$(look $process)
        is_ours $process || echo "$found"
    done
done 2>/dev/null >/seen
touch /done
exec sleep 1000
"#;

#[test]
fn cve_2016_9962_process_that_joins_cannot_be_looked_into() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let container = Container::start(&test, &attack.config(), LOOK);
    let has_looked =
        || fs::read_to_string(attack.in_image("seen")).is_ok_and(|seen| seen.contains("looked"));
    for round in 0.. {
        assert_eq!(container.exec(&[], &["true"]).text(), "");
        if round >= 100 && has_looked() {
            break;
        }
    }
    // Right before the command its rights are those of the container, and only not being dumpable keeps others out. Where
    // there is strace, it stays there until it is seen for sure.
    if has_strace(&test) {
        assert_eq!(container.exec_slowly("sendmsg", &["true"]).text(), "");
    }
    fs::write(attack.in_image("stop"), "").expect("set up the attack");
    // The last round ends by itself.
    let done = container.exec(
        &[],
        &[
            "sh",
            "-c",
            "while [ ! -e /done ]; do :; done; sort -u /seen | grep -v -e '^looked$' -e '^$'; :",
        ],
    );
    assert_eq!(done.text(), "", "nothing of the process that joins is seen");
}

#[test]
fn cve_2024_21626_joined_command_has_no_way_out_by_a_descriptor() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    for number in 3..=24 {
        let path = attack.in_image(&format!("way-{number}"));
        symlink(format!("/proc/self/fd/{number}"), path).expect("set up the attack");
    }
    let container = Container::start(&test, &attack.config(), SLEEP);
    let leaks: Vec<_> = (0..20).map(|_| leaked_directory(Path::new("/"))).collect();
    for number in 3..=24 {
        for way in [format!("/proc/self/fd/{number}"), format!("/way-{number}")] {
            assert_nothing_ran(&way, &container.exec(&["--cwd", &way], &["/bin/pwd"]));
            let command = format!("{way}/bin/busybox");
            assert_nothing_ran(
                &command,
                &container.exec(&[], &[&command, "echo", "on the host"]),
            );
        }
    }
    let output = container.exec(
        &[],
        &[
            "sh",
            "-c",
            "for fd in /proc/self/fd/*; do [ ${fd##*/} -gt 2 ] && readlink $fd; done; :",
        ],
    );
    let inside: Vec<&str> = output
        .text()
        .lines()
        .filter(|line| !line.starts_with("/proc/"))
        .collect();
    assert!(
        inside.is_empty(),
        "descriptors are left to the command: {inside:?}"
    );
    drop(leaks);
}

#[test]
fn cve_2022_29162_joined_command_inherits_no_capability() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let config = attack.config_with(&json!({"capabilities": ["KILL", "NET_RAW", "SETPCAP"]}));
    let container = Container::start(&test, &config, SLEEP);
    for user in ["0", "1000", "1000:33"] {
        let output = container.exec(
            &["--user", user],
            &["grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"],
        );
        let none = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000";
        assert_eq!(output.text(), none, "user {user}");
    }
}

#[test]
fn cve_2026_30892_joined_user_that_is_no_user_is_never_root() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let passwd = "root:x:0:0::/:/bin/sh\n10:x:0:0::/:/bin/sh\n";
    fs::write(attack.in_image("etc/passwd"), passwd).expect("set up the attack");
    let container = Container::start(&test, &attack.config(), SLEEP);
    for (user, uid) in [("10", "10"), ("1", "1"), ("1:2", "1")] {
        assert_eq!(
            container.exec(&["--user", user], &["id", "-u"]).text(),
            uid,
            "{user}"
        );
    }
    for user in ["1:", " 1", "1x", "-1", "4294967295", "4294967296"] {
        let flag = format!("--user={user}");
        assert_nothing_ran(user, &container.exec(&[&flag], &["id", "-u"]));
    }
}
