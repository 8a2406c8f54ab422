//! `linux.cgroupsPath` and `linux.resources`.

use super::read::refuse_unsupported;
use crate::{
    cgroup::{
        CgroupConfig, CpuConfig, HugepageLimit, IoConfig, IoDeviceWeight, IoThrottle, Limit,
        MemoryConfig, RdmaLimit,
    },
    device::{Device, DeviceAccess, DeviceRule, DeviceRuleKind},
    error::{Kind, Problem},
    object::{Keys, Object, child, keys},
};

const KEYS: Keys =
    keys!("devices" "memory" "cpu" "blockIO" "hugepageLimits" "network" "pids" "rdma" "unified");
const RULE: Keys = keys!("allow" "type" "major" "minor" "access");
const MEMORY: Keys = keys!("limit" "reservation" "swap" "kernel" "kernelTCP" "swappiness" "disableOOMKiller"
    "useHierarchy" "checkBeforeUpdate");
const CPU: Keys = keys!("shares" "quota" "burst" "period" "realtimeRuntime" "realtimePeriod" "cpus" "mems" "idle");
const BLOCK_IO: Keys = keys!("weight" "leafWeight" "weightDevice" "throttleReadBpsDevice" "throttleWriteBpsDevice"
    "throttleReadIOPSDevice" "throttleWriteIOPSDevice");
const WEIGHT: Keys = keys!("major" "minor" "weight" "leafWeight");
const RATE: Keys = keys!("major" "minor" "rate");
const HUGEPAGE: Keys = keys!("pageSize" "limit");
const NETWORK: Keys = keys!("classID" "priorities");
const PRIORITY: Keys = keys!("name" "priority");
const PIDS: Keys = keys!("limit");
const RDMA: Keys = keys!("hcaHandles" "hcaObjects");

/// `None` when neither a path nor any limit is named.
pub(super) fn read(linux: &Object<'_>, devices: &[Device]) -> Option<CgroupConfig> {
    let path = linux.text("cgroupsPath");
    let section = linux.object("resources", &KEYS);
    let (parent, name) = read_path(linux, path.as_deref().unwrap_or_default());
    let mut cgroup = CgroupConfig {
        name,
        parent,
        ..CgroupConfig::default()
    };
    if let Some(section) = section {
        cgroup.devices = read_rules(&section, devices);
        cgroup.memory = read_memory(&section);
        cgroup.cpu = read_cpu(&section);
        cgroup.io = read_io(&section);
        cgroup.hugepages = read_hugepages(&section);
        cgroup.pids = section
            .object("pids", &PIDS)
            .and_then(|pids| read_limit(&pids, "limit"));
        cgroup.rdma = read_rdma(&section);
        let unified = section.string_map("unified").into_iter();
        cgroup.unified = unified.map(|(name, value, _)| (name, value)).collect();
        if let Some(network) = section.object("network", &NETWORK) {
            cgroup.net_cls_classid = network.integer("classID", "0 to 4294967295");
            let priorities = network.objects("priorities", &PRIORITY).into_iter();
            cgroup.net_prio = priorities.filter_map(|one| read_priority(&one)).collect();
        }
    }
    Some(cgroup).filter(|cgroup| *cgroup != CgroupConfig::default())
}

fn read_path(linux: &Object<'_>, path: &str) -> (String, String) {
    if !path.starts_with('/') && path.matches(':').count() == 2 {
        let rule = "names a unit of systemd, which makes no groups here";
        let pointer = child(&linux.pointer, "cgroupsPath");
        let problem = Problem::new(Kind::Unsupported, &pointer, path, rule);
        linux.note(problem.hint("name a path, such as /box1"));
    }
    match path.rsplit_once('/') {
        None => (String::new(), path.to_owned()),
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((parent, name)) => (parent.to_owned(), name.to_owned()),
    }
}

/// The model denies everything first; a document that says so itself says it once.
fn read_rules(section: &Object<'_>, devices: &[Device]) -> Option<Vec<DeviceRule>> {
    let entries = section.objects("devices", &RULE).into_iter();
    let mut rules: Vec<DeviceRule> = entries
        .filter_map(|entry| read_rule(&entry, devices))
        .collect();
    let is_everything = |rule: &DeviceRule| {
        (rule.kind, rule.major, rule.minor, rule.access)
            == (DeviceRuleKind::All, None, None, DeviceAccess::ALL)
    };
    match rules.first() {
        None => None,
        Some(first) if is_everything(first) && !first.allow => {
            rules.remove(0);
            Some(rules)
        }
        Some(first) if is_everything(first) && rules.len() == 1 => None,
        Some(_) => {
            // What comes before the first rule is the state of the group above.
            let all = DeviceRule::allow(DeviceRuleKind::All, None, None, DeviceAccess::ALL);
            rules.insert(0, all);
            Some(rules)
        }
    }
}

