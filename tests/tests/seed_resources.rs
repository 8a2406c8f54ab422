//! `SetupCgroups`, `EnterCgroups` and `InitializeNetworking` of docker/libcontainer's `namespaces` package, each used by
//! itself on a process of the test's own; docs/seed.md has the table.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use ns_config::cgroup::Limit;
use ns_config::{CgroupConfig, Config, IpPrefix, NamespaceKind, Network, NetworkKind};
use ns_exec::{
    Container, Kind, Sandbox, Start, StateDir, Stream, enter_cgroups, initialize_networking,
    setup_cgroups,
};
use ns_tests::{Test, Waiting, has_controller, needs};

const SOON: Duration = Duration::from_secs(10);

/// A configuration with a group of the test's own, with the limits that are offered.
fn grouped(name: &str) -> Config {
    let mut config = Config::default();
    let mut cgroup = CgroupConfig {
        name: format!("ns-tests-{name}-{}", std::process::id()),
        pids: has_controller("pids").then_some(Limit::Value(64)),
        ..CgroupConfig::default()
    };
    if has_controller("memory") {
        cgroup.memory.limit_bytes = Some(Limit::Value(64 << 20));
    }
    config.cgroup = Some(cgroup);
    config
}

/// Whether groups can be made here; says why not.
fn can_make_groups(test: &Test) -> bool {
    let waiting = Waiting::asleep();
    match setup_cgroups(&grouped("can"), &waiting.target()) {
        Ok(group) => {
            let group = group.expect("one is configured");
            group.kill(SOON).expect("it ends");
            drop(waiting);
            group.remove(SOON).expect("it is removed");
            true
        }
        Err(error) => {
            test.skip(&format!("needs control groups: {error}"));
            false
        }
    }
}

fn group_dirs(name: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let mounts = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let places = mounts.filter_map(|line| line.split(' ').nth(4).map(str::to_owned));
    let find = |place: String| {
        let output = Command::new("find")
            .args([&place, "-xdev", "-type", "d", "-name", name])
            .output();
        let text = output.expect("find(1)").stdout;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    places.flat_map(find).collect()
}

#[test]
fn setup_cgroups_moves_the_process_under_its_limits() {
    let test = needs!(root, cgroup);
    if !can_make_groups(&test) {
        return;
    }
    let mut waiting = Waiting::asleep();
    let before = waiting.groups();
    let nothing = setup_cgroups(&Config::default(), &waiting.target()).expect("nothing to do");
    assert!(nothing.is_none());
    assert_eq!(
        waiting.groups(),
        before,
        "without a group it stays where it is"
    );

    let config = grouped("setup");
    let group = setup_cgroups(&config, &waiting.target()).expect("it is made");
    let group = group.expect("one is configured");
    assert_eq!(group.processes().expect("a list"), [waiting.target().pid()]);
    let paths = group.paths();
    assert!(!paths.is_empty());
    for (controller, path) in &paths {
        let members = fs::read_to_string(format!("{path}/cgroup.procs")).expect("a group");
        assert_eq!(members.trim(), waiting.pid().to_string(), "{controller:?}");
    }
    let limit = |name: &str, v1: &str, v2: &str| {
        let path = match paths.get(name) {
            Some(path) => format!("{path}/{v1}"),
            None => format!("{}/{v2}", paths[""]),
        };
        fs::read_to_string(path).expect("a limit").trim().to_owned()
    };
    if has_controller("pids") {
        assert_eq!(limit("pids", "pids.max", "pids.max"), "64");
    }
    if has_controller("memory") {
        let memory = limit("memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(memory, (64 << 20).to_string());
    }

    // The seed joined a group that was there, whoever was in it.
    let other = Waiting::asleep();
    let error = setup_cgroups(&config, &other.target()).expect_err("it is in use");
    assert_eq!(error.kind(), Kind::AlreadyExists, "{error}");
    assert_eq!(other.groups(), before);
    waiting.end();
    group.remove(SOON).expect("it is removed");
    assert!(paths.values().all(|path| !Path::new(path).exists()));
}

#[test]
fn setup_cgroups_that_fails_half_way_leaves_nothing() {
    let test = needs!(root, cgroup);
    if !can_make_groups(&test) {
        return;
    }
    let mut config = grouped("half");
    let cgroup = config.cgroup.as_mut().expect("a group");
    let name = cgroup.name.clone();
    // A limit that the kernel refuses: the seed left the directories.
    cgroup.cpu.cpus = Some("4095".to_owned());
    let mut waiting = Waiting::asleep();
    let before = waiting.groups();
    setup_cgroups(&config, &waiting.target()).expect_err("there is no such processor");
    assert_eq!(group_dirs(&name), [""; 0], "nothing is left");
    assert_eq!(waiting.groups(), before);

    process_that_one_hierarchy_refuses_is_where_it_was(&test);
    assert_eq!(group_dirs(&name), [""; 0], "nothing is left");

    let target = waiting.target();
    waiting.end();
    let error = setup_cgroups(&grouped("half"), &target).expect_err("it has ended");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
    assert_eq!(group_dirs(&name), [""; 0], "nothing is left");
}

/// Real-time, with no time for that in the group.
fn process_that_one_hierarchy_refuses_is_where_it_was(test: &Test) {
    let chrt = ["chrt", "-f", "1"];
    let allowed = std::process::Command::new(chrt[0])
        .args(&chrt[1..])
        .arg("true")
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        return test.skip("second half: no real-time processes for this user (chrt)");
    }
    let mut config = grouped("half");
    let cgroup = config.cgroup.as_mut().expect("a group");
    cgroup.cpu.shares = Some(512);
    let mut realtime = Waiting::start(&["chrt", "-f", "1", "sleep", "1000"]);
    // It is sleep by now.
    realtime.wait_for("sleep");
    let before = realtime.groups();
    match setup_cgroups(&config, &realtime.target()) {
        Err(error) => {
            assert_eq!(error.also(), [""; 0], "{error}");
            assert_eq!(realtime.groups(), before, "it is where it was: {error}");
        }
        Ok(group) => {
            test.skip("second half: no hierarchy of this host refuses a real-time process");
            let group = group.expect("one is configured");
            group.kill(SOON).expect("it ends");
            drop(realtime);
            group.remove(SOON).expect("it is removed");
        }
    }
}

/// A container that sleeps in a group of its own.
fn container<'d>(name: &str, dir: &'d StateDir) -> Container<'d> {
    let mut config = Sandbox::default().config().expect("a sandbox");
    config.cgroup = grouped(name).cgroup;
    let start = Start::new(&config, ["sleep", "1000"])
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null);
    Container::run(start, name, dir).expect("it starts")
}

