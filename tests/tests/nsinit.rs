//! The command line of the seed's `nsinit`: each promise of docs/seed-cli.md.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use ns_config::State;
use ns_tests::{Busybox, Canary, Invocation, Output, Test, needs, variants};
use serde_json::{Value, json};

variants![
    help_and_version_are_printed,
    unknown_command_is_an_error,
    second_stage_is_refused_by_every_name,
    exec_starts_a_container_and_then_joins_it,
    exit_code_is_the_commands_own,
    state_file_is_written_only_when_told_to,
    state_file_replaces_what_lies_there_and_opens_nothing,
    state_file_is_there_before_the_command_runs,
    state_file_is_written_through_no_link_whoever_races,
    h04_state_file_rewritten_by_somebody_changes_nothing,
    h04_configuration_that_the_container_can_write_is_refused,
    functions_are_listed_and_others_refused,
    function_needs_a_running_container,
    ip_lists_the_interfaces_of_the_container,
    configuration_is_printed_in_both_forms,
    container_that_does_not_run_has_nothing_to_show,
    errors_are_added_to_the_log,
];

/// `nsinit` with a directory of its own for `container.json`.
struct Nsinit<'t> {
    test: &'t Test,
    data: PathBuf,
    rootfs: Busybox,
}

impl<'t> Nsinit<'t> {
    fn new(test: &'t Test) -> Option<Self> {
        let rootfs = test.busybox()?;
        let data = test.make_dir("data");
        test.give_away(&data);
        let runtime = test.make_dir("runtime");
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).expect("chmod");
        test.give_away(&runtime);
        let nsinit = Nsinit { test, data, rootfs };
        nsinit.configure(&nsinit.config());
        Some(nsinit)
    }

    fn config(&self) -> Value {
        self.test.container_json(self.rootfs.path())
    }

    fn configure(&self, config: &Value) {
        let _path = ns_tests::write_json(&self.data, config);
    }

    /// Called by another name, where the file itself keeps its own.
    fn called(&self, name: &str, arguments: &[&str]) -> Invocation {
        let script = format!("exec -a {name} \"$0\" \"$@\"");
        self.test
            .nsrun_under(&["bash", "-c", &script], arguments)
            .env("XDG_RUNTIME_DIR", self.test.path().join("runtime"))
    }

    /// With the data path named.
    fn invocation(&self, arguments: &[&str]) -> Invocation {
        self.called("nsinit", arguments)
            .env("data_path", &self.data)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.invocation(arguments).run()
    }

    fn exec(&self, script: &str) -> Output {
        self.run(&["exec", "--", "sh", "-c", script])
    }

    fn state_file(&self) -> PathBuf {
        self.data.join("state.json")
    }

    /// Runs the work while the container runs, and gives the end of it.
    fn while_running(&self, work: impl FnOnce()) -> Output {
        let script = "echo up; read line; exit 3";
        let mut running = self
            .invocation(&["exec", "--", "sh", "-c", script])
            .spawn_open();
        running.read_until("up\n");
        while !self.state_file().exists() {
            std::thread::yield_now();
        }
        work();
        running.close_stdin();
        running.wait()
    }

    fn names_in_data(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.data).expect("readdir");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            let name = entry.expect("readdir").file_name();
            name.into_string().expect("UTF-8")
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Nsinit<'_> {
    /// Nobody but the tests knows the container of a test that has failed.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let Ok(data) = fs::metadata(&self.data) else {
            return;
        };
        let id = format!("nsinit-{:x}-{:x}", data.dev(), data.ino());
        // What is orphaned to this process holds the group until it is reaped, which comes after the first time.
        for _ in 0..2 {
            let delete = self.test.nsrun(["delete", "--force", &id]);
            let runtime = self.test.path().join("runtime");
            let _removed = delete.env("XDG_RUNTIME_DIR", runtime).run();
        }
    }
}

fn help_and_version_are_printed(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let all = nsinit.run(&[]);
    for verb in ["exec", "stats", "config", "pause", "unpause", "oom"] {
        assert!(all.text().contains(&format!("\n  {verb}")), "{all:?}");
    }
    for arguments in [&["--help"][..], &["-h"], &["help"], &["h"]] {
        assert!(
            nsinit.run(arguments).text().contains("Usage: nsinit"),
            "{arguments:?}"
        );
    }
    let exec = nsinit.run(&["help", "exec"]);
    assert!(exec.text().contains("--func"), "{exec:?}");
    nsinit
        .run(&["help", "nothing"])
        .assert_error(125, &["nothing"]);
    for flag in ["--version", "-v"] {
        assert!(nsinit.run(&[flag]).text().starts_with("nsinit "), "{flag}");
    }
}

