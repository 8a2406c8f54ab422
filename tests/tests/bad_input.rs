//! Bad input to `nsrun sandbox`: one clear error, and nothing touched.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ns_tests::{Canary, Need, Output, Test, needs, variants};

variants![
    command_that_is_not_there_is_127,
    command_that_cannot_be_executed_is_126,
    command_that_is_a_directory_is_126,
    command_with_an_interpreter_that_is_not_there_is_127,
    command_that_is_empty_is_refused,
    command_that_is_missing_is_refused,
    environment_entry_of_200_kb_is_refused,
    environment_without_a_name_is_refused,
    environment_variable_to_take_over_that_is_not_there_is_refused,
    user_that_is_unknown_is_refused,
    user_that_is_no_id_is_refused,
    user_that_is_unknown_in_the_rootfs_is_refused,
    capability_typo_is_refused_with_a_suggestion,
    rlimit_typo_is_refused_with_a_suggestion,
    flag_that_is_unknown_is_refused,
    hostname_that_is_no_name_is_refused,
    working_directory_that_is_not_there_is_refused,
    working_directory_through_a_descriptor_is_refused,
    working_directory_that_is_a_file_is_refused,
    tty_without_a_terminal_is_refused,
    rootfs_that_is_not_there_is_refused,
    rootfs_that_is_the_hosts_root_is_refused,
    rootfs_that_is_a_file_is_refused,
    source_of_a_bind_that_is_not_there_is_refused,
    destination_below_proc_is_refused,
    namespaces_that_have_run_out_name_the_switch,
];

/// Runs with a canary in the test's directory, which must be as it was.
fn sandbox(test: &Test, flags: &[&str], command: &[&str]) -> Output {
    static N_RUNS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("canary-{}", N_RUNS.fetch_add(1, Relaxed));
    let canary = Canary::new(&test.path().join(name));
    let output = test
        .nsrun(
            ["sandbox"]
                .iter()
                .chain(flags)
                .chain(&["--"])
                .chain(command),
        )
        .run();
    assert_eq!(output.stdout, "", "{output:?}");
    canary.assert_untouched();
    output
}

fn command_that_is_not_there_is_127(test: &Test) {
    sandbox(test, &[], &["no-such-command"]).assert_error(
        127,
        &["execute the command", "\"no-such-command\"", "ENOENT"],
    );
    let output = sandbox(test, &[], &["/usr/bin/no-such-command", "argument"]);
    output.assert_error(
        127,
        &[
            "execute the command",
            "\"/usr/bin/no-such-command\"",
            "ENOENT",
        ],
    );
}

fn command_that_cannot_be_executed_is_126(test: &Test) {
    sandbox(test, &[], &["/etc/passwd"])
        .assert_error(126, &["execute the command", "\"/etc/passwd\"", "EACCES"]);
}

fn command_that_is_a_directory_is_126(test: &Test) {
    sandbox(test, &[], &["/etc"]).assert_error(126, &["execute the command", "\"/etc\"", "EISDIR"]);
}

fn command_with_an_interpreter_that_is_not_there_is_127(test: &Test) {
    let script = test.write("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    let bind = ["--ro-bind", script.to_str().expect("UTF-8"), "/script"];
    sandbox(test, &bind, &["/script"])
        .assert_error(127, &["execute the command", "\"/script\"", "interpreter"]);
}

fn command_that_is_empty_is_refused(test: &Test) {
    sandbox(test, &[], &[""]).assert_error(125, &["there is no command"]);
}

fn command_that_is_missing_is_refused(test: &Test) {
    sandbox(test, &[], &[]).assert_refusal(&["CMD"]);
    test.nsrun(["sandbox"]).run().assert_refusal(&["CMD"]);
    test.nsrun(["no-such-verb"])
        .run()
        .assert_refusal(&["no-such-verb"]);
}

/// The kernel takes 128 KiB in one string; more cannot even be handed to `nsrun` but as its own environment.
fn environment_entry_of_200_kb_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let mut config = test.container_json(rootfs.path());
    config["environment"] = serde_json::json!([format!("BIG={}", "x".repeat(200_000))]);
    let output = test.run_config(&config, "true");
    assert!([125, 126].contains(&output.code), "{output:?}");
    output.assert_error(output.code, &[]);
    assert!(
        output.stderr.len() < 4_000,
        "the value is in the error: {} bytes",
        output.stderr.len()
    );
}

