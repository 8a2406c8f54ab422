//! The seed's sample configurations as whole starts, with their control groups.

use std::path::Path;

use ns_tests::{Output, Test, needs};
use serde_json::{Value, json};

/// A sample with a root file system, a group of this test's own, and no terminal.
fn sample(test: &Test, name: &str, rootfs: &str) -> Value {
    let data = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/ns-config/tests/data")
        .join(name);
    let text = std::fs::read_to_string(data).expect("a sample");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["root_fs"] = json!(rootfs);
    config["tty"] = json!(false);
    config["user"] = json!("1");
    config["cgroups"]["parent"] = json!("");
    config["cgroups"]["name"] = json!(
        format!("ns-tests-{}-{}", std::process::id(), test.path().display())
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    );
    config
}

/// Whether the host has no group for the device rules of the samples; said aloud.
fn lacks_groups(test: &Test, output: &Output) -> bool {
    let lacks = output.code == 125 && output.stderr.contains("make control group");
    if lacks {
        test.skip(&format!(
            "this host has no such groups: {}",
            output.stderr.trim_end()
        ));
    }
    lacks
}

#[test]
fn minimal_sample_runs_in_its_group() {
    let test = needs!(root);
    let Some(rootfs) = test.busybox() else { return };
    let config = sample(&test, "minimal.json", rootfs.text());
    let output = test.run_config(&config, "hostname; id -u; cat /proc/self/cgroup; echo end");
    if lacks_groups(&test, &output) {
        return;
    }
    let lines: Vec<&str> = output.text().lines().collect();
    assert_eq!((lines[0], lines[1]), ("koye", "1"));
    let name = config["cgroups"]["name"].as_str().expect("text");
    assert!(
        lines.iter().any(|line| line.ends_with(name)),
        "it is in its group: {output:?}"
    );
}

#[test]
fn samples_with_a_label_are_refused_where_the_module_is_not() {
    let test = needs!(root);
    if Path::new("/sys/module/apparmor").exists() || Path::new("/sys/fs/selinux/enforce").exists() {
        return test.skip("a security module is enabled here");
    }
    let Some(rootfs) = test.busybox() else { return };
    for name in ["apparmor.json", "selinux.json"] {
        let output = test.run_config(&sample(&test, name, rootfs.text()), "true");
        if lacks_groups(&test, &output) {
            return;
        }
        assert_eq!(output.code, 125, "{name}: {output:?}");
    }
}

#[test]
fn sample_with_a_bridge_that_is_missing_names_it() {
    let test = needs!(root);
    let Some(rootfs) = test.busybox() else { return };
    let mut config = sample(&test, "attach_to_bridge.json", rootfs.text());
    config["networks"][1]["bridge"] = json!("ns-no-bridge");
    test.run_config(&config, "true")
        .assert_error(125, &["ns-no-bridge", "/networks/1"]);
}
