//! `nsrun` that is killed at the calls of a start, a creation, an exec or a removal: whatever it leaves, `delete`
//! removes, and a start that left nothing but a directory is not in the way of the next.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ns_tests::{Host, Output, STRACE, Test, has_strace, needs, wait_for_orphans, write_json};
use serde_json::{Value, json};

/// The calls between which something of a container is there, or not any more.
const CALLS: [&str; 25] = [
    "mkdir",
    "mkdirat",
    "flock",
    "openat",
    "write",
    "writev",
    "fsync",
    "rename",
    "renameat",
    "unlinkat",
    "rmdir",
    "socketpair",
    "socket",
    "bind",
    "listen",
    "connect",
    "memfd_create",
    "clone3",
    "sendmsg",
    "recvmsg",
    "pidfd_open",
    "pidfd_send_signal",
    "waitid",
    "poll",
    "exit_group",
];
/// Occurrences of one call that are tried.
const N_PER_CALL: usize = 4;

/// A container in a group of its own, with the arguments of each verb.
struct Case<'t> {
    host: Host<'t>,
    config: PathBuf,
    trace: PathBuf,
    group: String,
}

impl<'t> Case<'t> {
    fn new(test: &'t Test, name: &str) -> Option<Self> {
        if !has_strace(test) {
            return None;
        }
        let rootfs = test.busybox()?;
        let group = format!("ns-tests-fault-{name}-{}", std::process::id());
        let mut config = test.container_json(rootfs.path());
        config["cgroups"] = json!({"name": group, "allow_all_devices": true});
        Some(Case {
            host: Host::new(test),
            config: write_json(test.path(), &config),
            trace: test.path().join("trace"),
            group,
        })
    }

    fn with_config<'a>(&'a self, verb: &'a str) -> Vec<&'a str> {
        let config = self.config.to_str().expect("UTF-8");
        let mut words = vec![verb, "--config", config, "--id", "one"];
        if verb == "run" {
            words.push("--detach");
        }
        words.extend(["--", "sleep", "1000"]);
        words
    }

    /// `nsrun` alone under `strace`: what it starts is not traced, and goes on.
    fn traced(&self, options: &[&str], arguments: &[&str]) -> Output {
        let trace = self.trace.to_str().expect("UTF-8");
        let wrapper = [&[STRACE, "-qq", "-o", trace], options].concat();
        self.host.under(&wrapper, arguments).run()
    }

    /// The faults to try: call and occurrence.
    fn faults(&self, arguments: &[&str]) -> Vec<(String, usize)> {
        let clean = self.traced(&["-e", "trace=all"], arguments);
        assert_eq!(clean.code, 0, "{arguments:?}: {clean:#?}");
        let trace = std::fs::read_to_string(&self.trace).expect("a trace");
        let mut counts = BTreeMap::new();
        for (call, _) in trace.lines().filter_map(|line| line.split_once('(')) {
            if CALLS.contains(&call) {
                *counts.entry(call.to_owned()).or_insert(0) += 1;
            }
        }
        let chosen = |count: usize| {
            let step = count.div_ceil(N_PER_CALL).max(1);
            (0..count).step_by(step).map(move |before| count - before)
        };
        let faults = counts.into_iter();
        faults
            .flat_map(|(call, count)| chosen(count).map(move |when| (call.clone(), when)))
            .collect()
    }

    /// Runs a verb once for each fault, each time from the same beginning, and removes the container.
    fn every_fault(&self, before: impl Fn(), arguments: &[&str], after: impl Fn(&str)) {
        before();
        let faults = self.faults(arguments);
        self.host.delete("one", "the clean run");
        assert!(
            faults.len() > 12,
            "{arguments:?} makes more calls: {faults:?}"
        );
        for (call, when) in faults {
            before();
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let output = self.traced(&["-e", &format!("trace={call}"), "-e", &inject], arguments);
            let what = format!("{} killed at {call} number {when}", arguments[0]);
            // How often it waits is not the same in each run.
            let trace = std::fs::read_to_string(&self.trace).expect("a trace");
            let begin = format!("{call}(");
            let n_calls = trace
                .lines()
                .filter(|line| line.starts_with(&begin))
                .count();
            assert!(
                match n_calls < when {
                    true => output.code == 0,
                    false => output.signaled || output.code == 128 + 9,
                },
                "{what}: {output:#?}"
            );
            after(&what);
            self.host.delete("one", &what);
            self.assert_no_group(&what);
        }
    }

