//! Every verb on containers that `run --config --id` and `sandbox --id` have started, in the foreground and detached,
//! and on those that were created and started in two steps.

use std::path::PathBuf;

use ns_tests::{Host, Test, needs, variants, wait_for_orphans, write_json};
use serde_json::{Value, json};

variants![
    created_container_waits_for_its_start_and_outlives_its_creator,
    created_container_is_deleted_without_force,
    command_that_is_not_there_is_an_error_of_the_start,
    start_of_what_was_not_created_is_refused,
    create_of_what_nobody_could_hold_is_refused,
    second_create_with_one_id_is_refused,
    every_verb_answers_for_a_sandbox,
    every_verb_answers_for_a_configuration,
    state_of_another_boot_or_process_is_told_and_removed_alone,
];

/// A configuration of a busybox image; in a group when root runs it.
fn config(test: &Test) -> Option<PathBuf> {
    let rootfs = test.busybox()?;
    let mut config = test.container_json(rootfs.path());
    if test.is_root() {
        let name = format!("ns-tests-verbs-{}", std::process::id());
        config["cgroups"] = json!({"name": name, "allow_all_devices": true});
    }
    Some(write_json(test.path(), &config))
}

fn create(host: &Host<'_>, config: &str, id: &str, script: &str) -> ns_tests::Output {
    let words = ["create", "--config", config, "--id", id];
    host.nsrun(&[&words[..], &["--", "sh", "-c", script]].concat())
}

fn created_container_waits_for_its_start_and_outlives_its_creator(test: &Test) {
    let Some(config) = config(test) else { return };
    let host = Host::new(test);
    let config = config.to_str().expect("UTF-8");
    let script = "echo ran on $(hostname); exec sleep 1000";
    let creator = host
        .invocation(&["create", "--config", config, "--id", "one", "--"])
        .args(["sh", "-c", script]);
    let output = test.path().join("output");
    let file = std::fs::File::create(&output).expect("a file");
    assert_eq!(creator.stdout(file).run().code, 0);
    assert_eq!(host.status("one"), "created");
    let joined = host.exec("one", "hostname; ls -l /proc/1/fd");
    assert!(joined.stdout.starts_with("integration\n"), "{joined:?}");
    assert!(
        !joined.stdout.contains("->"),
        "it looks into the waiting process"
    );
    let said = || std::fs::read_to_string(&output).expect("the output");
    assert_eq!(said(), "", "nothing runs before the start");

    host.done(&["start", "one"]);
    while said().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(said(), "ran on integration\n");
    assert_eq!(host.status("one"), "running");
    host.nsrun(&["start", "one"]).assert_error(
        125,
        &["\"one\"", "started already", "hint: nsrun state one"],
    );
    host.nsrun(&["delete", "one"])
        .assert_error(125, &["\"one\"", "has not ended", "--force"]);
    host.delete("one", "a started container");
}

fn created_container_is_deleted_without_force(test: &Test) {
    let Some(config) = config(test) else { return };
    let host = Host::new(test);
    let config = config.to_str().expect("UTF-8");
    assert_eq!(create(&host, config, "one", "exec sleep 1000").code, 0);
    host.done(&["delete", "one"]);
    assert_eq!(host.entries(), [""; 0]);
    wait_for_orphans();
    host.nsrun(&["start", "one"])
        .assert_error(125, &["there is no container \"one\""]);

    assert_eq!(create(&host, config, "one", "exec sleep 1000").code, 0);
    host.done(&["kill", "one", "KILL"]);
    host.wait_stopped("one");
    host.nsrun(&["start", "one"])
        .assert_error(125, &["\"one\"", "has ended", "nsrun delete one"]);
    host.done(&["delete", "one"]);
}

fn command_that_is_not_there_is_an_error_of_the_start(test: &Test) {
    let Some(config) = config(test) else { return };
    let host = Host::new(test);
    let config = config.to_str().expect("UTF-8");
    for (command, code, errno) in [("no-such-command", 127, "ENOENT"), ("/etc", 126, "EISDIR")] {
        let words = ["create", "--config", config, "--id", "one", "--", command];
        host.done(&words);
        let named = format!("execve({command:?})");
        host.nsrun(&["start", "one"])
            .assert_error(code, &["execute the command", &named, errno]);
        assert_eq!(host.status("one"), "stopped");
        host.done(&["delete", "one"]);
    }
}

fn start_of_what_was_not_created_is_refused(test: &Test) {
    let host = Host::new(test);
    host.done(&["sandbox", "--id", "one", "-d", "--", "sleep", "1000"]);
    host.nsrun(&["start", "one"])
        .assert_error(125, &["\"one\"", "started already"]);
    host.nsrun(&["start", "nobody"])
        .assert_error(125, &["there is no container \"nobody\""]);
    host.nsrun(&["start", "../x"]).assert_error(125, &["../x"]);
    host.nsrun(&["start"]).assert_refusal(&["<ID>"]);
}