fn unknown_command_is_an_error(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    nsinit
        .run(&["exce", "--", "true"])
        .assert_error(125, &["exce", "exec"]);
    nsinit.run(&["--nothing"]).assert_error(125, &["--nothing"]);
    nsinit
        .run(&["exec"])
        .assert_error(125, &["no command is named"]);
    // They were there so that the second stage's own command line could be read.
    let output = nsinit.run(&["--nspid", "1", "--console", "x", "exec", "--", "hostname"]);
    assert_eq!(output.text(), "integration");
}

fn second_stage_is_refused_by_every_name(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    nsinit
        .run(&["init", "--", "true"])
        .assert_error(125, &["init", "nsinit exec"]);
    for name in ["nsenter-exec", "nsenter-mknod", "/tmp/nsenter-ip"] {
        let called = nsinit.called(name, &["--nspid", "1", "--", "true"]);
        called
            .run()
            .assert_error(125, &["nsenter-", "second stage"]);
    }
}

fn exec_starts_a_container_and_then_joins_it(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let ended = nsinit.while_running(|| {
        let text = fs::read(nsinit.state_file()).expect("state.json");
        let state = State::from_json(&text).expect("in the form of the seed");
        let stat = fs::read_to_string(format!("/proc/{}/stat", state.init_pid)).expect("it lives");
        let ticks = stat.rsplit(") ").next().expect("stat").split(' ').nth(19);
        assert_eq!(ticks, Some(state.init_start_time.as_str()), "field 22");
        assert_eq!(
            text.iter().filter(|byte| **byte == b'\n').count(),
            1,
            "one line"
        );
        let mode = fs::metadata(nsinit.state_file()).expect("stat").mode();
        assert_eq!(mode & 0o777, 0o600);

        let joined = nsinit.exec("hostname; ps -o args | grep -c 'read lin[e]'");
        assert_eq!(joined.text(), "integration\n1");
        let hold = nsinit.invocation(&["exec", "--", "sh", "-c", "echo on; exec sleep 1000"]);
        let mut held = hold.spawn_open();
        held.read_until("on\n");
        held.signal(Signal::SIGTERM);
        assert_eq!(
            held.wait().code,
            128 + 15,
            "a signal reaches the command that joined"
        );
    });
    assert_eq!((ended.code, ended.stderr.as_str()), (3, ""), "{ended:?}");
    assert_eq!(nsinit.names_in_data(), ["container.json"]);
}

fn exit_code_is_the_commands_own(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    assert_eq!(nsinit.exec("exit 7").code, 7);
    let killed = nsinit.exec("sh -c 'kill -9 $$'; exit $?");
    assert_eq!(killed.code, 128 + 9);
    nsinit
        .run(&["exec", "--", "nowhere"])
        .assert_error(127, &["nowhere"]);
    nsinit
        .run(&["exec", "--", "/etc"])
        .assert_error(126, &["/etc"]);
}

fn state_file_is_written_only_when_told_to(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let seen = nsinit.test.path().join("data/state.json");
    let here = nsinit
        .called("nsinit", &["exec", "--", "sh", "-c", "echo up; read line"])
        .current_dir(&nsinit.data)
        .env_remove("data_path");
    let mut running = here.spawn_open();
    running.read_until("up\n");
    // The container of a directory is the same by whichever name.
    while nsinit.run(&["exec", "--", "true"]).code != 0 {
        std::thread::yield_now();
    }
    assert!(!seen.exists());
    running.close_stdin();
    assert_eq!(running.wait().code, 1, "read has met the end");
    assert_eq!(nsinit.names_in_data(), ["container.json"]);
    let nowhere = nsinit
        .called("nsinit", &["exec", "--", "true"])
        .env("data_path", "/nowhere");
    nowhere.run().assert_error(125, &["/nowhere"]);
}

