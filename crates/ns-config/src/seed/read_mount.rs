//! `mount_config`: the root, mounts and device nodes.

use super::system_mounts;
use crate::{
    config::{Config, Propagation, RootEntry},
    device::{Device, DeviceAccess, DeviceKind},
    error::{Kind, Problem},
    json::Node,
    mount::{Mount, MountAttributes, MountKind, MountOptions, Relabel},
    namespace::NamespaceKind,
    object::{Keys, Object},
};

const KEYS: Keys = Keys {
    known: &[
        "no_pivot_root",
        "readonly_fs",
        "mounts",
        "device_nodes",
        "mount_label",
    ],
    moved: &[(
        "pivot_dir",
        "nothing: the root is entered without a directory inside, so there is none to choose",
    )],
};
const MOUNT_KEYS: Keys = Keys {
    known: &[
        "type",
        "source",
        "destination",
        "writable",
        "relabel",
        "private",
        "slave",
    ],
    moved: &[
        ("device", "type"),
        ("flags", "writable, private and slave"),
        ("data", "nothing"),
    ],
};
pub(super) const DEVICE_KEYS: Keys = Keys {
    known: &[
        "type",
        "path",
        "major_number",
        "minor_number",
        "cgroup_permissions",
        "file_mode",
        "uid",
        "gid",
    ],
    moved: &[
        ("major", "major_number"),
        ("minor", "minor_number"),
        ("permissions", "cgroup_permissions"),
    ],
};

/// Reads `mount_config` into the configuration, after what the format implies.
pub(super) fn read(object: &Object<'_>, config: &mut Config, restrict_sys: bool) {
    let mount_namespace = config.namespaces.get(NamespaceKind::Mount);
    if let Some(namespace) = mount_namespace.filter(|namespace| namespace.path.is_none()) {
        config.mounts = system_mounts(restrict_sys, &namespace.pointer);
    }
    let Some(section) = object.object("mount_config", &KEYS) else {
        return;
    };
    if section.flag("no_pivot_root") {
        config.root_entry = RootEntry::Move;
        config.rootfs_propagation = Propagation::Slave;
    }
    config.readonly_rootfs = section.flag("readonly_fs");
    config.mount_label = section.text("mount_label");
    let mounts = section.objects("mounts", &MOUNT_KEYS).into_iter();
    config
        .mounts
        .extend(mounts.filter_map(|entry| read_mount(&entry)));
    let devices = section.objects("device_nodes", &DEVICE_KEYS).into_iter();
    config.devices = devices.filter_map(|entry| read_device(&entry)).collect();
}

fn read_mount(entry: &Object<'_>) -> Option<Mount> {
    let (source, destination) = (entry.text("source"), entry.text("destination"));
    let writable = entry.flag("writable");
    let propagation = read_propagation(entry);
    let relabel = read_relabel(entry);
    if destination.is_none() {
        entry.missing("destination", "an absolute path inside the container");
    }
    let (kind, options) = match entry.text("type").as_deref() {
        Some("bind") => {
            if source.is_none() {
                entry.missing("source", "an absolute path of the host");
            }
            let kind = MountKind::Bind {
                source: source?,
                recursive: true,
                optional: false,
            };
            (
                kind,
                MountOptions {
                    relabel,
                    ..bind_options(writable, propagation)
                },
            )
        }
        Some("tmpfs") => {
            for key in ["source", "relabel"]
                .into_iter()
                .filter(|key| entry.text(key).is_some())
            {
                entry.invalid(key, "means nothing for a tmpfs", "no such key");
            }
            (tmpfs(), tmpfs_options(propagation))
        }
        Some(_) => {
            entry.invalid("type", "is not a mount type of this format", "bind, tmpfs");
            return None;
        }
        None => {
            entry.missing("type", "bind, tmpfs");
            return None;
        }
    };
    Some(Mount {
        destination: destination?,
        kind,
        options,
        pointer: entry.pointer.clone(),
    })
}

