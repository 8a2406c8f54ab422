//! What ns-cgroups has set, as another library reads it, and the other way round.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use cgroups_rs::cpu::CpuController;
use cgroups_rs::cpuset::CpuSetController;
use cgroups_rs::freezer::{FreezerController, FreezerState};
use cgroups_rs::memory::MemController;
use cgroups_rs::pid::PidController;
use cgroups_rs::{CgroupPid, MaxValue};
use ns_cgroups::{Cgroup, CgroupSpec, Controller, Layout, LayoutKind};
use ns_config::CgroupConfig;
use ns_config::cgroup::Limit;
use ns_tests::{Test, Waiting, has_controller, needs};

const SOON: Duration = Duration::from_secs(10);
const MEMORY: u64 = 64 << 20;
/// 512 on the documented curve of v1 shares to v2 weight, `1 + (shares - 2) * 9999 / 262142`.
const SHARES: (u64, u64) = (512, 20);

/// A group of ours, and the same one in the hands of the other library.
struct Both {
    ours: Cgroup,
    theirs: cgroups_rs::Cgroup,
    offers: Vec<&'static str>,
    is_v2: bool,
}

impl Both {
    /// With every limit of the table that this host offers.
    fn make(test: &Test) -> Option<Self> {
        let layout = Layout::detect().expect("a layout");
        let offers: Vec<&str> = ["memory", "cpu", "pids", "cpuset"]
            .into_iter()
            .filter(|name| has_controller(name))
            .collect();
        let spec = CgroupSpec::new(&config(&offers)).expect("a name");
        let spec = spec.with_accounting(&[Controller::Freezer]);
        let ours = match Cgroup::create(&layout, &spec) {
            Ok(group) => group,
            Err(error) => {
                test.skip(&format!("needs control groups: {error}"));
                return None;
            }
        };
        let is_v2 = layout.kind() == LayoutKind::Unified;
        Some(Both {
            theirs: as_theirs(&layout, &ours),
            ours,
            offers,
            is_v2,
        })
    }

    fn offers(&self, name: &str) -> bool {
        self.offers.contains(&name)
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let removed = self.ours.kill(SOON).and_then(|()| self.ours.remove(SOON));
        if !std::thread::panicking() {
            removed.expect("it is removed");
        }
    }
}

fn config(offers: &[&str]) -> CgroupConfig {
    let mut config = CgroupConfig {
        name: format!("ns-tests-opinion-{}", std::process::id()),
        ..CgroupConfig::default()
    };
    for name in offers {
        match *name {
            "memory" => config.memory.limit_bytes = Some(Limit::Value(MEMORY)),
            "cpu" => {
                config.cpu.shares = Some(SHARES.0);
                config.cpu.quota_us = Some(Limit::Value(50_000));
                config.cpu.period_us = Some(200_000);
            }
            "pids" => config.pids = Some(Limit::Value(77)),
            _ => {
                config.cpu.cpus = Some("0".to_owned());
                config.cpu.mems = Some("0".to_owned());
            }
        }
    }
    config
}

/// The other library finds a group by a path below each hierarchy, which differs from one to the next.
fn as_theirs(layout: &Layout, group: &Cgroup) -> cgroups_rs::Cgroup {
    let mut above = HashMap::new();
    let mut name = String::new();
    for (controller, path) in group.paths() {
        let hierarchy = match controller.as_str() {
            "" => layout.unified(),
            legacy => layout.legacy(legacy),
        };
        let mount_point = hierarchy.expect("it is mounted").mount_point();
        let below = Path::new(&path)
            .strip_prefix(mount_point)
            .expect("below its mount");
        let parent = below.parent().unwrap_or(Path::new(""));
        let last = below.file_name().expect("a name");
        name = match layout.kind() {
            LayoutKind::Unified => below.to_str().expect("UTF-8").to_owned(),
            _ => last.to_str().expect("UTF-8").to_owned(),
        };
        above.insert(controller, parent.to_str().expect("UTF-8").to_owned());
    }
    let hierarchies = cgroups_rs::hierarchies::auto();
    cgroups_rs::Cgroup::load_with_relative_paths(hierarchies, name, above)
}

