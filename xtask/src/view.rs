//! A private view of the machine's control groups: its own mount namespace, never the machine's.

use std::fmt;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result, While};

/// A layout of `/sys/fs/cgroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum View {
    /// v1 hierarchies beside one of v2, as the machine must have it.
    Hybrid,
    /// v1 hierarchies alone.
    V1,
    /// One hierarchy of v2, with the controllers that v1 does not hold.
    V2,
}

const BASE: &str = "/sys/fs/cgroup";
const UNIFIED: &str = "/sys/fs/cgroup/unified";

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            View::Hybrid => "hybrid",
            View::V1 => "v1",
            View::V2 => "v2",
        })
    }
}

/// Whether tests would see anything else in the view than without; an error says why there is no such view here.
pub(crate) fn is_another(view: View) -> Result<bool> {
    Ok(view_steps(view, machine_view()?)? != Step::Keep)
}

/// Puts this process, with all that it starts, in a mount namespace with the layout.
///
/// To be called while the process has one thread.
pub(crate) fn enter(view: View) -> Result<()> {
    let step = match view_steps(view, machine_view()?)? {
        Step::Keep => return Ok(()),
        step => step,
    };
    unshare(CloneFlags::CLONE_NEWNS).while_doing("unshare(CLONE_NEWNS), which takes root")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).while_doing("make / private")?;
    if step == Step::RemoveUnified {
        return cover_with_legacy();
    }
    umount2(BASE, MntFlags::MNT_DETACH).while_doing(BASE)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("cgroup2"), BASE, Some("cgroup2"), flags, None::<&str>).while_doing("mount cgroup2")
}

/// Mounts a directory of our own that has every hierarchy but the one of v2. Under the machine's own, the place of that
/// one would be left as a directory that engines take for it and write into.
fn cover_with_legacy() -> Result<()> {
    let own = File::open(BASE).while_doing(BASE)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), BASE, Some("tmpfs"), flags, Some("mode=755")).while_doing(BASE)?;
    let covered = PathBuf::from(format!("/proc/self/fd/{}", own.as_raw_fd()));
    for entry in fs::read_dir(&covered).while_doing(BASE)? {
        let entry = entry.while_doing(BASE)?;
        let place = Path::new(BASE).join(entry.file_name());
        if place == Path::new(UNIFIED) {
            continue;
        }
        let step = match fs::read_link(entry.path()) {
            Ok(target) => symlink(target, &place),
            Err(_) => fs::create_dir(&place),
        };
        step.while_doing(place.display())?;
        if !place.is_symlink() {
            let source = Some(&entry.path());
            mount(source, &place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .while_doing(place.display())?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Keep,
    RemoveUnified,
    ReplaceAll,
}

/// The layout of this machine.
pub(crate) fn machine_view() -> Result<View> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").while_doing("mountinfo")?;
    let has = |fstype: &str, below: &str| {
        mounts.lines().any(|line| {
            let place = line.split(' ').nth(4).unwrap_or_default();
            line.contains(&format!(" - {fstype} ")) && Path::new(place).starts_with(below)
        })
    };
    match (
        has("cgroup", BASE),
        has("cgroup2", UNIFIED),
        has("cgroup2", BASE),
    ) {
        (true, true, _) => Ok(View::Hybrid),
        (true, false, _) => Ok(View::V1),
        (false, _, true) => Ok(View::V2),
        (false, _, false) => Err(Failure::new(format!(
            "no control groups are mounted at {BASE}"
        ))),
    }
}

fn view_steps(wanted: View, machine: View) -> Result<Step> {
    match (wanted, machine) {
        (View::Hybrid, View::Hybrid) | (View::V1, View::V1) | (View::V2, View::V2) => {
            Ok(Step::Keep)
        }
        (View::V1, View::Hybrid) => Ok(Step::RemoveUnified),
        (View::V2, _) => Ok(Step::ReplaceAll),
        (wanted, machine) => Err(Failure::new(format!(
            "this machine has the layout {machine:?}; a view can leave hierarchies out, not make them: no {wanted:?} here"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_only_leaves_out() {
        assert_eq!(
            view_steps(View::V1, View::Hybrid).ok(),
            Some(Step::RemoveUnified)
        );
        assert_eq!(
            view_steps(View::V2, View::Hybrid).ok(),
            Some(Step::ReplaceAll)
        );
        assert_eq!(view_steps(View::V2, View::V2).ok(), Some(Step::Keep));
        assert!(view_steps(View::V1, View::V2).is_err());
        assert!(view_steps(View::Hybrid, View::V1).is_err());
    }
}
