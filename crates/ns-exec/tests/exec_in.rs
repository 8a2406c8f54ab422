//! Joining a running container.

use std::fs::File;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ns_config::{Capabilities, CapabilitySet, Config, NamespaceKind, Resource, Rlimit};
use ns_exec::{Kind, Prepared, Process, Result, Sandbox, Start, Stream, Target, exec_in};

/// A sandbox that sleeps until it is killed when the test ends, however it ends.
struct Sleeping(Process);

impl Sleeping {
    fn start(sandbox: &Sandbox) -> Self {
        Self::start_config(&sandbox.config().expect("a sandbox"))
    }

    fn start_config(config: &Config) -> Self {
        Self::start_command(Start::new(config, ["sleep", "1000"]))
    }

    fn start_command(start: Start<'_>) -> Self {
        let start = start.stdin(Stream::Null);
        Sleeping(
            start
                .prepare()
                .and_then(Prepared::start)
                .expect("it starts"),
        )
    }

    fn target(&self) -> Target {
        let pidfd = self
            .0
            .as_fd()
            .try_clone_to_owned()
            .expect("a descriptor to spare");
        Target::from_pidfd(pidfd).expect("it lives")
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        // The test may have ended it already.
        let _ended = self.0.signal(libc::SIGKILL).and_then(|()| self.0.wait());
    }
}

/// A joined command that ends with the test, however it ends: the container could not end before it was waited for.
#[derive(Debug)]
struct Joined(Process);

impl Joined {
    fn try_start(target: &Target, start: Start<'_>) -> Result<Self> {
        exec_in(target, None, start).map(Joined)
    }

    fn start(target: &Target, start: Start<'_>) -> Self {
        Self::try_start(target, start).expect("it joins")
    }

    fn code(&self) -> i32 {
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        // The test may have waited for it already.
        let _ended = self.0.signal(libc::SIGKILL).and_then(|()| self.0.wait());
    }
}

/// All that is written to a pipe until its last writer has ended.
fn read_all(reader: PipeReader) -> String {
    let mut output = String::new();
    File::from(OwnedFd::from(reader))
        .read_to_string(&mut output)
        .expect("text");
    output
}

/// Runs a shell line inside and gives its code and output.
fn inside(target: &Target, config: &Config, line: &str) -> (i32, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(config, ["sh", "-c", line]).stdin(Stream::Null);
    let start = start.stdout(Stream::Descriptor(OwnedFd::from(writer)));
    let process = Joined::start(target, start);
    let output = read_all(reader);
    (process.code(), output)
}

/// Waits until a process has ended; it is not reaped.
fn wait_zombie(process: BorrowedFd<'_>) {
    let mut polled = [PollFd::new(process, PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::NONE).expect("poll");
}

/// The processes that this thread has made and not reaped.
fn own_children() -> Vec<i32> {
    let children = std::fs::read_to_string("/proc/thread-self/children").expect("procfs");
    children
        .split_whitespace()
        .map(|pid| pid.parse().expect("a number"))
        .collect()
}

fn joined_sees_the_container(sandbox: &Sandbox) {
    let sleeping = Sleeping::start(sandbox);
    let config = sandbox.config().expect("a sandbox");
    let line = "hostname; ps -e -o comm=; ls /proc/self/fd; grep -c : /proc/net/dev; exit 7";
    let (code, output) = inside(&sleeping.target(), &config, line);
    assert_eq!(code, 7);
    // `sleep` is pid 1, the shell and ps are beside it, and nobody else; the list of descriptors has the three
    // and the directory that ls reads; of the network there is `lo`.
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines,
        ["sandbox", "sleep", "sh", "ps", "0", "1", "2", "3", "1"],
        "{output}"
    );
}

#[test]
fn joined_command_is_in_all_namespaces() {
    joined_sees_the_container(&Sandbox::default());
}

#[test]
fn joined_command_is_in_the_user_namespace_too() {
    joined_sees_the_container(&Sandbox {
        user_namespace: true,
        ..Sandbox::default()
    });
}

#[test]
fn joined_command_has_no_capability_and_cannot_gain_one() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let (_, output) = inside(
        &sleeping.target(),
        &config,
        "grep -E 'Cap|NoNewPrivs' /proc/self/status",
    );
    let all: Vec<_> = output
        .split_whitespace()
        .filter(|word| !word.ends_with(':'))
        .collect();
    let none = "0000000000000000";
    assert_eq!(all, [none, none, none, none, none, "1"], "{output}");
}

