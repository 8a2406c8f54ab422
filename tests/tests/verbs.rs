//! Containers with an id: started detached, found, joined, measured, removed, by `nsrun` alone.

use ns_tests::{Output, Test, variants};

variants![
    detached_container_is_found_joined_and_deleted,
    second_start_with_one_id_is_refused,
    ended_container_is_stopped_and_not_joined,
    unknown_id_is_one_error,
    joined_command_takes_flags_of_its_own,
];

/// `nsrun` with a state directory of the test's own.
struct Host<'t> {
    test: &'t Test,
    root: String,
}

impl<'t> Host<'t> {
    fn new(test: &'t Test) -> Self {
        let root = test.make_dir("state");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&root, private).expect("chmod");
        test.give_away(&root);
        let root = root.to_str().expect("UTF-8").to_owned();
        Host { test, root }
    }

    fn nsrun(&self, arguments: &[&str]) -> Output {
        let all = ["--root", &self.root]
            .into_iter()
            .chain(arguments.iter().copied());
        self.test.nsrun(all).run()
    }

    fn start(&self, id: &str, script: &str) -> Output {
        self.nsrun(&["sandbox", "--id", id, "--detach", "--", "sh", "-c", script])
    }

    /// Waits until the command has ended, by asking.
    fn status(&self, id: &str) -> String {
        let state = self.nsrun(&["list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&state.stdout).expect("JSON");
        let all = list.as_array().expect("a list").iter();
        let found = all
            .clone()
            .find(|one| one["id"] == id)
            .expect("it is listed");
        found["status"].as_str().expect("a word").to_owned()
    }
}

/// The output is shown when the code is another.
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.code, code, "{output:?}");
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        for id in ["one", "two"] {
            self.nsrun(&["delete", "--force", id]);
        }
    }
}

fn detached_container_is_found_joined_and_deleted(test: &Test) {
    let host = Host::new(test);
    assert_code(&host.start("one", "exec sleep 1000"), 0);
    assert_eq!(host.status("one"), "running");
    let joined = host.nsrun(&[
        "exec",
        "one",
        "--",
        "sh",
        "-c",
        "ps -e -o comm= | head -1; exit 5",
    ]);
    assert_code(&joined, 5);
    assert_eq!(joined.stdout, "sleep\n");
    assert!(host.nsrun(&["ps", "one"]).stdout.contains("sleep 1000"));
    assert_code(&host.nsrun(&["kill", "one", "KILL"]), 0);
    assert_code(&host.nsrun(&["delete", "--force", "one"]), 0);
    assert_eq!(host.nsrun(&["list", "--quiet"]).stdout, "");
}

fn second_start_with_one_id_is_refused(test: &Test) {
    let host = Host::new(test);
    assert_code(&host.start("one", "exec sleep 1000"), 0);
    host.start("one", "exec sleep 1000")
        .assert_error(125, &["one"]);
    assert_eq!(host.status("one"), "running");
}

fn ended_container_is_stopped_and_not_joined(test: &Test) {
    let host = Host::new(test);
    assert_code(&host.start("one", "exec sleep 1000"), 0);
    assert_code(&host.nsrun(&["kill", "one", "KILL"]), 0);
    // The command is reaped by whoever adopts it; a zombie counts as ended.
    while host.status("one") != "stopped" {
        std::thread::yield_now();
    }
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
    assert_code(&host.start("one", "exec sleep 1000"), 0);
    let flags = ["--cwd", "/tmp", "--env", "COLOR=red"];
    let line = ["--", "sh", "-c", "pwd; echo $COLOR"];
    let arguments = [&["exec"][..], &flags, &["one"], &line].concat();
    assert_eq!(host.nsrun(&arguments).stdout, "/tmp\nred\n");
    host.nsrun(&["exec", "one", "--", "no-such-command"])
        .assert_error(127, &["no-such-command"]);
}
