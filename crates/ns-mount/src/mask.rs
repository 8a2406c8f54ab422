//! Paths that end up unreadable or read-only.

use ns_init::{Create, Depth, Missing, Op, PlanBuilder, Slot};

use crate::attribute::{Change, NODEV, NOEXEC, NOSUID, RDONLY};
use crate::destination::Destination;
use crate::dev_layout::open_null;
use crate::error::{Planned, Result};
use crate::source::clone_mount;
use crate::tree::{Tree, change, new_filesystem};

/// A path of a list, and where it stands.
pub(crate) struct Listed {
    pub(crate) destination: Destination,
    pub(crate) pointer: String,
}

/// Covers files with the host's null device and directories with one empty read-only directory.
///
/// ORDER: before the root is entered, while the host's null device can still be opened; the container's
/// own is never trusted (CVE-2025-31133).
pub(crate) fn plan_masked(paths: &[Listed], tree: &Tree, plan: &mut PlanBuilder) -> Result<()> {
    let closed = RDONLY | NOSUID | NODEV | NOEXEC;
    let parameters = [("source", "tmpfs"), ("mode", "555")];
    let empty = new_filesystem("tmpfs", &parameters, closed, plan)?;
    let null = open_null(plan)?;
    for listed in paths {
        plan.at(listed.pointer.as_str());
        let (target, _) = open_or_skip(listed, tree, plan)?;
        plan.push(
            "mask",
            Op::Mask {
                target,
                null,
                empty,
            },
        );
        tree.release(target, plan);
    }
    Ok(())
}

/// Puts a read-only copy of the mount, with all below, over each path.
pub(crate) fn plan_read_only(paths: &[Listed], tree: &Tree, plan: &mut PlanBuilder) -> Result<()> {
    let read_only = Change {
        set: RDONLY,
        ..Change::default()
    };
    for listed in paths {
        plan.at(listed.pointer.as_str());
        let (target, opened_at) = open_or_skip(listed, tree, plan)?;
        let mount = clone_mount(target, listed.destination.as_str(), Depth::Recursive, plan);
        change(mount, Depth::Recursive, read_only, plan);
        plan.push("attach the mount", Op::AttachMount { mount, target });
        tree.release(mount, plan);
        plan.skip_to_here(opened_at);
        tree.release(target, plan);
    }
    Ok(())
}

fn open_or_skip(listed: &Listed, tree: &Tree, plan: &mut PlanBuilder) -> Result<(Slot, usize)> {
    let out = plan.slot(listed.destination.as_str());
    let (root, path) = tree.locate_existing(listed.destination.as_str());
    let path = plan.text(path).planning()?;
    let opened_at = plan.n_ops();
    plan.push(
        "open the place inside the root",
        Op::OpenInRoot {
            out,
            root,
            path,
            create: Create::Nothing,
            missing: Missing::Skip(1),
        },
    );
    Ok((out, opened_at))
}
