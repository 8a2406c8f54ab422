//! Writing `linux.cgroupsPath` and `linux.resources`.

use crate::{
    cgroup::{CgroupConfig, IoThrottle, Limit},
    device::{DeviceAccess, DeviceRule, DeviceRuleKind},
    json::Node,
    refusal::Refusals,
    source::Setting,
};

pub(super) fn path(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    let (parent, name) = (cgroup.parent.as_str(), cgroup.name.as_str());
    let path = match (parent.is_empty(), name.is_empty()) {
        (true, true) => return Node::Null,
        (true, false) => name.to_owned(),
        (false, true) => parent.to_owned(),
        (false, false) => format!("{}/{name}", parent.trim_end_matches('/')),
    };
    if !path.starts_with('/') && path.matches(':').count() == 2 {
        let rule = "would name a unit of systemd";
        refusals.refuse(Setting::CgroupName, rule, "choose a name without colons");
    }
    path.into()
}

pub(super) fn resources(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    if cgroup.slice.is_some() {
        let rule = "config.json has no slice beside a path";
        refusals.refuse(
            Setting::CgroupSlice,
            rule,
            "remove it; nothing here uses it",
        );
    }
    if cgroup.freezer.is_some() {
        let rule = "config.json cannot start a container frozen";
        refusals.refuse(
            Setting::CgroupFreezer,
            rule,
            "remove it, and pause the container",
        );
    }
    if !cgroup.misc.is_empty() {
        let rule = "config.json has no misc controller";
        refusals.refuse(
            Setting::Misc,
            rule,
            "write misc.max among the unified settings",
        );
    }
    let memory = memory(cgroup, refusals);
    let pids = limit(cgroup.pids, Setting::Pids, refusals);
    let network = Node::object([
        ("classID", cgroup.net_cls_classid.into()),
        (
            "priorities",
            cgroup
                .net_prio
                .iter()
                .map(priority)
                .collect::<Node>()
                .or_null_when_empty(),
        ),
    ]);
    let unified = cgroup.unified.iter();
    let unified = unified.map(|(name, value)| (name.as_str(), value.as_str().into()));
    Node::object([
        ("devices", rules(cgroup)),
        ("memory", memory.or_null_when_empty()),
        ("cpu", cpu(cgroup, refusals).or_null_when_empty()),
        ("blockIO", io(cgroup).or_null_when_empty()),
        ("pids", Node::object([("limit", pids)]).or_null_when_empty()),
        (
            "hugepageLimits",
            hugepages(cgroup, refusals).or_null_when_empty(),
        ),
        ("network", network.or_null_when_empty()),
        ("rdma", rdma(cgroup, refusals).or_null_when_empty()),
        ("unified", Node::object(unified).or_null_when_empty()),
    ])
}

/// The model denies everything before its first rule, and without a list allows everything.
fn rules(cgroup: &CgroupConfig) -> Node {
    let everything = DeviceRule {
        allow: cgroup.devices.is_none(),
        ..DeviceRule::allow(DeviceRuleKind::All, None, None, DeviceAccess::ALL)
    };
    let listed = cgroup.devices.iter().flatten();
    // A rule about no access does nothing.
    let listed = listed.filter(|rule| rule.access != DeviceAccess::default());
    std::iter::once(&everything)
        .chain(listed)
        .map(rule)
        .collect()
}

fn rule(rule: &DeviceRule) -> Node {
    Node::object([
        ("allow", rule.allow.into()),
        ("type", rule.kind.letter().to_string().into()),
        ("major", rule.major.into()),
        ("minor", rule.minor.into()),
        ("access", rule.access.to_string().into()),
    ])
}

fn memory(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    let memory = &cgroup.memory;
    Node::object([
        (
            "limit",
            limit(memory.limit_bytes, Setting::Memory, refusals),
        ),
        (
            "reservation",
            limit(
                memory.reservation_bytes,
                Setting::MemoryReservation,
                refusals,
            ),
        ),
        (
            "swap",
            limit(memory.total_bytes, Setting::MemorySwap, refusals),
        ),
        ("swappiness", memory.swappiness.into()),
        ("disableOOMKiller", memory.oom_kill_disabled.into()),
    ])
}

