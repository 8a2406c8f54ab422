//! The root that is being filled, while a plan for it is written.

use ns_config::{Config, Device, IdMap, NamespaceKind, Propagation, RootEntry};
use ns_init::{Create, Depth, Missing, Op, PlanBuilder, Slot, Strings};

use crate::attribute::{Change, propagation_word};
use crate::cgroup_view::CgroupLayout;
use crate::destination::Destination;
use crate::error::{Planned, Result};
use crate::host::{Host, Rights, Sources};

/// What every planner of this crate shares: the root's slot, and the choices made for this host.
pub(crate) struct Tree {
    pub(crate) root: Slot,
    /// A tmpfs below the new root where files are made before they are mounted; gone after the root is entered.
    pub(crate) staging: Option<Slot>,
    pub(crate) n_staged: usize,
    /// The tmpfs of the `/dev` layout.
    pub(crate) dev: Option<Slot>,
    pub(crate) devpts: Option<Slot>,
    pub(crate) choices: Choices,
    /// Directories of the root that are held by descriptor, or the mounts that were attached there since.
    held: Vec<Held>,
    closes_early: bool,
}

/// Decided before the first op.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    pub(crate) rights: Rights,
    pub(crate) sources: Sources,
    pub(crate) cgroup_layout: CgroupLayout,
    /// The propagation that mounts from outside arrive with.
    pub(crate) arrival: Propagation,
    pub(crate) own_ipc: bool,
    pub(crate) own_cgroup: bool,
    /// Whether group 5 exists in the user namespace.
    pub(crate) has_tty_group: bool,
    pub(crate) mount_label: Option<String>,
    /// The nodes of the `/dev` layout; a device of the configuration with the same path and number decides mode and
    /// owner.
    pub(crate) nodes: Vec<Device>,
}

impl Choices {
    pub(crate) fn new(config: &Config, host: &Host) -> Self {
        let own_users = config.namespaces.creates(NamespaceKind::User);
        let slave =
            config.root_entry == RootEntry::Move || config.rootfs_propagation == Propagation::Slave;
        Choices {
            rights: host.rights,
            sources: host.sources,
            cgroup_layout: host.cgroup_layout.clone(),
            arrival: if slave {
                Propagation::Slave
            } else {
                Propagation::Private
            },
            own_ipc: config.namespaces.contains(NamespaceKind::Ipc),
            own_cgroup: config.namespaces.contains(NamespaceKind::Cgroup),
            has_tty_group: match host.rights {
                Rights::Initial => true,
                Rights::UserNamespace => {
                    own_users && IdMap::host_id(&config.gid_mappings, TTY_GROUP).is_some()
                }
            },
            mount_label: config.mount_label.clone(),
            nodes: layout_nodes(&config.devices),
        }
    }

    /// What a caller without a configuration gets: nothing of its own, no label.
    pub(crate) fn of_host(host: &Host) -> Self {
        Choices::new(&Config::default(), host)
    }
}

fn layout_nodes(devices: &[Device]) -> Vec<Device> {
    let mut nodes = Device::default_simple();
    for node in &mut nodes {
        let identity = |device: &Device| (device.kind, device.major, device.minor);
        let is_same =
            |device: &&Device| device.path == node.path && identity(device) == identity(node);
        if let Some(device) = devices.iter().find(is_same) {
            *node = device.clone();
        }
    }
    nodes
}

/// A directory of the root that is never looked up a second time.
struct Held {
    name: String,
    slot: Slot,
    mounted: bool,
}

/// The group that owns terminals on every distribution.
pub(crate) const TTY_GROUP: u32 = 5;

impl Tree {
    pub(crate) fn new(root: Slot, choices: Choices, n_objects: usize) -> Self {
        Tree {
            root,
            staging: None,
            n_staged: 0,
            dev: None,
            devpts: None,
            choices,
            held: Vec::new(),
            closes_early: n_objects > CLOSE_ABOVE,
        }
    }

