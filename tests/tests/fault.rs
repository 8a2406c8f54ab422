//! A start of which every single system call fails, or is the last that the new process or the caller comes to: the
//! error names the call, and nothing is left. Nothing is built in for it; see `ns_tests::tracer`.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use ns_tests::tracer::{Fault, Maker, Step, Traced, trace};
use ns_tests::{Census, Output, Pty, Rights, Test, in_variant, write_json};
use serde_json::{Value, json};

/// What a command sees of its container; it is the same in every run.
const LOOK: &str = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status; hostname; umask; pwd; \
                    cut -d' ' -f4-6 /proc/self/mountinfo; ls /proc/self/fd | wc -l; ulimit -n; \
                    cut -d: -f1 /proc/net/dev; cat /proc/self/cgroup; echo end";

/// Calls of the new process that may fail, and the container is all the same what it was to be.
const MAY_FAIL: &[(i64, &str)] = &[(
    libc::SYS_close,
    "what it would close goes with the exec at the latest",
)];

/// Calls whose result nobody looks at because the kernel always makes them.
const NEVER_FAIL: &[i64] = &[libc::SYS_umask, libc::SYS_exit, libc::SYS_exit_group];

/// With a control group and a network a start takes so long that only every n-th call is tried, and the first of each
/// name; with a terminal or a fork most calls are those of any start. All of them: `NS_TESTS_FAULTS=all`.
const STRIDE_OF_RESOURCES: usize = 8;
const STRIDE_OF_VARIANTS: usize = 4;

/// A start that goes well, to be repeated with faults.
struct Start<'t> {
    test: &'t Test,
    census: Census,
    stdin: PathBuf,
    arguments: Vec<String>,
    /// Where a container with an id is remembered.
    state: Option<PathBuf>,
    stride: usize,
    clean: Traced,
}

impl<'t> Start<'t> {
    fn new(test: &'t Test, stdin: &Path, arguments: &[&str]) -> Self {
        let clean = trace(test, stdin, arguments, None);
        let output = &clean.output;
        assert_eq!(
            (output.code, output.stderr.as_str()),
            (0, ""),
            "{output:#?}"
        );
        assert!(output.stdout.trim_end().ends_with("end"), "{output:#?}");
        Start {
            test,
            census: Census::take(),
            stdin: stdin.to_owned(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            state: None,
            stride: 1,
            clean,
        }
    }

    /// `nsrun run` of a configuration.
    fn run(test: &'t Test, stdin: &Path, config: &Value, options: &[&str]) -> Self {
        let config = write_json(test.path(), config);
        let config = config.to_str().expect("UTF-8");
        let arguments = [
            &["run", "--config", config],
            options,
            &["--", "sh", "-c", LOOK],
        ]
        .concat();
        Start::new(test, stdin, &arguments)
    }

    /// The calls of a maker that passes, each or some of them.
    fn steps(&self, of: impl Fn(Maker) -> bool) -> Vec<Step> {
        let stride = match std::env::var_os("NS_TESTS_FAULTS") {
            Some(all) if all == "all" => 1,
            _ => self.stride,
        };
        let mut names = Vec::new();
        let mut chosen = Vec::new();
        for (place, step) in self
            .clean
            .steps
            .iter()
            .filter(|step| of(step.maker))
            .enumerate()
        {
            let is_new = !names.contains(&step.number);
            names.push(step.number);
            if is_new || place % stride == 0 {
                chosen.push(*step);
            }
        }
        assert!(names.len() > 50, "these are not all: {names:?}");
        chosen
    }

    fn steps_of_child(&self) -> Vec<Step> {
        self.steps(|maker| matches!(maker, Maker::Process(_)))
    }

    /// The last call of this name that the new process makes before it executes the command.
    fn last(&self, number: i64) -> Step {
        let is_it = |step: &&Step| step.number == number && matches!(step.maker, Maker::Process(_));
        *self
            .clean
            .steps
            .iter()
            .rfind(is_it)
            .expect("every start makes it")
    }

    /// Whether the new process has told that everything is set.
    fn is_ready_before(&self, step: Step) -> bool {
        let ready = self.last(libc::SYS_sendmsg);
        step.maker == ready.maker && step.index > ready.index
    }

    /// Repeats the start with a fault; everything that it leaves fails the test.
    fn with(&self, step: Step, fault: Fault) -> Output {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let traced = trace(self.test, &self.stdin, &arguments, Some((step, fault)));
        // How often threads wait for each other differs from run to run.
        let may_differ = !matches!(step.maker, Maker::Process(_));
        assert!(
            traced.is_hit || may_differ,
            "{step} is made in every run: {:#?}",
            traced.output
        );
        self.forget(&format!("{step} {fault:?}"), &traced.output);
        self.test
            .assert_nothing_left(&format!("{step} {fault:?}"), &self.census);
        traced.output
    }

    /// A start that failed is not remembered; one whose caller was killed is forgotten by `nsrun delete`.
    fn forget(&self, what: &str, output: &Output) {
        let Some(state) = &self.state else { return };
        let nsrun = |words: &[&str]| {
            let root = state.to_str().expect("UTF-8");
            let output = self.test.nsrun(words.iter().chain(&["--root", root])).run();
            assert_eq!(
                (output.code, output.stderr.as_str()),
                (0, ""),
                "{what}: {words:?}: {output:#?}"
            );
            output.stdout
        };
        if output.code == 125 {
            assert_eq!(
                nsrun(&["list", "--quiet"]),
                "",
                "{what}: a start that failed is remembered"
            );
        }
        nsrun(&["delete", "--force", ID]);
        assert_eq!(
            nsrun(&["list", "--quiet"]),
            "",
            "{what}: it is still remembered"
        );
    }

    /// Whether the container is the one that was asked for.
    fn is_whole(&self, output: &Output) -> bool {
        let clean = &self.clean.output;
        (output.code, &output.stdout, &output.stderr) == (0, &clean.stdout, &clean.stderr)
    }
}

const ID: &str = "fault";

fn check(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "{} faults: {problems:#?}",
        problems.len()
    );
}