fn cpu(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    let cpu = &cgroup.cpu;
    let lists = [
        (&cpu.cpus, Setting::CpusetCpus),
        (&cpu.mems, Setting::CpusetMems),
    ];
    for (_, setting) in lists
        .into_iter()
        .filter(|(list, _)| list.as_deref() == Some(""))
    {
        let rule = "an empty list is the same as none in config.json";
        refusals.refuse(setting, rule, "leave it out");
    }
    Node::object([
        ("shares", cpu.shares.into()),
        ("quota", limit(cpu.quota_us, Setting::CpuQuota, refusals)),
        ("burst", cpu.burst_us.into()),
        ("period", cpu.period_us.into()),
        ("realtimeRuntime", cpu.realtime_runtime_us.into()),
        ("realtimePeriod", cpu.realtime_period_us.into()),
        ("cpus", cpu.cpus.as_deref().into()),
        ("mems", cpu.mems.as_deref().into()),
        ("idle", cpu.idle.map(i64::from).into()),
    ])
}

fn io(cgroup: &CgroupConfig) -> Node {
    let io = &cgroup.io;
    let weights = io.device_weights.iter().map(|one| {
        Node::object([
            ("major", one.major.into()),
            ("minor", one.minor.into()),
            ("weight", one.weight.map(u32::from).into()),
            ("leafWeight", one.leaf_weight.map(u32::from).into()),
        ])
    });
    let rates = |field: fn(&IoThrottle) -> Option<u64>| {
        let set = io
            .throttles
            .iter()
            .filter_map(|one| Some((one, field(one)?)));
        let nodes = set.map(|(one, rate)| {
            Node::object([
                ("major", one.major.into()),
                ("minor", one.minor.into()),
                ("rate", rate.into()),
            ])
        });
        nodes.collect::<Node>().or_null_when_empty()
    };
    Node::object([
        ("weight", io.weight.map(u32::from).into()),
        ("leafWeight", io.leaf_weight.map(u32::from).into()),
        (
            "weightDevice",
            weights.collect::<Node>().or_null_when_empty(),
        ),
        (
            "throttleReadBpsDevice",
            rates(|one| one.read_bytes_per_second),
        ),
        (
            "throttleWriteBpsDevice",
            rates(|one| one.write_bytes_per_second),
        ),
        (
            "throttleReadIOPSDevice",
            rates(|one| one.read_ios_per_second),
        ),
        (
            "throttleWriteIOPSDevice",
            rates(|one| one.write_ios_per_second),
        ),
    ])
}

fn hugepages(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    let mut nodes = Vec::new();
    for one in &cgroup.hugepages {
        match (one.limit_bytes, one.reserved_bytes) {
            (Some(Limit::Value(in_use)), Some(Limit::Value(reserved))) if in_use == reserved => {
                nodes.push(Node::object([
                    ("pageSize", one.page_size.as_str().into()),
                    ("limit", in_use.into()),
                ]));
            }
            _ => {
                let rule = "config.json has one number for pages in use and reserved";
                refusals.refuse(Setting::Hugepages, rule, "give both the same limit");
            }
        }
    }
    Node::Array(nodes)
}

fn rdma(cgroup: &CgroupConfig, refusals: &mut Refusals) -> Node {
    let mut number = |limit: Option<Limit>| match limit {
        None => Node::Null,
        Some(Limit::Value(value)) if u32::try_from(value).is_ok() => value.into(),
        Some(_) => {
            let rule = "config.json has numbers up to 4294967295 only";
            refusals.refuse(Setting::Rdma, rule, "leave out what has no limit");
            Node::Null
        }
    };
    let devices = cgroup.rdma.iter().map(|one| {
        let limits = Node::object([
            ("hcaHandles", number(one.hca_handles)),
            ("hcaObjects", number(one.hca_objects)),
        ]);
        (one.device.as_str(), limits)
    });
    Node::object(devices)
}

fn priority((name, priority): &(String, u32)) -> Node {
    Node::object([
        ("name", name.as_str().into()),
        ("priority", (*priority).into()),
    ])
}

fn limit(limit: Option<Limit>, setting: Setting, refusals: &mut Refusals) -> Node {
    match limit {
        None => Node::Null,
        Some(Limit::Max) => (-1_i64).into(),
        Some(Limit::Value(value)) => match i64::try_from(value) {
            Ok(value) => value.into(),
            Err(_) => {
                let rule = "is above 9223372036854775807";
                refusals.refuse(setting, rule, "lift the limit instead");
                Node::Null
            }
        },
    }
}
