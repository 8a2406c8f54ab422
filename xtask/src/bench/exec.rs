//! `cargo xtask bench exec`: another command in a running container.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use serde_json::{Value, json};
use tempfile::{Builder, TempDir};

use super::contender::{Contender, Way};
use super::groups::Hierarchies;
use super::library::Library;
use super::limits::Inside;
use super::place::Place;
use super::{Options, peers, snapshot};
use crate::failure::{Failure, Result, While};
use crate::workspace::{Workspace, succeed};

/// A container that waits, and the command that removes it.
struct Waiting {
    removal: Command,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Err(failure) = succeed(&mut self.removal) {
            eprintln!("{failure}");
        }
    }
}

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    let inside = Inside::enter("exec", options, workspace)?;
    let states = states()?;
    let id = format!("ns-bench-{}", std::process::id());
    let mut config = inside.place.container();
    config["cgroups"] = inside.hierarchies.section(&id);
    let config = inside.place.write_config("exec.json", &config)?;
    let (_waiting, floor) = start_waiting(&inside.place, &config, states.path(), &id)?;
    let own = |name, words| peers::program(name, "floor", words, &inside.place.directory);
    let mut nsrun = vec![inside.place.nsrun.clone().into(), "--root".into()];
    nsrun.push(states.path().into());
    nsrun.extend(["exec", &id, "--", "/true"].map(Into::into));
    let library = |name, request: &str| {
        let library = Library::holding(&inside.place, &config, states.path())?;
        let way = Way::Library(library, request.to_owned());
        Ok(Contender {
            name,
            floor: "floor",
            way,
        })
    };
    let mut contenders = vec![
        own("floor", floor),
        own("nsrun exec", nsrun),
        library("library", "exec")?,
        library("library, by the id", "open and exec")?,
    ];
    let runc = start_runc(&inside.place, &inside.hierarchies, &id)?;
    if let Some((_, words)) = &runc {
        contenders.push(own("runc exec", words.clone()));
    }
    let Inside { place, report, .. } = inside;
    place.measure_and_report("exec", report, contenders)?;
    Ok(ExitCode::SUCCESS)
}

/// A directory for states, in memory as `/run` is on most machines: on a disk the figures are those of its `fsync`.
pub(super) fn states() -> Result<TempDir> {
    let is_in_memory =
        |place: &&str| statfs(*place).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC);
    let found = ["/run", "/dev/shm"].into_iter().find(is_in_memory);
    let parent = found.unwrap_or("/run");
    if found.is_none() {
        println!("states are on a disk: starts and deletes wait for it");
    }
    Builder::new()
        .prefix("ns-bench-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .while_doing(parent)
}

/// A container of nsrun's, and the words of the floor program that go into it.
fn start_waiting(
    place: &Place,
    config: &Path,
    states: &Path,
    id: &str,
) -> Result<(Waiting, Vec<std::ffi::OsString>)> {
    let nsrun = || {
        let mut nsrun = Command::new(&place.nsrun);
        nsrun.arg("--root").arg(states);
        nsrun
    };
    let mut start = nsrun();
    start.args(["run", "--config"]).arg(config);
    start.args(["--id", id, "--detach", "--", "/true", "pause"]);
    succeed(&mut start)?;
    let mut removal = nsrun();
    removal.args(["delete", "--force", id]);
    let waiting = Waiting { removal };
    let output = nsrun()
        .args(["state", id])
        .output()
        .while_doing("nsrun state")?;
    let state: Value = serde_json::from_slice(&output.stdout).while_doing("nsrun state")?;
    let pid = state["pid"].as_u64();
    let pid = pid.ok_or_else(|| Failure::new(format!("no pid in {state}")))?;
    let process = PathBuf::from(format!("/proc/{pid}"));
    let flags = snapshot::foreign_namespaces(&process)?;
    let mut words = vec![place.floor.clone().into_os_string(), "join".into()];
    words.extend([flags, pid].map(|number| number.to_string().into()));
    words.extend(group_steps(&state).into_iter().map(Into::into));
    words.extend(["--", "/true"].map(Into::into));
    Ok((waiting, words))
}

/// Being in the groups of the state: by the clone on v2, by `tasks` on v1.
fn group_steps(state: &Value) -> Vec<String> {
    let mut steps: Vec<_> = state["cgroup_paths"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(controller, path)| {
            let path = path.as_str()?;
            Some(match controller.as_str() {
                "" => format!("C\u{1}{path}"),
                _ => format!("T\u{1}{path}/tasks"),
            })
        })
        .collect();
    // Several controllers of v1 may be one hierarchy.
    steps.sort();
    steps.dedup();
    steps
}

/// A container of runc's, and the words that go into it.
fn start_runc(
    place: &Place,
    hierarchies: &Hierarchies,
    id: &str,
) -> Result<Option<(Waiting, Vec<std::ffi::OsString>)>> {
    let id = format!("{id}-runc");
    let bundle = peers::bundle(place, "bundle-exec", |config| {
        config["process"]["args"] = json!(["/true", "pause"]);
        config["linux"]["resources"] = hierarchies.resources();
        config["linux"]["cgroupsPath"] = json!(format!("/{id}"));
    })?;
    let Some(bundle) = bundle else {
        return Ok(None);
    };
    let runc = peers::path_of("runc");
    let started = Command::new(runc)
        .args(["run", "--detach", &id])
        .current_dir(&bundle)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    if !started.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let mut removal = Command::new(runc);
    removal.args(["delete", "--force", &id]);
    let words = [runc, "exec", &id, "/true"].map(Into::into).into();
    Ok(Some((Waiting { removal }, words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchy_with_two_controllers_is_joined_once() {
        let state = json!({"cgroup_paths": {"": "/u/x", "cpu": "/c/x", "cpuacct": "/c/x"}});
        assert_eq!(group_steps(&state), ["C\u{1}/u/x", "T\u{1}/c/x/tasks"]);
    }
}