fn create_of_what_nobody_could_hold_is_refused(test: &Test) {
    let Some(path) = config(test) else { return };
    let host = Host::new(test);
    let text = std::fs::read_to_string(&path).expect("container.json");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["tty"] = json!(true);
    let path = write_json(test.path(), &config);
    create(&host, path.to_str().expect("UTF-8"), "one", "true")
        .assert_error(125, &["create:", "asks for a terminal", "\"tty\""]);
    assert_eq!(host.entries(), [""; 0]);
    host.nsrun(&["create", "--", "true"])
        .assert_refusal(&["--id"]);
}

fn second_create_with_one_id_is_refused(test: &Test) {
    let Some(config) = config(test) else { return };
    let host = Host::new(test);
    let config = config.to_str().expect("UTF-8");
    assert_eq!(create(&host, config, "one", "exec sleep 1000").code, 0);
    create(&host, config, "one", "true").assert_error(125, &["\"one\"", "exists"]);
    host.nsrun(&["sandbox", "--id", "one", "--", "true"])
        .assert_error(125, &["\"one\"", "exists"]);
    assert_eq!(host.status("one"), "created");
    host.delete("one", "a created container");
}

fn every_verb_answers_for_a_sandbox(test: &Test) {
    let start = ["sandbox", "--id", "one"];
    every_verb(test, &start);
}

fn every_verb_answers_for_a_configuration(test: &Test) {
    let Some(config) = config(test) else { return };
    let start = [
        "run",
        "--config",
        config.to_str().expect("UTF-8"),
        "--id",
        "one",
    ];
    every_verb(test, &start);
}

const SCRIPT: &str = "trap 'echo usr1; exit 3' USR1; echo up; while :; do sleep 0.1; done";

/// One container detached, one in the foreground.
fn every_verb(test: &Test, start: &[&str]) {
    let host = Host::new(test);
    let detached = [start, &["--detach", "--", "sh", "-c", SCRIPT]].concat();
    host.done(&detached);
    check_verbs(test, &host);
    host.delete("one", "detached");

    let foreground = [start, &["--", "sh", "-c", SCRIPT]].concat();
    let mut running = host.invocation(&foreground).spawn();
    running.read_until("up\n");
    // The command may be quicker than the note that it runs.
    while host.status("one") == "creating" {}
    check_verbs(test, &host);
    host.nsrun(&["delete", "one"])
        .assert_error(125, &["has not ended"]);
    host.done(&["kill", "one", "USR1"]);
    let output = running.wait();
    assert_eq!((output.code, output.stdout.as_str()), (3, "up\nusr1\n"));
    assert_eq!(
        host.entries(),
        [""; 0],
        "it is removed when its command has ended"
    );
}

fn check_verbs(test: &Test, host: &Host<'_>) {
    assert_eq!(host.status("one"), "running");
    let state: Value = serde_json::from_str(host.nsrun(&["state", "one"]).text()).expect("JSON");
    assert_eq!(
        (&state["id"], &state["status"]),
        (&json!("one"), &json!("running"))
    );
    let pid = state["pid"].as_i64().expect("a pid");
    let listed: Vec<i64> =
        serde_json::from_str(host.nsrun(&["ps", "one", "--json"]).text()).expect("a list");
    assert!(listed.contains(&pid), "{listed:?} has not {pid}");
    let joined = host.nsrun(&[
        "exec",
        "--env",
        "WHO=me",
        "one",
        "--",
        "sh",
        "-c",
        "echo $WHO; exit 4",
    ]);
    assert_eq!(
        (joined.code, joined.stdout.as_str()),
        (4, "me\n"),
        "{joined:?}"
    );
    host.done(&["exec", "-d", "one", "--", "true"]);
    let stats: Value = serde_json::from_str(host.nsrun(&["stats", "one"]).text()).expect("JSON");
    assert!(stats.is_object(), "{stats}");
    match state["cgroup_paths"]
        .as_object()
        .is_some_and(|paths| !paths.is_empty())
    {
        true => check_verbs_of_a_group(host),
        false => {
            assert!(!test.is_root(), "root's container has a group");
            for verb in [
                &["pause", "one"][..],
                &["resume", "one"],
                &["events", "one"],
            ] {
                host.nsrun(verb)
                    .assert_error(125, &["control group of \"one\"", "without one"]);
            }
            host.nsrun(&["update", "--pids-limit", "9", "one"])
                .assert_error(125, &["control group of \"one\""]);
        }
    }
    host.nsrun(&["update", "one"])
        .assert_error(125, &["no limit is named"]);
}

fn check_verbs_of_a_group(host: &Host<'_>) {
    host.done(&["pause", "one"]);
    assert_eq!(host.status("one"), "paused");
    host.nsrun(&["exec", "one", "--", "true"])
        .assert_error(125, &["\"one\" is paused", "nsrun resume one"]);
    host.done(&["resume", "one"]);
    assert_eq!(host.status("one"), "running");
    let state: Value = serde_json::from_str(host.nsrun(&["state", "one"]).text()).expect("JSON");
    let paths = state["cgroup_paths"].as_object().expect("paths");
    if let Some(dir) = paths.get("pids").and_then(Value::as_str) {
        host.done(&["update", "--pids-limit", "77", "one"]);
        let limit = std::fs::read_to_string(format!("{dir}/pids.max"));
        assert_eq!(limit.expect("pids.max").trim(), "77");
    }
}

