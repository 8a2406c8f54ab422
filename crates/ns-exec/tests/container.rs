//! Containers with a name: started once, found again, removed without a trace.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod place;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use ns_config::cgroup::Limit;
use ns_config::state::Phase;
use ns_config::{CgroupConfig, Config, ContainerState, Rootfs};
use ns_exec::{Container, Kind, Start, StateDir, Status, Stream};
use place::{Place, in_group, plain};

impl Place {
    fn start(&self, id: &str, config: &Config) -> ns_exec::Result<Container<'_>> {
        Container::run(sleeping(config), id, &self.dir)
    }

    fn state_file(&self, id: &str) -> std::path::PathBuf {
        self.dir.path().join(id).join("state.json")
    }

    /// Another container with the state of the first, changed.
    fn copy(&self, from: &str, to: &str, change: impl FnOnce(&mut ContainerState)) {
        let mut state = self.dir.read(from).unwrap().unwrap();
        to.clone_into(&mut state.id);
        change(&mut state);
        self.write(to, state.to_json().as_bytes());
    }

    fn write(&self, id: &str, text: &[u8]) {
        let dir = self.dir.path().join(id);
        fs::DirBuilder::new().mode(0o700).create(dir).unwrap();
        let mut options = fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600);
        std::io::Write::write_all(&mut file.open(self.state_file(id)).unwrap(), text).unwrap();
    }
}

fn sleeping(config: &Config) -> Start<'_> {
    Start::new(config, ["sleep", "1000"])
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null)
}

/// A sandbox in a group; `None`, said loudly, where groups cannot be made.
fn grouped(test: &str) -> Option<Config> {
    let config = try_grouped(test);
    if let Err(error) = &config {
        println!("SKIP {test}: no control groups with pids and memory: {error}");
    }
    config.ok()
}

/// A sandbox, in a group where groups can be made.
fn grouped_or_plain(test: &str) -> Config {
    try_grouped(test).unwrap_or_else(|_| plain())
}

fn try_grouped(test: &str) -> ns_cgroups::Result<Config> {
    let mut limited = CgroupConfig {
        pids: Some(Limit::Value(64)),
        ..CgroupConfig::default()
    };
    limited.memory.limit_bytes = Some(Limit::Value(64 << 20));
    in_group(test, limited)
}

fn group_dirs(container: &Container<'_>) -> Vec<String> {
    container.state().cgroup_paths.values().cloned().collect()
}

#[test]
fn container_is_found_by_its_id_and_removed_without_a_trace() {
    let test = "container_is_found_by_its_id_and_removed_without_a_trace";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let started = place.start("box", &config).unwrap();
    let dirs = group_dirs(&started);
    assert!(!dirs.is_empty());

    let found = Container::open("box", &place.dir).unwrap();
    assert_eq!(found.status().unwrap(), Status::Running);
    assert_eq!(found.state(), started.state());
    assert_eq!(
        found.state().config,
        config,
        "it remembers how it was started"
    );
    let pid = started.process().unwrap().pid();
    assert_eq!(found.processes().unwrap(), [pid]);
    assert_eq!(place.dir.ids().unwrap(), ["box"]);
    found.target().unwrap();

    found.signal(libc::SIGKILL).unwrap();
    assert_eq!(found.wait().unwrap(), None, "it is no child of this handle");
    assert_eq!(found.status().unwrap(), Status::Stopped);
    assert_eq!(started.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
    found.delete().unwrap();
    assert_eq!(place.dir.ids().unwrap(), [""; 0]);
    for dir in dirs {
        assert!(!Path::new(&dir).exists(), "{dir}");
    }
    assert_eq!(found.delete().unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn state_is_the_callers_alone() {
    let place = Place::new();
    let _container = place.start("box", &plain()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(place.dir.path()), 0o700);
    assert_eq!(mode(&place.dir.path().join("box")), 0o700);
    assert_eq!(mode(&place.state_file("box")), 0o600);
}

#[test]
fn second_start_with_one_id_is_refused() {
    let place = Place::new();
    let _first = place.start("box", &plain()).unwrap();
    let error = place.start("box", &plain()).unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    assert_eq!(
        Container::open("box", &place.dir)
            .unwrap()
            .status()
            .unwrap(),
        Status::Running
    );
}

#[test]
fn one_of_many_starts_with_one_id_wins() {
    let place = Place::new();
    let config = plain();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| place.start("box", &config).map(drop)))
            .collect();
        starts
            .into_iter()
            .map(|start| start.join().unwrap())
            .collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    }
}

