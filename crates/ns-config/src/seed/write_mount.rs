//! Writing `mount_config`.

use serde::Serialize;

use super::{
    read_mount::{bind_options, tmpfs, tmpfs_options},
    system_mounts,
    write::is_default,
};
use crate::{
    config::{Config, Propagation, RootEntry},
    device::{Device, DeviceAccess, DeviceRule},
    mount::{Mount, MountKind, MountOptions, Relabel},
    namespace::NamespaceKind,
    refusal::Refusals,
    source::Setting,
};

#[derive(Serialize)]
pub(super) struct MountForm<'a> {
    #[serde(skip_serializing_if = "is_default")]
    no_pivot_root: bool,
    #[serde(skip_serializing_if = "is_default")]
    readonly_fs: bool,
    #[serde(skip_serializing_if = "is_default")]
    mounts: Vec<EntryForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    device_nodes: Vec<DeviceForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    mount_label: &'a str,
}

#[derive(Serialize)]
struct EntryForm<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    source: &'a str,
    destination: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    writable: bool,
    #[serde(skip_serializing_if = "is_default")]
    relabel: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    private: bool,
    #[serde(skip_serializing_if = "is_default")]
    slave: bool,
}

/// A device node, or a rule of the allow-list.
#[derive(Serialize)]
pub(super) struct DeviceForm<'a> {
    r#type: u32,
    #[serde(skip_serializing_if = "is_default")]
    path: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    major_number: i64,
    #[serde(skip_serializing_if = "is_default")]
    minor_number: i64,
    #[serde(skip_serializing_if = "is_default")]
    cgroup_permissions: String,
    #[serde(skip_serializing_if = "is_default")]
    file_mode: u32,
    #[serde(skip_serializing_if = "is_default")]
    uid: u32,
    #[serde(skip_serializing_if = "is_default")]
    gid: u32,
}

pub(super) fn form<'a>(
    config: &'a Config,
    restrict_sys: bool,
    refusals: &mut Refusals,
) -> MountForm<'a> {
    let mounts = user_mounts(config, restrict_sys, refusals).iter();
    MountForm {
        no_pivot_root: config.root_entry == RootEntry::Move,
        readonly_fs: config.readonly_rootfs,
        mounts: mounts
            .filter_map(|mount| entry_form(mount, refusals))
            .collect(),
        device_nodes: config.devices.iter().map(device_form).collect(),
        mount_label: config.mount_label.as_deref().unwrap_or_default(),
    }
}

/// The mounts after those that the format implies.
fn user_mounts<'a>(config: &'a Config, restrict_sys: bool, refusals: &mut Refusals) -> &'a [Mount] {
    if !config.namespaces.creates(NamespaceKind::Mount) {
        return &config.mounts;
    }
    let implied = system_mounts(restrict_sys, "");
    let same = |(mount, implied): (&Mount, &Mount)| {
        *implied
            == Mount {
                pointer: String::new(),
                ..mount.clone()
            }
    };
    match config.mounts.split_at_checked(implied.len()) {
        Some((first, rest)) if first.iter().zip(&implied).all(same) => rest,
        _ => {
            let rule = "container.json always begins with its own /proc, /dev and /sys, \
                the latter read-only with the masks of restrict_sys and writable without";
            let way_out = "order the mounts so, with the options noexec, nosuid and nodev";
            refusals.refuse(Setting::Mounts, rule, way_out);
            &[]
        }
    }
}

fn entry_form<'a>(mount: &'a Mount, refusals: &mut Refusals) -> Option<EntryForm<'a>> {
    let propagation = mount.options.propagation;
    let private = propagation == Some(Propagation::Private);
    let slave = propagation == Some(Propagation::Slave);
    let writable = !mount.options.set_recursive.read_only;
    let bind = MountOptions {
        relabel: mount.options.relabel,
        ..bind_options(writable, propagation)
    };
    let (r#type, source, writable, expected) = match &mount.kind {
        MountKind::Bind {
            source,
            recursive: true,
            optional: false,
        } if !source.is_empty() => ("bind", source.as_str(), writable, bind),
        kind if *kind == tmpfs() => ("tmpfs", "", false, tmpfs_options(propagation)),
        _ => ("", "", false, MountOptions::default()),
    };
    let propagates = propagation.is_none() || private || slave;
    if r#type.is_empty() || mount.options != expected || !propagates || mount.destination.is_empty()
    {
        let rule = format!(
            "the mount at {:?} cannot be written as container.json",
            mount.destination
        );
        let way_out =
            "only binds, read-only or not, and tmpfs with nosuid, nodev and noexec are known there";
        refusals.refuse_item((&mount.pointer, Setting::Mounts), &rule, way_out);
        return None;
    }
    let relabel = mount.options.relabel.map(Relabel::word).unwrap_or_default();
    let destination = &mount.destination;
    Some(EntryForm {
        r#type,
        source,
        destination,
        writable,
        relabel,
        private,
        slave,
    })
}

fn device_form(device: &Device) -> DeviceForm<'_> {
    DeviceForm {
        r#type: device.kind.letter().into(),
        path: &device.path,
        major_number: device.major.into(),
        minor_number: device.minor.into(),
        cgroup_permissions: DeviceAccess::ALL.to_string(),
        file_mode: device.mode,
        uid: device.uid,
        gid: device.gid,
    }
}

pub(super) fn rule_form(rule: &DeviceRule) -> DeviceForm<'_> {
    DeviceForm {
        r#type: rule.kind.letter().into(),
        path: &rule.path,
        major_number: rule.major.map_or(-1, i64::from),
        minor_number: rule.minor.map_or(-1, i64::from),
        cgroup_permissions: rule.access.to_string(),
        file_mode: rule.mode,
        uid: rule.uid,
        gid: rule.gid,
    }
}
