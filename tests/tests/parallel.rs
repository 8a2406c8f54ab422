//! Two hundred containers at once, with ids, groups and loopback networks: all start, all are joined, nothing is left.

use std::path::Path;
use std::sync::Barrier;

use ns_config::{CgroupConfig, Config};
use ns_exec::{Container, Sandbox, Start, StateDir, Status, Stream};
use ns_tests::{Host, Test, needs, wait_for_orphans};

const N_CONTAINERS: usize = 200;
/// Programs that run at the same time, out of regard for the limit of processes.
const N_AT_ONCE: usize = 20;

fn group_name(index: usize) -> String {
    format!("ns-tests-parallel-{}-{index}", std::process::id())
}

fn in_group(index: usize) -> Config {
    let mut config = Sandbox::default().config().expect("a sandbox");
    config.cgroup = Some(CgroupConfig {
        name: group_name(index),
        ..CgroupConfig::default()
    });
    config
}

fn silent(start: Start<'_>) -> Start<'_> {
    start
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null)
}

/// Starts, joins and removes one container; all are there before the first is joined, and before the first is removed.
fn live(index: usize, dir: &StateDir, all: &Barrier) {
    let (id, config) = (format!("box{index}"), in_group(index));
    let start = silent(Start::new(&config, ["sleep", "1000"]));
    let container = Container::run(start, &id, dir).expect(&id);
    all.wait();
    let inside = "test $(cat /proc/1/comm) = sleep && grep -q lo: /proc/net/dev && exit 7";
    let start = silent(Start::new(&config, ["sh", "-c", inside]));
    let joined = container.exec(start).expect(&id);
    assert_eq!(joined.wait().expect("it ends").code(), 7, "{id}");
    all.wait();
    assert_eq!(
        container.status().expect("a status"),
        Status::Running,
        "{id}"
    );
    container.kill_and_delete().expect(&id);
}

fn open(test: &Test) -> StateDir {
    StateDir::open(test.path().join("state")).expect("a state directory")
}

fn is_empty(directory: &Path) -> bool {
    let mut listing = std::fs::read_dir(directory).expect("a directory");
    listing.next().is_none()
}

#[test]
fn two_hundred_threads_start_join_and_remove_a_container_each() {
    let test = needs!(root, cgroup);
    let dir = open(&test);
    let all = Barrier::new(N_CONTAINERS);
    std::thread::scope(|scope| {
        for index in 0..N_CONTAINERS {
            let (dir, all) = (&dir, &all);
            scope.spawn(move || live(index, dir, all));
        }
    });
    assert!(is_empty(dir.path()), "a state is left");
    wait_for_orphans();
}

/// The same for a plain user, who has no groups.
#[test]
fn two_hundred_created_containers_are_started_at_once() {
    let test = needs!();
    let dir = open(&test);
    let config = Sandbox {
        user_namespace: !nix::unistd::geteuid().is_root(),
        ..Sandbox::default()
    };
    let config = config.config().expect("a sandbox");
    let all = Barrier::new(N_CONTAINERS);
    std::thread::scope(|scope| {
        for index in 0..N_CONTAINERS {
            let (dir, all, config) = (&dir, &all, &config);
            scope.spawn(move || {
                let id = format!("box{index}");
                let start = silent(Start::new(config, ["sleep", "1000"]));
                let created = Container::create(start, &id, dir).expect("it is created");
                all.wait();
                created.start().expect("it starts");
                all.wait();
                assert_eq!(created.status().expect("a status"), Status::Running);
                created.kill_and_delete().expect("it is removed");
            });
        }
    });
    assert!(is_empty(dir.path()), "a state is left");
}

/// Runs a job for each container, some at the same time.
fn for_each_container(job: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for worker in 0..N_AT_ONCE {
            let job = &job;
            scope.spawn(move || {
                for index in (worker..N_CONTAINERS).step_by(N_AT_ONCE) {
                    job(&format!("box{index}-{}", std::process::id()));
                }
            });
        }
    });
}

#[test]
fn two_hundred_programs_start_join_and_remove_a_container_each() {
    let test = needs!(root, cgroup);
    let host = Host::new(&test);
    for_each_container(|id| {
        host.done(&["sandbox", "--id", id, "-d", "--", "sleep", "1000"]);
    });
    let listed = host.list();
    let running = listed.iter().filter(|one| one["status"] == "running");
    assert_eq!(running.count(), N_CONTAINERS);
    for_each_container(|id| {
        let joined = host.exec(id, "cat /proc/1/comm; exit 7");
        assert_eq!(
            (joined.code, joined.stdout.as_str()),
            (7, "sleep\n"),
            "{id}: {joined:?}"
        );
    });
    for_each_container(|id| host.done(&["delete", "--force", id]));
    assert_eq!(host.entries(), [""; 0]);
    wait_for_orphans();
}