#[test]
fn h01_dead_process_is_not_joined() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let target = sleeping.target();
    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    // Not reaped: a zombie has namespaces no more.
    wait_zombie(target.as_fd());
    let config = sandbox.config().expect("a sandbox");
    let error = Joined::try_start(&target, Start::new(&config, ["true"])).expect_err("it is dead");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
}

#[test]
fn missing_command_is_an_error_and_not_an_exit_code() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let start = Start::new(&config, ["no-such-command"]);
    let error = Joined::try_start(&sleeping.target(), start).expect_err("there is none");
    assert_eq!(
        (error.kind(), error.errno()),
        (Kind::NotFound, Some(libc::ENOENT))
    );
}

#[test]
fn signal_reaches_the_joined_command_itself() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(&config, ["cat"]).stdin(Stream::Descriptor(OwnedFd::from(reader)));
    let process = Joined::start(&sleeping.target(), start);
    process.0.signal(libc::SIGTERM).expect("it lives");
    // It ends by itself when the signal went elsewhere.
    drop(writer);
    assert_eq!(process.code(), 128 + libc::SIGTERM);
}

#[test]
fn joined_command_gets_a_terminal_of_the_container() {
    let sandbox = Sandbox {
        terminal: true,
        ..Sandbox::default()
    };
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let start = Start::new(&config, ["sh", "-c", "tty; stty size </dev/tty"]).window_size(
        ns_exec::WindowSize {
            rows: 11,
            columns: 33,
        },
    );
    let process = Joined::start(&sleeping.target(), start);
    let mut output = Vec::new();
    let terminal = process
        .0
        .terminal()
        .expect("it was sent")
        .try_clone_to_owned()
        .expect("a copy");
    // A terminal whose other end is closed reads as EIO.
    let _closed = File::from(terminal).read_to_end(&mut output);
    assert_eq!(process.code(), 0);
    assert_eq!(String::from_utf8_lossy(&output), "/dev/pts/1\r\n11 33\r\n");
}

#[test]
fn joined_command_gets_the_settings_of_its_own_configuration() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let mut config = sandbox.config().expect("a sandbox");
    let process = &mut config.process;
    process.rlimits = vec![Rlimit {
        resource: Resource::all()
            .find(|resource| resource.name() == "RLIMIT_NOFILE")
            .expect("it is known"),
        soft: 37,
        hard: 41,
        pointer: String::new(),
    }];
    process.environment = vec!["PATH=/usr/bin:/bin".into(), "MARK=joined".into()];
    process.working_dir = Some("/usr/bin".to_owned());
    process.umask = Some(0o137);
    process.oom_score_adj = Some(777);
    // A plain user has but one id that is mapped.
    let mut ids = format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid());
    let mut groups = nix::unistd::getegid().to_string();
    if nix::unistd::geteuid().is_root() {
        (ids, groups) = ("1234:1235".to_owned(), "1235 1236".to_owned());
        process.user = ids.parse().expect("a user");
        process.additional_gids = vec![1236];
    }
    let line = "ulimit -Sn; ulimit -Hn; pwd; umask; cat /proc/self/oom_score_adj; \
                echo $(id -u):$(id -g); id -G | cut -d' ' -f1-2; \
                env | grep -vE '^(PWD|HOME|_|SHLVL|OLDPWD)=' | LC_ALL=C sort";
    let (code, output) = inside(&sleeping.target(), &config, line);
    assert_eq!(code, 0, "{output}");
    let mut lines: Vec<_> = output.lines().collect();
    // The caller's other groups, which are not mapped, stay with a plain user.
    if !nix::unistd::geteuid().is_root() {
        lines[6] = groups.as_str();
    }
    let environment = ["MARK=joined", "PATH=/usr/bin:/bin"];
    let expected = ["37", "41", "/usr/bin", "0137", "777", &ids, &groups];
    assert_eq!(lines, [&expected[..], &environment].concat(), "{output}");
}

type Change = fn(&mut Config);

