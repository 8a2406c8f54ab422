//! Compiles the floor program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Result;
use crate::workspace::succeed;

/// The program, built in `directory`. It is also the static program that does nothing.
pub(super) fn build(root: &Path, directory: &Path) -> Result<PathBuf> {
    let program = directory.join("floor");
    let codegen = [
        "panic=abort",
        "opt-level=s",
        "lto=fat",
        "codegen-units=1",
        "strip=symbols",
        "relocation-model=static",
        "target-feature=+crt-static",
        "force-unwind-tables=no",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-Wl,-z,noseparate-code",
        "link-arg=-Wl,-z,norelro",
        "link-arg=-Wl,--build-id=none",
    ];
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition=2024", "--crate-type=bin"]);
    command.args(codegen.map(|option| format!("-C{option}")));
    command
        .arg("-o")
        .arg(&program)
        .arg(root.join("xtask/floor/floor.rs"));
    succeed(&mut command)?;
    Ok(program)
}
