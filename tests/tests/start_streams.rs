//! Streams and signals of a command, and the ends of `nsrun` itself.

use std::fs::File;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ns_tests::{Busybox, Host, Test, needs, variants, wait_for_orphans};

variants![
    stdin_is_piped_through,
    stdin_that_is_closed_is_an_empty_one,
    stdout_and_stderr_that_are_closed_are_dev_null,
    streams_that_are_closed_are_no_files_of_ours,
    stdout_that_is_full_is_the_commands_error,
    stdout_that_is_full_is_our_error_when_we_write,
    stdout_that_nobody_reads_ends_the_writer,
    stdout_that_nobody_reads_is_our_error_when_we_write,
    term_ends_a_command_that_does_not_handle_it,
    term_runs_the_commands_own_handler,
    signals_are_all_passed_on,
    die_with_parent_kills_the_command_when_nsrun_is_killed,
    nsrun_killed_at_any_time_leaves_nothing,
];

fn stdin_is_piped_through(test: &Test) {
    let text = "line\n".repeat(10_000);
    let output = test
        .nsrun(["sandbox", "--", "cat"])
        .input(text.as_bytes())
        .run();
    assert_eq!(output.stdout, text);
}

fn stdin_that_is_closed_is_an_empty_one(test: &Test) {
    let output = test
        .nsrun_under(
            &["sh", "-c", "exec \"$@\" <&-", "sh"],
            ["sandbox", "--", "cat"],
        )
        .run();
    assert_eq!(output.text(), "");
}

fn stdout_and_stderr_that_are_closed_are_dev_null(test: &Test) {
    let wrapper = ["sh", "-c", "exec \"$@\" >&- 2>&-", "sh"];
    // A shell that redirects moves its own descriptors; one that substitutes forks first.
    let script = "[ $(readlink /proc/$$/fd/1) = /dev/null ] && [ $(readlink /proc/$$/fd/2) = /dev/null ]; code=$?; \
                  echo lost && exit $code";
    let output = test
        .nsrun_under(&wrapper, ["sandbox", "--", "sh", "-c", script])
        .run();
    assert_eq!(output.code, 0, "{output:?}");
}

/// The first files of a start with an id are opened before the streams are looked at.
fn streams_that_are_closed_are_no_files_of_ours(test: &Test) {
    let host = Host::new(test);
    let wrapper = ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"];
    let script = "for number in 0 1 2; do [ $(readlink /proc/$$/fd/$number) = /dev/null ] || exit 3$number; done";
    let words = ["sandbox", "--id", "one", "--", "sh", "-c", script];
    let output = host.under(&wrapper, &words).run();
    assert_eq!(output.code, 0, "{output:?}");
}

fn full() -> File {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
}

fn stdout_that_is_full_is_the_commands_error(test: &Test) {
    let output = test.sandbox_invocation(&[], "echo x").stdout(full()).run();
    assert_eq!(output.code, 1, "{output:?}");
    assert!(!output.stderr.contains("nsrun"), "{output:?}");
}

fn stdout_that_is_full_is_our_error_when_we_write(test: &Test) {
    for arguments in [
        &["explain", "sandbox", "--", "true"][..],
        &["--help"],
        &["doctor"],
    ] {
        let output = test.nsrun(arguments).stdout(full()).run();
        output.assert_error(
            125,
            &["write to the standard output", "No space left on device"],
        );
    }
}

fn stdout_that_nobody_reads_ends_the_writer(test: &Test) {
    let mut running = test
        .sandbox_invocation(&[], "echo ready; yes; echo $? >&2")
        .spawn();
    running.read_until("ready");
    running.close_stdout();
    let output = running.wait();
    assert_eq!(output.stderr.trim(), "141", "{output:?}");
}

fn stdout_that_nobody_reads_is_our_error_when_we_write(test: &Test) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = test.nsrun(["--help"]).stdout(writer).run();
    output.assert_error(125, &["write to the standard output", "Broken pipe"]);
}

const SLEEP: &str = "echo ready; exec sleep 1000";

fn term_ends_a_command_that_does_not_handle_it(test: &Test) {
    let mut running = test.sandbox_invocation(&[], SLEEP).spawn();
    running.read_until("ready");
    running.signal(Signal::SIGTERM);
    let output = running.wait();
    assert_eq!((output.code, output.stderr.as_str()), (143, ""));
}

fn term_runs_the_commands_own_handler(test: &Test) {
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let mut running = test.sandbox_invocation(&[], script).spawn();
    running.read_until("ready");
    running.signal(Signal::SIGTERM);
    let output = running.wait();
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (5, "ready\ncaught\n")
    );
}

fn signals_are_all_passed_on(test: &Test) {
    use Signal::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
    let script =
        "for name in HUP INT QUIT USR1 USR2 ALRM CONT; do trap \"echo got $name\" $name; done
                  trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let mut running = test.sandbox_invocation(&[], script).spawn();
    running.read_until("ready");
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT] {
        running.signal(signal);
        running.read_until(&format!(
            "got {}\n",
            signal.as_str().trim_start_matches("SIG")
        ));
    }
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code, 0);
}

fn die_with_parent_kills_the_command_when_nsrun_is_killed(test: &Test) {
    let mut running = test
        .sandbox_invocation(&["--die-with-parent"], SLEEP)
        .spawn();
    running.read_until("ready");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.wait().code, 137);
    wait_for_orphans();
}

fn nsrun_killed_at_any_time_leaves_nothing(test: &Test) {
    for step in 0..60 {
        let running = test.nsrun(["sandbox", "--", "true"]).spawn();
        let delay = nix::sys::time::TimeSpec::new(0, step * 250_000);
        nix::poll::ppoll(&mut [], Some(delay), None).expect("ppoll");
        running.signal(Signal::SIGKILL);
        let output = running.wait();
        assert!([0, 137].contains(&output.code), "{output:?}");
        wait_for_orphans();
    }
}

/// Without a pid namespace, whose end would kill it; its procfs takes root.
#[test]
fn process_left_behind_with_the_output_does_not_hold_us_up() {
    let test = needs!(root, busybox);
    let rootfs = Busybox::new(&test.path().join("rootfs"));
    let mut config = test.container_json(rootfs.path());
    let namespaces = config["namespaces"].as_array_mut().expect("a list");
    namespaces.retain(|namespace| namespace["type"] != "NEWPID");
    let output = test.run_config(&config, "sleep 1000 & echo $!; exit 4");
    assert_eq!(output.code, 4, "{output:?}");
    let pid = output.stdout.trim().parse().expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill what was left behind");
    wait_for_orphans();
}