    /// Where to look a path up: `/proc`, `/sys` and `/dev` are opened once, as directories and never as links, and then
    /// only the descriptor is used, or that of the mount that was attached there. A link in an image, or a directory
    /// that somebody exchanges meanwhile, would put the mount elsewhere and leave the place itself open.
    ///
    /// Gives the directory to start from and the path below it; an empty path is the directory itself.
    pub(crate) fn locate<'d>(
        &mut self,
        path: &'d str,
        plan: &mut PlanBuilder,
    ) -> Result<(Slot, &'d str)> {
        let below = path.trim_start_matches('/');
        let (first, rest) = below.split_once('/').unwrap_or((below, ""));
        if !GUARDED.contains(&first) {
            return Ok((self.root, path));
        }
        if let Some(slot) = self.held_slot(first) {
            return Ok((slot, rest));
        }
        let name = plan.text(first).planning()?;
        let (parent, mode) = (self.root, 0o755);
        plan.push(
            "make sure that it is a directory and no link",
            Op::MakeDirectory { parent, name, mode },
        );
        let slot = plan.slot(format!("/{first}"));
        let out = slot;
        plan.push(
            "hold the directory",
            Op::OpenDirectory { out, parent, name },
        );
        let mounted = false;
        self.held.push(Held {
            name: first.to_owned(),
            slot,
            mounted,
        });
        Ok((slot, rest))
    }

    /// Where to look a path up without making anything.
    pub(crate) fn locate_existing<'d>(&self, path: &'d str) -> (Slot, &'d str) {
        let below = path.trim_start_matches('/');
        let (first, rest) = below.split_once('/').unwrap_or((below, ""));
        match self.held_slot(first) {
            Some(slot) => (slot, if rest.is_empty() { "." } else { rest }),
            None => (self.root, path),
        }
    }

    fn held_slot(&self, name: &str) -> Option<Slot> {
        let held = self.held.iter().find(|held| held.name == name);
        held.map(|held| held.slot)
    }

    /// Opens a directory inside the root, making what is missing.
    pub(crate) fn directory(&mut self, path: &str, plan: &mut PlanBuilder) -> Result<Slot> {
        match self.locate(path, plan)? {
            (directory, "") => Ok(directory),
            (directory, path) => open_in(directory, path, Create::Directory(0o755), plan),
        }
    }

    /// Opens the place inside the root, making what is missing.
    pub(crate) fn target(
        &mut self,
        destination: &Destination,
        create: Create,
        plan: &mut PlanBuilder,
    ) -> Result<Slot> {
        let slot = match self.locate(destination.as_str(), plan)? {
            (directory, "") => return Ok(directory),
            (directory, path) => open_in(directory, path, create, plan)?,
        };
        // A link of the image may lead into /proc, whatever the name says (CVE-2019-16884).
        plan.push(
            "check that it is outside /proc",
            Op::CheckOutsideProc { slot },
        );
        Ok(slot)
    }

    /// Mounts on the place inside the root.
    pub(crate) fn attach(
        &mut self,
        mount: Slot,
        destination: &Destination,
        create: Create,
        plan: &mut PlanBuilder,
    ) -> Result<()> {
        let target = self.target(destination, create, plan)?;
        plan.push("attach the mount", Op::AttachMount { mount, target });
        match self.held.iter_mut().find(|held| held.slot == target) {
            Some(held) => (held.slot, held.mounted) = (mount, true),
            None => self.release(target, plan),
        }
        Ok(())
    }

    /// Checks that what was mounted on the held directories is what their names lead to.
    pub(crate) fn check_held(&self, plan: &mut PlanBuilder) -> Result<()> {
        for held in self.held.iter().filter(|held| held.mounted) {
            let name = plan.text(&held.name).planning()?;
            let (parent, mount) = (self.root, held.slot);
            plan.push(
                "check that nobody has exchanged the directory",
                Op::CheckMounted {
                    parent,
                    name,
                    mount,
                },
            );
        }
        Ok(())
    }

    /// Mounts on a name in a directory that only we can write; the name is made by the caller.
    pub(crate) fn attach_at(
        &self,
        mount: Slot,
        directory: Slot,
        name: &str,
        plan: &mut PlanBuilder,
    ) -> Result<()> {
        let target = open_in(directory, name, Create::Nothing, plan)?;
        plan.push("attach the mount", Op::AttachMount { mount, target });
        self.release(target, plan);
        Ok(())
    }

    /// A slot that is not needed any more: closed at once when there are so many that a usual limit of open
    /// files would be met, else together with the process's others.
    pub(crate) fn release(&self, slot: Slot, plan: &mut PlanBuilder) {
        let is_held = self.held.iter().any(|held| held.slot == slot);
        if self.closes_early && !is_held && slot != self.root {
            plan.push("close", Op::Close { slot });
        }
    }
}

pub(crate) fn open_in(
    root: Slot,
    path: &str,
    create: Create,
    plan: &mut PlanBuilder,
) -> Result<Slot> {
    let out = plan.slot(path);
    let path = plan.text(path).planning()?;
    let missing = Missing::Fail;
    plan.push(
        "open the place inside the root",
        Op::OpenInRoot {
            out,
            root,
            path,
            create,
            missing,
        },
    );
    Ok(out)
}

/// A new instance of a file system, detached.
pub(crate) fn new_filesystem(
    fstype: &str,
    parameters: &[(&str, &str)],
    attributes: u64,
    plan: &mut PlanBuilder,
) -> Result<Slot> {
    let out = plan.slot(fstype);
    let parameters = pairs(parameters, plan)?;
    let fstype = plan.text(fstype).planning()?;
    plan.push(
        "make the file system",
        Op::NewFilesystem {
            out,
            fstype,
            parameters,
            attributes,
        },
    );
    Ok(out)
}

fn pairs(parameters: &[(&str, &str)], plan: &mut PlanBuilder) -> Result<Strings> {
    let flat = parameters.iter().flat_map(|(name, value)| [*name, *value]);
    plan.strings(flat).planning()
}

/// `mount_setattr(2)`, unless there is nothing to change.
pub(crate) fn change(mount: Slot, depth: Depth, change: Change, plan: &mut PlanBuilder) {
    if change.is_nothing() {
        return;
    }
    let Change {
        set,
        clear,
        propagation,
    } = change;
    plan.push(
        "set the mount's attributes",
        Op::SetMountAttributes {
            mount,
            depth,
            set,
            clear,
            propagation,
        },
    );
}

/// A mount that came from the caller's own namespace may still be tied to it.
pub(crate) fn untie(mount: Slot, arrival: Propagation, plan: &mut PlanBuilder) {
    let propagation = propagation_word(arrival);
    let change_of_all = Change {
        propagation,
        ..Change::default()
    };
    change(mount, Depth::Recursive, change_of_all, plan);
}

/// The value that makes a parameter a flag.
pub(crate) const FLAG: &str = "\x01";
const GUARDED: [&str; 3] = ["proc", "sys", "dev"];
/// Four times this, as an object takes up to four descriptors, is below a limit of 256 open files.
const CLOSE_ABOVE: usize = 60;