fn read_rule(entry: &Object<'_>, devices: &[Device]) -> Option<DeviceRule> {
    let kind = match entry.text("type").as_deref() {
        None | Some("a") => DeviceRuleKind::All,
        Some("c" | "u") => DeviceRuleKind::Char,
        Some("b") => DeviceRuleKind::Block,
        Some(_) => {
            entry.invalid("type", "is not a device type", "a, c, b");
            return None;
        }
    };
    for key in ["allow", "access"]
        .into_iter()
        .filter(|key| !entry.has(key))
    {
        entry.missing(key, "allow, and letters out of rwm as access");
    }
    let access = DeviceAccess::parse(&entry.text("access")?);
    if access.is_none() {
        entry.invalid("access", "is not a set of rights", "letters out of rwm");
    }
    let number = |key| {
        let accepted = "0 to 4294967295, or -1 (any)";
        let number = entry.integer::<i64>(key, accepted).unwrap_or(-1);
        if number < -1 || number > i64::from(u32::MAX) {
            entry.invalid(key, "is out of range", accepted);
        }
        u32::try_from(number).ok()
    };
    let rule = DeviceRule {
        allow: entry.flag("allow"),
        pointer: entry.pointer.clone(),
        ..DeviceRule::allow(kind, number("major"), number("minor"), access?)
    };
    Some(with_node(rule, devices))
}

/// The format does not say what node a rule is for; it can be told by the numbers of known ones.
fn with_node(rule: DeviceRule, devices: &[Device]) -> DeviceRule {
    let numbers = |rule: &DeviceRule| (rule.kind, rule.major, rule.minor);
    let listed = devices.iter().map(DeviceRule::for_device);
    let mut known = listed.chain(DeviceRule::default_allowed());
    match known.find(|known| numbers(known) == numbers(&rule)) {
        Some(known) => DeviceRule {
            path: known.path,
            mode: known.mode,
            uid: known.uid,
            gid: known.gid,
            ..rule
        },
        None => rule,
    }
}

fn read_memory(section: &Object<'_>) -> MemoryConfig {
    let Some(memory) = section.object("memory", &MEMORY) else {
        return MemoryConfig::default();
    };
    let obsolete = "leave it out: current kernels have no such limit";
    refuse_unsupported(&memory, "kernel", obsolete);
    refuse_unsupported(&memory, "kernelTCP", obsolete);
    refuse_unsupported(&memory, "checkBeforeUpdate", "leave it out");
    if memory.has("useHierarchy") && !memory.flag("useHierarchy") {
        refuse_unsupported(
            &memory,
            "useHierarchy",
            "leave it out, or say true: current kernels always do",
        );
    }
    MemoryConfig {
        limit_bytes: read_limit(&memory, "limit"),
        reservation_bytes: read_limit(&memory, "reservation"),
        total_bytes: read_limit(&memory, "swap"),
        swappiness: memory.integer("swappiness", "0 to 100"),
        oom_kill_disabled: memory
            .has("disableOOMKiller")
            .then(|| memory.flag("disableOOMKiller")),
    }
}

fn read_cpu(section: &Object<'_>) -> CpuConfig {
    let Some(cpu) = section.object("cpu", &CPU) else {
        return CpuConfig::default();
    };
    let amount = |key| cpu.integer(key, "0 to 18446744073709551615");
    let idle = cpu.integer::<i64>("idle", "0 or 1");
    if !matches!(idle, None | Some(0 | 1)) {
        cpu.invalid("idle", "is out of range", "0 or 1");
    }
    CpuConfig {
        shares: amount("shares"),
        quota_us: read_limit(&cpu, "quota"),
        period_us: amount("period"),
        burst_us: amount("burst"),
        idle: idle.map(|idle| idle == 1),
        realtime_runtime_us: cpu.integer("realtimeRuntime", "microseconds, or -1"),
        realtime_period_us: amount("realtimePeriod"),
        cpus: cpu.text("cpus"),
        mems: cpu.text("mems"),
    }
}