fn environment_without_a_name_is_refused(test: &Test) {
    sandbox(test, &["--env", "=x"], &["true"]).assert_error(125, &["--env", "has no name"]);
}

fn environment_variable_to_take_over_that_is_not_there_is_refused(test: &Test) {
    sandbox(test, &["--env", "NO_SUCH_VARIABLE"], &["true"])
        .assert_error(125, &["--env NO_SUCH_VARIABLE"]);
}

fn user_that_is_unknown_is_refused(test: &Test) {
    sandbox(test, &["--user", "no-such-user"], &["true"])
        .assert_error(125, &["user", "no-such-user", "/etc/passwd"]);
    let output = sandbox(test, &["--user", "daemon:no-such-group"], &["true"]);
    output.assert_error(125, &["no-such-group", "/etc/group"]);
}

fn user_that_is_no_id_is_refused(test: &Test) {
    for user in ["4294967295", "4294967296", "-1", ":", "1:4294967295"] {
        let flag = format!("--user={user}");
        test.nsrun(["sandbox", &flag, "--", "true"])
            .run()
            .assert_refusal(&["--user", user]);
    }
}

fn user_that_is_unknown_in_the_rootfs_is_refused(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let output = sandbox(
        test,
        &["--rootfs", rootfs.text(), "--user", "no-such-user"],
        &["true"],
    );
    output.assert_error(125, &["no-such-user", "/etc/passwd"]);
}

fn capability_typo_is_refused_with_a_suggestion(test: &Test) {
    sandbox(test, &["--cap-add", "CAP_NETADMIN"], &["true"]).assert_refusal(&[
        "--cap-add",
        "CAP_NETADMIN",
        "NET_ADMIN",
    ]);
    sandbox(test, &["--cap-drop", "KIL"], &["true"]).assert_refusal(&["--cap-drop", "KIL", "KILL"]);
}

fn rlimit_typo_is_refused_with_a_suggestion(test: &Test) {
    sandbox(test, &["--rlimit", "nofil=3"], &["true"])
        .assert_refusal(&["--rlimit", "nofil", "NOFILE"]);
    sandbox(test, &["--rlimit", "nofile=5:3"], &["true"])
        .assert_refusal(&["--rlimit", "nofile=5:3"]);
    sandbox(test, &["--rlimit", "nofile"], &["true"]).assert_refusal(&["--rlimit", "nofile"]);
}

fn flag_that_is_unknown_is_refused(test: &Test) {
    sandbox(test, &["--shar-net"], &["true"]).assert_refusal(&["--shar-net", "--share-net"]);
}

fn hostname_that_is_no_name_is_refused(test: &Test) {
    for name in ["", "a b", "-x", "a/b", &"x".repeat(65)] {
        let flag = format!("--hostname={name}");
        test.nsrun(["sandbox", &flag, "--", "true"])
            .run()
            .assert_error(125, &["--hostname", name]);
    }
}

fn working_directory_that_is_not_there_is_refused(test: &Test) {
    sandbox(test, &["--chdir", "/no/such"], &["true"])
        .assert_error(125, &["--chdir", "\"/no/such\"", "ENOENT"]);
    sandbox(test, &["--chdir", "relative"], &["true"])
        .assert_error(125, &["--chdir", "\"relative\"", "absolute"]);
}

/// CVE-2024-21626: a descriptor of the host that is still open is a way out.
fn working_directory_through_a_descriptor_is_refused(test: &Test) {
    for directory in [
        "/proc/self/fd/8",
        "/proc/1/fd/7/../..",
        "/dev/fd/0",
        "/proc/thread-self/fd/9",
        "/proc/self/cwd",
    ] {
        let output = sandbox(test, &["--chdir", directory], &["pwd"]);
        output.assert_error(125, &["--chdir", directory]);
    }
}

