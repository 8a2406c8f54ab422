//! `/dev` as programs expect it: a tmpfs with nodes, links, terminals, shared memory and queues.

use ns_config::{MountKind, MountOptions};
use ns_init::{Create, Depth, Op, Opening, PlanBuilder, Slot};

use crate::attribute::{NODEV, NOEXEC, NOSUID, STRICTATIME, filesystem_word};
use crate::destination::Destination;
use crate::device::make_or_bind;
use crate::error::{Planned, Result};
use crate::mount::label;
use crate::source::open_host;
use crate::tree::{FLAG, Tree, new_filesystem};

/// Writes the ops of the whole layout.
///
/// ORDER: the tmpfs is attached first, because a mount can only be attached below an attached one;
/// everything in it is then made through the descriptor of its mount, by single names.
pub(crate) fn plan(
    destination: &Destination,
    options: &MountOptions,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let mut parameters = vec![("source", "tmpfs"), ("mode", "755"), ("size", "65536k")];
    for (name, value) in &options.data {
        parameters.retain(|(default, _)| default != name);
        parameters.push((name, value.as_deref().unwrap_or(FLAG)));
    }
    parameters.extend(label("tmpfs", &tree.choices));
    let attributes = filesystem_word(options) | NOSUID | STRICTATIME;
    let dev = new_filesystem("tmpfs", &parameters, attributes, plan)?;
    tree.attach(dev, destination, Create::Directory(0o755), plan)?;
    for node in &tree.choices.nodes {
        let name = node.path.trim_start_matches("/dev/");
        make_or_bind(node, dev, name, tree, plan)?;
    }
    for (name, target) in MountKind::DEV_LINKS {
        link(dev, name, target, plan)?;
    }
    if std::path::Path::new("/proc/kcore").exists() {
        link(dev, "core", "/proc/kcore", plan)?;
        link(dev, "kcore", "/proc/kcore", plan)?;
    }
    plan_filesystems(dev, destination, tree, plan)
}

fn plan_filesystems(
    dev: Slot,
    destination: &Destination,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let mut parameters = vec![
        ("source", "devpts"),
        ("newinstance", FLAG),
        ("ptmxmode", "0666"),
        ("mode", "620"),
    ];
    if tree.choices.has_tty_group {
        parameters.push(("gid", "5"));
    }
    parameters.extend(label("devpts", &tree.choices));
    let pts = Below {
        name: "pts",
        fstype: "devpts",
        attributes: NOSUID | NOEXEC,
    };
    let devpts = pts.plan(&parameters, dev, tree, plan)?;
    if destination.as_str() == "/dev" {
        (tree.dev, tree.devpts) = (Some(dev), Some(devpts));
    }
    let mut parameters = vec![("source", "shm"), ("mode", "1777"), ("size", "65536k")];
    parameters.extend(label("tmpfs", &tree.choices));
    let attributes = NOSUID | NODEV | NOEXEC;
    let shm = Below {
        name: "shm",
        fstype: "tmpfs",
        attributes,
    };
    shm.plan(&parameters, dev, tree, plan)?;
    // A shared IPC namespace would show the host's queues.
    if tree.choices.own_ipc {
        let mqueue = Below {
            name: "mqueue",
            fstype: "mqueue",
            attributes,
        };
        mqueue.plan(&[("source", "mqueue")], dev, tree, plan)?;
    }
    Ok(())
}

/// A file system on a directory of the layout.
struct Below {
    name: &'static str,
    fstype: &'static str,
    attributes: u64,
}

impl Below {
    fn plan(
        &self,
        parameters: &[(&str, &str)],
        parent: Slot,
        tree: &Tree,
        plan: &mut PlanBuilder,
    ) -> Result<Slot> {
        let name = plan.text(self.name).planning()?;
        let mode = 0o755;
        plan.push(
            "make the mount point",
            Op::MakeDirectory { parent, name, mode },
        );
        let mount = new_filesystem(self.fstype, parameters, self.attributes, plan)?;
        tree.attach_at(mount, parent, self.name, plan)?;
        Ok(mount)
    }
}

fn link(parent: Slot, name: &str, target: &str, plan: &mut PlanBuilder) -> Result<()> {
    let name = plan.text(name).planning()?;
    let target = plan.text(target).planning()?;
    plan.push(
        "make the link",
        Op::MakeSymlink {
            parent,
            name,
            target,
        },
    );
    Ok(())
}

/// The host's null device, known by its numbers and not by its name (H16, CVE-2025-31133).
pub(crate) fn open_null(plan: &mut PlanBuilder) -> Result<Slot> {
    let slot = open_host("/dev/null", Opening::Path, plan)?;
    let (major, minor) = (1, 3);
    plan.push(
        "check that it is the null device",
        Op::CheckDevice { slot, major, minor },
    );
    Ok(slot)
}

/// A host device as a mount of its own.
pub(crate) fn clone_device(slot: Slot, path: &str, plan: &mut PlanBuilder) -> Slot {
    crate::source::clone_mount(slot, path, Depth::Single, plan)
}
