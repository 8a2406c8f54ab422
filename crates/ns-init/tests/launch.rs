//! Starting the stub: namespaces, errors, descriptors.
#![cfg(feature = "stub")]

mod started;

use ns_init::{IdMapping, Kind, Launch, Op, Plan, PlanBuilder, launch};
use started::{command, exit_code, push_execute, run};
use std::io::Read as _;
use std::os::fd::AsFd;

const NEWNS: u64 = 0x0002_0000;
const NEWCGROUP: u64 = 0x0200_0000;
const NEWUTS: u64 = 0x0400_0000;
const NEWIPC: u64 = 0x0800_0000;
const NEWUSER: u64 = 0x1000_0000;
const NEWPID: u64 = 0x2000_0000;
const NEWNET: u64 = 0x4000_0000;

fn own_id() -> IdMapping {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    IdMapping::Own {
        uid_map: format!("0 {uid} 1\n"),
        gid_map: format!("0 {gid} 1\n"),
    }
}

#[test]
fn command_in_no_new_namespace_gives_its_exit_code() {
    let plan = command(&["sh", "-c", "exit 7"]);
    assert_eq!(run(&plan, &Launch::default()), 7);
}

#[test]
fn command_in_a_user_namespace_keeps_all_capabilities() {
    let flags = NEWUSER | NEWNS | NEWPID | NEWIPC | NEWUTS | NEWNET | NEWCGROUP;
    let test = "test $$ = 1 && test $(id -u) = 0 && test $(hostname a; hostname) = a";
    let how = Launch {
        namespaces: flags,
        ids: own_id(),
        ..Launch::default()
    };
    assert_eq!(run(&command(&["sh", "-c", test]), &how), 0);
}

#[test]
fn plan_without_a_command_is_ready_and_ends_with_0() {
    let mut plan = PlanBuilder::new();
    plan.push("forbid dumps", Op::ForbidDump);
    plan.push("tell the caller", Op::Finish);
    assert_eq!(run(&plan.finish(), &Launch::default()), 0);
}

/// A command that outlives `wait_ready` shows that the socket closed with its exec and not with its end.
#[test]
fn command_has_its_three_descriptors_and_no_other() {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    let mut plan = PlanBuilder::new();
    let from = plan
        .inherit(writer, "the pipe")
        .expect("a descriptor to spare");
    plan.push("hand over the pipe", Op::Duplicate { from, to: 1 });
    push_execute(
        &mut plan,
        &["sh", "-c", "ls /proc/self/fd; exec sleep 1000"],
    );
    let plan = plan.finish();
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    started
        .wait_ready(&plan)
        .expect("ready, while the command runs");
    drop(plan);
    let mut listed = [0; 64];
    let length = nix::unistd::read(&reader, &mut listed).expect("the list");
    // The fourth is the directory that ls reads.
    assert_eq!(&listed[..length], b"0\n1\n2\n3\n");
    drop(started);
}

#[test]
fn missing_command_names_the_command() {
    let plan = command(&["no-such-command"]);
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    let error = started
        .wait_ready(&plan)
        .expect_err("there is no such command");
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(error.errno(), Some(2));
    assert!(
        error.to_string().contains("execve(\"no-such-command\")"),
        "{error}"
    );
}

#[test]
fn directory_as_command_is_refused() {
    let plan = command(&["/usr"]);
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    let error = started.wait_ready(&plan).expect_err("a directory");
    assert_eq!(error.errno(), Some(21), "{error}");
}

#[test]
fn magic_link_as_command_is_refused() {
    let plan = command(&["/proc/self/exe"]);
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    let error = started.wait_ready(&plan).expect_err("a magic link");
    assert_eq!(error.errno(), Some(40), "{error}");
}