#[test]
fn enter_cgroups_is_in_all_groups_of_the_container_or_in_none() {
    let test = needs!(root, cgroup);
    if !can_make_groups(&test) {
        return;
    }
    let dir = StateDir::open(test.path().join("state")).expect("a directory");
    let box1 = container("box1", &dir);
    let box2 = container("box2", &dir);
    let pid = box1.process().expect("ours").pid();
    let of_container = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it lives");

    let waiting = Waiting::asleep();
    let before = waiting.groups();
    let refused = |kind: Kind, change: &dyn Fn(&mut ns_config::ContainerState)| {
        let mut state = box1.state().clone();
        change(&mut state);
        let error = enter_cgroups(&state, &waiting.target()).expect_err("it is refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(waiting.groups(), before, "it is where it was: {error}");
    };
    for controller in box1.state().cgroup_paths.keys() {
        // H3: the seed skipped it, and the process was outside of the container's limits.
        refused(Kind::NotFound, &|state| {
            let path = state.cgroup_paths.get_mut(controller).expect("a path");
            path.push_str("-gone");
        });
        // A group, and not the container's.
        let others = &box2.state().cgroup_paths[controller];
        refused(Kind::Hostile, &|state| {
            let path = state.cgroup_paths.get_mut(controller).expect("a path");
            path.clone_from(others);
        });
        for wrong in ["/tmp", "/sys/fs/cgroup", "/etc/passwd", ""] {
            refused(Kind::Hostile, &|state| {
                let path = state.cgroup_paths.get_mut(controller).expect("a path");
                wrong.clone_into(path);
            });
        }
    }
    refused(Kind::Unsupported, &|state| state.cgroup_paths.clear());
    refused(Kind::Gone, &|state| state.init_start_ticks += 1);
    refused(Kind::Gone, &|state| state.boot_id = "another".to_owned());

    enter_cgroups(box1.state(), &waiting.target()).expect("it enters");
    assert_eq!(
        waiting.groups(),
        of_container,
        "it is where the container is"
    );
    drop(waiting);
    let late = Waiting::asleep();
    box1.signal(libc::SIGKILL).expect("it lives");
    box1.wait().expect("it ends");
    let error = enter_cgroups(box1.state(), &late.target()).expect_err("it has ended");
    assert_eq!(error.kind(), Kind::Gone, "{error}");
    assert_eq!(late.groups(), before);
    box1.delete().expect("it is removed");
    box2.kill_and_delete().expect("it is removed");
}

/// Runs `work` on a thread in a network namespace of its own, that stands for the host, with a bridge `br0`.
fn on_a_host_of_its_own(test: &Test, work: impl FnOnce() + Send) {
    let work = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        match ip(&["link", "add", "br0", "type", "bridge"]) {
            Ok(_) => {
                ip(&["link", "set", "br0", "up"]).expect("ip(8)");
                work();
            }
            Err(reason) => test.skip(&format!("needs bridges: {reason}")),
        }
    };
    std::thread::scope(|scope| scope.spawn(work).join()).expect("the test's own thread");
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().expect("ip(8)");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

fn veth(prefix: &str, name: &str, address: &str) -> Network {
    let mut network = Network::new(NetworkKind::Veth {
        bridge: "br0".to_owned(),
        prefix: prefix.to_owned(),
        host_interface_name: None,
        hairpin: false,
    });
    let address: IpPrefix = address.parse().expect("an address");
    network.addresses.push(address);
    network.name = Some(name.to_owned());
    network
}

#[test]
fn initialize_networking_makes_interfaces_of_a_waiting_process() {
    let test = needs!(root);
    on_a_host_of_its_own(&test, || {
        let mut waiting = Waiting::start(&["unshare", "--net", "sleep", "1000"]);
        waiting.wait_for("sleep");
        let mut config = Config::default();
        config.namespaces.add(NamespaceKind::Network, None, "");
        config.networks = vec![
            Network::new(NetworkKind::Loopback),
            veth("nst", "eth0", "10.9.0.2/24"),
        ];
        let made = initialize_networking(&config, &waiting.target()).expect("they are made");
        let names: Vec<String> = made.host_names().map(str::to_owned).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("nst"), "{names:?}");
        let host = ip(&["-o", "link", "show", &names[0]]).expect("the host's end");
        assert!(
            host.contains("master br0") && host.contains(",UP"),
            "{host}"
        );
        let pid = waiting.pid().to_string();
        let inside = |arguments: &[&str]| {
            let enter = ["-n", "-t", &pid, "ip"];
            let output = Command::new("nsenter").args(enter).args(arguments).output();
            String::from_utf8_lossy(&output.expect("nsenter(1)").stdout).into_owned()
        };
        let addresses = inside(&["-o", "-4", "addr"]);
        assert!(
            addresses.contains("eth0") && addresses.contains("10.9.0.2/24"),
            "{addresses}"
        );
        assert!(addresses.contains("127.0.0.1"), "lo is up: {addresses}");
        made.remove().expect("they are removed");
        assert!(ip(&["link", "show", &names[0]]).is_err(), "it is gone");
        assert!(
            !inside(&["-o", "link"]).contains("eth0"),
            "its other end went with it"
        );

        // A later one fails: an address that its gateway cannot be reached from.
        let mut second = veth("nst", "eth1", "10.8.0.2/24");
        second
            .gateways
            .push("10.7.0.1".parse().expect("an address"));
        config.networks.push(second);
        let error = initialize_networking(&config, &waiting.target());
        error.expect_err("the gateway cannot be reached");
        let left = ip(&["-o", "link"]).expect("ip(8)");
        assert!(!left.contains("nst"), "the first is taken back: {left}");
        assert!(!inside(&["-o", "link"]).contains("eth"), "inside as well");
    });
}

/// H6: the seed configured whatever namespace the process was in, the host's for one.
#[test]
fn initialize_networking_never_changes_the_callers_own_namespace() {
    let test = needs!(root);
    on_a_host_of_its_own(&test, || {
        let waiting = Waiting::asleep();
        let mut config = Config::default();
        config.namespaces.add(NamespaceKind::Network, None, "");
        config.networks = vec![
            Network::new(NetworkKind::Loopback),
            veth("nst", "eth0", "10.9.0.2/24"),
        ];
        let before = ip(&["-o", "link"]).expect("ip(8)");
        let error = initialize_networking(&config, &waiting.target()).expect_err("it is ours");
        assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
        assert_eq!(ip(&["-o", "link"]).expect("ip(8)"), before);
        config.namespaces = ns_config::Namespaces::default();
        let error = initialize_networking(&config, &waiting.target()).expect_err("none is new");
        assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
        assert_eq!(ip(&["-o", "link"]).expect("ip(8)"), before);
    });
}