#[test]
fn limits_are_what_cgroups_rs_reads() {
    let test = needs!(root, cgroup);
    let Some(both) = Both::make(&test) else {
        return;
    };
    if both.offers.is_empty() {
        return test.skip("no controller of this layout has a limit to compare");
    }
    if both.offers("memory") {
        let memory: &MemController = both.theirs.controller_of().expect("memory");
        let limit = memory.memory_stat().limit_in_bytes;
        assert_eq!(u64::try_from(limit), Ok(MEMORY));
    }
    if both.offers("cpu") {
        let cpu: &CpuController = both.theirs.controller_of().expect("cpu");
        let shares = if both.is_v2 { SHARES.1 } else { SHARES.0 };
        assert_eq!(cpu.shares().expect("shares"), shares);
        assert_eq!(cpu.cfs_quota().expect("a quota"), 50_000);
        assert_eq!(cpu.cfs_period().expect("a period"), 200_000);
    }
    if both.offers("pids") {
        let pids: &PidController = both.theirs.controller_of().expect("pids");
        assert_eq!(pids.get_pid_max().expect("a limit"), MaxValue::Value(77));
    }
    if both.offers("cpuset") {
        let cpuset: &CpuSetController = both.theirs.controller_of().expect("cpuset");
        assert_eq!(cpuset.cpuset().cpus, [(0, 0)]);
        assert_eq!(cpuset.cpuset().mems, [(0, 0)]);
    }
}

#[test]
fn changed_limit_is_what_cgroups_rs_reads() {
    let test = needs!(root, cgroup);
    let Some(both) = Both::make(&test) else {
        return;
    };
    if !both.offers("memory") {
        return test.skip("no limit of memory in this layout");
    }
    let mut change = CgroupConfig::default();
    change.memory.limit_bytes = Some(Limit::Value(MEMORY / 2));
    both.ours.update(&change).expect("it is changed");
    let memory: &MemController = both.theirs.controller_of().expect("memory");
    let limit = memory.memory_stat().limit_in_bytes;
    assert_eq!(u64::try_from(limit), Ok(MEMORY / 2));
}

#[test]
fn what_cgroups_rs_sets_is_what_is_read() {
    let test = needs!(root, cgroup);
    let Some(both) = Both::make(&test) else {
        return;
    };
    if !both.offers("pids") {
        return test.skip("no limit of processes in this layout");
    }
    let pids: &PidController = both.theirs.controller_of().expect("pids");
    let limit = || both.ours.stats().expect("statistics").pids.expect("pids");
    pids.set_pid_max(MaxValue::Value(99)).expect("it is set");
    assert_eq!(limit().limit, Some(99));
    pids.set_pid_max(MaxValue::Max).expect("it is set");
    assert_eq!(limit().limit, None);
}

#[test]
fn members_are_the_same_to_both() {
    let test = needs!(root, cgroup);
    let Some(both) = Both::make(&test) else {
        return;
    };
    let waiting = Waiting::asleep();
    both.ours.join(waiting.pid()).expect("it joins");
    let pid = CgroupPid::from(u64::try_from(waiting.pid()).expect("a number"));
    assert_eq!(both.theirs.procs(), [pid], "who is in the group");
    assert_eq!(both.ours.processes().expect("a list"), [waiting.pid()]);
}

#[test]
fn frozen_group_is_frozen_to_both() {
    let test = needs!(root, cgroup);
    let Some(both) = Both::make(&test) else {
        return;
    };
    if !both.is_v2 && both.ours.dir_fd().is_some() {
        return test.skip("a hybrid host: ours freezes through v2, the other through v1");
    }
    let Some(freezer) = both.theirs.controller_of::<FreezerController>() else {
        return test.skip("no freezer here");
    };
    both.ours.freeze(SOON).expect("it is frozen");
    assert!(matches!(freezer.state(), Ok(FreezerState::Frozen)));
    both.ours.thaw(SOON).expect("it is thawed");
    assert!(matches!(freezer.state(), Ok(FreezerState::Thawed)));
    freezer.freeze().expect("it is frozen");
    assert!(both.ours.is_frozen().expect("a state"));
    freezer.thaw().expect("it is thawed");
    assert!(!both.ours.is_frozen().expect("a state"));
}
