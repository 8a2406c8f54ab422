//! What the planner must know about the host before it chooses.

use ns_config::{Config, Mount, MountKind, NamespaceKind};

use crate::cgroup_view::CgroupLayout;
use crate::error::{Error, Result};
use crate::sys;

/// What the host allows and offers; every choice of the planner follows from it and the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether the process that runs the plan may make device nodes.
    pub rights: Rights,
    /// Who opens the sources of mounts.
    pub sources: Sources,
    /// Where the host has its control groups; needed when a mount shows them.
    pub cgroup_layout: CgroupLayout,
}

/// In which user namespace the plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The initial one: `mknod(2)` works.
    Initial,
    /// Another one: device nodes are bound from the host, with the host's owner and mode, and mounts that came from
    /// outside cannot be parted.
    UserNamespace,
}

/// Who opens the host's directories and files that are mounted inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The process that runs the plan, in its copy of the caller's mount namespace.
    Child,
    /// The caller, at planning time, as detached copies that the plan inherits: for a privileged caller and a new
    /// user namespace, whose ids may not reach what the caller can.
    Caller,
}

impl Host {
    /// Reads `/proc/self/uid_map`, and, where the configuration needs it, asks the kernel whether this process may
    /// clone mounts and looks for the control groups.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT | `/proc` is not mounted |
    /// | `Denied` | EACCES | `/proc` cannot be read |
    /// | `InvalidValue` | | `/proc/self/mountinfo` is not what the kernel writes |
    ///
    /// # References
    /// `user_namespaces(7)`, `proc_pid_mountinfo(5)`, `open_tree(2)`.
    pub fn detect(config: &Config) -> Result<Host> {
        let in_initial = read("/proc/self/uid_map")
            .map(|map| is_full_identity(&String::from_utf8_lossy(&map)))?;
        let new_user_namespace = config.namespaces.creates(NamespaceKind::User);
        let rights = if in_initial && !config.namespaces.contains(NamespaceKind::User) {
            Rights::Initial
        } else {
            Rights::UserNamespace
        };
        let sources = if new_user_namespace && may_clone_mounts() {
            Sources::Caller
        } else {
            Sources::Child
        };
        Ok(Host {
            rights,
            sources,
            cgroup_layout: match config.mounts.iter().any(shows_cgroups) {
                true => CgroupLayout::detect()?,
                false => CgroupLayout::Absent,
            },
        })
    }
}

fn shows_cgroups(mount: &Mount) -> bool {
    match &mount.kind {
        MountKind::CgroupView => true,
        MountKind::Filesystem { fstype, .. } => fstype == "cgroup",
        _ => false,
    }
}

/// The map of the initial user namespace: every id stands for itself.
fn is_full_identity(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// EPERM is the only answer of a kernel to a process without the right; a locked mount is EINVAL.
fn may_clone_mounts() -> bool {
    !matches!(sys::open_tree(c"/", false), Err(libc::EPERM))
}

pub(crate) fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::from_io("read about this process", format!("open({path:?})"), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_identity_map_is_the_initial_namespace() {
        assert!(is_full_identity("         0          0 4294967295\n"));
        assert!(!is_full_identity("         0       1000          1\n"));
        assert!(!is_full_identity(""));
    }
}
