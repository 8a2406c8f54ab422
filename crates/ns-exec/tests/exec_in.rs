//! Joining a running container.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use ns_config::{Config, Resource, Rlimit};
use ns_exec::{Kind, Prepared, Process, Sandbox, Start, Stream, Target, exec_in};

/// A sandbox that sleeps until it is killed when the test ends, however it ends.
struct Sleeping(Process);

impl Sleeping {
    fn start(sandbox: &Sandbox) -> Self {
        let config = sandbox.config().expect("a sandbox");
        let start = Start::new(&config, ["sleep", "1000"]).stdin(Stream::Null);
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

/// Runs a shell line inside and gives its code and output.
fn inside(target: &Target, config: &Config, line: &str) -> (i32, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let start = Start::new(config, ["sh", "-c", line]).stdin(Stream::Null);
    let start = start.stdout(Stream::Descriptor(OwnedFd::from(writer)));
    let process = exec_in(target, None, start).expect("it joins");
    let mut output = String::new();
    File::from(OwnedFd::from(reader))
        .read_to_string(&mut output)
        .expect("text");
    (process.wait().expect("it ends").code(), output)
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
    let mut polled = [nix::poll::PollFd::new(
        target.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    nix::poll::poll(&mut polled, nix::poll::PollTimeout::NONE).expect("poll");
    let config = sandbox.config().expect("a sandbox");
    let error = exec_in(&target, None, Start::new(&config, ["true"])).expect_err("it is dead");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
}

#[test]
fn missing_command_is_an_error_and_not_an_exit_code() {
    let sandbox = Sandbox::default();
    let sleeping = Sleeping::start(&sandbox);
    let config = sandbox.config().expect("a sandbox");
    let error = exec_in(
        &sleeping.target(),
        None,
        Start::new(&config, ["no-such-command"]),
    )
    .expect_err("there is none");
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
    let start = Start::new(&config, ["sleep", "1000"]).stdin(Stream::Null);
    let process = exec_in(&sleeping.target(), None, start).expect("it joins");
    process.signal(libc::SIGTERM).expect("it lives");
    assert_eq!(process.wait().expect("it ends").code(), 128 + libc::SIGTERM);
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
    let process = exec_in(&sleeping.target(), None, start).expect("it joins");
    let mut output = Vec::new();
    let terminal = process
        .terminal()
        .expect("it was sent")
        .try_clone_to_owned()
        .expect("a copy");
    // A terminal whose other end is closed reads as EIO.
    let _closed = File::from(terminal).read_to_end(&mut output);
    assert_eq!(process.wait().expect("it ends").code(), 0);
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
    // A plain user has but one id that is mapped.
    let is_root = nix::unistd::geteuid().is_root();
    let mut user = format!("{}:{}", nix::unistd::geteuid(), nix::unistd::getegid());
    if is_root {
        user = "1234:1235".to_owned();
        process.user = user.parse().expect("a user");
    }
    let line = "ulimit -Sn; ulimit -Hn; pwd; umask; echo $(id -u):$(id -g); \
                env | grep -vE '^(PWD|HOME|_|SHLVL|OLDPWD)=' | LC_ALL=C sort";
    let (code, output) = inside(&sleeping.target(), &config, line);
    assert_eq!(code, 0, "{output}");
    let lines: Vec<_> = output.lines().collect();
    let environment = ["MARK=joined", "PATH=/usr/bin:/bin"];
    let expected = ["37", "41", "/usr/bin", "0137", &user];
    assert_eq!(lines, [&expected[..], &environment].concat(), "{output}");
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
    let start = Start::new(&config, ["sh", "-c", "ls /proc/self/fd; cat <&5"])
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(OwnedFd::from(writer)))
        .descriptor(OwnedFd::from(given), 5)
        .expect("5 is free");
    let process = exec_in(&sleeping.target(), None, start).expect("it joins");
    let mut output = String::new();
    File::from(OwnedFd::from(reader))
        .read_to_string(&mut output)
        .expect("text");
    assert_eq!(process.wait().expect("it ends").code(), 0);
    // 3 is the directory that ls reads: the lowest number that was free.
    assert_eq!(output, "0\n1\n2\n3\n5\ndata\n");
}

#[test]
fn zombie_is_no_target() {
    let sleeping = Sleeping::start(&Sandbox::default());
    let target = sleeping.target();
    sleeping.0.signal(libc::SIGKILL).expect("it lives");
    let mut polled = [nix::poll::PollFd::new(
        target.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    nix::poll::poll(&mut polled, nix::poll::PollTimeout::NONE).expect("poll");
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
        let error = exec_in(&sleeping.target(), None, start).expect_err("no such label");
        assert!(error.to_string().contains("security label"), "{error}");
        let mut output = String::new();
        File::from(OwnedFd::from(reader))
            .read_to_string(&mut output)
            .expect("text");
        assert_eq!(output, "");
    }
}
