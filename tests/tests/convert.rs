//! A converted configuration means the same to another engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ns_tests::{Test, needs};
use serde_json::{Value, json};

const ENGINES: [&str; 2] = ["/usr/sbin/runc", "/usr/bin/crun"];

/// What a container can tell about itself that does not name the engine.
const LOOK: &str = "hostname; id -u; id -g; pwd; env | sort | grep -v -e SHLVL -e PWD
    ls /dev | grep -v core; ulimit -n; umask
    grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status
    for ns in ipc mnt net pid uts; do readlink /proc/self/ns/$ns | cut -d: -f1; done
    grep -E ' /(proc|dev|dev/shm|dev/pts|sys|tmp) ' /proc/mounts | cut -d' ' -f2,3 | sort
    cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l
    for path in /proc/sys/kernel/hostname /sys/kernel/mm /tmp; do test -w $path && echo $path; done
    ip link | grep -c lo: ; dd if=/dev/zero of=/dev/full count=1 2>&1 | grep -o 'No space left.*'";

/// The sample, with a root file system, ids, limits and a group of the test's own.
fn sample(test: &Test, rootfs: &str) -> Value {
    let data = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = data.join("../crates/ns-config/tests/data/minimal.json");
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(data).expect("a sample")).expect("JSON");
    config["root_fs"] = json!(rootfs);
    config["tty"] = json!(false);
    config["user"] = json!("1:1");
    config["working_dir"] = json!("/tmp");
    config["rlimits"] = json!([{"type": 7, "soft": 512, "hard": 1024}]);
    config["no_new_privileges"] = json!(true);
    config["cgroups"]["parent"] = json!("");
    config["cgroups"]["name"] = json!(group(test));
    config
}

fn group(test: &Test) -> String {
    let name = format!(
        "ns-tests-convert-{}-{}",
        std::process::id(),
        test.path().display()
    );
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

#[test]
fn converted_sample_is_the_same_container_to_other_engines() {
    let test = needs!(root, busybox, cgroup);
    let Some(rootfs) = test.busybox() else { return };
    let engines: Vec<&str> = ENGINES
        .into_iter()
        .filter(|path| Path::new(path).exists())
        .collect();
    if engines.is_empty() {
        return test.skip("needs runc or crun");
    }
    let config = sample(&test, rootfs.text());
    let ours = test.run_config(&config, LOOK);
    if ours.code == 125 && ours.stderr.contains("make control group") {
        return test.skip(&format!(
            "this host has no such groups: {}",
            ours.stderr.trim_end()
        ));
    }
    let ours = ours.text().to_owned();
    assert!(ours.starts_with("koye\n1\n1\n/tmp\n"), "{ours}");
    let words = ["config", "--to", "oci", "--", "sh", "-c", LOOK];
    let converted = test.nsrun(words).run();
    let bundle = test.make_dir("bundle");
    fs::write(bundle.join("config.json"), converted.text()).expect("write config.json");
    let mut reasons = Vec::new();
    let n_engines = engines.len();
    for engine in engines {
        match run(&test, engine, &bundle) {
            Ok(theirs) => assert_eq!(theirs.trim_end(), ours, "{engine}"),
            Err(reason) => reasons.push(format!("{engine}: {reason}")),
        }
    }
    if reasons.len() == n_engines {
        test.skip(&format!(
            "no engine starts anything here: {}",
            reasons.join("; ")
        ));
    }
    // Back again, and it is still the container that it was.
    let path = bundle.join("config.json");
    let path = path.to_str().expect("UTF-8");
    let back = test
        .nsrun(["config", "--to", "seed", "--without-args", "--config", path])
        .run();
    let back: Value = serde_json::from_str(back.text()).expect("JSON");
    assert_eq!(test.run_config(&back, LOOK).text(), ours);
}

#[test]
fn config_json_is_refused_by_a_start_with_the_way_out() {
    let test = needs!();
    let text = r#"{"ociVersion": "1.0.2", "root": {"path": "rootfs"}}"#;
    let path = test.write("config.json", text);
    let path = path.to_str().expect("UTF-8");
    let output = test.nsrun(["run", "--config", path, "--", "true"]).run();
    output.assert_error(125, &["config.json of OCI", "--to seed"]);
}

/// The output; or why the engine can start nothing on this host.
fn run(test: &Test, engine: &str, bundle: &Path) -> Result<String, String> {
    let state = tempfile::tempdir_in(test.path()).expect("a directory");
    let id = group(test);
    let output = Command::new(engine)
        .arg("--root")
        .arg(state.path())
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(&id)
        .stdin(Stdio::null())
        .output()
        .expect("start the engine");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    // crun refuses hybrid hosts, and on v2 it raises a limit that not every root may raise.
    if error.contains("hybrid") || error.contains("RLIM_MEMLOCK") {
        return Err(error.trim_end().to_owned());
    }
    assert!(output.status.success(), "{engine}: {error}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
