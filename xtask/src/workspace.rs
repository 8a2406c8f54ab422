//! The workspace as `cargo metadata` tells it, and cargo itself.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Failure, Result, While};

/// Root, target directory and members.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Where the workspace's `Cargo.toml` is.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Members by package id.
    pub(crate) members: BTreeMap<String, Member>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Package name.
    pub(crate) name: String,
    /// Where its `Cargo.toml` is.
    pub(crate) directory: PathBuf,
    /// Names of all packages it depends on, of every kind (normal, build, dev).
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace of the current directory.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--format-version=1", "--no-deps"])
            .stderr(Stdio::inherit())
            .output()
            .while_doing("cargo metadata")?;
        if !output.status.success() {
            return Err(Failure::new(format!("cargo metadata: {}", output.status)));
        }
        let metadata = serde_json::from_slice(&output.stdout).while_doing("cargo metadata")?;
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Value) -> Result<Self> {
        let path = |key: &str| Ok(PathBuf::from(text(&metadata[key], key)?));
        let packages = metadata["packages"].as_array();
        let members = packages
            .into_iter()
            .flatten()
            .map(|package| Ok((text(&package["id"], "id")?, Member::from_metadata(package)?)))
            .collect::<Result<_>>()?;
        Ok(Workspace {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            members,
        })
    }
}

impl Member {
    fn from_metadata(package: &Value) -> Result<Self> {
        let manifest = PathBuf::from(text(&package["manifest_path"], "manifest_path")?);
        let dependencies = package["dependencies"].as_array();
        Ok(Member {
            name: text(&package["name"], "name")?,
            directory: manifest.parent().map(PathBuf::from).unwrap_or_default(),
            dependencies: dependencies
                .into_iter()
                .flatten()
                .map(|dependency| text(&dependency["name"], "name"))
                .collect::<Result<_>>()?,
        })
    }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a command to its end with our own output; a status other than 0 is a failure.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let first = command.get_args().next().unwrap_or_default();
    let name = format!("{} {}", program.to_string_lossy(), first.to_string_lossy());
    let status = command.status().while_doing(&name)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{name}: {status}")))
}

fn text(value: &Value, key: &str) -> Result<String> {
    value
        .as_str()
        .map(String::from)
        .ok_or_else(|| Failure::new(format!("cargo metadata has no text {key:?}")))
}