/// What the kernel tells of a joined `grep`, which is pid 1's own user.
fn status_of_joined(change: impl FnOnce(&mut Config), keys: &str) -> Vec<String> {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let mut config = sandbox.config().expect("a sandbox");
    change(&mut config);
    let line = format!("exec grep -E '^({keys}):' /proc/self/status");
    let (_, output) = inside(&sleeping.target(), &config, &line);
    let values = output.lines().filter_map(|line| line.split_once(":\t"));
    values.map(|(_, value)| value.to_owned()).collect()
}

#[test]
fn joined_command_gets_its_own_capabilities_alone() {
    let change = |config: &mut Config| {
        let [kept, whole] = [1_u64 << 5, 1 << 5 | 1 << 13].map(CapabilitySet::from);
        config.process.capabilities = Capabilities {
            bounding: whole,
            permitted: kept,
            effective: kept,
            inheritable: kept,
            ambient: kept,
        };
    };
    // Inheritable, permitted, effective, bounding, ambient: CAP_KILL, and CAP_NET_RAW which is not in use.
    let [kept, whole] = ["0000000000000020", "0000000000002020"];
    let found = status_of_joined(change, "Cap...");
    assert_eq!(found, [kept, kept, kept, whole, kept]);
}

#[test]
fn joined_command_may_gain_rights_where_its_configuration_lets_it() {
    for (is_forbidden, expected) in [(false, "0"), (true, "1")] {
        let change = |config: &mut Config| {
            config.process.no_new_privileges = is_forbidden;
            config.process.deny_terminal_injection = false;
        };
        assert_eq!(status_of_joined(change, "NoNewPrivs"), [expected]);
    }
}

#[test]
fn joined_command_has_the_filter_against_terminal_injection() {
    for (is_denied, expected) in [(false, "0"), (true, "2")] {
        let change = |config: &mut Config| config.process.deny_terminal_injection = is_denied;
        assert_eq!(status_of_joined(change, "Seccomp"), [expected]);
    }
}

/// This program ignores SIGPIPE, as all programs in Rust do.
#[test]
fn joined_command_ignores_and_blocks_no_signal() {
    let found = status_of_joined(|_| (), "SigBlk|SigIgn");
    assert_eq!(found, ["0000000000000000"; 2]);
}

#[test]
fn joined_command_leads_a_session_where_it_is_asked_for() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    for is_leader in [false, true] {
        let mut config = sandbox.config().expect("a sandbox");
        config.process.new_session = is_leader;
        let line = "[ $(ps -o sid= -p $$) = $$ ]";
        let (code, _) = inside(&sleeping.target(), &config, line);
        assert_eq!(code == 0, is_leader);
    }
}

#[test]
fn joined_command_is_the_user_that_the_containers_files_name() {
    let mut config = Sandbox::default().config().expect("a sandbox");
    let (own, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let mut users = tempfile::NamedTempFile::new().expect("a file");
    writeln!(users, "insider:x:{own}:{gid}::/inside:/bin/sh").expect("it is written");
    let mut started = config.clone();
    started.mounts.push(ns_config::Mount {
        destination: "/etc/passwd".to_owned(),
        kind: ns_config::MountKind::Bind {
            source: users.path().to_str().expect("UTF-8").to_owned(),
            recursive: false,
            optional: false,
        },
        options: ns_config::MountOptions::default(),
        pointer: String::new(),
    });
    let sleeping = Sleeping::start_config(&started);
    config.process.user = "insider".parse().expect("a user");
    config.process.environment = vec!["PATH=/usr/bin:/bin".into()];
    let (_, output) = inside(&sleeping.target(), &config, "id -u; echo $HOME");
    assert_eq!(output, format!("{own}\n/inside\n"));
    config.process.user = "nobody-such".parse().expect("a user");
    let error = Joined::try_start(&sleeping.target(), Start::new(&config, ["true"]));
    assert_eq!(error.expect_err("nobody").kind(), Kind::NotFound);
}

#[test]
fn joined_command_gets_the_given_descriptor_and_no_other() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (given, mut data) = std::io::pipe().expect("a pipe");
    data.write_all(b"data\n").expect("room in the pipe");
    drop(data);
    // One of the host's that this program lets its children have.
    let leaked = nix::unistd::dup(File::open("/").expect("the host's root")).expect("dup");
    let start = Start::new(&config, ["sh", "-c", "ls /proc/self/fd; cat <&5"])
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(OwnedFd::from(writer)))
        .descriptor(OwnedFd::from(given), 5)
        .expect("5 is free");
    let process = Joined::start(&sleeping.target(), start);
    let output = read_all(reader);
    assert_eq!(process.code(), 0);
    // 3 is the directory that ls reads: the lowest number that was free.
    assert_eq!(output, "0\n1\n2\n3\n5\ndata\n");
    drop(leaked);
}

