//! `nsrun sandbox`: defaults and flags.

use ns_tests::{Test, variants};

variants![exit_code_of_the_command_is_ours];

fn exit_code_of_the_command_is_ours(test: &Test) {
    for code in [0, 1, 33, 255] {
        let output = test
            .nsrun(["sandbox", "--", "sh", "-c", &format!("exit {code}")])
            .run();
        assert_eq!((output.code, output.stderr.as_str()), (code, ""));
    }
}
