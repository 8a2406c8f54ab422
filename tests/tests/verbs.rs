//! Containers with an id: started detached, found, joined, measured, removed, by `nsrun` alone.

use ns_tests::{Host, Output, Test, needs, variants};

variants![
    detached_container_is_found_joined_and_deleted,
    second_start_with_one_id_is_refused,
    one_id_in_two_state_directories_is_two_containers,
    ended_container_is_stopped_and_not_joined,
    unknown_id_is_one_error,
    joined_command_takes_flags_of_its_own,
];

/// The output is shown when the code is another.
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{output:?}");
}

fn start(host: &Host<'_>, id: &str, script: &str) -> Output {
    host.nsrun(&["sandbox", "--id", id, "--detach", "--", "sh", "-c", script])
}

fn detached_container_is_found_joined_and_deleted(test: &Test) {
    let host = Host::new(test);
    assert_code(&start(&host, "one", "exec sleep 1000"), 0);
    assert_eq!(host.status("one"), "running");
    let joined = host.exec("one", "ps -e -o comm= | head -1; exit 5");
    assert_code(&joined, 5);
    assert_eq!(joined.stdout, "sleep\n");
    assert!(host.nsrun(&["ps", "one"]).stdout.contains("sleep 1000"));
    assert_code(&host.nsrun(&["kill", "one", "KILL"]), 0);
    assert_code(&host.nsrun(&["delete", "--force", "one"]), 0);
    assert_eq!(host.nsrun(&["list", "--quiet"]).stdout, "");
}

fn second_start_with_one_id_is_refused(test: &Test) {
    let host = Host::new(test);
    assert_code(&start(&host, "one", "exec sleep 1000"), 0);
    start(&host, "one", "exec sleep 1000").assert_error(125, &["one"]);
    assert_eq!(host.status("one"), "running");
}

fn one_id_in_two_state_directories_is_two_containers(test: &Test) {
    let hosts = ["state", "other"].map(|name| Host::at(test, name));
    for host in &hosts {
        assert_code(&start(host, "one", "exec sleep 1000"), 0);
    }
    hosts[0].done(&["delete", "--force", "one"]);
    assert_eq!(hosts[1].status("one"), "running");
    hosts[1].delete("one", "the second of two");
}

fn ended_container_is_stopped_and_not_joined(test: &Test) {
    let host = Host::new(test);
    assert_code(&start(&host, "one", "exec sleep 1000"), 0);
    assert_code(&host.nsrun(&["kill", "one", "KILL"]), 0);
    host.wait_stopped("one");
    host.nsrun(&["exec", "one", "--", "true"])
        .assert_error(125, &["ended"]);
    assert_code(&host.nsrun(&["delete", "one"]), 0);
}

fn unknown_id_is_one_error(test: &Test) {
    let host = Host::new(test);
    for verb in ["state", "ps", "stats", "pause", "resume", "kill", "delete"] {
        host.nsrun(&[verb, "nobody"]).assert_error(125, &["nobody"]);
    }
    host.nsrun(&["exec", "nobody", "--", "true"])
        .assert_error(125, &["nobody"]);
    host.nsrun(&["state", "../x"]).assert_error(125, &["../x"]);
}

fn joined_command_takes_flags_of_its_own(test: &Test) {
    let host = Host::new(test);
    assert_code(&start(&host, "one", "exec sleep 1000"), 0);
    let flags = ["--cwd", "/tmp", "--env", "COLOR=red"];
    let line = ["--", "sh", "-c", "pwd; echo $COLOR"];
    let arguments = [&["exec"][..], &flags, &["one"], &line].concat();
    assert_eq!(host.nsrun(&arguments).stdout, "/tmp\nred\n");
    host.nsrun(&["exec", "one", "--", "no-such-command"])
        .assert_error(127, &["no-such-command"]);
}

#[test]
fn help_of_every_verb_says_what_it_is_for() {
    let test = needs!();
    let whole = test.nsrun(["--help"]).run();
    let listed = whole
        .text()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let mut n_verbs = 0;
    for line in listed.take_while(|line| !line.is_empty()) {
        let (verb, purpose) = line
            .trim()
            .split_once("  ")
            .expect("a verb and its purpose");
        let help = test.nsrun([verb, "--help"]).run();
        let first = help.text().lines().next().unwrap_or_default();
        assert_eq!(
            first.trim_end_matches('.'),
            purpose.trim(),
            "nsrun {verb} --help"
        );
        n_verbs += 1;
    }
    assert!(n_verbs >= 16, "{whole:?}");
}
