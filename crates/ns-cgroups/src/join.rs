//! Joining whole or not at all.

use crate::{
    dir::{self, Dir},
    error::{Error, Kind, Result},
    group::{Cgroup, Member},
    layout::{Hierarchy, Layout},
};

impl Cgroup {
    /// Moves a process into the group in every hierarchy, or leaves it where it was in all of them.
    ///
    /// For a process that somebody else may go on using when this fails; for a child that is killed
    /// then, [`join`](Cgroup::join) does with less.
    ///
    /// # Shape
    /// As [`join`](Cgroup::join), but 0 is not taken.
    ///
    /// # Order
    /// Before the process makes others: children that it has already stay where they are.
    ///
    /// # Errors
    /// Those of [`join`](Cgroup::join), and
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT | there is no such process |
    /// | `Unsupported` | | the mounts do not show where the process is now, so there is no way back |
    ///
    /// A way back that the kernel refuses is an `also` line.
    ///
    /// # References
    /// `cgroups(7)` § /proc files.
    pub fn join_or_stay(&self, pid: i32) -> Result<()> {
        let homes = self.homes(pid)?;
        for (idx, member) in self.members.iter().enumerate() {
            if let Err(error) = member.join(pid) {
                return Err(go_back(pid, &homes[..idx], error));
            }
        }
        Ok(())
    }

    /// Where the process is, in the order of the members.
    fn homes(&self, pid: i32) -> Result<Vec<Dir>> {
        let mounts = dir::read_path("/proc/self/mountinfo")?;
        let memberships = dir::read_path(&format!("/proc/{pid}/cgroup"))?;
        let layout = Layout::from_proc(&mounts, &memberships)?;
        let members = self.members.iter();
        members.map(|member| home(&layout, member, pid)).collect()
    }
}

fn home(layout: &Layout, member: &Member, pid: i32) -> Result<Dir> {
    let is_its = |hierarchy: &&Hierarchy| {
        hierarchy.version() == member.version && hierarchy.controllers() == member.controllers
    };
    let hierarchy = layout.hierarchies().iter().find(is_its);
    let Some((hierarchy, own)) = hierarchy.and_then(|own| Some((own, own.own_group()?))) else {
        let call = format!("the mounts do not show in which group process {pid} is");
        return Err(Error::new(Kind::Unsupported, "join control group", call)
            .with_hint("mount the whole hierarchy, or start the process in the group"));
    };
    let mount = Dir::open(hierarchy.mount_point(), hierarchy.version())?;
    mount.descend(own.split('/').filter(|name| !name.is_empty()))
}

/// Last hierarchy first; all are tried.
fn go_back(pid: i32, homes: &[Dir], error: Error) -> Error {
    homes.iter().rev().fold(error, |error, home| {
        let Err(errno) = home.write("cgroup.procs", &pid.to_string()) else {
            return error;
        };
        let call = format!("write({:?}, \"{pid}\")", home.path_of("cgroup.procs"));
        error.with_also(Error::from_errno(
            "return to the control group",
            call,
            errno,
        ))
    })
}