fn state_file_replaces_what_lies_there_and_opens_nothing(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let canary = test.path().join("canary");
    let canary = Canary::new(&canary);
    test.give_away(&canary.path().join("file"));
    let canary = Canary::of(canary.path());
    let place = nsinit.state_file();
    let target = canary.path().join("file");
    symlink(&target, &place).expect("plant a link");
    assert_eq!(nsinit.exec("exit 5").code, 5);
    canary.assert_untouched();
    symlink("/nowhere/at/all", &place).expect("plant a dangling link");
    assert_eq!(nsinit.exec("exit 5").code, 5);
    // Whoever opened it would wait until the deadline of the test.
    nix::unistd::mkfifo(&place, Mode::S_IRWXU).expect("plant a fifo");
    assert_eq!(nsinit.exec("exit 5").code, 5);
    let other = test.write("other", "left alone");
    fs::hard_link(&other, &place).expect("plant a second name");
    assert_eq!(nsinit.exec("exit 5").code, 5);
    assert_eq!(fs::read_to_string(&other).expect("read"), "left alone");
    assert_eq!(nsinit.names_in_data(), ["container.json"], "nothing stays");
    fs::create_dir(&place).expect("plant a directory");
    nsinit
        .exec("echo ran")
        .assert_error(125, &["state.json", "data_path"]);
    assert_eq!(nsinit.names_in_data(), ["container.json", "state.json"]);
}

fn state_file_is_there_before_the_command_runs(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let mut config = nsinit.config();
    let bind = json!({"type": "bind", "source": nsinit.data, "destination": "/tmp"});
    config["mount_config"] = json!({"mounts": [bind]});
    nsinit.configure(&config);
    let seen = nsinit.run(&["exec", "--", "cat", "/tmp/state.json"]);
    let state = State::from_json(seen.text().as_bytes()).expect("whole");
    assert!(state.init_pid > 1, "{seen:?}");
    // Also of a command that then cannot be executed nothing stays.
    let refused = nsinit.run(&["exec", "--", "nowhere"]);
    refused.assert_error(127, &["nowhere"]);
    assert_eq!(nsinit.names_in_data(), ["container.json"]);
}

