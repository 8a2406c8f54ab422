//! Every shape that an image can have in the place of what a start touches.

use std::fs;

use ns_tests::hostile::{Attack, Shape, assert_safe_or_refused};
use ns_tests::{Test, variants};
use serde_json::json;

/// What a start mounts on, reads or makes.
const PLACES: [&str; 14] = [
    "dev",
    "proc",
    "sys",
    "etc",
    "run",
    "tmp",
    "root",
    "bin/nsrun",
    "dev/null",
    "dev/console",
    "dev/pts",
    "dev/ptmx",
    "dev/shm",
    "etc/passwd",
];

variants![
    image_starts_safely_or_is_refused,
    image_below_a_sandbox_starts_safely_or_is_refused
];

fn image_starts_safely_or_is_refused(test: &Test) {
    for shape in Shape::ALL {
        for place in PLACES {
            let name = format!("{shape:?}-{}", place.replace('/', "-"));
            let attack = Attack::named(test, &name);
            shape.put(&attack, place);
            let config = attack.config_with(&json!({"working_dir": "/"}));
            let output = attack.script(
                &config,
                "echo ran in $(pwd) on $(stat -f -c %T /proc /dev /sys)",
            );
            assert_safe_or_refused(&name, &output, "ran in / on proc tmpfs sysfs");
            discard(&attack);
        }
    }
}

fn image_below_a_sandbox_starts_safely_or_is_refused(test: &Test) {
    for shape in Shape::ALL {
        for place in PLACES {
            let name = format!("{shape:?}-{}", place.replace('/', "-"));
            let attack = Attack::named(test, &name);
            shape.put(&attack, place);
            let flags = [
                "--rootfs",
                attack.image_text(),
                "--dir",
                "/run/made",
                "--writable-rootfs",
            ];
            let output = attack.sandbox(
                &flags,
                &[
                    "/bin/sh",
                    "-c",
                    "echo ran in $(pwd) on $(stat -f -c %T /proc /dev)",
                ],
            );
            assert_safe_or_refused(&name, &output, "ran in / on proc tmpfs");
            discard(&attack);
        }
    }
}

/// The largest file goes early, so that the table does not fill a disk.
fn discard(attack: &Attack<'_>) {
    fs::remove_file(attack.in_image("bin/busybox")).expect("set up the attack");
}
