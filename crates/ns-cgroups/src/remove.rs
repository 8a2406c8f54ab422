//! Removal, from the bottom up, of what was made and nothing else.

use std::time::Duration;

use nix::errno::Errno;

use crate::{
    dir::Dir,
    error::{Error, Kind, Result},
    group::{Cgroup, Made, Member},
    wait::{Deadline, is_gone},
};

impl Cgroup {
    /// Removes the group, the groups that its processes made below it, and those above it that we
    /// made and nobody else uses.
    ///
    /// A group that was there before us is left with all that is in it. Controllers that were
    /// switched on above stay on. Removing it again is no error.
    ///
    /// # Order
    /// When no process is left, see [`kill`](Cgroup::kill); it waits for that until the deadline.
    ///
    /// # Errors
    /// The other hierarchies are removed all the same; further failures are `also` lines.
    ///
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Busy` | EBUSY | processes are left at the deadline; the message names them |
    /// | `Denied` | EACCES, EPERM, EROFS | the group above is not ours |
    ///
    /// # References
    /// `rmdir(2)`, `Documentation/admin-guide/cgroup-v2.rst` § Un-populated notification.
    pub fn remove(&self, timeout: Duration) -> Result<()> {
        if self.members.iter().all(|member| !member.is_made()) {
            return Ok(());
        }
        let mut deadline = Deadline::after(timeout);
        match self.wait_empty(timeout) {
            Err(error) if error.kind() == Kind::TimedOut => {
                return Err(
                    Error::new(Kind::Busy, STEP, error.call()).with_hint("end its processes first")
                );
            }
            other => other?,
        }
        let mut failed: Option<Error> = None;
        for member in self.members.iter().filter(|member| member.is_made()) {
            if let Err(error) = member.remove(&mut deadline) {
                failed = Some(match failed {
                    None => error,
                    Some(first) => first.with_also(error),
                });
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Member {
    fn is_made(&self) -> bool {
        let last = self.made.last();
        last.is_some_and(|made| made.name == self.name && made.parent.is_same(&self.parent))
    }

    fn remove(&self, deadline: &mut Deadline) -> Result<()> {
        match self.parent.child(&self.name) {
            Ok(dir) if dir.is_same(&self.dir) => remove_tree(&self.parent, &self.name, deadline)?,
            // Ours is gone, and the name may be another's by now.
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
        let above = self.made.split_last().map_or(&[][..], |(_, above)| above);
        for Made { parent, name } in above.iter().rev() {
            match parent.remove_child(name) {
                Err(error) if error.is(Errno::EBUSY) || error.is(Errno::ENOTEMPTY) => break,
                other => other?,
            };
        }
        Ok(())
    }
}

fn remove_tree(parent: &Dir, name: &str, deadline: &mut Deadline) -> Result<()> {
    loop {
        // Most groups have none below them, and then this is one call.
        match parent.remove_child(name) {
            Ok(_) => return Ok(()),
            Err(error) if !error.is(Errno::EBUSY) && !error.is(Errno::ENOTEMPTY) => {
                return Err(error);
            }
            Err(error) => {
                if remove_below(parent, name, deadline)? == 0 && !deadline.pause() {
                    return Err(error.with_hint("a process has come in meanwhile"));
                }
            }
        }
    }
}

/// How many groups there were.
fn remove_below(parent: &Dir, name: &str, deadline: &mut Deadline) -> Result<usize> {
    let dir = match parent.child(name) {
        Ok(dir) => dir,
        Err(error) if is_gone(&error) => return Ok(0),
        Err(error) => return Err(error),
    };
    let children = dir.children()?;
    for child in &children {
        remove_tree(&dir, child, deadline)?;
    }
    Ok(children.len())
}

const STEP: &str = "remove control group";