#[test]
fn stub_without_a_plan_exits_125() {
    let script = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(script.path(), "#!/proc/self/exe\n").expect("write");
    nix::sys::stat::fchmod(
        script.as_file(),
        nix::sys::stat::Mode::from_bits_truncate(0o755),
    )
    .expect("chmod");
    let path = script.into_temp_path();
    let plan = command(&[path.to_str().expect("a plain name")]);
    // The kernel takes the stub for the interpreter (CVE-2019-5736): it is sealed and does nothing.
    assert_eq!(run(&plan, &Launch::default()), 125);
}

#[test]
fn dropped_child_is_killed_and_reaped() {
    let mut plan = PlanBuilder::new();
    plan.push("wait for the caller", Op::AwaitGo);
    push_execute(&mut plan, &["true"]);
    let plan = plan.finish();
    let started = launch(&plan, &Launch::default()).expect("clone");
    let pid = started.pid();
    drop(started);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn waiting_child_goes_on_when_told() {
    let mut plan = PlanBuilder::new();
    plan.push("wait for the caller", Op::AwaitGo);
    push_execute(&mut plan, &["true"]);
    let plan = plan.finish();
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    started.go().expect("it waits");
    started.wait_ready(&plan).expect("ready");
    assert_eq!(exit_code(started), 0);
}

#[test]
fn maps_by_the_caller_are_waited_for() {
    let plan = command(&["sh", "-c", "exit $(id -u)"]);
    let how = Launch {
        namespaces: NEWUSER,
        ids: IdMapping::Caller,
        ..Launch::default()
    };
    let mut started = launch(&plan, &how).expect("clone");
    let uid = nix::unistd::getuid();
    std::fs::write(
        format!("/proc/{}/uid_map", started.pid()),
        format!("5 {uid} 1\n"),
    )
    .expect("uid_map");
    started.go().expect("it waits");
    started.wait_ready(&plan).expect("ready");
    assert_eq!(exit_code(started), 5);
}

/// Drops the bounding set down to `first`, gives up all capabilities, drops it down to `second`, and ends.
fn drops_bounding_set_twice(first: u64, second: u64) -> (Plan, Launch<'static>) {
    let none = Op::SetCapabilities {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let mut plan = PlanBuilder::new();
    plan.push("drop", Op::DropBoundingSet { keep: first });
    plan.push("give up", none);
    plan.push("drop again", Op::DropBoundingSet { keep: second });
    push_execute(&mut plan, &["true"]);
    let how = Launch {
        namespaces: NEWUSER,
        ids: own_id(),
        ..Launch::default()
    };
    (plan.finish(), how)
}

#[test]
fn bounding_set_that_is_gone_needs_no_right_to_drop() {
    let (plan, how) = drops_bounding_set_twice(0, 0);
    assert_eq!(run(&plan, &how), 0);
}

#[test]
fn bounding_set_that_is_there_takes_the_right_to_drop() {
    let (plan, how) = drops_bounding_set_twice(1, 0);
    let mut started = launch(&plan, &how).expect("clone");
    let error = started.wait_ready(&plan).expect_err("CAP_CHOWN is left");
    assert!(error.to_string().contains("EPERM"), "{error}");
}

#[test]
fn groups_are_joined_before_the_command_and_let_go_of() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let tasks = [(writer.into(), "a group".to_owned())];
    let plan = command(&["sh", "-c", "test $(ls /proc/self/fd | wc -l) = 4"]);
    let how = Launch {
        tasks: &tasks,
        ..Launch::default()
    };
    assert_eq!(run(&plan, &how), 0, "0, 1, 2, and what ls reads");
    drop(tasks);
    let mut written = String::new();
    reader.read_to_string(&mut written).expect("text");
    assert_eq!(written, "0");
}

#[test]
fn group_that_refuses_the_child_is_named() {
    let open = |path: &str| {
        let file = std::fs::File::options().write(true).open(path);
        (file.expect("a device").into(), path.to_owned())
    };
    let tasks = [open("/dev/null"), open("/dev/full")];
    let plan = command(&["true"]);
    let how = Launch {
        tasks: &tasks,
        ..Launch::default()
    };
    let mut started = launch(&plan, &how).expect("clone");
    let error = started.wait_ready(&plan).expect_err("the device is full");
    let expected = "join the control group: write(\"/dev/full\", \"0\"): ENOSPC";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("cpuset")));
}

