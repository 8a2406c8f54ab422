//! `nsrun sandbox` without flags: what the command sees, and what it gives back.

use ns_tests::{Test, variants};

variants![
    exit_code_of_the_command_is_ours,
    signal_that_ends_the_command_is_128_and_its_number,
    command_is_the_first_process_and_sees_no_other,
    ids_are_the_callers,
    hostname_is_sandbox_and_not_the_hosts,
    capabilities_are_none_and_cannot_be_gained,
    host_files_are_read_only,
    host_secrets_are_empty,
    home_of_the_caller_is_hidden_behind_an_empty_one,
    temporary_directories_are_private,
    devices_are_the_harmless_ones,
    network_is_loopback_alone_and_up,
    environment_is_the_harmless_part,
    namespaces_are_all_new_but_time,
    descriptors_of_the_caller_stay_outside,
    kernel_settings_are_read_only,
];

fn exit_code_of_the_command_is_ours(test: &Test) {
    for code in [0, 1, 33, 255] {
        let output = test.sandbox(&[], &format!("exit {code}"));
        assert_eq!((output.code, output.stderr.as_str()), (code, ""));
    }
}

fn signal_that_ends_the_command_is_128_and_its_number(test: &Test) {
    // The first process of a pid namespace survives its own signals; its child does not.
    let output = test.sandbox(&[], "sh -c 'kill -9 $$'; exit $?");
    assert_eq!(output.code, 137, "{output:?}");
}

fn command_is_the_first_process_and_sees_no_other(test: &Test) {
    let output = test.sandbox(
        &[],
        "echo $$; cd /proc; for pid in [0-9]*; do echo $pid; done",
    );
    assert_eq!(output.text(), "1\n1");
}

fn ids_are_the_callers(test: &Test) {
    let (uid, gid) = test.ids();
    let output = test.sandbox(&[], "id -u; id -g; id -G; id -ru");
    assert_eq!(output.text(), format!("{uid}\n{gid}\n{gid}\n{uid}"));
}

fn hostname_is_sandbox_and_not_the_hosts(test: &Test) {
    let before = nix::sys::utsname::uname()
        .expect("uname")
        .nodename()
        .to_owned();
    assert_eq!(test.sandbox(&[], "hostname").text(), "sandbox");
    assert_eq!(
        nix::sys::utsname::uname().expect("uname").nodename(),
        before
    );
}

fn capabilities_are_none_and_cannot_be_gained(test: &Test) {
    let output = test.sandbox(
        &[],
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status",
    );
    for line in output.text().lines() {
        let (name, value) = line.split_once(":\t").expect("NAME: VALUE");
        match name {
            "NoNewPrivs" => assert_eq!(value, "1"),
            "Seccomp" => assert_eq!(value, "2", "typing into terminals is not filtered"),
            _ => assert_eq!(value, "0000000000000000", "{name}"),
        }
    }
    assert_eq!(output.text().lines().count(), 7);
}

fn host_files_are_read_only(test: &Test) {
    for directory in [
        "/", "/etc", "/usr", "/usr/bin", "/bin", "/lib", "/var", "/home",
    ] {
        let output = test.sandbox(&[], &format!("touch {directory}/ns-tests-was-here"));
        assert_eq!(output.code, 1, "{directory}: {output:?}");
        let is_refused = ["Read-only", "Permission denied"]
            .into_iter()
            .any(|word| output.stderr.contains(word));
        assert!(is_refused, "{directory}: {output:?}");
    }
}

