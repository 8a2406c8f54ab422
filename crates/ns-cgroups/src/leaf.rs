//! Making room in a delegated group: its members move into a leaf below it.

use nix::errno::Errno;

use crate::{
    dir::Dir,
    error::{Error, Kind, Result},
    layout::{Layout, Version},
    path::check_name,
};

impl Layout {
    /// Moves every process of the caller's v2 group into the group `name` below it, which is made if
    /// it is not there, and returns the layout as it is then.
    ///
    /// For a caller at the root of a delegated part of the tree, as in a container with its own
    /// cgroup namespace: a group with members cannot hand controllers to the groups below it. It is
    /// never done unasked, because it moves processes that are not ours.
    ///
    /// # Shape
    /// `name`: 1 to 255 bytes, not `.` or `..`, without `/`, newline and NUL.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | | there is no v2 hierarchy, or it does not show the own group |
    /// | `Hostile` | | the name breaks the rules |
    /// | `Busy` | | processes are made faster than they can be moved |
    /// | `Denied` | EACCES, EPERM | the group is not delegated to this user |
    ///
    /// # References
    /// `Documentation/admin-guide/cgroup-v2.rst` § No Internal Process Constraint.
    pub fn move_own_group_to_leaf(&self, name: &str) -> Result<Layout> {
        check_name(name)
            .map_err(|rule| Error::new(Kind::Hostile, STEP, format!("{name:?} {rule}")))?;
        let shown = self
            .unified()
            .and_then(|unified| Some((unified, unified.own_group()?)));
        let Some((unified, own)) = shown else {
            let call = "no cgroup v2 hierarchy shows the own group";
            return Err(Error::new(Kind::Unsupported, STEP, call));
        };
        let mount = Dir::open(unified.mount_point(), Version::V2)?;
        let own = mount.descend(own.split('/').filter(|name| !name.is_empty()))?;
        own.make_child(name)?;
        let leaf = own.child(name)?;
        for _ in 0..MAX_ROUNDS {
            let members = own.read("cgroup.procs")?;
            if members.trim().is_empty() {
                return Layout::detect();
            }
            members.lines().try_for_each(|pid| enter(&leaf, pid))?;
        }
        let call = format!("{:?} gets new members all the time", own.path());
        Err(Error::new(Kind::Busy, STEP, call))
    }
}

/// Processes of other pid namespaces show as 0, which would be the caller.
fn enter(leaf: &Dir, pid: &str) -> Result<()> {
    if pid == "0" {
        let call = format!("{:?} has members of another pid namespace", leaf.path());
        return Err(Error::new(Kind::Denied, STEP, call)
            .with_hint("move them from the pid namespace that they are in"));
    }
    match leaf.write("cgroup.procs", pid) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(leaf.error(STEP, "write", "cgroup.procs", errno)),
    }
}

const STEP: &str = "move own group to a leaf";
const MAX_ROUNDS: u32 = 100;
