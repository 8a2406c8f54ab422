//! Builds the stub with the same compiler as the crate, when the feature asks for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-check-cfg=cfg(ns_stub)");
    if env::var_os("CARGO_FEATURE_STUB").is_none() {
        return Ok(());
    }
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let target = variable("TARGET")?;
    let output = PathBuf::from(variable("OUT_DIR")?).join("ns-init-stub");
    let status = Command::new(variable("RUSTC")?)
        .args([
            "--edition=2024",
            "--crate-type=bin",
            "--crate-name=ns_init_stub",
            "--cfg=ns_stub",
        ])
        .args([
            "-Cpanic=abort",
            "-Copt-level=s",
            "-Clto=fat",
            "-Ccodegen-units=1",
            "-Cstrip=debuginfo",
        ])
        .args([
            "-Crelocation-model=static",
            "-Ctarget-feature=+crt-static",
            "-Cforce-unwind-tables=no",
        ])
        .args([
            "-Clink-arg=-nostartfiles",
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-static",
        ])
        // One page of headers and code together, no separate segments: fewer page faults per start.
        .args([
            "-Clink-arg=-Wl,-z,noseparate-code",
            "-Clink-arg=-Wl,--build-id=none",
            "-Clink-arg=-Wl,-z,norelro",
        ])
        .arg(format!("--target={target}"))
        .args(linker(&target))
        .arg("-o")
        .arg(&output)
        .arg("src/stub.rs")
        // The flags of the workspace are for programs with a C library.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .map_err(|error| format!("rustc for the stub: {error}"))?;
    if !status.success() {
        return Err(format!("the stub did not build: {status}"));
    }
    Ok(())
}

/// The linker that cargo was told to use for this target, if any.
fn linker(target: &str) -> Option<String> {
    let name = format!(
        "CARGO_TARGET_{}_LINKER",
        target.to_uppercase().replace('-', "_")
    );
    println!("cargo::rerun-if-env-changed={name}");
    env::var("RUSTC_LINKER")
        .or_else(|_| env::var(name))
        .ok()
        .map(|linker| format!("-Clinker={linker}"))
}
