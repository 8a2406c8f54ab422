//! The thirteen functions and the type of docker/libcontainer's `namespaces` package, each used by itself, from the
//! libraries alone; docs/seed.md has the table.

use std::fs;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use ns_config::cgroup::Limit;
use ns_config::{
    Capabilities, Capability, CgroupConfig, Config, NamespaceKind, Namespaces, ResolvedUser,
};
use ns_exec::{
    Kind, Prepared, Start, Stream, Target, default_create_command, exec, exec_in,
    get_namespace_flags,
};
use ns_init::{
    Groups, Init, Inside, Launch, Plan, PlanBuilder, finalize_namespace, finalize_setns,
    load_container_environment, restore_parent_death_signal, setup_user,
};
use ns_tests::{Test, has_controller, needs};

/// Set in a process that a test has made of its own program, to change it.
const MARK: &str = "NS_TESTS_OWN_PROCESS";

/// Whether this is the process that [`again`] has made.
fn is_own_process() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this very test again in a process of its own, and gives what that printed.
fn again(test: &str) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "secret")
        .output()
        .expect("this program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {text}{errors}");
    text
}

fn user() -> ResolvedUser {
    ResolvedUser {
        uid: 1000,
        gid: 100,
        additional_gids: vec![4, 27],
        home: "/home/me".to_owned(),
    }
}

/// A line of the calling thread's `status`, which the calls that change ids and capabilities are about.
fn status(name: &str) -> String {
    let text = fs::read_to_string("/proc/thread-self/status").expect("status");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<&str> = line.expect("a line").split_whitespace().skip(1).collect();
    words.join(" ")
}

/// The template of the original tests, without its streams: a busybox, five namespaces, 14 capabilities.
fn template(test: &Test) -> Config {
    let rootfs = test.busybox().expect("it is needed");
    let json = test.container_json(rootfs.path()).to_string();
    Config::from_seed(json.as_bytes()).expect("the template")
}

/// A start whose standard output is read from the other end.
fn captured<'c>(config: &'c Config, command: &[&str]) -> (Start<'c>, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(config, command.iter().copied())
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(writer.into()));
    (start, reader)
}

fn text_of(mut reader: std::io::PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn get_namespace_flags_are_the_bits_of_what_is_made() {
    for (kind, flag) in [
        (NamespaceKind::Network, 0x4000_0000),
        (NamespaceKind::Mount, 0x0002_0000),
        (NamespaceKind::User, 0x1000_0000),
        (NamespaceKind::Ipc, 0x0800_0000),
        (NamespaceKind::Uts, 0x0400_0000),
        (NamespaceKind::Pid, 0x2000_0000),
    ] {
        let mut one = Namespaces::default();
        one.add(kind, None, "");
        assert_eq!(get_namespace_flags(&one), flag, "{kind:?}");
        one.add(kind, None, "");
        assert_eq!(get_namespace_flags(&one), flag, "{kind:?} twice");
        one.add(kind, Some("/proc/self/ns/net".to_owned()), "");
        assert_eq!(get_namespace_flags(&one), 0, "{kind:?} is joined, not made");
    }
    assert_eq!(get_namespace_flags(&Namespaces::default()), 0);
    let error = Config::from_seed(br#"{"namespaces": [{"type": "NEWPIDS"}]}"#);
    let error = error.expect_err("a typo is no namespace less");
    assert!(error.to_string().contains("NEWPIDS"), "{error}");
}

#[test]
fn default_create_command_plans_the_configured_start() {
    let test = needs!(root, busybox);
    let mut config = template(&test);
    config.process.environment = vec!["PATH=/bin".into(), "TERM=x".into()];
    let script = "printf '%s\n' \"$@\"; env";
    let words = ["sh", "-c", script, "sh", "a b", "--", "-c"];
    let (start, output) = captured(&config, &words);
    let prepared = default_create_command(start).expect("a plan");
    assert_eq!(
        prepared.clone_flags(),
        get_namespace_flags(&config.namespaces),
        "what the configuration makes is made by the clone"
    );
    let process = prepared.start().expect("it starts");
    assert_eq!(process.wait().expect("it ends").code(), 0);
    let output = text_of(output);
    let (arguments, environment) = output.split_at(output.find("-c\n").expect("arguments") + 3);
    assert_eq!(arguments, "a b\n--\n-c\n", "they arrive unchanged");
    for line in environment.lines() {
        let name = line.split('=').next().expect("a name");
        let known = ["PATH", "TERM", "HOME", "PWD", "SHLVL", "OLDPWD", "_"];
        assert!(known.contains(&name), "{line} is the caller's");
    }
    // Unlike the seed's, it fails before anything is started.
    config.hostname = Some("x".repeat(65));
    let error = default_create_command(Start::new(&config, words)).expect_err("a name of 65");
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
}

#[test]
fn create_command_is_wrapped_by_its_user() {
    let test = needs!(root, busybox);
    let config = template(&test);
    let n_steps = AtomicUsize::new(0);
    let look = |start: Start<'_>| {
        let prepared = default_create_command(start)?;
        n_steps.store(prepared.plan().ops().len(), Ordering::Relaxed);
        Ok(prepared)
    };
    let status = exec(Start::new(&config, ["true"]), Box::new(look), |_| ()).expect("it runs");
    assert_eq!(status.code(), 0);
    assert!(n_steps.load(Ordering::Relaxed) > 10);

    let refuse = |_: Start<'_>| -> ns_exec::Result<Prepared> {
        let config = Config::default();
        let nothing: [&str; 0] = [];
        default_create_command(Start::new(&config, nothing))
    };
    let never = |_: &ns_exec::Process| unreachable!("nothing was started");
    let error = exec(Start::new(&config, ["true"]), Box::new(refuse), never);
    assert_eq!(error.expect_err("refused").kind(), Kind::InvalidValue);
}