/// Whoever can write into the directory replaces whatever is made there, as fast as possible.
fn state_file_is_written_through_no_link_whoever_races(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let victim = test.write("victim", "left alone");
    test.give_away(&victim);
    let is_over = AtomicBool::new(false);
    let while_going_on = |attack: &dyn Fn() -> u32| {
        let mut n_won = 0;
        while !is_over.load(Ordering::Relaxed) {
            n_won += attack();
        }
        n_won
    };
    let plant = |place: &Path| u32::from(symlink(&victim, place).is_ok());
    let replace_all = || {
        // The configuration would be refused.
        let names = nsinit.names_in_data().into_iter();
        let places = names.filter(|name| name != "container.json");
        let places = places.map(|name| nsinit.data.join(name));
        let gone = places.filter(|place| fs::remove_file(place).is_ok());
        gone.map(|place| plant(&place)).sum()
    };
    let n_won = std::thread::scope(|scope| {
        // One waits for the moment in which the name is free.
        let one = scope.spawn(|| while_going_on(&|| plant(&nsinit.state_file())));
        let other = scope.spawn(|| while_going_on(&replace_all));
        for _ in 0..10 {
            let output = nsinit.exec("exit 5");
            // A race that was lost before the start ends it; later ones are told.
            assert!([5, 125].contains(&output.code), "{output:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        one.join().expect("no panic") + other.join().expect("no panic")
    });
    assert!(n_won > 0, "there was an attack");
    assert_eq!(fs::read_to_string(&victim).expect("read"), "left alone");
}

/// H2, H4: what lies in the data path is for others to read, and never read back.
fn h04_state_file_rewritten_by_somebody_changes_nothing(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let own = std::process::id();
    let hostile = json!({
        "init_pid": own, "init_start_time": "1", "network_state": {"veth_host": "lo"},
        "cgroup_paths": {"memory": "/sys/fs/cgroup/memory", "": "/sys/fs/cgroup"},
    });
    let ended = nsinit.while_running(|| {
        for text in [hostile.to_string(), "{".to_owned(), String::new()] {
            fs::remove_file(nsinit.state_file()).expect("unlink");
            fs::write(nsinit.state_file(), text).expect("rewrite");
            assert_eq!(nsinit.exec("hostname").text(), "integration");
        }
        fs::remove_file(nsinit.state_file()).expect("unlink");
        assert_eq!(nsinit.exec("hostname").text(), "integration");
        // What is joined is as it was started: the configuration may be somebody else's by now.
        let mut config = nsinit.config();
        config["environment"] = json!(["PATH=/bin", "SAID=hostile"]);
        nsinit.configure(&config);
        assert_eq!(nsinit.exec("echo said $SAID").text(), "said");
        fs::write(nsinit.state_file(), "somebody's").expect("rewrite");
    });
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("another file"), "{ended:?}");
    let left = fs::read_to_string(nsinit.state_file()).expect("read");
    assert_eq!(left, "somebody's", "what is not ours is not removed");
    // A state that nobody keeps is not joined either: a new container is started.
    fs::write(nsinit.state_file(), hostile.to_string()).expect("rewrite");
    assert_eq!(nsinit.exec("echo $$").text(), "1");
}

fn h04_configuration_that_the_container_can_write_is_refused(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let inside = nsinit.rootfs.path().join("home");
    test.give_away(&inside);
    let start = |config: &Value| {
        let _path = ns_tests::write_json(&inside, config);
        let exec = nsinit.called("nsinit", &["exec", "--", "echo", "ran"]);
        exec.env("data_path", &inside).run()
    };
    start(&nsinit.config()).assert_error(125, &["container.json", "data_path"]);
    let mut config = nsinit.config();
    config["mount_config"] = json!({"readonly_fs": true});
    assert_eq!(
        start(&config).text(),
        "ran",
        "what nobody inside can write may lie there"
    );

    let file = nsinit.data.join("container.json");
    fs::remove_file(&file).expect("unlink");
    let _path = ns_tests::write_json(&inside, &nsinit.config());
    symlink(inside.join("container.json"), &file).expect("symlink");
    nsinit.exec("echo ran").assert_error(125, &["can write"]);
    fs::remove_file(&file).expect("unlink");

    let mut config = nsinit.config();
    let bind = |writable: bool| json!({"mounts": [{"type": "bind", "source": nsinit.data, "destination": "/tmp", "writable": writable}]});
    config["mount_config"] = bind(true);
    nsinit.configure(&config);
    nsinit
        .exec("echo ran")
        .assert_error(125, &["container.json", "can write"]);
    config["mount_config"] = bind(false);
    nsinit.configure(&config);
    assert_eq!(nsinit.exec("echo ran").text(), "ran");
}

fn functions_are_listed_and_others_refused(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let list = nsinit.run(&["exec", "--list"]);
    let names: Vec<&str> = list
        .text()
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(names, ["NAME", "exec", "ip", "mknod"]);
    nsinit
        .run(&["exec", "--func", "setup", "--", "true"])
        .assert_error(125, &["setup", "--list"]);
}

/// The old tool started a new container then, and took the arguments for a command.
fn function_needs_a_running_container(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    nsinit
        .run(&["exec", "--func", "ip"])
        .assert_error(125, &["does not run"]);
    let mknod = ["exec", "--func", "mknod", "--", "/tmp/x", "c", "1", "3"];
    nsinit.run(&mknod).assert_error(125, &["does not run"]);
}

fn ip_lists_the_interfaces_of_the_container(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    nsinit.while_running(|| {
        let table = nsinit.run(&["exec", "--func", "ip"]);
        if !test.is_root() {
            // A thread cannot enter a user namespace to make its socket there.
            return table.assert_error(125, &["CAP_SYS_ADMIN"]);
        }
        let rows: Vec<Vec<&str>> = table
            .text()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["NAME", "MTU", "MAC", "FLAG", "ADDRS"]);
        let row = rows.iter().find(|row| row[0] == "lo").expect("loopback");
        assert_eq!((row[1], row[3]), ("65536", "up|loopback"));
        assert!(
            row[4].split(',').any(|address| address == "127.0.0.1/8"),
            "{row:?}"
        );
        let others: Vec<_> = rows
            .iter()
            .filter(|row| row[0].starts_with("eth"))
            .collect();
        assert!(others.is_empty(), "not the host's: {rows:?}");
        nsinit
            .run(&["exec", "--func", "ip", "--", "x"])
            .assert_error(125, &["no arguments"]);
    });
}