/// How an error names a call.
fn words(step: Step) -> String {
    match step.number {
        libc::SYS_execveat => "execve".to_owned(),
        libc::SYS_recvfrom => "recv".to_owned(),
        _ => step.name(),
    }
}

fn every_call_fails(start: &Start<'_>) {
    let stub = start.last(libc::SYS_execveat);
    let mut problems = Vec::new();
    for step in start.steps_of_child() {
        if NEVER_FAIL.contains(&step.number) {
            continue;
        }
        let output = start.with(step, Fault::Fails(Errno::EIO));
        if MAY_FAIL.iter().any(|(number, _)| *number == step.number) && start.is_whole(&output) {
            continue;
        }
        let without_plan = step.maker == stub.maker
            && step.index > stub.index
            && [libc::SYS_statx, libc::SYS_mmap].contains(&step.number)
            && step.index <= stub.index + 3;
        // Without its plan the stub has no socket to tell by; and the lookups of the command are parts of its exec.
        let (code, words) = match start.is_ready_before(step) {
            _ if without_plan => (125, "could not read or map its plan".to_owned()),
            true => (126, "execve(".to_owned()),
            false => (125, words(step)),
        };
        let lines: Vec<&str> = output.stderr.lines().collect();
        let is_told = matches!(lines[..], [line] if line.starts_with("nsrun: ") && line.contains(&words))
            && (without_plan || output.stderr.contains("EIO"));
        if output.code != code || !output.stdout.is_empty() || !is_told {
            problems.push(format!("{step}: {output:?}"));
        }
    }
    check(&problems);
}

fn new_process_is_killed_at_every_call(start: &Start<'_>) {
    let mut problems = Vec::new();
    for step in start.steps_of_child() {
        let output = start.with(step, Fault::KillsMaker);
        // Once it is ready it stands for the command.
        let is_told = match start.is_ready_before(step) {
            true => (output.code, output.stderr.as_str()) == (128 + libc::SIGKILL, ""),
            false => {
                output.code == 125
                    && output.stderr.lines().count() == 1
                    && output.stderr.contains("SIGKILL")
            }
        };
        // One that has forked has done its part.
        let is_over = step.number == libc::SYS_exit_group && start.is_whole(&output);
        if !(is_over || output.stdout.is_empty() && is_told) {
            problems.push(format!("{step}: {output:?}"));
        }
    }
    check(&problems);
}

fn caller_is_killed_at_every_call_of_the_new_process(start: &Start<'_>) {
    let mut problems = Vec::new();
    for step in start.steps_of_child() {
        let output = start.with(step, Fault::KillsProgram);
        // Nobody reads what comes out of a terminal then.
        let is_whole = start.clean.output.stdout == output.stdout;
        let is_safe = output.stdout.is_empty() || start.is_ready_before(step) && is_whole;
        if !output.signaled || !output.stderr.is_empty() || !is_safe {
            problems.push(format!("{step}: {output:?}"));
        }
    }
    check(&problems);
}

fn caller_is_killed_at_every_call_of_its_own(start: &Start<'_>) {
    let steps = start.steps(|maker| !matches!(maker, Maker::Process(_)));
    let mut problems = Vec::new();
    let mut n_killed = 0;
    for step in &steps {
        let output = start.with(*step, Fault::KillsMaker);
        n_killed += usize::from(output.signaled);
        if !output.stderr.is_empty() || !(output.signaled || start.is_whole(&output)) {
            problems.push(format!("{step}: {output:?}"));
        }
    }
    check(&problems);
    assert!(
        n_killed * 4 > steps.len() * 3,
        "{n_killed} of {} were killed",
        steps.len()
    );
}