#[test]
fn zombie_is_no_target() {
    let sleeping = Sleeping::start(&Sandbox::default());
    let target = sleeping.target();
    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    wait_zombie(target.as_fd());
    let status = std::fs::read_to_string(format!("/proc/{}/status", target.pid()));
    assert!(status.expect("not reaped").contains("State:\tZ"));
    let pidfd = target.as_fd().try_clone_to_owned().expect("a copy");
    let error = Target::from_pidfd(pidfd).expect_err("it is a zombie");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
}

#[test]
fn h13_joined_command_does_not_run_without_its_label() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let label = || Some("no-such-label-ns-exec".to_owned());
    for is_apparmor in [true, false] {
        let mut config = sandbox.config().expect("a sandbox");
        match is_apparmor {
            true => config.process.apparmor_profile = label(),
            false => config.process.selinux_label = label(),
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let start = Start::new(&config, ["echo", "ran"])
            .stdin(Stream::Null)
            .stdout(Stream::Descriptor(OwnedFd::from(writer)));
        let error = Joined::try_start(&sleeping.target(), start).expect_err("no such label");
        assert!(error.to_string().contains("security label"), "{error}");
        assert_eq!(read_all(reader), "");
    }
}

#[test]
fn joined_process_enters_all_namespaces_of_the_container_at_once() {
    for user_namespace in [false, true] {
        let sandbox = Sandbox {
            user_namespace,
            ..Sandbox::default()
        };
        let mut config = sandbox.config().expect("a sandbox");
        if std::fs::exists("/proc/self/ns/time").expect("procfs") {
            config.namespaces.add(NamespaceKind::Time, None, "");
        }
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let line = "readlink /proc/self/ns/*";
        let first = Start::new(
            &config,
            ["sh", "-c", &format!("{line}; echo; exec sleep 1000 >&2")],
        );
        let sleeping =
            Sleeping::start_command(first.stdout(Stream::Descriptor(OwnedFd::from(writer))));
        // Not to the end: it would not come if the sleeping process had the pipe.
        let lines = BufReader::new(reader)
            .lines()
            .map(|line| line.expect("text"));
        let theirs: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let (_, joined) = inside(&sleeping.target(), &config, line);
        assert_eq!(joined.lines().collect::<Vec<_>>(), theirs);
        assert_eq!(joined.matches("user:").count(), 1, "{joined}");
        let own = std::fs::read_link("/proc/self/ns/user").expect("procfs");
        let own = own.to_str().expect("a link of the kernel's");
        let has_own = user_namespace || !nix::unistd::geteuid().is_root();
        assert_eq!(joined.contains(own), !has_own, "{joined}");
    }
}

#[test]
fn joined_process_cannot_be_attached_to_before_it_joins_by_one_call() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let start = Start::new(&config, ["true"]).stdin(Stream::Null).trace();
    let process = Joined::start(&sleeping.target(), start);
    let calls = process.0.op_times().iter().map(|(op, _)| op.call.as_str());
    let calls: Vec<_> = calls
        .filter(|call| {
            ["prctl(PR_SET_DUMPABLE", "setns(", "setresuid("]
                .iter()
                .any(|name| call.starts_with(name))
        })
        .collect();
    let [forbidden, joined, user, again] = calls[..] else {
        unreachable!("{calls:?}");
    };
    assert_eq!(forbidden, "prctl(PR_SET_DUMPABLE, 0)");
    assert!(
        joined.starts_with("setns(") && joined.contains("process "),
        "{joined}"
    );
    assert!(user.starts_with("setresuid("), "{user}");
    // The change of user may have made it dumpable.
    assert_eq!(again, forbidden);
}

