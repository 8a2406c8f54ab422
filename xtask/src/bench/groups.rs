//! Control groups with limits: for a configuration of ours, for the floor program, for other programs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::library::N_PIDS;
use super::snapshot;
use crate::failure::{Result, While};

const MEMORY_BYTES: u64 = 64 << 20;
const CPU_SHARES: u64 = 512;
const CPU_PERIOD_US: u64 = 100_000;
const CPU_QUOTA_US: u64 = 50_000;

/// Where this process is in each hierarchy that has to do with the limits.
#[derive(Debug, Default)]
pub(super) struct Hierarchies {
    /// Controller of v1, and directory.
    legacy: Vec<(&'static str, String)>,
    unified: Option<String>,
    /// Whether the v2 hierarchy has the controllers.
    is_unified_limited: bool,
}

impl Hierarchies {
    /// Reads them from the mounts of this process.
    pub(super) fn find() -> Result<Hierarchies> {
        let own = fs::read_to_string("/proc/self/cgroup").while_doing("/proc/self/cgroup")?;
        let own_path = |controller: &str| {
            let of_hierarchy = own.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let is_it = controllers.split(',').any(|name| name == controller);
                is_it.then_some(path)
            });
            of_hierarchy.unwrap_or("/").trim_end_matches('/')
        };
        let mut found = Hierarchies::default();
        let mounts = snapshot::mounts(Path::new("/proc/self/mountinfo"), Path::new("/"))?;
        for mount in mounts.iter().filter(|mount| mount.fstype == "cgroup") {
            for controller in ["memory", "cpu", "pids"] {
                if mount
                    .super_options
                    .split(',')
                    .any(|name| name == controller)
                {
                    let path = format!("{}{}", mount.place, own_path(controller));
                    found.legacy.push((controller, path));
                }
            }
        }
        if let Some(mount) = mounts.iter().rfind(|mount| mount.fstype == "cgroup2") {
            let path = format!("{}{}", mount.place, own_path(""));
            let controllers = format!("{path}/cgroup.controllers");
            let controllers = fs::read_to_string(&controllers).while_doing(&controllers)?;
            let has = |name: &str| controllers.split_whitespace().any(|found| found == name);
            found.is_unified_limited = ["memory", "cpu", "pids"].into_iter().all(has);
            found.unified = Some(path);
        }
        Ok(found)
    }

    /// Whether memory, cpu and processes can be limited here.
    pub(super) fn are_limited(&self) -> bool {
        self.is_unified_limited || self.legacy.len() == 3
    }

    /// The section of the seed's configuration; it has no key for processes.
    pub(super) fn section(&self, name: &str) -> Value {
        match self.are_limited() {
            false => json!({"name": name, "allow_all_devices": true}),
            true => json!({"name": name, "allow_all_devices": true, "memory": MEMORY_BYTES,
                "cpu_shares": CPU_SHARES, "cpu_quota": CPU_QUOTA_US, "cpu_period": CPU_PERIOD_US}),
        }
    }

    /// The resources of a configuration of runc.
    pub(super) fn resources(&self) -> Value {
        match self.are_limited() {
            false => json!({}),
            true => json!({"memory": {"limit": MEMORY_BYTES}, "pids": {"limit": N_PIDS},
                "cpu": {"shares": CPU_SHARES, "quota": CPU_QUOTA_US, "period": CPU_PERIOD_US}}),
        }
    }

    /// Steps of the floor program: the groups, their limits, being in them.
    pub(super) fn steps(&self, name: &str, with_pids: bool) -> Vec<String> {
        let is_made = |controller: &str| {
            self.are_limited() && !self.is_unified_limited && (with_pids || controller != "pids")
        };
        let legacy = self
            .legacy
            .iter()
            .filter(|(controller, _)| is_made(controller));
        let mut steps = Vec::new();
        for (controller, parent) in legacy {
            let group = format!("{parent}/{name}");
            steps.push(format!("M\u{1}{group}"));
            steps.extend(
                legacy_limits(controller)
                    .into_iter()
                    .map(|(file, value)| format!("W\u{1}{group}/{file}\u{1}{value}")),
            );
            steps.push(format!("T\u{1}{group}/tasks"));
        }
        if let Some(parent) = &self.unified {
            let group = format!("{parent}/{name}");
            steps.push(format!("M\u{1}{group}"));
            let limits = unified_limits().into_iter().filter(|(file, _)| {
                self.is_unified_limited && (with_pids || !file.starts_with("pids"))
            });
            steps.extend(limits.map(|(file, value)| format!("W\u{1}{group}/{file}\u{1}{value}")));
            steps.push(format!("C\u{1}{group}"));
        }
        steps
    }
}

fn legacy_limits(controller: &str) -> Vec<(&'static str, String)> {
    match controller {
        "memory" => vec![("memory.limit_in_bytes", MEMORY_BYTES.to_string())],
        "cpu" => vec![
            ("cpu.shares", CPU_SHARES.to_string()),
            ("cpu.cfs_period_us", CPU_PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", CPU_QUOTA_US.to_string()),
        ],
        _ => vec![("pids.max", N_PIDS.to_string())],
    }
}

fn unified_limits() -> [(&'static str, String); 4] {
    [
        ("memory.max", MEMORY_BYTES.to_string()),
        ("cpu.weight", "50".to_owned()),
        ("cpu.max", format!("{CPU_QUOTA_US} {CPU_PERIOD_US}")),
        ("pids.max", N_PIDS.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_hierarchies() {
        let hybrid = Hierarchies {
            legacy: ["memory", "cpu", "pids"]
                .map(|name| (name, format!("/cg/{name}")))
                .into(),
            unified: Some("/cg/unified".to_owned()),
            is_unified_limited: false,
        };
        let shown = |steps: Vec<String>| steps.join(";").replace('\u{1}', " ");
        let steps = shown(hybrid.steps("x", true));
        assert!(steps.contains("M /cg/pids/x;W /cg/pids/x/pids.max 64;T /cg/pids/x/tasks"));
        assert!(
            steps.ends_with("M /cg/unified/x;C /cg/unified/x"),
            "{steps}"
        );
        assert!(!shown(hybrid.steps("x", false)).contains("pids"));
        let unified = Hierarchies {
            legacy: Vec::new(),
            is_unified_limited: true,
            ..hybrid
        };
        let steps = shown(unified.steps("x", true));
        assert!(
            steps.contains("W /cg/unified/x/cpu.max 50000 100000"),
            "{steps}"
        );
    }
}