type Faults<'a> = &'a dyn Fn(&Start<'_>);

/// `nsrun sandbox` with its defaults.
fn sandbox(name: &str, rights: Rights, faults: Faults<'_>) {
    in_variant(name, rights, |test| {
        if ns_tests::tracer::is_possible(test) {
            let arguments = ["sandbox", "--", "sh", "-c", LOOK];
            faults(&Start::new(test, Path::new("/dev/null"), &arguments));
        }
    });
}

/// `nsrun run` with the mounts of the original library.
fn run(name: &str, rights: Rights, faults: Faults<'_>) {
    in_variant(name, rights, |test| {
        if let Some(config) = config(test) {
            faults(&Start::run(test, Path::new("/dev/null"), &config, &[]));
        }
    });
}

/// The same with a terminal, which is afterwards as it was unless nobody is left to see to it.
fn run_with_a_terminal(name: &str, rights: Rights, faults: Faults<'_>) {
    in_variant(name, rights, |test| {
        let Some(mut config) = config(test) else {
            return;
        };
        config["tty"] = json!(true);
        let terminal = Pty::new(24, 80);
        let path = nix::unistd::ttyname(terminal.end()).expect("a terminal");
        let mut start = Start::run(test, &path, &config, &[]);
        start.stride = STRIDE_OF_VARIANTS;
        faults(&start);
    });
}

/// The same in namespaces that the new process makes itself, and then goes on as its own child.
fn run_with_a_fork(name: &str, rights: Rights, faults: Faults<'_>) {
    in_variant(name, rights, |test| {
        let Some(mut config) = config(test) else {
            return;
        };
        let namespaces = config["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({"type": "NEWTIME"}));
        let mut start = Start::run(test, Path::new("/dev/null"), &config, &[]);
        start.stride = STRIDE_OF_VARIANTS;
        faults(&start);
    });
}

/// The same with an id, a control group, and an interface on a bridge of a network namespace that is the test's own.
fn run_with_resources(name: &str, rights: Rights, faults: Faults<'_>) {
    const BRIDGE: &str = "ns-fault0";
    in_variant(name, rights, |test| {
        let Some(mut config) = config(test) else {
            return;
        };
        let ip = |words: &[&str]| {
            let status = std::process::Command::new("ip").args(words).status();
            assert!(status.is_ok_and(|status| status.success()), "ip {words:?}");
        };
        if !Path::new("/sbin/ip").exists() {
            return test.skip("needs /sbin/ip (package iproute2)");
        }
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("unshare");
        ip(&["link", "add", BRIDGE, "type", "bridge"]);
        let namespaces = config["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({"type": "NEWCGROUP"}));
        config["cgroups"] = json!({
            "name": format!("ns-tests-fault-{}", std::process::id()),
            "parent": "", "allow_all_devices": true,
        });
        if ns_tests::has_controller("memory") {
            config["cgroups"]["memory"] = json!(100 << 20);
        }
        let loopback = config["networks"][0].clone();
        config["networks"] = json!([loopback, {
            "type": "veth", "bridge": BRIDGE, "veth_prefix": "nsf", "mtu": 1400,
            "address": "10.77.0.2/24", "gateway": "10.77.0.1",
        }]);
        let state = test.path().join("state");
        let options = ["--root", state.to_str().expect("UTF-8"), "--id", ID];
        let mut start = Start::run(test, Path::new("/dev/null"), &config, &options);
        start.stride = STRIDE_OF_RESOURCES;
        start.state = Some(state);
        start.forget("a start that went well", &start.clean.output);
        // The group and the interface of the first start are gone by now.
        start.census = Census::take();
        faults(&start);
        ip(&["link", "delete", BRIDGE]);
    });
}

/// The configuration of the original tests.
fn config(test: &Test) -> Option<Value> {
    if !ns_tests::tracer::is_possible(test) {
        return None;
    }
    Some(test.container_json(test.busybox()?.path()))
}

/// A test of each fault on one kind of start.
macro_rules! faults {
    ($name:ident, $start:ident, $rights:ident) => {
        faults![
            $name, $start, $rights: every_call_fails, new_process_is_killed_at_every_call,
            caller_is_killed_at_every_call_of_the_new_process, caller_is_killed_at_every_call_of_its_own
        ];
    };
    ($name:ident, $start:ident, $rights:ident: $($fault:ident),*) => {
        mod $name {
            $(#[test]
            fn $fault() {
                let name = concat!(stringify!($name), "::", stringify!($fault));
                super::$start(name, ns_tests::Rights::$rights, &super::$fault);
            })*
        }
    };
}

faults![sandbox_of_root, sandbox, Root];
faults![sandbox_of_a_plain_user, sandbox, Plain];
faults![run_of_root, run, Root];
faults![run_of_a_plain_user, run, Plain];
faults![terminal, run_with_a_terminal, Root];
faults![fork, run_with_a_fork, Root];
faults![resources, run_with_resources, Root];