    #[track_caller]
    fn assert_no_group(&self, what: &str) {
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup")
            .expect("groups")
            .flatten()
        {
            let left = hierarchy.path().join(&self.group);
            assert!(!left.exists(), "{what}: {left:?} is left");
        }
        let left = Path::new("/sys/fs/cgroup").join(&self.group);
        assert!(!left.exists(), "{what}: {left:?} is left");
    }
}

#[test]
fn run_that_is_killed_anywhere_leaves_what_delete_removes() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "run") else {
        return;
    };
    case.every_fault(|| {}, &case.with_config("run"), |_| {});
}

#[test]
fn sandbox_that_is_killed_anywhere_leaves_what_delete_removes() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "sandbox") else {
        return;
    };
    let words = ["sandbox", "--id", "one", "-d", "--", "sleep", "1000"];
    case.host.done(&words);
    let state: Value =
        serde_json::from_str(case.host.nsrun(&["state", "one"]).text()).expect("JSON");
    let groups = state["cgroup_paths"].as_object().expect("paths").clone();
    assert!(!groups.is_empty(), "{state}");
    case.host.delete("one", "the first run");
    case.every_fault(|| {}, &words, |_| {});
    // Its group has another name.
    for group in groups.values() {
        let group = Path::new(group.as_str().expect("a path"));
        assert!(!group.exists(), "{group:?}");
    }
}

#[test]
fn create_that_is_killed_anywhere_leaves_what_delete_removes() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "create") else {
        return;
    };
    case.every_fault(|| {}, &case.with_config("create"), |_| {});
}

/// Whoever starts it next finds it waiting, or running.
#[test]
fn start_that_is_killed_anywhere_can_be_done_again_or_was_done() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "start") else {
        return;
    };
    let before = || case.host.done(&case.with_config("create"));
    case.every_fault(before, &["start", "one"], |what| {
        let status = case.host.status("one");
        let again = case.host.nsrun(&["start", "one"]);
        match again.code {
            0 => assert_eq!(status, "created", "{what}"),
            // It was about to be executed when its status was asked.
            _ => again.assert_error(125, &["started already"]),
        }
        assert_eq!(case.host.status("one"), "running", "{what}");
    });
}

#[test]
fn exec_that_is_killed_anywhere_leaves_the_container_as_it_was() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "exec") else {
        return;
    };
    let before = || case.host.done(&case.with_config("run"));
    case.every_fault(before, &["exec", "one", "--", "true"], |what| {
        assert_eq!(case.host.status("one"), "running", "{what}");
        let joined = case.host.nsrun(&["exec", "one", "--", "true"]);
        assert_eq!(joined.code, 0, "{what}: {joined:?}");
    });
}

#[test]
fn delete_that_is_killed_anywhere_can_be_done_again() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "delete") else {
        return;
    };
    let before = || case.host.done(&case.with_config("run"));
    case.every_fault(before, &["delete", "--force", "one"], |_| {});
}

/// The worst that is left of a start that was killed before it wrote a state is a directory.
#[test]
fn directory_of_a_killed_start_is_taken_over_by_the_next() {
    let test = needs!(root, busybox, cgroup);
    let Some(case) = Case::new(&test, "takeover") else {
        return;
    };
    let words = case.with_config("run");
    for call in ["flock", "fsync", "renameat"] {
        let inject = format!("inject={call}:signal=KILL:when=1");
        let output = case.traced(&["-e", &format!("trace={call}"), "-e", &inject], &words);
        assert!(
            output.signaled || output.code == 128 + 9,
            "{call}: {output:#?}"
        );
        assert_eq!(case.host.entries(), ["one"], "{call}");
        assert!(!case.host.state_file("one").exists(), "{call}");
        assert_eq!(case.host.list().len(), 0, "it is no container");
        case.host
            .nsrun(&["delete", "one"])
            .assert_error(125, &["there is no container \"one\""]);
        case.host.done(&words);
        assert_eq!(case.host.status("one"), "running");
        case.host.delete("one", call);
    }
    wait_for_orphans();
}