fn read_io(section: &Object<'_>) -> IoConfig {
    let Some(io) = section.object("blockIO", &BLOCK_IO) else {
        return IoConfig::default();
    };
    let weight = |object: &Object<'_>, key| object.integer(key, "10 to 1000");
    let weights = io.objects("weightDevice", &WEIGHT).into_iter();
    let mut throttles: Vec<IoThrottle> = Vec::new();
    let limits: [(&str, Rate); 4] = [
        ("throttleReadBpsDevice", |one| {
            &mut one.read_bytes_per_second
        }),
        ("throttleWriteBpsDevice", |one| {
            &mut one.write_bytes_per_second
        }),
        ("throttleReadIOPSDevice", |one| &mut one.read_ios_per_second),
        ("throttleWriteIOPSDevice", |one| {
            &mut one.write_ios_per_second
        }),
    ];
    for (key, field) in limits {
        for entry in io.objects(key, &RATE) {
            if let Some((major, minor, rate)) = read_rate(&entry) {
                *field(throttle(&mut throttles, major, minor)) = Some(rate);
            }
        }
    }
    IoConfig {
        weight: weight(&io, "weight"),
        leaf_weight: weight(&io, "leafWeight"),
        device_weights: weights
            .filter_map(|entry| {
                Some(IoDeviceWeight {
                    major: required(&entry, "major")?,
                    minor: required(&entry, "minor")?,
                    weight: weight(&entry, "weight"),
                    leaf_weight: weight(&entry, "leafWeight"),
                })
            })
            .collect(),
        throttles,
    }
}

/// Which bound a list sets.
type Rate = fn(&mut IoThrottle) -> &mut Option<u64>;

fn read_rate(entry: &Object<'_>) -> Option<(u32, u32, u64)> {
    let (major, minor) = (required(entry, "major"), required(entry, "minor"));
    Some((major?, minor?, required(entry, "rate")?))
}

fn throttle(throttles: &mut Vec<IoThrottle>, major: u32, minor: u32) -> &mut IoThrottle {
    let found = throttles
        .iter()
        .position(|one| (one.major, one.minor) == (major, minor));
    let place = found.unwrap_or_else(|| {
        throttles.push(IoThrottle {
            major,
            minor,
            ..IoThrottle::default()
        });
        throttles.len() - 1
    });
    &mut throttles[place]
}

/// The kernel counts reservations as well as pages in use, and the format means both.
fn read_hugepages(section: &Object<'_>) -> Vec<HugepageLimit> {
    let entries = section.objects("hugepageLimits", &HUGEPAGE).into_iter();
    entries
        .filter_map(|entry| {
            let page_size = entry.text("pageSize");
            if page_size.is_none() {
                entry.missing("pageSize", "64KB, 2MB, 1GB and the like");
            }
            let limit = Some(Limit::Value(required(&entry, "limit")?));
            Some(HugepageLimit {
                page_size: page_size?,
                limit_bytes: limit,
                reserved_bytes: limit,
            })
        })
        .collect()
}

fn read_priority(entry: &Object<'_>) -> Option<(String, u32)> {
    let name = entry.text("name");
    if name.is_none() {
        entry.missing("name", "an interface");
    }
    let priority = required(entry, "priority");
    Some((name?, priority?))
}

fn read_rdma(section: &Object<'_>) -> Vec<RdmaLimit> {
    let entries = section.object_map("rdma", &RDMA).into_iter();
    let limit = |entry: &Object<'_>, key| {
        entry
            .integer(key, "0 to 4294967295")
            .map(|n: u32| Limit::Value(n.into()))
    };
    entries
        .map(|(device, entry)| RdmaLimit {
            device,
            hca_handles: limit(&entry, "hcaHandles"),
            hca_objects: limit(&entry, "hcaObjects"),
        })
        .collect()
}

fn required<T: TryFrom<i128>>(entry: &Object<'_>, key: &'static str) -> Option<T> {
    if !entry.has(key) {
        entry.missing(key, "a number");
    }
    entry.integer(key, "a number that is not negative")
}

fn read_limit(section: &Object<'_>, key: &str) -> Option<Limit> {
    section.limit(key, "a number, or -1 (no limit)")
}
