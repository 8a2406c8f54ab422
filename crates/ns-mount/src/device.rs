//! Device nodes below the root.

use std::collections::BTreeMap;

use ns_config::{Device, DeviceKind};
use ns_init::{Create, Depth, Op, Opening, PlanBuilder, Slot};

use crate::attribute::{Change, RDONLY};
use crate::destination::Destination;
use crate::dev_layout::clone_device;
use crate::error::{Error, Kind, Planned, Result};
use crate::host::Rights;
use crate::source::open_host;
use crate::tree::{Tree, change, open_in};

/// Checks a device of the configuration as far as the caller can.
pub(crate) fn check(device: &Device, rights: Rights) -> Result<Destination> {
    let checked = Destination::parse(&device.path, STEP).and_then(|destination| {
        if destination.is_in_proc() {
            let call = format!("device {destination} lies in /proc");
            return Err(Error::new(Kind::Hostile, STEP, call));
        }
        if device.major > Device::MAX_MAJOR || device.minor > Device::MAX_MINOR {
            let call = format!("there is no device {}:{}", device.major, device.minor);
            return Err(Error::new(Kind::InvalidValue, STEP, call));
        }
        if rights == Rights::UserNamespace && device.kind == DeviceKind::Block {
            let call = format!("block device {destination} in a user namespace");
            return Err(Error::new(Kind::Unsupported, STEP, call));
        }
        Ok(destination)
    });
    checked.map_err(|error| error.at(device.pointer.as_str()))
}

/// Writes the ops for all devices of the configuration.
pub(crate) fn plan(
    devices: &[(&Device, Destination)],
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let mut parents = BTreeMap::new();
    if let Some(dev) = tree.dev {
        parents.insert("/dev".to_owned(), dev);
    }
    for (device, destination) in devices {
        if tree.dev.is_some() && tree.choices.nodes.contains(device) {
            continue;
        }
        plan.at(device.pointer.as_str());
        let parent = match destination.parent() {
            None => tree.root,
            Some(path) => match parents.get(path) {
                Some(parent) => *parent,
                None => {
                    let parent = tree.directory(path, plan)?;
                    parents.insert(path.to_owned(), parent);
                    parent
                }
            },
        };
        make_or_bind(device, parent, destination.name(), tree, plan)?;
    }
    Ok(())
}

/// Makes the node, or binds the host's node of the same path and number where nodes cannot be made.
pub(crate) fn make_or_bind(
    device: &Device,
    parent: Slot,
    file_name: &str,
    tree: &Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    if tree.choices.rights == Rights::UserNamespace && device.kind == DeviceKind::Char {
        return bind(device, parent, file_name, tree, plan);
    }
    let name = plan.text(file_name).planning()?;
    plan.push(
        "make the node",
        Op::MakeNode {
            parent,
            name,
            mode: device.kind.type_bits() | (device.mode & 0o7777),
            major: device.major,
            minor: device.minor,
            uid: device.uid,
            gid: device.gid,
        },
    );
    Ok(())
}

fn bind(
    device: &Device,
    parent: Slot,
    file_name: &str,
    tree: &Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let slot = open_host(&device.path, Opening::Path, plan)?;
    let (major, minor) = (device.major, device.minor);
    plan.push(
        "check that it is the device that was asked for",
        Op::CheckDevice { slot, major, minor },
    );
    let mount = clone_device(slot, &device.path, plan);
    // The device can be used on a read-only mount, but nobody inside changes the mode or owner of the host's node.
    let read_only = Change {
        set: RDONLY,
        ..Change::default()
    };
    change(mount, Depth::Single, read_only, plan);
    let target = open_in(parent, file_name, Create::File(0o644), plan)?;
    plan.push("attach the mount", Op::AttachMount { mount, target });
    [slot, mount, target]
        .into_iter()
        .for_each(|slot| tree.release(slot, plan));
    Ok(())
}

const STEP: &str = "check the device";
