//! Containers in two steps: created by one handle, started by another.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod place;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;

use ns_config::state::Phase;
use ns_config::{CgroupConfig, Config, NamespaceKind};
use ns_exec::{Container, Kind, Stage, Start, Status, Stream};
use place::{Place, in_group, plain};

impl Place {
    fn create(&self, config: &Config, line: &str) -> Container<'_> {
        let start = Start::new(config, ["sh", "-c", line])
            .stdin(Stream::Null)
            .stdout(Stream::Null)
            .stderr(Stream::Null);
        Container::create(start, "box", &self.dir).unwrap()
    }

    /// As any later process finds it.
    fn found(&self) -> Container<'_> {
        Container::open("box", &self.dir).unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.dir.ids().unwrap()
    }
}

/// A sandbox in a group; `None`, said loudly, where groups cannot be made.
fn grouped(test: &str) -> Option<Config> {
    let config = in_group(test, CgroupConfig::default());
    if let Err(error) = &config {
        println!("SKIP {test}: no control groups: {error}");
    }
    config.ok()
}

/// What the descriptors of a process lead to; those that it closes meanwhile are left out.
fn descriptors(pid: u32) -> Vec<String> {
    let listing = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = listing.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets
        .map(|target| target.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn created_container_runs_nothing_until_any_process_starts_it() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let config = plain();
    let start = Start::new(&config, ["sh", "-c", "echo $$; hostname; exec sleep 1000"])
        .stdin(Stream::Null)
        .stdout(Stream::Descriptor(OwnedFd::from(writer)));
    let created = Container::create(start, "box", &place.dir).unwrap();
    assert_eq!(created.status().unwrap(), Status::Created);
    assert_eq!(place.found().state(), created.state());
    assert_eq!(place.found().status().unwrap(), Status::Created);

    let mut output = File::from(OwnedFd::from(reader));
    let (pid, is_empty) = (created.state().init_pid, polled_is_empty(&output));
    assert!(is_empty, "the command has not been executed");
    place.found().start().unwrap();
    let mut text = [0; 10];
    output.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"1\nsandbox\n");
    assert_eq!(place.found().status().unwrap(), Status::Running);
    assert_eq!(
        place.found().state().init_pid,
        pid,
        "it is the same process"
    );
    assert_eq!(
        created.process().unwrap().pid(),
        i32::try_from(pid).unwrap()
    );
}

fn polled_is_empty(file: &File) -> bool {
    let events = nix::poll::PollFlags::POLLIN;
    let mut polled = [nix::poll::PollFd::new(
        std::os::fd::AsFd::as_fd(file),
        events,
    )];
    nix::poll::poll(&mut polled, 0_u16).unwrap() == 0
}

#[test]
fn waiting_process_holds_its_streams_and_one_socket() {
    if !nix::unistd::geteuid().is_root() {
        let test = "waiting_process_holds_its_streams_and_one_socket";
        println!("SKIP {test}: needs root to look into a process that nobody else may look into");
        return;
    }
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    let pid = created.state().init_pid;
    let mut held = descriptors(pid);
    held.retain(|target| target != "/dev/null");
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].starts_with("socket:"), "{held:?}");
    created.start().unwrap();
    // The command may have files of its own open by now: its loader opens libraries.
    let mut held = descriptors(pid);
    held.retain(|target| target.starts_with("socket:"));
    assert!(held.is_empty(), "the socket closed with the exec: {held:?}");
}

#[test]
fn second_start_is_refused() {
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    created.start().unwrap();
    for handle in [created, place.found()] {
        let error = handle.start().unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        assert!(error.to_string().contains("started already"), "{error}");
        assert_eq!(handle.status().unwrap(), Status::Running);
    }
}

#[test]
fn start_of_a_container_that_was_run_at_once_is_refused() {
    let place = Place::new();
    let config = plain();
    let start = Start::new(&config, ["sleep", "1000"]).stdin(Stream::Null);
    let run = Container::run(start, "box", &place.dir).unwrap();
    assert_eq!(run.start().unwrap_err().kind(), Kind::Busy);
}

#[test]
fn of_many_starts_one_starts_it() {
    let place = Place::new();
    let _created = place.create(&plain(), "exec sleep 1000");
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| place.found().start()))
            .collect();
        let joined = starts.into_iter().map(|start| start.join().unwrap());
        joined.collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::Busy, "{error}");
    }
}

