//! A state directory of a test's own, and configurations to start containers from.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program takes what it needs of this module"
)]

use ns_config::{CgroupConfig, Config};
use ns_exec::{Container, Sandbox, StateDir};
use tempfile::TempDir;

/// A state directory of the test's own; its containers end with it.
pub struct Place {
    pub dir: StateDir,
    _above: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let above = tempfile::tempdir().unwrap();
        let dir = StateDir::open(above.path().join("state")).unwrap();
        Place { dir, _above: above }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for (id, container) in Container::list(&self.dir).unwrap() {
            match container {
                Ok(container) => container.kill_and_delete().unwrap(),
                Err(_) => self.dir.forget(&id).unwrap(),
            }
        }
    }
}

/// A sandbox without a group: starts with and without root.
pub fn plain() -> Config {
    Sandbox::default().config().unwrap()
}

/// A sandbox in a group of this kind, named after the test; an error where such groups cannot be made.
pub fn in_group(test: &str, kind: CgroupConfig) -> ns_cgroups::Result<Config> {
    let cgroup = CgroupConfig {
        name: format!("ns-exec-{}-{test}", std::process::id()),
        ..kind
    };
    let spec = ns_cgroups::CgroupSpec::new(&cgroup).unwrap();
    let group = ns_cgroups::Cgroup::create(&ns_cgroups::Layout::detect()?, &spec)?;
    group.remove(std::time::Duration::from_secs(5))?;
    let mut config = plain();
    config.cgroup = Some(cgroup);
    Ok(config)
}
