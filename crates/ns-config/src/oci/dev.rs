//! `/dev`: what the specification implies, and the mounts that stand for the layout of this library.

use crate::{
    config::Config,
    device::Device,
    id_map::IdMap,
    mount::{Mount, MountKind, MountOptions},
    namespace::NamespaceKind,
};

/// The mounts that together are [`MountKind::DevLayout`], as engines write them.
///
/// The group of terminals and the message queues follow the user and IPC namespaces, as the layout itself does.
pub(super) fn layout(config: &Config) -> Vec<Mount> {
    let has_tty_group = !config.namespaces.contains(NamespaceKind::User)
        || IdMap::host_id(&config.gid_mappings, 5).is_some();
    let mut pts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    pts.extend(has_tty_group.then_some("gid=5"));
    let strict = ["nosuid", "noexec", "nodev"];
    let shm = [&strict[..], &["mode=1777", "size=65536k"]].concat();
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let mut mounts = vec![
        filesystem("/dev", "tmpfs", "tmpfs", &dev),
        filesystem("/dev/pts", "devpts", "devpts", &pts),
        filesystem("/dev/shm", "tmpfs", "shm", &shm),
    ];
    if config.namespaces.contains(NamespaceKind::Ipc) {
        mounts.push(filesystem("/dev/mqueue", "mqueue", "mqueue", &strict));
    }
    mounts
}

fn filesystem(destination: &str, fstype: &str, source: &str, words: &[&str]) -> Mount {
    let options = MountOptions::parse(words, fstype).map(|parsed| parsed.options);
    Mount {
        destination: destination.to_owned(),
        kind: MountKind::Filesystem {
            fstype: fstype.to_owned(),
            source: source.to_owned(),
        },
        options: options.unwrap_or_default(),
        pointer: String::new(),
    }
}

/// Puts the layout in the place of its mounts, or else adds what every container has in `/dev`.
pub(super) fn write_out(config: &mut Config) {
    if !config.namespaces.creates(NamespaceKind::Mount) || fold(config) || is_bound(config) {
        return;
    }
    for device in Device::default_simple() {
        if !config
            .devices
            .iter()
            .any(|listed| listed.path == device.path)
        {
            config.devices.push(device);
        }
    }
    config.mounts.extend(links());
}

fn fold(config: &mut Config) -> bool {
    let layout = layout(config);
    let is_layout = |window: &[Mount]| window.iter().zip(&layout).all(|(a, b)| same(a, b));
    let found = config.mounts.windows(layout.len()).position(is_layout);
    let Some(first) = found else { return false };
    let pointer = config.mounts[first].pointer.clone();
    let dev = Mount {
        destination: "/dev".to_owned(),
        kind: MountKind::DevLayout,
        options: MountOptions::default(),
        pointer,
    };
    config.mounts.splice(first..first + layout.len(), [dev]);
    true
}

/// A directory of the host at `/dev` stays as it is.
fn is_bound(config: &Config) -> bool {
    let at_dev = |mount: &&Mount| mount.destination.trim_end_matches('/') == "/dev";
    let last = config.mounts.iter().rev().find(at_dev);
    last.is_some_and(|mount| matches!(mount.kind, MountKind::Bind { .. }))
}

/// The mounts without the links that a container has in any case.
pub(super) fn without_implied(config: &Config) -> &[Mount] {
    let links = links();
    let mounts = config.mounts.as_slice();
    let has_layout = mounts
        .iter()
        .any(|mount| mount.kind == MountKind::DevLayout);
    let implied = config.namespaces.creates(NamespaceKind::Mount) && !has_layout;
    match mounts.len().checked_sub(links.len()) {
        Some(n_listed) if implied => {
            let (listed, last) = mounts.split_at(n_listed);
            match last.iter().zip(&links).all(|(a, b)| same(a, b)) {
                true => listed,
                false => mounts,
            }
        }
        _ => mounts,
    }
}

fn links() -> Vec<Mount> {
    let link = |(name, target): (&str, &str)| Mount {
        destination: format!("/dev/{name}"),
        kind: MountKind::Symlink {
            target: target.to_owned(),
        },
        options: MountOptions::default(),
        pointer: String::new(),
    };
    MountKind::DEV_LINKS.map(link).into()
}

fn same(a: &Mount, b: &Mount) -> bool {
    (&a.destination, &a.kind, &a.options) == (&b.destination, &b.kind, &b.options)
}