#[test]
fn exec_runs_from_start_to_end_and_leaves_nothing() {
    let test = needs!(root, busybox, cgroup);
    let mut config = template(&test);
    config.cgroup = Some(CgroupConfig {
        name: format!("ns-tests-exec-{}", std::process::id()),
        pids: has_controller("pids").then_some(Limit::Value(64)),
        ..CgroupConfig::default()
    });
    let n_started = AtomicUsize::new(0);
    let started = |process: &ns_exec::Process| {
        n_started.fetch_add(1, Ordering::Relaxed);
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid()));
        assert!(groups.expect("it lives").contains("ns-tests-exec-"));
    };
    // It waits for the callback to have looked at it.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (start, output) = captured(&config, &["sh", "-c", "read go; hostname; exit 7"]);
    let start = start.stdin(Stream::Descriptor(reader.into()));
    let started = move |process: &ns_exec::Process| {
        started(process);
        drop(writer);
    };
    let status = exec(start, Box::new(default_create_command), started).expect("it runs");
    assert_eq!(status.code(), 7);
    assert_eq!(text_of(output), "integration\n");
    assert_eq!(n_started.load(Ordering::Relaxed), 1);

    // The seed gave -1.
    let (start, output) = captured(&config, &["sleep", "1000"]);
    let kill = |process: &ns_exec::Process| process.signal(libc::SIGKILL).expect("it lives");
    let status = exec(start, Box::new(default_create_command), kill).expect("it runs");
    assert_eq!(status.code(), 128 + libc::SIGKILL);
    assert_eq!(text_of(output), "");

    // The seed waited for whoever held the output, and could not remove the groups.
    let mut shared = config.clone();
    let entries = &mut shared.namespaces.entries;
    entries.retain(|entry| entry.kind != NamespaceKind::Pid);
    let (start, output) = captured(&shared, &["sh", "-c", "sleep 1000 & exit 3"]);
    let status = exec(start, Box::new(default_create_command), |_| ()).expect("it runs");
    assert_eq!(status.code(), 3);
    assert_eq!(text_of(output), "", "whoever held the output is gone");
    ns_tests::wait_for_orphans();

    let (start, _output) = captured(&config, &["no-such-command"]);
    let never = |_: &ns_exec::Process| unreachable!("nothing was started");
    let error = exec(start, Box::new(default_create_command), never).expect_err("there is none");
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::NotFound, ns_exec::Stage::Command)
    );
}

