//! The control group.

use super::{Check, path};
use crate::{
    cgroup::{CgroupConfig, CpuConfig, IoConfig, Limit, MemoryConfig},
    device::{DeviceAccess, DeviceRule, DeviceRuleKind},
    error::{Kind, Problem},
    source::Setting,
};

impl Check<'_> {
    pub(super) fn cgroup(&mut self) {
        let Some(cgroup) = &self.config.cgroup else {
            return;
        };
        self.cgroup_path(cgroup);
        self.memory(&cgroup.memory);
        self.cpu(&cgroup.cpu);
        self.io(&cgroup.io);
        for (rule_idx, rule) in cgroup.devices.iter().flatten().enumerate() {
            let pointer = self.item(&rule.pointer, Setting::CgroupDevices, rule_idx);
            self.device_rule(rule, &pointer);
        }
        for hugepage in &cgroup.hugepages {
            let size = hugepage
                .page_size
                .trim_end_matches("KB")
                .trim_end_matches("MB");
            let size = size.trim_end_matches("GB");
            if size.len() + 2 != hugepage.page_size.len() || size.parse::<u64>().is_err() {
                let pointer = self.pointer(Setting::Hugepages);
                self.invalid(
                    pointer,
                    &hugepage.page_size,
                    "is not a page size",
                    "e.g. 2MB",
                );
            }
        }
        self.resource_names(cgroup);
        self.unified(cgroup);
    }

    /// Names that go into a line of a kernel file, where a blank would begin the next field.
    fn resource_names(&mut self, cgroup: &CgroupConfig) {
        let rdma = cgroup
            .rdma
            .iter()
            .map(|limit| (&limit.device, Setting::Rdma));
        let misc = cgroup.misc.iter().map(|(name, _)| (name, Setting::Misc));
        let net_prio = cgroup
            .net_prio
            .iter()
            .map(|(name, _)| (name, Setting::NetworkPriority));
        let strange = |c: char| c.is_whitespace() || c.is_control();
        for (name, setting) in rdma.chain(misc).chain(net_prio) {
            if name.is_empty() || name.contains(strange) {
                self.invalid(self.pointer(setting), name, "is not a name", "one word");
            }
        }
    }

    /// A path that leaves our own part of the tree would be removed with all of its content in the
    /// end (seed hole H15).
    fn cgroup_path(&mut self, cgroup: &CgroupConfig) {
        let accepted = "names without '/', \"..\", newline and NUL, at most 255 bytes";
        if cgroup.name.is_empty() && path::components(&cgroup.parent).is_empty() {
            let rule = "is empty, and so is the parent: it would be the caller's own group";
            let pointer = self.pointer(Setting::CgroupName);
            let problem = Problem::new(Kind::Hostile, pointer, &cgroup.parent, rule);
            self.note(problem.accepted("a name, a parent, or both"));
        }
        let bad = |name: &str| {
            matches!(name, "." | "..") || name.contains(['\0', '\n', '/']) || name.len() > 255
        };
        for (names, whole, setting) in [
            (
                vec![cgroup.name.as_str()],
                &cgroup.name,
                Setting::CgroupName,
            ),
            (
                cgroup.parent.split('/').collect(),
                &cgroup.parent,
                Setting::CgroupParent,
            ),
        ] {
            if names.into_iter().any(bad) {
                let rule = "is not a path of a control group";
                let problem = Problem::new(Kind::Hostile, self.pointer(setting), whole, rule);
                self.note(problem.accepted(accepted));
            }
        }
        if let Some(slice) = &cgroup.slice
            && (!slice.ends_with(".slice")
                || slice.len() > 255
                || bad(slice)
                || slice.starts_with('.'))
        {
            let pointer = self.pointer(Setting::CgroupSlice);
            self.invalid(pointer, slice, "is not a slice", "e.g. system.slice");
        }
    }

    fn memory(&mut self, memory: &MemoryConfig) {
        let limit = bound(memory.limit_bytes);
        if memory.limit_bytes == Some(Limit::Value(0)) {
            let pointer = self.pointer(Setting::Memory);
            self.invalid(
                pointer,
                0,
                "leaves no memory at all",
                "a positive number of bytes",
            );
        }
        if memory.total_bytes.is_some() && memory.limit_bytes.is_none() {
            let pointer = self.pointer(Setting::MemorySwap);
            let total = bound(memory.total_bytes);
            self.conflict(
                pointer,
                total,
                "needs a memory limit beside it",
                "with memory",
            );
        } else if memory.total_bytes.is_some() && bound(memory.total_bytes) < limit {
            let pointer = self.pointer(Setting::MemorySwap);
            let rule = "is memory and swap together, and below the memory limit";
            let accepted = format!("at least {limit}");
            self.conflict(pointer, bound(memory.total_bytes), rule, &accepted);
        }
        if memory.reservation_bytes.is_some() && bound(memory.reservation_bytes) > limit {
            let pointer = self.pointer(Setting::MemoryReservation);
            let accepted = format!("at most {limit}");
            let reservation = bound(memory.reservation_bytes);
            self.conflict(pointer, reservation, "is above the memory limit", &accepted);
        }
        if let Some(swappiness) = memory.swappiness.filter(|swappiness| *swappiness > 100) {
            let pointer = self.pointer(Setting::MemoryOther);
            self.invalid(pointer, swappiness, "is not a swappiness", "0 to 100");
        }
    }

    fn cpu(&mut self, cpu: &CpuConfig) {
        let quota = match cpu.quota_us {
            Some(Limit::Value(quota)) => Some(quota),
            _ => None,
        };
        for (value, range, setting) in [
            (cpu.shares, 2..=262_144, Setting::CpuShares),
            (quota, 1000..=u64::MAX / 1000, Setting::CpuQuota),
            (cpu.period_us, 1000..=1_000_000, Setting::CpuPeriod),
            (cpu.burst_us, 0..=quota.unwrap_or(0), Setting::CpuBurst),
            (
                cpu.realtime_period_us,
                1..=u64::from(u32::MAX),
                Setting::CpuRealtime,
            ),
        ] {
            if let Some(value) = value.filter(|value| !range.contains(value)) {
                let accepted = format!("{} to {}", range.start(), range.end());
                self.invalid(self.pointer(setting), value, "is out of range", &accepted);
            }
        }
        let period = cpu.realtime_period_us.unwrap_or(1_000_000);
        if let Some(runtime) = cpu.realtime_runtime_us
            && (runtime < -1 || u64::try_from(runtime).is_ok_and(|runtime| runtime > period))
        {
            let pointer = self.pointer(Setting::CpuRealtime);
            let accepted = format!("-1 to {period}");
            self.invalid(pointer, runtime, "is out of range", &accepted);
        }
        for (list, setting) in [
            (&cpu.cpus, Setting::CpusetCpus),
            (&cpu.mems, Setting::CpusetMems),
        ] {
            if let Some(list) = list.as_ref().filter(|list| !is_id_list(list)) {
                self.invalid(self.pointer(setting), list, "is not a list", "e.g. 0-3,7");
            }
        }
    }

    fn io(&mut self, io: &IoConfig) {
        let by_device = io
            .device_weights
            .iter()
            .flat_map(|device| [device.weight, device.leaf_weight]);
        let others = by_device
            .chain([io.leaf_weight])
            .map(|weight| (weight, Setting::IoOther));
        for (weight, setting) in others.chain([(io.weight, Setting::IoWeight)]) {
            if let Some(weight) = weight.filter(|weight| !(10..=1000).contains(weight)) {
                self.invalid(
                    self.pointer(setting),
                    weight,
                    "is not a weight",
                    "10 to 1000",
                );
            }
        }
    }

    fn device_rule(&mut self, rule: &DeviceRule, pointer: &str) {
        if rule.access == DeviceAccess::default() {
            let pointer = self.key(pointer, "cgroup_permissions", "access");
            self.invalid(&pointer, "", "allows nothing", "letters out of rwm");
        }
        let numbered = rule.major.is_some() || rule.minor.is_some();
        if rule.kind == DeviceRuleKind::All && numbered {
            let accepted = "any number, or type c or b";
            self.conflict(
                pointer,
                rule.to_string(),
                "is for all types and one number",
                accepted,
            );
        }
    }

    fn unified(&mut self, cgroup: &CgroupConfig) {
        for name in cgroup.unified.keys() {
            let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let is_file =
                name.chars().all(ordinary) && name.contains('.') && !name.starts_with('.');
            // What we do ourselves; writing there would move or strand processes.
            let ours = name.starts_with("cgroup.");
            if !is_file || ours {
                let pointer = self.pointer(Setting::Unified);
                let accepted = "file names of controllers, e.g. memory.high";
                self.invalid(pointer, name, "is not a file of a controller", accepted);
            }
        }
    }
}

/// No limit is the largest number.
fn bound(limit: Option<Limit>) -> u64 {
    match limit {
        None | Some(Limit::Max) => u64::MAX,
        Some(Limit::Value(value)) => value,
    }
}

/// Numbers and ascending ranges, separated by commas.
fn is_id_list(list: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    list.split(',').all(|range| match range.split_once('-') {
        Some((first, last)) => {
            matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
        }
        None => number(range).is_some(),
    })
}