fn host_secrets_are_empty(test: &Test) {
    let script = "for file in /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow-; do
                      [ ! -e $file ] || [ \"$(cat $file | wc -c)\" = 0 ] || echo $file
                  done; for dir in /etc/ssl/private /etc/ssh /etc/sudoers.d; do
                      [ ! -d $dir ] || [ -z \"$(ls -A $dir)\" ] || echo $dir
                  done";
    assert_eq!(test.sandbox(&[], script).text(), "");
}

fn home_of_the_caller_is_hidden_behind_an_empty_one(test: &Test) {
    let script = "pwd; echo $HOME; ls -A ~; ls -A /home; ls /root 2>/dev/null; echo mine > ~/file; cat ~/file";
    let output = test.sandbox(&[], script);
    assert_eq!(output.text(), "/home/sandbox\n/home/sandbox\nsandbox\nmine");
}

fn temporary_directories_are_private(test: &Test) {
    let script = "ls -A /tmp /var/tmp /run; echo x > /tmp/ns-tests-mark; echo x > /var/tmp/ns-tests-mark; \
                  stat -c %a /tmp /var/tmp";
    let output = test.sandbox(&[], script);
    assert_eq!(output.text(), "/run:\n\n/tmp:\n\n/var/tmp:\n1777\n1777");
    for path in ["/tmp/ns-tests-mark", "/var/tmp/ns-tests-mark"] {
        assert!(
            !std::path::Path::new(path).exists(),
            "{path} reached the host"
        );
    }
}

fn devices_are_the_harmless_ones(test: &Test) {
    let links = match std::path::Path::new("/proc/kcore").exists() {
        true => ("core ", "kcore "),
        false => ("", ""),
    };
    let expected = format!(
        "{}fd full {}mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
        links.0, links.1
    );
    assert_eq!(test.sandbox(&[], "echo $(ls /dev)").text(), expected);
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; ls /dev/pts";
    assert_eq!(test.sandbox(&[], script).text(), "3\n3\nptmx");
}

fn network_is_loopback_alone_and_up(test: &Test) {
    let script = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; tail -n +2 /proc/net/route";
    assert_eq!(test.sandbox(&[], script).text(), "lo");
    // A port where nobody listens refuses; a loopback that is down is unreachable.
    let output = test
        .nsrun(["sandbox", "--", "bash", "-c", ": < /dev/tcp/127.0.0.1/9"])
        .run();
    assert!(output.stderr.contains("Connection refused"), "{output:?}");
}

fn environment_is_the_harmless_part(test: &Test) {
    let invocation = test.nsrun(["sandbox", "--", "env"]).env_clear();
    let output = invocation
        .env("TERM", "vt100")
        .env("PATH", "/usr/bin:/bin")
        .env("SECRET", "x")
        .run();
    let mut lines: Vec<&str> = output.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["HOME=/home/sandbox", "PATH=/usr/bin:/bin", "TERM=vt100"]
    );
}

fn namespaces_are_all_new_but_time(test: &Test) {
    let kinds = "cgroup ipc mnt net pid time user uts";
    let output = test.sandbox(
        &[],
        &format!("cd /proc/self/ns; for kind in {kinds}; do readlink $kind; done"),
    );
    let inside: Vec<&str> = output.text().lines().collect();
    for (kind, inside) in kinds.split(' ').zip(inside) {
        let outside = std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("readlink");
        let is_shared = kind == "time" || kind == "user" && test.is_root();
        assert_eq!(
            outside.to_str() == Some(inside),
            is_shared,
            "{kind}: {inside}"
        );
    }
}

fn descriptors_of_the_caller_stay_outside(test: &Test) {
    let wrapper = ["sh", "-c", "exec \"$@\" 5</etc/passwd 9</ 77</etc", "sh"];
    // A shell that lists a directory of its own holds it open meanwhile: 3.
    let arguments = ["sandbox", "--", "sh", "-c", "ls /proc/$$/fd"];
    let output = test.nsrun_under(&wrapper, arguments).run();
    assert_eq!(output.text(), "0\n1\n2");
}

fn kernel_settings_are_read_only(test: &Test) {
    let script = "for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger; do
                      { echo x > $file; } 2>/dev/null && echo $file; done; cat /proc/keys /proc/timer_list; true";
    assert_eq!(test.sandbox(&[], script).text(), "");
}
