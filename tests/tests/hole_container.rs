//! The holes of the original library, H2, H3 and H15: running containers and their control groups, as whole starts.

use std::fs;
use std::path::{Path, PathBuf};

use ns_tests::hostile::assert_refused;
use ns_tests::{Output, Test, Waiting, has_controller, needs, write_json};
use serde_json::{Value, json};

/// Containers of a test, in a state directory of its own; they end with it.
struct Host<'t> {
    test: &'t Test,
    root: PathBuf,
}

impl<'t> Host<'t> {
    fn new(test: &'t Test) -> Self {
        let root = test.make_dir("state");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&root, private).expect("set up the attack");
        Host { test, root }
    }

    fn nsrun(&self, arguments: &[&str]) -> Output {
        let root = self.root.to_str().expect("temporary directories are UTF-8");
        self.test.nsrun(["--root", root]).args(arguments).run()
    }

    /// A container in a group of its own, with limits in two controllers where they are offered.
    fn start(&self, id: &str, rootfs: &Path) {
        let mut config = self.test.container_json(rootfs);
        config["cgroups"] = json!({"name": group_name(id), "allow_all_devices": true});
        for (controller, key, value) in [("memory", "memory", 64 << 20), ("cpu", "cpu_shares", 512)]
        {
            if has_controller(controller) {
                config["cgroups"][key] = json!(value);
            }
        }
        let config = write_json(self.test.path(), &config);
        let config = config.to_str().expect("temporary directories are UTF-8");
        let sleep = ["--", "sleep", "1000"];
        let run = ["run", "--config", config, "--id", id, "--detach"];
        let output = self.nsrun(&[&run[..], &sleep[..]].concat());
        assert_eq!(output.code, 0, "{output:?}");
    }

    fn state(&self, id: &str) -> Value {
        let text = fs::read(self.root.join(id).join("state.json")).expect("set up the attack");
        serde_json::from_slice(&text).expect("set up the attack")
    }

    /// Somebody changes what is remembered.
    fn tamper(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state(id);
        change(&mut state);
        let path = self.root.join(id).join("state.json");
        fs::write(path, state.to_string()).expect("set up the attack");
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.root).expect("the state directory") {
            let id = entry.expect("the state directory").file_name();
            let id = id.to_str().expect("an id");
            let output = self.nsrun(&["delete", "--force", id]);
            if !std::thread::panicking() {
                assert_eq!(output.code, 0, "{output:?}");
            }
        }
    }
}

/// The name by which the census knows a group of the tests.
fn group_name(id: &str) -> String {
    format!("ns-tests-{}-{id}", std::process::id())
}

#[test]
fn h02_number_of_another_process_is_neither_joined_nor_ended() {
    let test = needs!(root, busybox, cgroup);
    let rootfs = test.busybox().expect("it is needed");
    let host = Host::new(&test);
    host.start("one", rootfs.path());
    let before = host.state("one");
    let mut bystander = Waiting::asleep();
    // The number went round: it is a process of the host by now, which shares the host's namespaces.
    host.tamper("one", |state| state["init_pid"] = json!(bystander.pid()));
    let joined = host.nsrun(&["exec", "one", "--", "echo", "on the host"]);
    assert_refused("exec", &joined);
    assert_refused("kill", &host.nsrun(&["kill", "one", "KILL"]));
    bystander.assert_alive();
    let removed = host.nsrun(&["delete", "one"]);
    bystander.assert_alive();
    if removed.code != 0 {
        host.tamper("one", |state| *state = before);
    }
}

#[test]
fn h03_joined_command_is_in_every_group_before_it_runs() {
    let test = needs!(root, busybox, cgroup);
    let rootfs = test.busybox().expect("it is needed");
    let host = Host::new(&test);
    host.start("one", rootfs.path());
    let groups = |of: &str| {
        let output = host.nsrun(&["exec", "one", "--", "cat", &format!("/proc/{of}/cgroup")]);
        output.text().to_owned()
    };
    let containers = groups("1");
    let name = group_name("one");
    let its_own = containers
        .lines()
        .filter(|line| line.contains(&name))
        .count();
    assert!(its_own >= 1, "{containers}");
    // The seed's race was lost most of the time, not always.
    for _ in 0..8 {
        assert_eq!(groups("self"), containers, "it is outside of a group");
    }
}

#[test]
fn h03_missing_group_is_an_error_and_nothing_runs() {
    let test = needs!(root, busybox, cgroup);
    let rootfs = test.busybox().expect("it is needed");
    let host = Host::new(&test);
    host.start("one", rootfs.path());
    let before = host.state("one");
    let paths = before["cgroup_paths"].as_object().expect("groups");
    assert!(!paths.is_empty(), "{before}");
    for (controller, path) in paths {
        let gone = format!("{}-gone", path.as_str().expect("a path"));
        host.tamper("one", |state| {
            state["cgroup_paths"][controller] = json!(gone)
        });
        let output = host.nsrun(&["exec", "one", "--", "touch", "/ran"]);
        assert_refused(&format!("{controller} is gone"), &output);
        assert!(
            output.stderr.contains(&gone),
            "it names the group: {output:?}"
        );
        assert!(!rootfs.path().join("ran").exists(), "it ran outside");
        host.tamper("one", |state| *state = before.clone());
    }
}

#[test]
fn h15_group_that_is_not_the_containers_is_never_made_joined_or_removed() {
    let test = needs!(root, busybox, cgroup);
    let rootfs = test.busybox().expect("it is needed");
    let host = Host::new(&test);
    for (parent, name) in [
        ("", ""),
        ("/", ""),
        ("..", "x"),
        ("", ".."),
        ("a/../..", "x"),
        ("/../..", "x"),
        ("", "a/../../b"),
    ] {
        let mut config = test.container_json(rootfs.path());
        config["cgroups"] = json!({"parent": parent, "name": name, "allow_all_devices": true});
        let output = test.run_config(&config, "touch /ran");
        assert_refused(&format!("parent {parent:?}, name {name:?}"), &output);
        assert!(!rootfs.path().join("ran").exists());
    }

    // Somebody else's group, beside the container's own, and the state says that it was made for the container.
    host.start("one", rootfs.path());
    let before = host.state("one");
    let mut bystander = Waiting::asleep();
    let mut canaries = Vec::new();
    for path in before["cgroup_paths"].as_object().expect("groups").values() {
        let beside = Path::new(path.as_str().expect("a path")).with_file_name(group_name("canary"));
        let below = beside.join("below");
        if fs::create_dir(&beside).is_ok() {
            fs::create_dir(&below).expect("set up the attack");
            // A new cpuset takes nobody.
            let _joined = fs::write(below.join("cgroup.procs"), bystander.pid().to_string());
            canaries.push(beside);
        }
    }
    for climbing in ["../{}", "../{}/below", "./../{}/.", "../../{}"] {
        let climbing = climbing.replace("{}", &group_name("canary"));
        host.tamper("one", |state| {
            for path in state["cgroup_paths"]
                .as_object_mut()
                .expect("groups")
                .values_mut()
            {
                *path = json!(format!("{}/{climbing}", path.as_str().expect("a path")));
            }
            state["made_cgroup_paths"] = json!(Vec::from_iter(
                state["cgroup_paths"].as_object().expect("groups").values()
            ));
        });
        assert_refused(&climbing, &host.nsrun(&["delete", "--force", "one"]));
        bystander.assert_alive();
        host.tamper("one", |state| *state = before.clone());
    }
    drop(bystander);
    for canary in canaries {
        for group in [canary.join("below"), canary] {
            fs::remove_dir(group).expect("nobody else has removed it");
        }
    }
}
