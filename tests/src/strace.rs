//! `strace(1)`, by which calls are seen, held up or made the last one.

use std::process::Command;

use crate::Test;

/// Where it is.
pub const STRACE: &str = "/usr/bin/strace";

/// Whether it works here; says so when it does not.
#[must_use]
pub fn has_strace(test: &Test) -> bool {
    let status = Command::new(STRACE)
        .args(["-f", "-o", "/dev/null", "true"])
        .status();
    let works = status.is_ok_and(|status| status.success());
    if !works {
        test.skip("needs a working /usr/bin/strace (package strace)");
    }
    works
}
