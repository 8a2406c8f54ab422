//! `cgroups`.

use super::read_mount::{DEVICE_KEYS, read_access, read_device_letter};
use crate::{
    cgroup::{CgroupConfig, CpuConfig, FreezerState, IoConfig, Limit, MemoryConfig},
    device::{DeviceRule, DeviceRuleKind},
    object::{Keys, Object},
};

const KEYS: Keys = Keys {
    known: &[
        "name",
        "parent",
        "allow_all_devices",
        "allowed_devices",
        "memory",
        "memory_reservation",
        "memory_swap",
        "cpu_shares",
        "cpu_quota",
        "cpu_period",
        "cpuset_cpus",
        "cpuset_mems",
        "blkio_weight",
        "freezer",
        "slice",
    ],
    moved: &[],
};

/// Reads the control group; `None` when the key is missing.
pub(super) fn read(object: &Object<'_>) -> Option<CgroupConfig> {
    let section = object.object("cgroups", &KEYS)?;
    let rules = section.objects("allowed_devices", &DEVICE_KEYS).into_iter();
    let rules = rules.filter_map(|entry| read_rule(&entry)).collect();
    let devices = if section.flag("allow_all_devices") {
        None
    } else {
        Some(rules)
    };
    Some(CgroupConfig {
        name: section.text("name").unwrap_or_default(),
        parent: section.text("parent").unwrap_or_default(),
        slice: section.text("slice"),
        devices,
        freezer: read_freezer(&section),
        memory: MemoryConfig {
            limit_bytes: read_limit(&section, "memory"),
            reservation_bytes: read_limit(&section, "memory_reservation"),
            // -1 left the value alone; it did not lift it.
            total_bytes: read_limit(&section, "memory_swap").filter(|total| *total != Limit::Max),
            ..MemoryConfig::default()
        },
        cpu: CpuConfig {
            shares: read_amount(&section, "cpu_shares"),
            quota_us: read_limit(&section, "cpu_quota"),
            period_us: read_amount(&section, "cpu_period"),
            cpus: section.text("cpuset_cpus"),
            mems: section.text("cpuset_mems"),
            ..CpuConfig::default()
        },
        io: IoConfig {
            weight: section
                .integer("blkio_weight", "10 to 1000; 0 is unset")
                .filter(|weight| *weight != 0),
            ..IoConfig::default()
        },
        ..CgroupConfig::default()
    })
}

/// 0 is unset, -1 is no limit.
fn read_limit(section: &Object<'_>, key: &str) -> Option<Limit> {
    section
        .limit(key, "a positive number, 0 (unset) or -1 (no limit)")
        .filter(|limit| *limit != Limit::Value(0))
}

/// 0 is unset.
fn read_amount(section: &Object<'_>, key: &str) -> Option<u64> {
    section
        .integer(key, "a positive number, or 0 (unset)")
        .filter(|amount| *amount != 0)
}

fn read_freezer(section: &Object<'_>) -> Option<FreezerState> {
    match section.text("freezer")?.as_str() {
        "FROZEN" => Some(FreezerState::Frozen),
        "THAWED" => Some(FreezerState::Thawed),
        _ => {
            section.invalid("freezer", "is not a freezer state", "FROZEN, THAWED");
            None
        }
    }
}

fn read_rule(entry: &Object<'_>) -> Option<DeviceRule> {
    let kind = read_device_letter(entry).and_then(|letter| match letter {
        'a' => Some(DeviceRuleKind::All),
        'c' | 'u' => Some(DeviceRuleKind::Char),
        'b' => Some(DeviceRuleKind::Block),
        _ => {
            entry.invalid("type", "is not a device type", "99 (c), 98 (b), 97 (both)");
            None
        }
    });
    let access = read_access(entry);
    if !entry.has("cgroup_permissions") {
        entry.missing("cgroup_permissions", "letters out of rwm");
    }
    let (major, minor) = (
        read_number(entry, "major_number"),
        read_number(entry, "minor_number"),
    );
    let id = |key| entry.integer(key, "0 to 4294967294").unwrap_or_default();
    let mode = entry
        .integer("file_mode", "decimal permission bits")
        .unwrap_or_default();
    let (uid, gid) = (id("uid"), id("gid"));
    Some(DeviceRule {
        path: entry.text("path").unwrap_or_default(),
        mode,
        uid,
        gid,
        pointer: entry.pointer.clone(),
        ..DeviceRule::allow(kind?, major, minor, access?)
    })
}

/// -1 is any number, missing is 0.
fn read_number(entry: &Object<'_>, key: &str) -> Option<u32> {
    let accepted = "0 to 1048575, or -1 (any)";
    let number = entry.integer::<i64>(key, accepted).unwrap_or(0);
    if number < -1 || number > i64::from(u32::MAX) {
        entry.invalid(key, "is out of range", accepted);
    }
    u32::try_from(number).ok()
}
