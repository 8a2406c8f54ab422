//! Mounts below one directory, for a program that wants them in its own mount namespace.

use ns_config::Mount;
use ns_init::{Op, Opening, Plan, PlanBuilder};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::mount::Entry;
use crate::source::{check_absolute, missing, open_host};
use crate::tree::{Choices, Tree};

/// Mounts to be made below a directory of the own mount namespace; each destination is resolved
/// inside that directory, whatever links are in it.
///
/// # Privileges
/// [`apply`](Self::apply) needs `CAP_SYS_ADMIN` in the user namespace that owns the mount namespace.
///
/// # Examples
/// ```
/// use ns_config::{Mount, MountKind, MountOptions};
/// use ns_mount::{Host, MountPlan};
///
/// let mount = Mount {
///     destination: "/scratch".to_owned(),
///     kind: MountKind::Filesystem { fstype: "tmpfs".to_owned(), source: "scratch".to_owned() },
///     options: MountOptions::default(),
///     pointer: String::new(),
/// };
/// let host = Host::detect(&ns_config::Config::default())?;
/// let plan = MountPlan::new("/tmp", &[mount], &host)?;
/// assert!(plan.as_plan().explain().iter().any(|step| step.call.contains("fsopen")));
/// // plan.apply()? makes them, in the namespace of this process.
/// # Ok::<(), ns_mount::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is mounted until the plan is applied"]
pub struct MountPlan(Plan);

impl MountPlan {
    /// Checks the mounts and plans them below `directory`, an absolute path of the host.
    ///
    /// # Errors
    /// As [`RootfsPlanner::new`](crate::RootfsPlanner::new); also
    /// | kind | when |
    /// |---|---|
    /// | `Unsupported` | a file of given content: it needs a root of its own |
    pub fn new(directory: &str, mounts: &[Mount], host: &Host) -> Result<Self> {
        check_absolute(directory)?;
        if let Some(error) = missing(directory) {
            return Err(error);
        }
        let choices = Choices::of_host(host);
        let mut plan = PlanBuilder::new();
        let mut entries: Vec<Entry<'_>> = mounts
            .iter()
            .map(|mount| Entry::check(mount, &choices))
            .collect::<Result<_>>()?;
        let root = open_host(directory, Opening::Directory, &mut plan)?;
        plan.push(
            "check that it is a directory",
            Op::CheckDirectory { slot: root },
        );
        let mut tree = Tree::new(root, choices, entries.len());
        for entry in &mut entries {
            entry.plan(&mut tree, &mut plan)?;
        }
        Ok(MountPlan(plan.finish()))
    }

    /// The ops, to be read or printed.
    pub fn as_plan(&self) -> &Plan {
        &self.0
    }

    /// Makes the mounts in the mount namespace of this process.
    ///
    /// A plan that fails half-way leaves the mounts that were made before; drop the namespace.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EPERM | `CAP_SYS_ADMIN` is missing |
    /// | `NotFound` | ENODEV | the kernel has no such file system |
    /// | `Hostile` | ELOOP | a place is a link where none may be |
    /// | others | | what the kernel says to the call that is named |
    pub fn apply(&self) -> Result<()> {
        ns_init::apply(&self.0).map_err(|error| Error::from_plan("make the mounts", error))
    }
}