fn state_of_another_boot_or_process_is_told_and_removed_alone(test: &Test) {
    let host = Host::new(test);
    host.done(&["sandbox", "--id", "one", "-d", "--", "sleep", "1000"]);
    let original = std::fs::read_to_string(host.state_file("one")).expect("a state");
    let state: Value = serde_json::from_str(&original).expect("JSON");
    for (key, value, status, words) in [
        (
            "boot_id",
            json!("6f1c7e0a-0000-4000-8000-000000000000"),
            "stale",
            "started anew",
        ),
        ("init_start_ticks", json!(1), "stopped", "another process's"),
    ] {
        let mut changed = state.clone();
        changed[key] = value;
        changed["cgroup_paths"] = json!({});
        changed["made_cgroup_paths"] = json!([]);
        std::fs::write(host.state_file("one"), changed.to_string()).expect("a state");
        assert_eq!(host.status("one"), status);
        for verb in [
            &["kill", "one", "KILL"][..],
            &["exec", "one", "--", "true"],
            &["stats", "one"],
        ] {
            host.nsrun(verb).assert_error(125, &[words]);
        }
        host.nsrun(&["start", "one"])
            .assert_error(125, &["has ended", "nsrun delete one"]);
        std::fs::write(host.state_file("one"), &original).expect("a state");
        assert_eq!(host.status("one"), "running", "nobody touched it");
    }
    let mut stale = state;
    stale["boot_id"] = json!("6f1c7e0a-0000-4000-8000-000000000000");
    let pid = i32::try_from(stale["init_pid"].as_i64().expect("a pid")).expect("a pid");
    std::fs::write(host.state_file("one"), stale.to_string()).expect("a state");
    host.done(&["delete", "one"]);
    assert_eq!(host.entries(), [""; 0]);
    let process = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(process, None).expect("a process with a reused number lives on");
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).expect("kill");
    wait_for_orphans();
    remove_group(&original);
}

/// The group that the removal of a foreign boot's state rightly left alone.
fn remove_group(state: &str) {
    let state: Value = serde_json::from_str(state).expect("JSON");
    for dir in state["cgroup_paths"].as_object().expect("paths").values() {
        let dir = dir.as_str().expect("a path");
        std::fs::remove_dir(dir).expect("an empty group");
    }
}

#[test]
fn events_tell_each_lack_of_memory_and_end_with_the_container() {
    let test = needs!(root, cgroup);
    let host = Host::new(&test);
    // The kernel kills the one with the most memory, again and again.
    let script = "while :; do tail /dev/zero; done";
    let flags = ["sandbox", "--id", "one", "--memory", "16m", "-d"];
    let started = host.nsrun(&[&flags[..], &["--", "sh", "-c", script]].concat());
    if started.code == 125 && !std::path::Path::new("/sys/fs/cgroup/memory/tasks").exists() {
        started.assert_error(125, &["memory", "hint:"]);
        test.skip("needs the memory controller");
        return;
    }
    assert_eq!(started.text(), "");
    let mut reader = host.invocation(&["events", "one"]).spawn();
    let line = reader.read_until("}\n");
    let event: Value = serde_json::from_str(line.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("oom"), &json!("one"))
    );
    assert!(event["count"].as_u64() > Some(0), "{event}");
    host.done(&["kill", "one", "KILL"]);
    assert_eq!(reader.wait().code, 0);
    host.delete("one", "after its events");
}

/// Nothing ties a joined command to `nsrun exec`: the parent death signal of the configuration was about whoever started
/// the container.
#[test]
fn killed_exec_leaves_its_command_to_the_container() {
    let test = needs!(root);
    let host = Host::new(&test);
    let words = ["sandbox", "--id", "one", "--detach", "--", "sleep", "1000"];
    host.done(&words);
    let fifo = test.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    let open = || std::fs::File::options().read(true).write(true).open(&fifo);
    let mut held = open().expect("a fifo");
    let script = "echo joined; read line; echo $line >/tmp/heard";
    let mut joined = host
        .invocation(&["exec", "one", "--", "sh", "-c", script])
        .stdin(open().expect("a fifo"))
        .spawn();
    joined.read_until("joined\n");
    joined.signal(nix::sys::signal::Signal::SIGKILL);
    // Its end, and not that of its output, which the command has.
    joined.close_stdout();
    assert!(joined.wait().signaled);
    std::io::Write::write_all(&mut held, b"go on\n").expect("room in the fifo");
    let line = "while [ ! -s /tmp/heard ]; do :; done; cat /tmp/heard";
    let heard = host.nsrun(&["exec", "one", "--", "sh", "-c", line]);
    assert_eq!(heard.text(), "go on");
    // ORDER: before the container can end, whoever the joined command was left to has to reap it: we, here. The
    // container's own command was left to us as well.
    while ns_tests::hostile::children(nix::unistd::getpid().as_raw()).len() > 1 {
        ns_tests::reap_orphans();
    }
    host.delete("one", "a container whose exec was killed");
}
