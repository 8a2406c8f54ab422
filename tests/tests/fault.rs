//! A start that fails, or whose child or caller is killed, at every system call that it makes: nothing is left, and the
//! error names the step. Calls are failed by `strace`, so nothing is built in for it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ns_tests::hostile::Attack;
use ns_tests::{Invocation, Output, Test, needs, nsrun_path, write_json};

const STRACE: &str = "/usr/bin/strace";
/// The calls that ops are made of. They are counted for each process by itself.
const CALLS: [&str; 28] = [
    "openat2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "mount_setattr",
    "mkdirat",
    "mknodat",
    "symlinkat",
    "pivot_root",
    "umount2",
    "fchdir",
    "chdir",
    "setgroups",
    "setresuid",
    "setresgid",
    "capset",
    "close_range",
    "dup3",
    "setsid",
    "sethostname",
    "getcwd",
    "sendmsg",
    "execveat",
    "execve",
    "unshare",
    "statx",
];
/// Every n-th occurrence of a call that is made often.
const N_PER_CALL: usize = 4;

/// How one call of a start ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Fails,
    Kills,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Fault::Fails => "error=EIO",
            Fault::Kills => "signal=KILL",
        }
    }
}

fn has_strace(test: &Test) -> bool {
    let works = Command::new(STRACE)
        .args(["-f", "-o", "/dev/null", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        test.skip("needs a working /usr/bin/strace (package strace)");
    }
    works
}

/// `nsrun` under `strace`, all of it into the test's directory.
fn traced(test: &Test, config: &Path, options: &[String]) -> Output {
    Invocation::new(Path::new(STRACE))
        .args(["-f", "-qq", "-o"])
        .args([test.path().join("trace")])
        .args(options)
        .args([nsrun_path()])
        .args(["run", "--config"])
        .args([config])
        .args(["--", "/bin/echo", "ran"])
        .env("TMPDIR", test.temporary())
        .run()
}

/// How often the child and the caller make each call: lines of the trace by process.
fn count_calls(test: &Test) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let trace = std::fs::read_to_string(test.path().join("trace")).expect("a trace");
    let mut caller = None;
    let (mut of_caller, mut of_child) = (BTreeMap::new(), BTreeMap::new());
    for line in trace.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        let caller = *caller.get_or_insert(pid);
        let counts = if pid == caller {
            &mut of_caller
        } else {
            &mut of_child
        };
        if CALLS.contains(&call) {
            *counts.entry(call.to_owned()).or_insert(0) += 1;
        }
    }
    (of_caller, of_child)
}

/// The occurrences to try: the first, the last and some between.
fn chosen(count: usize) -> Vec<usize> {
    let step = count.div_ceil(N_PER_CALL).max(1);
    let mut chosen: Vec<usize> = (1..=count).step_by(step).collect();
    if chosen.last() != Some(&count) {
        chosen.push(count);
    }
    chosen
}

/// Runs one start per fault; the test's census at the end finds what any of them has left.
fn every_fault(test: &Test, fault: Fault, check: impl Fn(&str, &Output)) {
    let attack = Attack::new(test);
    let config = write_json(test.path(), &attack.config());
    let clean = traced(test, &config, &["-e".to_owned(), "trace=all".to_owned()]);
    assert_eq!(clean.text(), "ran");
    let (of_caller, of_child) = count_calls(test);
    let of_both = |call: &str| of_caller.get(call).copied().unwrap_or(0);
    let mut n_faults = 0;
    for (call, count) in &of_child {
        // strace counts for each process by itself; one that both make often hits the caller first.
        if of_both(call) > 0 && fault == Fault::Fails {
            continue;
        }
        for when in chosen(*count) {
            let what = format!("{call} number {when} of {count} {fault:?}");
            let inject = format!("inject={call}:{}:when={when}", fault.word());
            let trace = format!("trace={call}");
            let options = ["-e", &trace, "-e", &inject].map(str::to_owned);
            check(&what, &traced(test, &config, &options));
            attack.assert_canary_untouched();
            n_faults += 1;
        }
    }
    assert!(
        n_faults > 40,
        "a start makes more calls than {n_faults}: {of_child:?}"
    );
}

#[test]
fn call_that_fails_ends_the_start_with_its_name() {
    let test = needs!(root, busybox);
    if !has_strace(&test) {
        return;
    }
    every_fault(&test, Fault::Fails, |what, output| {
        let call = what.split(' ').next().expect("a call");
        // The caller is told of a command that cannot be executed by its own codes.
        assert!((125..=127).contains(&output.code), "{what}: {output:#?}");
        assert_eq!(output.stdout, "", "{what}: the command ran all the same");
        let last = output.stderr.lines().last().expect("an error");
        assert!(last.starts_with("nsrun: "), "{what}: {output:#?}");
        let named = match call {
            // A check of ours reads what statx tells.
            "statx" => "EIO",
            "execveat" | "sendmsg" => "",
            // Parts of one call in the plan's words.
            "fsconfig" | "fsmount" => "fs",
            other => other,
        };
        assert!(last.contains(named), "{what} is not named: {last}");
    });
}

#[test]
fn child_that_is_killed_at_any_call_leaves_nothing() {
    let test = needs!(root, busybox);
    if !has_strace(&test) {
        return;
    }
    every_fault(&test, Fault::Kills, |what, output| {
        // The caller itself may be the one that made the call.
        let caller_died = output.signaled || output.code == 128 + 9;
        assert!(caller_died || output.code == 125, "{what}: {output:#?}");
        assert_eq!(output.stdout, "", "{what}: the command ran all the same");
    });
}

#[test]
fn caller_that_is_killed_leaves_no_process() {
    let test = needs!(root, busybox);
    if !has_strace(&test) {
        return;
    }
    let attack = Attack::new(&test);
    let config = write_json(test.path(), &attack.config());
    let clean = traced(&test, &config, &["-e".to_owned(), "trace=all".to_owned()]);
    assert_eq!(clean.text(), "ran");
    let (of_caller, _) = count_calls(&test);
    for call in [
        "clone3",
        "recvmsg",
        "sendmsg",
        "memfd_create",
        "socketpair",
        "execve",
        "waitid",
    ] {
        let count = of_caller.get(call).copied().unwrap_or(2).min(4);
        for when in 1..=count {
            let options = [
                "-e".to_owned(),
                format!("trace={call}"),
                "-e".to_owned(),
                format!("inject={call}:signal=KILL:when={when}"),
            ];
            // Whether the command still ran depends on who was faster; it prints one word and ends.
            let output = traced(&test, &config, &options);
            assert!(
                matches!(output.stdout.as_str(), "" | "ran\n"),
                "{call} {when}: {output:#?}"
            );
            attack.assert_canary_untouched();
        }
    }
}