#[test]
fn signal_ends_a_created_container_and_it_is_not_started() {
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    place.found().signal(libc::SIGKILL).unwrap();
    assert_eq!(created.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
    let error = place.found().start().unwrap_err();
    assert_eq!(error.kind(), Kind::Gone, "{error}");
    assert!(error.hint().unwrap().contains("delete"), "{error:?}");
    assert_eq!(place.found().status().unwrap(), Status::Stopped);
    place.found().delete().unwrap();
}

#[test]
fn delete_of_a_created_container_ends_it() {
    let test = "delete_of_a_created_container_ends_it";
    let config = grouped(test).unwrap_or_else(plain);
    let place = Place::new();
    let created = place.create(&config, "exec sleep 1000");
    place.found().delete().unwrap();
    assert_eq!(created.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
    assert_eq!(place.ids(), [""; 0]);
    for dir in created.state().cgroup_paths.values() {
        assert!(!std::path::Path::new(dir).exists(), "{dir}");
    }
    let error = created.start().unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn started_container_is_deleted_by_force_only() {
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    created.start().unwrap();
    let error = place.found().delete().unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    place.found().kill_and_delete().unwrap();
}

#[test]
fn command_that_is_not_there_is_an_error_of_the_start() {
    let place = Place::new();
    let config = plain();
    for (command, kind) in [
        ("no-such-command", Kind::NotFound),
        ("/etc/passwd", Kind::Denied),
    ] {
        let start = Start::new(&config, [command]).stdin(Stream::Null);
        let created = Container::create(start, "box", &place.dir).unwrap();
        let error = place.found().start().unwrap_err();
        assert_eq!((error.kind(), error.stage()), (kind, Stage::Command));
        let words = format!("execute the command: execve({command:?}): E");
        assert!(error.to_string().starts_with(&words), "{error}");
        assert!(error.hint().is_some(), "{error:?}");
        assert_eq!(place.found().status().unwrap(), Status::Stopped);
        assert_eq!(created.wait().unwrap().unwrap().code(), 125);
        place.found().delete().unwrap();
    }
}

#[test]
fn paused_container_is_started_once_it_is_resumed() {
    let test = "paused_container_is_started_once_it_is_resumed";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let created = place.create(&config, "exec sleep 1000");
    created.pause().unwrap();
    let error = created.start().unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert!(error.hint().unwrap().contains("resume"), "{error:?}");
    created.resume().unwrap();
    assert_eq!(created.status().unwrap(), Status::Created);
    created.start().unwrap();
    assert_eq!(created.status().unwrap(), Status::Running);
}

/// More looks than the queue of the socket holds, at a process that takes none of them.
#[test]
fn looking_does_not_start_it_and_does_not_wait_for_it() {
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    created.signal(libc::SIGSTOP).unwrap();
    for _ in 0..300 {
        assert_eq!(place.found().status().unwrap(), Status::Created);
    }
    assert_eq!(place.found().start().unwrap_err().kind(), Kind::Busy);
    created.signal(libc::SIGCONT).unwrap();
    // The queue is emptied by the process, which tells nobody.
    while place.found().start().is_err() {
        assert_eq!(place.found().status().unwrap(), Status::Created);
        std::thread::yield_now();
    }
    assert_eq!(place.found().status().unwrap(), Status::Running);
}

#[test]
fn joined_command_runs_in_a_created_container() {
    let place = Place::new();
    let config = plain();
    let created = place.create(&config, "exec sleep 1000");
    let line = "test \"$(hostname)\" = sandbox && ! ls -l /proc/1/fd/ 2>/dev/null | grep -q socket";
    let start = Start::new(&config, ["sh", "-c", line]).stdin(Stream::Null);
    let joined = created.exec(start).unwrap();
    assert_eq!(joined.wait().unwrap().code(), 0);
    assert_eq!(place.found().status().unwrap(), Status::Created);
}

#[test]
fn created_container_ends_with_the_thread_that_made_it_when_that_was_asked_for() {
    let place = Place::new();
    let mut config = plain();
    config.process.parent_death_signal = libc::SIGKILL;
    let pid = std::thread::scope(|scope| {
        let create = || place.create(&config, "exec sleep 1000").state().init_pid;
        scope.spawn(create).join().unwrap()
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    let status = nix::sys::wait::waitpid(pid, None).unwrap();
    let killed = nix::sys::signal::Signal::SIGKILL;
    assert_eq!(
        status,
        nix::sys::wait::WaitStatus::Signaled(pid, killed, false)
    );
}

/// The process that waits is not the one that was cloned.
#[test]
fn created_container_in_a_joined_pid_namespace_is_found() {
    let place = Place::new();
    let mut config = Config::default();
    config.process.environment = vec!["PATH=/usr/bin:/bin".into()];
    let path = "/proc/self/ns/pid".to_owned();
    config.namespaces.add(NamespaceKind::Pid, Some(path), "");
    if !nix::unistd::geteuid().is_root() {
        let test = "created_container_in_a_joined_pid_namespace_is_found";
        println!("SKIP {test}: needs root to join the namespace");
        return;
    }
    let created = place.create(&config, "exec sleep 1000");
    assert_eq!(created.state().phase, Phase::Created);
    assert_eq!(place.found().status().unwrap(), Status::Created);
    place.found().start().unwrap();
    assert_eq!(place.found().status().unwrap(), Status::Running);
    place.found().kill_and_delete().unwrap();
    assert_eq!(created.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
}

#[test]
fn socket_of_a_creation_that_was_cut_off_is_not_in_the_way() {
    let place = Place::new();
    let created = place.create(&plain(), "exec sleep 1000");
    // As a creator leaves it that was killed before it wrote a state.
    let dir = place.dir.path().join("box");
    let socket = dir.join("start");
    created.kill_and_delete().unwrap();
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(
        Container::open("box", &place.dir).unwrap_err().kind(),
        Kind::NotFound
    );
    let created = place.create(&plain(), "exec sleep 1000");
    created.start().unwrap();
    created.kill_and_delete().unwrap();
    assert!(!dir.exists());
}