#[test]
fn failed_start_leaves_nothing() {
    let place = Place::new();
    let config = grouped_or_plain("failed_start_leaves_nothing");
    let start = Start::new(&config, ["no-such-command"]);
    let error = Container::run(start, "box", &place.dir).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert_eq!(place.dir.ids().unwrap(), [""; 0]);
    assert!(error.also().is_empty(), "{error:?}");
    place.start("box", &config).unwrap();
}

#[test]
fn command_that_ends_at_once_leaves_a_stopped_container() {
    let place = Place::new();
    let config = plain();
    let start = Start::new(&config, ["true"]);
    let container = Container::run(start, "box", &place.dir).unwrap();
    assert_eq!(container.wait().unwrap().unwrap().code(), 0);
    assert_eq!(container.status().unwrap(), Status::Stopped);
    container.delete().unwrap();
}

#[test]
fn running_container_is_deleted_by_force_only() {
    let place = Place::new();
    let started = place.start("box", &plain()).unwrap();
    let found = Container::open("box", &place.dir).unwrap();
    let error = found.delete().unwrap_err();
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert_eq!(found.status().unwrap(), Status::Running);
    found.kill_and_delete().unwrap();
    assert_eq!(started.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
    assert_eq!(place.dir.ids().unwrap(), [""; 0]);
}

#[test]
fn of_many_removals_one_removes_and_the_others_find_nothing() {
    let place = Place::new();
    let _started = place.start("box", &plain()).unwrap();
    let removals = std::thread::scope(|scope| {
        let remove =
            || Container::open("box", &place.dir).and_then(|found| found.kill_and_delete());
        let removals: Vec<_> = (0..8).map(|_| scope.spawn(remove)).collect();
        let joined = removals.into_iter().map(|removal| removal.join().unwrap());
        joined.collect::<Vec<_>>()
    });
    assert_eq!(removals.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in removals.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
}

#[test]
fn paused_container_stands_still_until_it_is_resumed() {
    let test = "paused_container_stands_still_until_it_is_resumed";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let container = place.start("box", &config).unwrap();
    container.pause().unwrap();
    assert_eq!(container.status().unwrap(), Status::Paused);
    container.resume().unwrap();
    assert_eq!(container.status().unwrap(), Status::Running);
    container.resume().unwrap();
    container.pause().unwrap();
    container.kill_and_delete().unwrap();
}

#[test]
fn container_without_a_group_cannot_be_paused() {
    let place = Place::new();
    let container = place.start("box", &plain()).unwrap();
    let error = container.pause().unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.hint().is_some());
    let pid = container.process().unwrap().pid();
    assert_eq!(
        container.processes().unwrap(),
        [pid],
        "by its pid namespace"
    );
}

#[test]
fn stats_have_the_memory_of_the_container() {
    let Some(config) = grouped("stats_have_the_memory_of_the_container") else {
        return;
    };
    let place = Place::new();
    let container = place.start("box", &config).unwrap();
    let stats = container.stats().unwrap();
    assert!(stats.cgroup_stats.memory_stats.usage > 0, "{stats:?}");
    assert_eq!(stats.network_stats.rx_bytes, 0, "it has loopback alone");
    let events = container.memory_events().unwrap();
    drop(events);
}

#[test]
fn update_changes_what_it_names() {
    let Some(config) = grouped("update_changes_what_it_names") else {
        return;
    };
    let place = Place::new();
    let container = place.start("box", &config).unwrap();
    let change = CgroupConfig {
        pids: Some(Limit::Value(7)),
        ..CgroupConfig::default()
    };
    container.update(&change).unwrap();
    let stats = container.cgroup().unwrap().unwrap().stats().unwrap();
    assert_eq!(stats.pids.unwrap().limit, Some(7));
    let paths = &container.state().cgroup_paths;
    let dir = paths.get("memory").or_else(|| paths.get("")).unwrap();
    let limit = ["memory.limit_in_bytes", "memory.max"]
        .iter()
        .find_map(|file| fs::read_to_string(format!("{dir}/{file}")).ok());
    assert_eq!(limit.unwrap().trim(), (64 << 20).to_string(), "it is kept");
}

#[test]
fn h02_number_of_another_process_is_not_touched() {
    let test = "h02_number_of_another_process_is_not_touched";
    let config = grouped_or_plain(test);
    let place = Place::new();
    let living = place.start("living", &config).unwrap();
    place.copy("living", "reused", |state| state.init_start_ticks -= 1);
    let reused = Container::open("reused", &place.dir).unwrap();
    assert_eq!(reused.status().unwrap(), Status::Stopped);
    for refused in [
        reused.signal(libc::SIGKILL),
        reused.pause(),
        reused.target().map(drop),
        reused.stats().map(drop),
        reused.processes().map(drop),
    ] {
        assert_eq!(refused.unwrap_err().kind(), Kind::Gone);
    }
    reused.kill_and_delete().unwrap();
    assert_eq!(
        living.status().unwrap(),
        Status::Running,
        "its group is another's by now, and stays"
    );
}

#[test]
fn h02_process_in_other_namespaces_is_not_joined() {
    let place = Place::new();
    let _living = place.start("living", &plain()).unwrap();
    place.copy("living", "moved", |state| {
        state.namespace_inodes.insert("network".to_owned(), 1);
    });
    let moved = Container::open("moved", &place.dir).unwrap();
    assert_eq!(moved.target().unwrap_err().kind(), Kind::Hostile);
    place.dir.forget("moved").unwrap();
}

#[test]
fn container_of_another_boot_is_state_alone() {
    let test = "container_of_another_boot_is_state_alone";
    let config = grouped_or_plain(test);
    let place = Place::new();
    let living = place.start("living", &config).unwrap();
    place.copy("living", "old", |state| {
        state.boot_id = "6f1c7e0a-0000-4000-8000-000000000000".to_owned();
    });
    let old = Container::open("old", &place.dir).unwrap();
    assert_eq!(old.status().unwrap(), Status::Stale);
    assert_eq!(old.signal(libc::SIGKILL).unwrap_err().kind(), Kind::Gone);
    old.kill_and_delete().unwrap();
    assert_eq!(living.status().unwrap(), Status::Running);
    assert_eq!(place.dir.ids().unwrap(), ["living"]);
}

#[test]
fn start_that_was_cut_off_is_removed_with_its_process() {
    let test = "start_that_was_cut_off_is_removed_with_its_process";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let started = place.start("box", &config).unwrap();
    let dirs = group_dirs(&started);
    // As the caller leaves it when it dies before the command runs.
    place.copy("box", "half", |state| {
        state.phase = Phase::Creating;
        state.namespace_inodes.clear();
    });
    place.dir.forget("box").unwrap();
    let half = Container::open("half", &place.dir).unwrap();
    assert_eq!(half.status().unwrap(), Status::Stale);
    half.delete().unwrap();
    assert_eq!(started.wait().unwrap().unwrap().code(), 128 + libc::SIGKILL);
    for dir in dirs {
        assert!(!Path::new(&dir).exists(), "{dir}");
    }
}

/// Its process may be in the host's mount namespace still.
#[test]
fn container_that_is_being_started_is_not_joined() {
    let place = Place::new();
    let living = place.start("living", &plain()).unwrap();
    place.copy("living", "half", |state| {
        state.phase = Phase::Creating;
        state.namespace_inodes.clear();
    });
    let half = Container::open("half", &place.dir).unwrap();
    let config = plain();
    for error in [
        half.target().unwrap_err(),
        half.exec(Start::new(&config, ["true"])).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        assert!(error.to_string().contains("being started"), "{error}");
    }
    place.dir.forget("half").unwrap();
    drop(living);
}

/// As one sees it who has read the state just before the note that the command runs.
#[test]
fn container_whose_start_was_done_since_is_not_stale() {
    let place = Place::new();
    let _living = place.start("box", &plain()).unwrap();
    let running = fs::read(place.state_file("box")).unwrap();
    let mut state = place.dir.read("box").unwrap().unwrap();
    state.phase = Phase::Creating;
    fs::write(place.state_file("box"), state.to_json()).unwrap();
    let early = Container::open("box", &place.dir).unwrap();
    fs::write(place.state_file("box"), running).unwrap();
    assert_eq!(early.status().unwrap(), Status::Running);
}

#[test]
fn start_that_was_cut_off_before_its_process_signals_nobody() {
    let place = Place::new();
    let _living = place.start("living", &plain()).unwrap();
    place.copy("living", "half", |state| {
        state.phase = Phase::Creating;
        state.init_pid = std::process::id();
        state.init_start_ticks = 0;
        state.namespace_inodes.clear();
    });
    let half = Container::open("half", &place.dir).unwrap();
    assert_eq!(half.status().unwrap(), Status::Stale);
    let other = fs::File::open(place.dir.path().join("half")).unwrap();
    other.lock_shared().unwrap();
    let status = half.status().unwrap();
    assert_eq!(status, Status::Stale, "somebody else looks, too");
    other.unlock().unwrap();
    other.lock().unwrap();
    let status = half.status().unwrap();
    assert_eq!(status, Status::Creating, "somebody works on it");
    drop(other);
    half.delete().unwrap();
}

#[test]
fn group_that_is_half_gone_is_removed_all_the_same() {
    let test = "group_that_is_half_gone_is_removed_all_the_same";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let started = place.start("box", &config).unwrap();
    let dirs = group_dirs(&started);
    started.signal(libc::SIGKILL).unwrap();
    started.wait().unwrap();
    fs::remove_dir(&dirs[0]).unwrap();
    Container::open("box", &place.dir)
        .unwrap()
        .delete()
        .unwrap();
    for dir in dirs {
        assert!(!Path::new(&dir).exists(), "{dir}");
    }
}

#[test]
fn ended_container_leaves_its_group_to_one_that_lives_in_it() {
    let test = "ended_container_leaves_its_group_to_one_that_lives_in_it";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let ended = place.start("ended", &config).unwrap();
    ended.signal(libc::SIGKILL).unwrap();
    ended.wait().unwrap();
    drop(ended);
    let living = place.start("living", &config).unwrap();
    let _unrelated = place.start("unrelated", &plain()).unwrap();
    let ended = Container::open("ended", &place.dir).unwrap();
    ended.delete().unwrap();
    assert_eq!(living.status().unwrap(), Status::Running);
    let dirs = group_dirs(&living);
    assert!(dirs.iter().all(|dir| Path::new(dir).exists()), "{dirs:?}");
    living.kill_and_delete().unwrap();
    assert!(!dirs.iter().any(|dir| Path::new(dir).exists()), "{dirs:?}");
}

#[test]
fn state_that_cannot_be_read_is_one_clear_error() {
    let place = Place::new();
    let _living = place.start("living", &plain()).unwrap();
    let text = fs::read(place.state_file("living")).unwrap();
    place.write("empty", b"");
    place.write("half", &text[..text.len() / 2]);
    place.write("future", b"{\"schema_version\": 99, \"more\": 1}");
    place.write("foreign", &text);
    for (id, kind) in [
        ("empty", Kind::InvalidValue),
        ("half", Kind::InvalidValue),
        ("future", Kind::Unsupported),
        ("foreign", Kind::Hostile),
    ] {
        let error = Container::open(id, &place.dir).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let file = format!("{id}/state.json");
        assert!(error.to_string().contains(&file), "{error}");
        let error = place.start(id, &plain()).unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    }
    let listed = Container::list(&place.dir).unwrap();
    let good: Vec<_> = listed.iter().filter(|(_, found)| found.is_ok()).collect();
    assert_eq!(
        (listed.len(), good.len()),
        (5, 1),
        "one does not hide the others"
    );
}

#[test]
fn state_that_is_a_link_or_open_to_others_is_refused() {
    let place = Place::new();
    let _living = place.start("living", &plain()).unwrap();
    let link = place.dir.path().join("link");
    std::os::unix::fs::symlink(place.dir.path().join("living"), &link).unwrap();
    let error = Container::open("link", &place.dir).unwrap_err();
    assert_eq!(error.kind(), Kind::Hostile, "{error}");
    fs::remove_file(link).unwrap();
    fs::set_permissions(
        place.state_file("living"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let error = Container::open("living", &place.dir).unwrap_err();
    assert_eq!(error.kind(), Kind::Hostile, "{error}");
    fs::set_permissions(
        place.state_file("living"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
}

#[test]
fn state_directory_that_is_a_link_or_open_to_others_is_refused() {
    let above = tempfile::tempdir().unwrap();
    let (real, link) = (above.path().join("real"), above.path().join("link"));
    StateDir::open(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(StateDir::open(&link).unwrap_err().kind(), Kind::Hostile);
    for mode in [0o777, 0o750, 0o701] {
        fs::set_permissions(&real, fs::Permissions::from_mode(mode)).unwrap();
        let error = StateDir::open(&real).unwrap_err();
        assert_eq!(error.kind(), Kind::Hostile, "{error}");
    }
    let file = above.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(StateDir::open(&file).unwrap_err().kind(), Kind::Hostile);
    let error = StateDir::open(above.path().join("no/such")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn h04_state_inside_the_root_file_system_is_refused() {
    let place = Place::new();
    let mut config = plain();
    let above = place.dir.path().parent().unwrap().to_str().unwrap();
    config.rootfs = Rootfs::Directory(above.to_owned());
    let error = place.start("box", &config).unwrap_err();
    assert_eq!(error.kind(), Kind::Hostile, "{error}");
    assert_eq!(place.dir.ids().unwrap(), [""; 0]);
}

#[test]
fn id_that_is_not_a_plain_name_is_refused() {
    let place = Place::new();
    for id in ["", ".", "..", "../x", "a/b", ".hidden"] {
        let error = place.start(id, &plain()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidValue, "{id:?}");
    }
    let error = Container::open("nobody", &place.dir).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

fn code(process: &ns_exec::Process) -> i32 {
    process.wait().unwrap().code()
}

/// One process fits into the group, and it is there: no other gets as far as to execute anything.
#[test]
fn h03_joined_command_counts_in_the_group_from_its_first_moment() {
    let test = "h03_joined_command_counts_in_the_group_from_its_first_moment";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let container = place.start("box", &config).unwrap();
    let limit = |pids| CgroupConfig {
        pids: Some(Limit::Value(pids)),
        ..CgroupConfig::default()
    };
    container.update(&limit(1)).unwrap();
    // Were it to join, it would end by itself.
    let joined = container.exec(Start::new(&config, ["true"]).stdin(Stream::Null));
    let joined = joined.map(|process| code(&process));
    assert_eq!(joined.unwrap_err().kind(), Kind::Limit);
    let first = container.process().unwrap().pid();
    assert_eq!(container.processes().unwrap(), [first]);

    container.update(&limit(64)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let start = Start::new(&config, ["cat"]).stdin(Stream::Descriptor(reader.into()));
    let joined = container.exec(start).unwrap();
    let listed: Vec<_> = group_dirs(&container)
        .iter()
        .map(|dir| fs::read_to_string(format!("{dir}/cgroup.procs")).unwrap())
        .collect();
    drop(writer);
    assert_eq!(code(&joined), 0);
    let pid = joined.pid().to_string();
    for procs in listed {
        assert!(procs.lines().any(|line| line == pid), "{procs}");
    }
}

/// Every verb but those that wait for somebody or remove.
fn verbs(container: &Container<'_>, config: &Config) -> [(&'static str, ns_exec::Result<()>); 11] {
    let change = CgroupConfig {
        pids: Some(Limit::Value(9)),
        ..CgroupConfig::default()
    };
    let join = || container.exec(Start::new(config, ["true"]).stdin(Stream::Null));
    [
        ("start", container.start()),
        ("signal", container.signal(0)),
        ("signal_all", container.signal_all(libc::SIGCONT)),
        ("stats", container.stats().map(drop)),
        ("processes", container.processes().map(drop)),
        ("memory_events", container.memory_events().map(drop)),
        ("update", container.update(&change)),
        ("pause", container.pause()),
        ("resume", container.resume()),
        ("target", container.target().map(drop)),
        ("exec", join().map(|process| assert_eq!(code(&process), 0))),
    ]
}

/// What each verb, in the order of [`verbs`], refuses with; `None` when it does what it is for.
fn assert_verbs(container: &Container<'_>, config: &Config, expected: [Option<Kind>; 11]) {
    for ((verb, outcome), expected) in verbs(container, config).into_iter().zip(expected) {
        let kind = outcome.as_ref().err().map(ns_exec::Error::kind);
        assert_eq!(kind, expected, "{verb}: {outcome:?}");
    }
}

const BUSY: Option<Kind> = Some(Kind::Busy);
const GONE: Option<Kind> = Some(Kind::Gone);
const NOT_FOUND: Option<Kind> = Some(Kind::NotFound);
const UNSUPPORTED: Option<Kind> = Some(Kind::Unsupported);

#[test]
fn verbs_of_a_container_without_a_group_tell_what_takes_one() {
    let (place, config) = (Place::new(), plain());
    let container = place.start("box", &config).unwrap();
    let no_group = UNSUPPORTED;
    let expected = [
        BUSY, None, no_group, None, None, no_group, no_group, no_group, no_group, None, None,
    ];
    assert_verbs(&container, &config, expected);
    let found = Container::open("box", &place.dir).unwrap();
    assert_verbs(&found, &config, expected);
    assert_eq!(found.delete().unwrap_err().kind(), Kind::Busy);
}

#[test]
fn verbs_of_a_container_that_has_ended_or_was_removed_tell_so() {
    let test = "verbs_of_a_container_that_has_ended_or_was_removed_tell_so";
    for config in [plain(), grouped_or_plain(test)] {
        let place = Place::new();
        let container = place.start("box", &config).unwrap();
        let found = Container::open("box", &place.dir).unwrap();
        container.signal(libc::SIGKILL).unwrap();
        container.wait().unwrap();
        for handle in [&container, &found] {
            assert_verbs(handle, &config, [GONE; 11]);
            assert_eq!(handle.status().unwrap(), Status::Stopped);
        }
        assert_eq!(found.wait().unwrap(), None);

        found.delete().unwrap();
        // The lock of those that change something is gone with the state.
        let mut expected = [GONE; 11];
        for changing in [0, 6, 7, 8] {
            expected[changing] = NOT_FOUND;
        }
        for handle in [&container, &found] {
            assert_verbs(handle, &config, expected);
            assert_eq!(handle.delete().unwrap_err().kind(), Kind::NotFound);
            assert_eq!(handle.kill_and_delete().unwrap_err().kind(), Kind::NotFound);
            assert_eq!(handle.status().unwrap(), Status::Stopped);
        }
        assert_eq!(found.wait().unwrap(), None);
        let error = Container::open("box", &place.dir).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
}

#[test]
fn verbs_of_a_container_that_waits_for_its_start_work_but_for_its_command() {
    let test = "verbs_of_a_container_that_waits_for_its_start_work_but_for_its_command";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let created = Container::create(sleeping(&config), "box", &place.dir).unwrap();
    assert_eq!(created.status().unwrap(), Status::Created);
    created.delete().unwrap();

    let created = Container::create(sleeping(&config), "box", &place.dir).unwrap();
    let found = Container::open("box", &place.dir).unwrap();
    assert_verbs(&found, &config, [None; 11]);
    let mut expected = [None; 11];
    expected[0] = BUSY;
    assert_verbs(&created, &config, expected);
}

#[test]
fn verbs_of_a_paused_container_work_but_for_what_would_stand_still() {
    let test = "verbs_of_a_paused_container_work_but_for_what_would_stand_still";
    let Some(config) = grouped(test) else { return };
    let place = Place::new();
    let container = place.start("box", &config).unwrap();
    container.pause().unwrap();
    // The last goes on by the verbs before it.
    let mut expected = [None; 11];
    expected[0] = BUSY;
    assert_verbs(&container, &config, expected);
}