/// The seed made only the topmost mount of a bind read-only; everything below is, here.
pub(super) fn bind_options(writable: bool, propagation: Option<Propagation>) -> MountOptions {
    let read_only = MountAttributes {
        read_only: !writable,
        ..MountAttributes::default()
    };
    MountOptions {
        set_recursive: read_only,
        propagation,
        ..MountOptions::default()
    }
}

/// A tmpfs is writable whatever `writable` says, as in the seed.
pub(super) fn tmpfs_options(propagation: Option<Propagation>) -> MountOptions {
    let set = MountAttributes {
        no_suid: true,
        no_dev: true,
        no_exec: true,
        ..MountAttributes::default()
    };
    MountOptions {
        set,
        propagation,
        ..MountOptions::default()
    }
}

pub(super) fn tmpfs() -> MountKind {
    MountKind::Filesystem {
        fstype: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
    }
}

fn read_propagation(entry: &Object<'_>) -> Option<Propagation> {
    match (entry.flag("private"), entry.flag("slave")) {
        (true, true) => {
            let rule = "contradicts \"private\"";
            let pointer = format!("{}/slave", entry.pointer);
            entry.note(Problem::new(Kind::Conflict, &pointer, true, rule).accepted("one of them"));
            None
        }
        (true, false) => Some(Propagation::Private),
        (false, true) => Some(Propagation::Slave),
        (false, false) => None,
    }
}

fn read_relabel(entry: &Object<'_>) -> Option<Relabel> {
    match entry.text("relabel")?.as_str() {
        "z" => Some(Relabel::Shared),
        "Z" => Some(Relabel::Private),
        _ => {
            entry.invalid(
                "relabel",
                "is not a kind of relabelling",
                "z (shared), Z (private)",
            );
            None
        }
    }
}

fn read_device(entry: &Object<'_>) -> Option<Device> {
    let letter = read_device_letter(entry);
    let path = entry.text("path");
    if path.is_none() {
        entry.missing("path", "an absolute path inside the container");
    }
    let kind = letter.and_then(|letter| match letter {
        'c' | 'u' => Some(DeviceKind::Char),
        'b' => Some(DeviceKind::Block),
        'p' => Some(DeviceKind::Fifo),
        _ => {
            entry.invalid(
                "type",
                "is not a device type",
                "99 (c), 98 (b), 112 (p), 117 (u)",
            );
            None
        }
    });
    // Only the allow-list uses it; here it is checked and has no effect.
    read_access(entry);
    let number = |key| entry.integer(key, "0 to 4294967294");
    let mode = entry.integer("file_mode", "decimal permission bits, e.g. 438 for 0666");
    let device = Device {
        kind: DeviceKind::Char,
        path: String::new(),
        major: number("major_number").unwrap_or_default(),
        minor: number("minor_number").unwrap_or_default(),
        mode: mode.unwrap_or_default(),
        uid: number("uid").unwrap_or_default(),
        gid: number("gid").unwrap_or_default(),
        pointer: entry.pointer.clone(),
    };
    Some(Device {
        kind: kind?,
        path: path?,
        ..device
    })
}

/// `type` is the code of a character; the character itself is accepted too.
pub(super) fn read_device_letter(entry: &Object<'_>) -> Option<char> {
    let Some((node, pointer)) = entry.node("type") else {
        entry.missing("type", "99 (c), 98 (b)");
        return None;
    };
    match node {
        Node::Integer(code) => u8::try_from(*code).ok().map(char::from).or(Some('?')),
        Node::String(text) => {
            let mut letters = text.chars();
            letters
                .next()
                .filter(|_| letters.next().is_none())
                .or(Some('?'))
        }
        other => {
            entry.wrong_type(&pointer, other, "99 (c), 98 (b)");
            None
        }
    }
}

/// `None` when it is missing or malformed, the latter being noted.
pub(super) fn read_access(entry: &Object<'_>) -> Option<DeviceAccess> {
    let access = DeviceAccess::parse(&entry.text("cgroup_permissions")?);
    if access.is_none() {
        entry.invalid(
            "cgroup_permissions",
            "is not a set of rights",
            "letters out of rwm",
        );
    }
    access
}
