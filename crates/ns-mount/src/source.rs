//! Files and directories of the host that end up inside.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use ns_config::Propagation;
use ns_init::{Depth, Missing, Op, Opening, PlanBuilder, Slot};

use crate::error::{Error, Kind, Planned, Result};
use crate::host::{Rights, Sources};
use crate::sys;
use crate::tree::{Choices, untie};

/// Something of the host, checked when planned.
#[derive(Debug)]
pub(crate) struct HostSource {
    path: String,
    /// The caller's detached copy, when the caller opens.
    clone: Option<OwnedFd>,
}

/// An opened source: the mount to attach, and an object whose type tells what the target must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenSource {
    pub(crate) mount: Slot,
    pub(crate) like: Slot,
}

impl HostSource {
    /// Looks at the host, and opens the source where [`Sources::Caller`] asks for it; `None` when it is not there
    /// and need not be.
    pub(crate) fn check(
        path: &str,
        recursive: bool,
        optional: bool,
        sources: Sources,
    ) -> Result<Option<Self>> {
        check_absolute(path)?;
        if let Some(error) = missing(path) {
            return if optional { Ok(None) } else { Err(error) };
        }
        let clone = match sources {
            Sources::Child => None,
            Sources::Caller => Some(clone_now(path, recursive)?),
        };
        Ok(Some(HostSource {
            path: path.to_owned(),
            clone,
        }))
    }

    /// Writes the ops that give a detached mount; `tied` leaves it in the host's peer group.
    pub(crate) fn open(
        &mut self,
        recursive: bool,
        tied: bool,
        choices: &Choices,
        plan: &mut PlanBuilder,
    ) -> Result<OpenSource> {
        if let Some(clone) = self.clone.take() {
            let mount = plan.inherit(clone, self.path.as_str()).planning()?;
            if !tied {
                untie(mount, choices.arrival, plan);
            }
            return Ok(OpenSource { mount, like: mount });
        }
        let like = open_host(&self.path, Opening::Path, plan)?;
        let mount = clone_mount(like, &self.path, depth(recursive, choices.rights), plan);
        Ok(OpenSource { mount, like })
    }
}

/// KERNEL(5.2): mounts that came from a more privileged user namespace are locked together, and a copy of one
/// without those below is refused.
fn depth(recursive: bool, rights: Rights) -> Depth {
    if recursive || rights == Rights::UserNamespace {
        Depth::Recursive
    } else {
        Depth::Single
    }
}

pub(crate) fn open_host(path: &str, opening: Opening, plan: &mut PlanBuilder) -> Result<Slot> {
    let out = plan.slot(path);
    let path = plan.text(path).planning()?;
    let missing = Missing::Fail;
    plan.push(
        "open on the host",
        Op::OpenHost {
            out,
            path,
            opening,
            missing,
        },
    );
    Ok(out)
}

pub(crate) fn clone_mount(from: Slot, name: &str, depth: Depth, plan: &mut PlanBuilder) -> Slot {
    let out = plan.slot(name);
    plan.push("copy the mount", Op::CloneMount { out, from, depth });
    out
}

/// Whether a propagation needs the host's own peer group, which is left once `/` is made private.
pub(crate) fn is_tied(propagation: Option<Propagation>) -> bool {
    matches!(propagation, Some(Propagation::Shared | Propagation::Slave))
}

pub(crate) fn check_absolute(path: &str) -> Result<()> {
    if path.starts_with('/') {
        return Ok(());
    }
    let call = format!("source {path:?} is not an absolute path");
    Err(Error::new(Kind::InvalidValue, "check the mount", call))
}

/// The error for a host path that is not there. A path that cannot be looked at is left to the process that
/// opens it.
pub(crate) fn missing(path: &str) -> Option<Error> {
    let error = std::fs::metadata(path).err()?;
    let not_there = matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
    );
    not_there.then(|| Error::from_io("look for the source", format!("stat({path:?})"), &error))
}

fn clone_now(path: &str, recursive: bool) -> Result<OwnedFd> {
    let step = "copy a mount of the host";
    let c_path = CString::new(path).map_err(|_| {
        Error::new(
            Kind::InvalidValue,
            step,
            format!("{path:?} holds a NUL byte"),
        )
    })?;
    sys::open_tree(&c_path, recursive).map_err(|errno| {
        let depth = if recursive { " | AT_RECURSIVE" } else { "" };
        let call = format!("open_tree(AT_FDCWD, {path:?}, OPEN_TREE_CLONE{depth})");
        Error::from_errno(step, call, errno)
    })
}