fn configuration_is_printed_in_both_forms(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let seed = nsinit.run(&["config"]);
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    assert_eq!(read(seed.text())["hostname"], "integration");
    assert!(seed.text().contains("\n\t\""), "indented by tabs");
    assert_eq!(nsinit.run(&["config", "--to", "seed"]).text(), seed.text());
    // The user of the template is looked up in the container's own files, which config.json cannot say.
    let refused = nsinit.run(&["config", "--to", "oci"]);
    refused.assert_error(125, &["/user", "0:0"]);
    let oci = nsinit.run(&["config", "--to", "oci", "--user", "0:0", "--", "id"]);
    assert_eq!(read(oci.text())["process"]["args"], json!(["id"]));

    nsinit.test.write("data/container.json", oci.text());
    nsinit
        .run(&["config"])
        .assert_error(125, &["/process/args", "--without-args"]);
    let back = nsinit.run(&["config", "--without-args"]);
    let mut expected = read(seed.text());
    expected["user"] = json!("0:0");
    assert_eq!(read(back.text()), expected);
    let unknown = oci.text().replacen("hostname", "hostnam", 1);
    nsinit.test.write("data/container.json", unknown);
    let refused = nsinit.run(&["config", "--to", "oci"]);
    refused.assert_error(125, &["/hostnam", "did you mean \"hostname\"?"]);
}

fn container_that_does_not_run_has_nothing_to_show(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    for verb in ["stats", "pause", "unpause", "oom"] {
        nsinit.run(&[verb]).assert_error(125, &["no container"]);
    }
    // Without a group there is nothing to stop; the old tool crashed.
    nsinit.while_running(|| {
        for verb in ["pause", "unpause", "oom"] {
            nsinit.run(&[verb]).assert_error(125, &["control group"]);
        }
        let stats = nsinit.run(&["stats"]);
        let stats: Value = serde_json::from_str(stats.text()).expect("JSON");
        assert_eq!(stats["network_stats"]["rx_bytes"], 0);
    });
}

fn errors_are_added_to_the_log(test: &Test) {
    let Some(nsinit) = Nsinit::new(test) else {
        return;
    };
    let log = nsinit.data.join("log");
    let with_log = |verb: &str, log: &Path| nsinit.invocation(&[verb]).env("log", log).run();
    for _ in 0..2 {
        with_log("stats", &log).assert_error(125, &["no container"]);
    }
    let lines = fs::read_to_string(&log).expect("the log");
    assert_eq!(lines.matches("no container").count(), 2, "{lines}");
    let other = test.write("victim", "left alone");
    test.give_away(&other);
    for is_link in [true, false] {
        let place = nsinit.data.join("planted");
        match is_link {
            true => symlink(&other, &place).expect("plant a link"),
            false => fs::hard_link(&other, &place).expect("plant a second name"),
        }
        with_log("stats", &place).assert_error(125, &["open the log"]);
        fs::remove_file(&place).expect("unlink");
    }
    assert_eq!(fs::read_to_string(&other).expect("read"), "left alone");
}

#[test]
fn mknod_makes_a_node_in_the_container_alone() {
    let test = needs!(root, busybox);
    let Some(nsinit) = Nsinit::new(&test) else {
        return;
    };
    // Absolute in the image, so the container's own /tmp, which the host has as well.
    symlink("/tmp", nsinit.rootfs.path().join("way")).expect("symlink");
    symlink("../../../../../../tmp", nsinit.rootfs.path().join("up")).expect("symlink");
    nsinit.while_running(|| {
        let mknod = |words: &[&str]| {
            let all = [&["exec", "--func", "mknod", "--"][..], words].concat();
            nsinit.run(&all)
        };
        assert_eq!(mknod(&["/way/ns-tests-null", "c", "1", "3"]).text(), "");
        assert_eq!(
            mknod(&["/up/ns-tests-loop", "block", "7", "200"]).text(),
            ""
        );
        let seen = nsinit.exec("cd /tmp; stat -c '%n %F %t:%T %a %u:%g' ns-tests-*");
        assert_eq!(
            seen.text(),
            "ns-tests-loop block special file 7:c8 0 0:0\n\
             ns-tests-null character special file 1:3 0 0:0"
        );
        assert!(
            !Path::new("/tmp/ns-tests-null").exists() && !Path::new("/tmp/ns-tests-loop").exists()
        );
        assert_eq!(
            mknod(&["/tmp/ns-tests-null", "c", "1", "3"]).code,
            0,
            "it is there"
        );
        mknod(&["/tmp/ns-tests-null", "c", "1", "5"]).assert_error(125, &["make the node"]);
        mknod(&["/nowhere/x", "c", "1", "3"])
            .assert_error(125, &["find the directory", "/nowhere"]);
        mknod(&["/proc/self/root/tmp/x", "c", "1", "3"]).assert_error(125, &["magic link"]);
        mknod(&["/proc/self/fd/x", "c", "1", "3"]).assert_error(125, &["make the node"]);
        for (words, expected) in [
            (&["/tmp/x", "c", "1"][..], "two numbers"),
            (&["/tmp/x", "x", "1", "3"], "no type"),
            (&["/tmp/x", "c", "4096", "3"], "4096:3"),
            (&["tmp/x", "c", "1", "3"], "absolute"),
            (&["/tmp/..", "c", "1", "3"], "absolute"),
        ] {
            mknod(words).assert_error(125, &[expected]);
        }
    });
}