fn working_directory_that_is_a_file_is_refused(test: &Test) {
    sandbox(test, &["--chdir", "/etc/passwd"], &["true"])
        .assert_error(125, &["--chdir", "/etc/passwd", "ENOTDIR"]);
}

fn tty_without_a_terminal_is_refused(test: &Test) {
    sandbox(test, &["--tty"], &["true"])
        .assert_error(125, &["standard input", "not a terminal", "--tty"]);
}

fn rootfs_that_is_not_there_is_refused(test: &Test) {
    sandbox(test, &["--rootfs", "/no/such"], &["true"])
        .assert_error(125, &["--rootfs", "\"/no/such\"", "ENOENT"]);
}

fn rootfs_that_is_the_hosts_root_is_refused(test: &Test) {
    for root in ["/", "//", "/usr/..", "/proc/self/root"] {
        let output = sandbox(test, &["--rootfs", root], &["true"]);
        output.assert_error(125, &["--rootfs"]);
    }
    symlink("/", test.path().join("link")).expect("symlink");
    sandbox(test, &["--rootfs", "link"], &["true"]).assert_error(125, &["--rootfs"]);
}

fn rootfs_that_is_a_file_is_refused(test: &Test) {
    let file = test.write("file", "");
    let output = sandbox(
        test,
        &["--rootfs", file.to_str().expect("UTF-8")],
        &["true"],
    );
    output.assert_error(125, &["--rootfs", "file"]);
}

fn source_of_a_bind_that_is_not_there_is_refused(test: &Test) {
    let output = sandbox(test, &["--bind", "/no/such", "/x"], &["true"]);
    output.assert_error(125, &["--bind /no/such /x", "ENOENT"]);
}

fn destination_below_proc_is_refused(test: &Test) {
    for destination in ["/proc/sys", "/proc/self/fd/3", "/", "relative"] {
        sandbox(test, &["--tmpfs", destination], &["true"])
            .assert_error(125, &["--tmpfs", destination]);
        sandbox(test, &["--ro-bind", "/etc", destination], &["true"])
            .assert_error(125, &["--ro-bind", destination]);
    }
}

/// Root is above this limit.
#[test]
fn processes_that_have_run_out_are_a_limit() {
    let test = needs!(plain, user_namespace);
    let output = test
        .nsrun_under(&["prlimit", "--nproc=0"], ["sandbox", "--", "true"])
        .run();
    output.assert_error(125, &["clone", "EAGAIN", "hint", "RLIMIT_NPROC"]);
}

/// The limit of a user namespace of the test's own, so that nobody else is kept from anything.
fn namespaces_that_have_run_out_name_the_switch(test: &Test) {
    for (kind, call, switch) in [
        ("net", "unshare", "max_net_namespaces"),
        ("mnt", "clone", "max_mnt_namespaces"),
        ("pid", "clone", "max_pid_namespaces"),
    ] {
        let script = format!("echo 0 > /proc/sys/user/{switch} && exec \"$@\"");
        let wrapper = [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            &script,
            "sh",
        ];
        let output = test.nsrun_under(&wrapper, ["sandbox", "--", "true"]).run();
        output.assert_error(125, &[call, "ENOSPC", switch]);
        assert!(output.stderr.contains(kind), "{output:?}");
    }
}

#[test]
fn usage_error_is_one_line() {
    let test = needs!();
    let output = test
        .nsrun(["sandbox", "--user", "4294967295", "--", "true"])
        .run();
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    output.assert_error(125, &["--user", "4294967295"]);
}

#[test]
fn need_that_is_met_does_not_skip() {
    assert!(Test::begin("need_that_is_met_does_not_skip", &[]).is_some());
    let needs = [Need::root];
    assert_eq!(
        Test::begin("need_root", &needs).is_some(),
        nix::unistd::geteuid().is_root()
    );
}