#[test]
fn failing_step_of_a_join_is_an_error_and_leaves_no_process() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let alive = own_children();
    let cases: [(&str, i32, Change); 3] = [
        ("enter the working directory", libc::ENOENT, |config| {
            config.process.working_dir = Some("/no/such".to_owned());
        }),
        ("enter the working directory", libc::ENOTDIR, |config| {
            config.process.working_dir = Some("/etc/passwd".to_owned());
        }),
        ("set a resource limit", libc::EINVAL, |config| {
            let resource = Resource::all().next().expect("one");
            config.process.rlimits = vec![Rlimit {
                resource,
                soft: 2,
                hard: 1,
                pointer: String::new(),
            }];
        }),
    ];
    for (words, errno, change) in cases {
        let mut config = sandbox.config().expect("a sandbox");
        change(&mut config);
        let start = Start::new(&config, ["true"]).stdin(Stream::Null);
        let error = Joined::try_start(&sleeping.target(), start).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.errno(), Some(errno), "{error}");
        assert_eq!(own_children(), alive, "{error}");
    }
    let config = sandbox.config().expect("a sandbox");
    let (_, output) = inside(&sleeping.target(), &config, "ps -e -o comm=");
    assert_eq!(output, "sleep\nsh\nps\n");
}

#[test]
fn h01_reaped_process_and_what_is_no_process_are_no_targets() {
    let sleeping = Sleeping::start(&Sandbox::default());
    let pidfd = || sleeping.0.as_fd().try_clone_to_owned().expect("a copy");
    let target = sleeping.target();
    let pid = target.pid();
    assert_eq!(pid, sleeping.0.pid());
    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    sleeping.0.wait().expect("it ends");
    let config = Sandbox::default().config().expect("a sandbox");
    let start = Start::new(&config, ["true"]);
    let error = Joined::try_start(&target, start).expect_err("it is reaped");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
    let error = Target::from_pidfd(pidfd()).expect_err("it is reaped");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
    let file = File::open("/dev/null").expect("a file");
    let error = Target::from_pidfd(file.into()).expect_err("it is no pidfd");
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
}

#[test]
fn process_in_the_callers_own_namespaces_is_not_joined() {
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("cat starts");
    let pid = i32::try_from(child.id()).expect("a pid");
    let identity = ns_exec::ProcessIdentity::capture(pid).expect("it lives");
    let config = Sandbox::default().config().expect("a sandbox");
    let error = identity
        .open_checked()
        .and_then(Target::from_pidfd)
        .and_then(|target| Joined::try_start(&target, Start::new(&config, ["true"])));
    drop(child.stdin.take());
    child.wait().expect("cat ends");
    let error = error.expect_err("there is nothing to join");
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
    assert!(error.to_string().contains("nothing to join"), "{error}");
}

/// `docs/limits.md`: nothing of ours reaps inside.
#[test]
fn orphan_of_a_joined_command_is_the_first_processs_child_and_ends_with_it() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let alive = own_children();
    // Held by the orphan alone.
    let (mut held, holder) = std::io::pipe().expect("a pipe");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(&config, ["sh", "-c", "sleep 1000 >&2 & echo $!"])
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(OwnedFd::from(writer)))
        .stderr(Stream::Descriptor(OwnedFd::from(holder)));
    let process = Joined::start(&sleeping.target(), start);
    let orphan = read_all(reader);
    assert_eq!(process.code(), 0);
    let line = format!("ps -o ppid= -p {orphan}");
    let (_, parent) = inside(&sleeping.target(), &config, &line);
    assert_eq!(parent.trim(), "1");
    assert_eq!(own_children(), alive, "nothing of it is left to the caller");

    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    sleeping.0.wait().expect("it ends");
    let mut polled = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).expect("poll");
    let is_over = polled[0].revents() == Some(PollFlags::POLLHUP);
    assert!(is_over, "the orphan outlives its container");
    assert_eq!(held.read(&mut [0; 8]).expect("a pipe"), 0);
}

/// What the documentation of [`exec_in`] asks of its callers.
#[test]
fn container_ends_when_its_joined_commands_were_waited_for() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let start = Start::new(&config, ["true"]).stdin(Stream::Null);
    let process = Joined::start(&sleeping.target(), start);
    wait_zombie(process.0.as_fd());
    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    let mut polled = [PollFd::new(sleeping.0.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, PollTimeout::ZERO), Ok(0));
    assert_eq!(process.code(), 0);
    let ended = sleeping.0.wait().expect("it ends");
    assert_eq!(ended.code(), 128 + libc::SIGKILL);
}