#[test]
fn mknod_obeys_the_device_rules_of_the_group() {
    let test = needs!(root, busybox, cgroup);
    let Some(nsinit) = Nsinit::new(&test) else {
        return;
    };
    let mut config = nsinit.config();
    let name = format!("ns-tests-mknod-{}", std::process::id());
    // What every container has, and no wildcard.
    let numbers = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];
    let rule = |(major, minor)| json!({"type": 99, "major_number": major, "minor_number": minor, "cgroup_permissions": "rwm"});
    let rules: Vec<Value> = numbers.map(rule).into();
    config["cgroups"] = json!({"name": name, "allowed_devices": rules});
    nsinit.configure(&config);
    let first = nsinit.exec("true");
    if first.code == 125 && first.stderr.contains("make control group") {
        return test.skip(&format!(
            "this host has no such groups: {}",
            first.stderr.trim_end()
        ));
    }
    nsinit.while_running(|| {
        let mknod =
            |minor: &str| nsinit.run(&["exec", "--func", "mknod", "--", "/tmp/x", "c", "1", minor]);
        mknod("12").assert_error(125, &["make the node", "EPERM", "device rule"]);
        assert_eq!(mknod("3").code, 0, "what the rules allow is made");
        for verb in ["pause", "unpause"] {
            assert_eq!(nsinit.run(&[verb]).text(), "", "{verb}");
        }
        assert!(nsinit.run(&["stats"]).text().contains("cgroup_stats"));
    });
}

#[test]
fn mknod_in_a_paused_container_is_refused() {
    let test = needs!(root, busybox, cgroup);
    let Some(nsinit) = Nsinit::new(&test) else {
        return;
    };
    let mut config = nsinit.config();
    let name = format!("ns-tests-paused-{}", std::process::id());
    config["cgroups"] = json!({"name": name, "allow_all_devices": true});
    nsinit.configure(&config);
    nsinit.while_running(|| {
        let _paused = Paused::new(&nsinit);
        let mknod = nsinit.run(&["exec", "--func", "mknod", "--", "/tmp/x", "c", "1", "3"]);
        mknod.assert_error(125, &["is paused"]);
    });
}

/// Goes on when it is dropped: what is paused does not end.
struct Paused<'a, 't>(&'a Nsinit<'t>);

impl<'a, 't> Paused<'a, 't> {
    fn new(nsinit: &'a Nsinit<'t>) -> Self {
        assert_eq!(nsinit.run(&["pause"]).text(), "");
        Paused(nsinit)
    }
}

impl Drop for Paused<'_, '_> {
    fn drop(&mut self) {
        let _resumed = self.0.run(&["unpause"]);
    }
}

#[test]
fn mknod_in_a_user_namespace_is_refused() {
    let test = needs!(plain, user_namespace, busybox);
    let Some(nsinit) = Nsinit::new(&test) else {
        return;
    };
    nsinit.while_running(|| {
        let mknod = nsinit.run(&["exec", "--func", "mknod", "--", "/tmp/x", "c", "1", "3"]);
        mknod.assert_error(125, &["user namespace", "bind"]);
    });
}