/// The seed tied every command to the thread that started it, whoever had asked for that.
#[test]
fn thread_that_started_a_command_may_end() {
    let test = needs!(root, busybox);
    let config = template(&test);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (start, output) = captured(&config, &["sh", "-c", "read go; echo went on"]);
    let start = start.stdin(Stream::Descriptor(reader.into()));
    let started = || start.prepare().and_then(Prepared::start).expect("it runs");
    let process = std::thread::scope(|scope| scope.spawn(started).join()).expect("a thread");
    drop(writer);
    assert_eq!(text_of(output), "went on\n");
    assert_eq!(process.wait().expect("it ends").code(), 0);

    // Asked for, it is the thread's end that counts, as the documents say.
    let mut config = config;
    config.process.parent_death_signal = libc::SIGKILL;
    let (start, _output) = captured(&config, &["sleep", "1000"]);
    let started = || start.prepare().and_then(Prepared::start).expect("it runs");
    let process = std::thread::scope(|scope| scope.spawn(started).join()).expect("a thread");
    assert_eq!(process.wait().expect("it ends").code(), 128 + libc::SIGKILL);
}

#[test]
fn exec_in_runs_in_all_namespaces_of_a_running_container() {
    let test = needs!(root, busybox);
    let config = template(&test);
    let sleep = Start::new(&config, ["sleep", "1000"]).stdin(Stream::Null);
    let container = sleep.prepare().and_then(Prepared::start).expect("it runs");
    let pidfd: OwnedFd = std::os::fd::AsFd::as_fd(&container)
        .try_clone_to_owned()
        .expect("a descriptor");
    let target = Target::from_pidfd(pidfd).expect("it lives");
    // `TestExecIn`: both are listed.
    let script = "hostname; ps -o comm | grep -c sleep; ulimit -n; exit 9";
    let (start, output) = captured(&config, &["sh", "-c", script]);
    let process = exec_in(&target, None, start).expect("it joins");
    assert_eq!(process.wait().expect("it ends").code(), 9);
    assert_eq!(text_of(output), "integration\n1\n1024\n");

    // `TestPassExtraFiles`, for a join.
    let (extra, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(
        &config,
        ["sh", "-c", "echo through >&5; ls /proc/self/fd >&5"],
    );
    let start = start.stdin(Stream::Null).descriptor(writer.into(), 5);
    let process = exec_in(&target, None, start.expect("a free number")).expect("it joins");
    assert_eq!(process.wait().expect("it ends").code(), 0);
    let said = text_of(extra);
    // The last is the directory that ls reads.
    assert_eq!(said, "through\n0\n1\n2\n3\n5\n");

    container.signal(libc::SIGKILL).expect("it lives");
    container.wait().expect("it ends");
    let (start, _output) = captured(&config, &["echo", "on the host"]);
    let error = exec_in(&target, None, start).expect_err("it is dead");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
}

/// A process in new namespaces that does what was planned, to its end.
fn launch_and_wait(plan: &Plan, namespaces: u64) {
    let how = Launch {
        namespaces,
        ..Launch::default()
    };
    let mut started = ns_init::launch(plan, &how).expect("it starts");
    started.wait_ready(plan).expect("the command runs");
    let (_, pidfd) = started.into_process().expect("a descriptor");
    let id = nix::sys::wait::Id::PIDFd(std::os::fd::AsFd::as_fd(&pidfd));
    nix::sys::wait::waitid(id, nix::sys::wait::WaitPidFlag::WEXITED).expect("our child");
}

#[test]
fn init_sets_up_the_first_process_of_new_namespaces() {
    let test = needs!(root);
    let mut config = Config::default();
    for kind in [NamespaceKind::Uts, NamespaceKind::Ipc, NamespaceKind::Pid] {
        config.namespaces.add(kind, None, "");
    }
    config.hostname = Some("of-the-seed".to_owned());
    config.process.environment = vec!["PATH=/usr/bin:/bin".into(), "A=b=c".into()];
    config.process.working_dir = Some("/usr".to_owned());
    let root = ResolvedUser {
        uid: 0,
        gid: 0,
        additional_gids: Vec::new(),
        home: "/root".to_owned(),
    };
    let output = test.path().join("output");
    let script = format!(
        "exec >{}; echo $$; hostname; pwd; umask; echo --; env",
        output.display()
    );
    let command = ns_init::Command {
        arguments: ["sh", "-c", &script].map(Into::into).to_vec(),
        environment: load_container_environment(&config, &root).expect("well-formed"),
    };
    let init = Init {
        config: &config,
        user: &root,
        groups: Groups::Settable,
        command: &command,
        descriptors: &[],
        parked_at: None,
    };
    let mut plan = PlanBuilder::new();
    ns_init::protect(&config, &mut plan).expect("it is planned");
    // The caller's own steps inside; the seed mounted here.
    let inside = |plan: &mut PlanBuilder| {
        plan.push(
            "note that it was here",
            ns_init::Op::SetUmask { mask: 0o777 },
        );
        Ok::<_, ns_init::Error>(Inside::default())
    };
    ns_init::init(&init, &mut plan, inside).expect("it is planned");
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    launch_and_wait(&plan.finish(), get_namespace_flags(&config.namespaces));
    let text = fs::read_to_string(output).expect("it ran");
    let (seen, environment) = text.split_once("--\n").expect("an environment");
    assert_eq!(
        seen.split_whitespace().collect::<Vec<_>>(),
        ["1", "of-the-seed", "/usr", "0022"]
    );
    for entry in ["PATH=/usr/bin:/bin", "A=b=c", "HOME=/root"] {
        assert!(
            environment.lines().any(|line| line == entry),
            "{environment}"
        );
    }
    assert!(!environment.contains("CARGO"), "{environment}");
    let after = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    assert_eq!(host_name, after, "the host keeps its name");
}

#[test]
fn finalize_namespace_leaves_what_is_configured() {
    if !is_own_process() {
        let _test = needs!(root);
        again("finalize_namespace_leaves_what_is_configured");
        return;
    }
    let mut config = Config::default();
    let kept = ["CHOWN", "KILL"]
        .map(|name| name.parse::<Capability>().expect("a name"))
        .into_iter()
        .collect();
    config.process.capabilities = Capabilities::kept(kept);
    config.process.no_new_privileges = true;
    config.process.working_dir = Some("/usr".to_owned());
    let root = fs::File::open("/").expect("a descriptor");
    let leaked = rustix::io::fcntl_dupfd_cloexec(&root, 100).expect("a descriptor");
    let leaked = std::os::fd::IntoRawFd::into_raw_fd(leaked);
    let mut plan = PlanBuilder::new();
    finalize_namespace(&config, &user(), Groups::Settable, 100, &mut plan).expect("a plan");
    ns_init::apply(&plan.finish()).expect("it is applied");

    let is_open = Path::new(&format!("/proc/thread-self/fd/{leaked}")).exists();
    assert!(!is_open, "it is closed, not marked");
    assert_eq!(status("Uid"), "1000 1000 1000 1000");
    assert_eq!(status("NoNewPrivs"), "1");
    for (set, expected) in [
        ("CapBnd", "0000000000000021"),
        ("CapPrm", "0000000000000021"),
        ("CapEff", "0000000000000021"),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(status(set), expected, "{set}");
    }
    let directory = std::env::current_dir().expect("a directory");
    assert_eq!(directory, Path::new("/usr"));
}

#[test]
fn finalize_setns_ends_in_the_command() {
    if !is_own_process() {
        let _test = needs!(root);
        let text = again("finalize_setns_ends_in_the_command");
        let (_, said) = text.split_once("SAID\n").expect("the command ran");
        let expected = [
            "1000",
            "100",
            "/usr",
            "0027",
            "77",
            "HOME=/home/me",
            "PATH=/usr/bin:/bin",
            "PWD=/usr",
        ];
        let mut said: Vec<&str> = said.lines().collect();
        said[5..].sort_unstable();
        assert_eq!(said, expected);
        return;
    }
    let mut config = Config::default();
    config.process.environment = vec!["PATH=/usr/bin:/bin".into()];
    config.process.working_dir = Some("/usr".to_owned());
    config.process.umask = Some(0o027);
    config.process.rlimits = vec!["nofile=77:88".parse().expect("a limit")];
    let script = "echo; echo SAID; id -u; id -g; pwd; umask; ulimit -n; env | grep -v ^_=";
    let command = ns_init::Command {
        arguments: ["sh", "-c", script].map(Into::into).to_vec(),
        environment: load_container_environment(&config, &user()).expect("well-formed"),
    };
    let user = user();
    let init = Init {
        config: &config,
        user: &user,
        groups: Groups::Settable,
        command: &command,
        descriptors: &[],
        parked_at: None,
    };
    let mut plan = PlanBuilder::new();
    finalize_setns(&init, Inside::default(), &mut plan).expect("a plan");
    // The seed panicked without a command.
    let nothing = ns_init::Command::default();
    let empty = Init {
        command: &nothing,
        ..init.clone()
    };
    let error = finalize_setns(&empty, Inside::default(), &mut PlanBuilder::new());
    assert_eq!(
        error.expect_err("no command").kind(),
        ns_init::Kind::InvalidValue
    );
    let error = ns_init::replace_process(&plan.finish());
    unreachable!("{error}");
}

#[test]
fn load_container_environment_is_the_whole_environment() {
    let mut config = Config::default();
    config.process.environment = vec!["A=1".into(), "A=2".into(), "B=x=y".into(), "C=".into()];
    let environment = load_container_environment(&config, &user()).expect("well-formed");
    assert_eq!(environment, ["A=2", "B=x=y", "C=", "HOME=/home/me"]);
    for wrong in ["A", "=x"] {
        config.process.environment = vec![wrong.into()];
        let error = load_container_environment(&config, &user()).expect_err(wrong);
        assert_eq!(
            error.kind(),
            ns_init::Kind::InvalidValue,
            "{wrong}: {error}"
        );
    }
}

#[test]
fn setup_user_sets_groups_group_and_user() {
    if !is_own_process() {
        let _test = needs!(root);
        again("setup_user_sets_groups_group_and_user");
        return;
    }
    let mut config = Config::default();
    config.process.additional_gids = vec![27, 1234];
    let mut plan = PlanBuilder::new();
    setup_user(&config, &user(), Groups::Settable, &mut plan).expect("a plan");
    let permitted = status("CapPrm");
    ns_init::apply(&plan.finish()).expect("it is applied");
    assert_eq!(status("Uid"), "1000 1000 1000 1000");
    assert_eq!(status("Gid"), "100 100 100 100");
    assert_eq!(status("Groups"), "4 27 1234");
    assert_eq!(
        status("CapPrm"),
        permitted,
        "rights are dropped later, by name"
    );
}

#[test]
fn restore_parent_death_signal_sets_the_configured_one() {
    if !is_own_process() {
        let _test = needs!(root);
        again("restore_parent_death_signal_sets_the_configured_one");
        return;
    }
    let of = |signal: i32| {
        let mut config = Config::default();
        config.process.parent_death_signal = signal;
        let mut plan = PlanBuilder::new();
        restore_parent_death_signal(&config, &mut plan);
        ns_init::apply(&plan.finish()).expect("it is applied");
        nix::sys::prctl::get_pdeathsig().expect("prctl")
    };
    assert_eq!(of(0), None, "none is asked for");
    assert_eq!(of(libc::SIGUSR1), Some(nix::sys::signal::Signal::SIGUSR1));
    assert_eq!(
        of(0),
        Some(nix::sys::signal::Signal::SIGUSR1),
        "nothing is done"
    );
}