/// A plan whose command writes to a descriptor that the caller sends while the plan runs.
fn writing_to_what_is_sent() -> Plan {
    let mut plan = PlanBuilder::new();
    let sent = plan.slot("what the caller sends");
    plan.push("wait for a descriptor", Op::ReceiveDescriptor { out: sent });
    plan.push("hand it over", Op::Duplicate { from: sent, to: 1 });
    push_execute(&mut plan, &["sh", "-c", "echo sent"]);
    plan.finish()
}

#[test]
fn descriptor_of_the_caller_arrives() {
    let plan = writing_to_what_is_sent();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    started.send_descriptor(writer.as_fd()).expect("it waits");
    drop(writer);
    started.wait_ready(&plan).expect("ready");
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "sent\n");
    assert_eq!(exit_code(started), 0);
}

#[test]
fn go_is_not_taken_for_a_descriptor() {
    let plan = writing_to_what_is_sent();
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    started.go().expect("it waits");
    let error = started.wait_ready(&plan).expect_err("nothing came along");
    assert!(
        error.to_string().starts_with("wait for a descriptor"),
        "{error}"
    );
}

#[test]
fn plan_that_forks_goes_on_as_a_child_of_the_caller() {
    let mut plan = PlanBuilder::new();
    plan.push("go on in a second process", Op::Fork);
    push_execute(&mut plan, &["sh", "-c", "exit 3"]);
    let plan = plan.finish();
    assert_eq!(run(&plan, &Launch::default()), 3);
}

#[test]
fn trace_stamps_every_op_but_the_last() {
    let plan = command(&["true"]);
    let mut started = launch(
        &plan,
        &Launch {
            trace: true,
            ..Launch::default()
        },
    )
    .expect("clone");
    started.wait_ready(&plan).expect("ready");
    let times = started.op_times_ns(&plan).expect("stamps");
    assert!(times[0] > 0, "{times:?}");
    assert_eq!(times[1], 0, "the op that executes the command never ends");
    assert_eq!(exit_code(started), 0);
}

/// The process that goes on may fail before its maker has said which one it is; both are reaped all the same.
#[test]
fn failure_right_after_a_fork_leaves_no_zombie() {
    let mut plan = PlanBuilder::new();
    plan.push("go on as another process", Op::Fork);
    let path = plan.text("/no/such/directory").expect("no NUL");
    plan.push("enter nowhere", Op::ChangeDirectory { path });
    push_execute(&mut plan, &["true"]);
    let plan = plan.finish();
    for _ in 0..300 {
        let mut started = launch(&plan, &Launch::default()).expect("clone");
        started
            .wait_ready(&plan)
            .expect_err("there is no such place");
        let children = std::fs::read_to_string("/proc/thread-self/children").expect("procfs");
        assert_eq!(children, "", "a process is left");
    }
}

/// The child is stopped while two messages are sent, of which it reads one before it fails.
#[test]
fn failure_is_told_with_a_message_of_the_caller_unread() {
    let mut plan = PlanBuilder::new();
    plan.push("wait for the caller", Op::AwaitGo);
    let nothing = plan.slot("nothing");
    plan.push("check nothing", Op::CheckDirectory { slot: nothing });
    push_execute(&mut plan, &["true"]);
    let plan = plan.finish();
    let mut started = launch(&plan, &Launch::default()).expect("clone");
    let child = nix::unistd::Pid::from_raw(started.pid());
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGSTOP).expect("our child");
    nix::sys::wait::waitpid(child, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).expect("it stops");
    started.go().expect("it waits");
    started.go().expect("it waits");
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGCONT).expect("our child");
    let error = started.wait_ready(&plan).expect_err("there is nothing");
    assert!(error.to_string().starts_with("check nothing"), "{error}");
}
