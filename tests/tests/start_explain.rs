//! `nsrun explain` and `nsrun doctor`: they tell, and start nothing for good.

use ns_tests::{Test, variants, write_json};
use serde_json::Value;

variants![
    sandbox_is_explained_as_text_and_json,
    configuration_is_explained,
    doctor_tells_what_works,
    help_goes_to_the_standard_output,
];

fn sandbox_is_explained_as_text_and_json(test: &Test) {
    let text = test
        .nsrun([
            "explain",
            "sandbox",
            "--hostname",
            "a-box",
            "--",
            "no-such-command",
        ])
        .run();
    assert!(text.text().starts_with("clone3(0x"), "{text:?}");
    assert!(text.text().contains("sethostname(\"a-box\")"), "{text:?}");
    let json = test
        .nsrun([
            "explain",
            "--json",
            "sandbox",
            "--hostname",
            "a-box",
            "--",
            "true",
        ])
        .run();
    let plan: Value = serde_json::from_str(json.text()).expect("JSON");
    let steps = plan["steps"].as_array().expect("a list");
    let is_step = |line: &&str| line.starts_with(' ');
    assert_eq!(text.text().lines().filter(is_step).count(), steps.len());
    let beside = "unshare(0x40000000) in a thread of the caller";
    assert_eq!(text.text().contains(beside), plan["caller_flags"] != 0);
    assert!(
        steps
            .iter()
            .all(|step| step["what"].is_string() && step["call"].is_string())
    );
    assert_eq!(steps.last().expect("a step")["what"], "execute the command");
}

fn configuration_is_explained(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let path = write_json(test.path(), &test.container_json(rootfs.path()));
    let output = test
        .nsrun(["explain", "run", "--config"])
        .args([path])
        .args(["--", "true"])
        .run();
    assert!(
        output
            .text()
            .contains("sethostname(\"integration\")  # /hostname"),
        "{output:?}"
    );
}

fn doctor_tells_what_works(test: &Test) {
    let output = test.nsrun(["doctor", "--json"]).run();
    let findings: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let findings = findings.as_array().expect("a list");
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let finding = findings
            .iter()
            .find(|finding| finding["subject"] == kind)
            .expect("a finding");
        assert_eq!(finding["works"], true, "{finding}");
    }
    let all_work = findings.iter().all(|finding| finding["works"] == true);
    assert_eq!(output.code, if all_work { 0 } else { 125 });
}

fn help_goes_to_the_standard_output(test: &Test) {
    for arguments in [
        &["--help"][..],
        &["sandbox", "--help"],
        &["run", "--help"],
        &["--version"],
    ] {
        let output = test.nsrun(arguments).run();
        assert!(
            output.text().contains("nsrun") || output.text().contains("Usage"),
            "{output:?}"
        );
    }
}
