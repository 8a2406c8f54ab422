//! What the tests share: layouts, groups that go away, processes that wait.
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]
#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use ns_cgroups::{Cgroup, CgroupSpec, Layout, LayoutKind, Result};
use ns_config::CgroupConfig;

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A group, and the processes in it, that end with the test however it ends.
pub(crate) struct Guard(pub(crate) Cgroup);

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = self.0.kill(SOON).and_then(|()| self.0.remove(SOON));
        if let Err(error) = ended {
            eprintln!("left behind: {error}");
        }
    }
}

/// A waiting process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    pub(crate) fn sleeping() -> Self {
        Process(Command::new("sleep").arg("300").spawn().unwrap())
    }

    /// A shell that runs `script` once [`go`](Process::go) is called.
    pub(crate) fn shell(script: &str) -> Self {
        let script = format!("read go; {script}");
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Process(command.stderr(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn go(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

pub(crate) fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("ns-test-{}-{number}", std::process::id())
}

pub(crate) fn config() -> CgroupConfig {
    CgroupConfig {
        name: name(),
        ..CgroupConfig::default()
    }
}

/// The host's layout, and on hybrid hosts also the same without its v2 hierarchy, so that the v1
/// code runs wherever it can.
pub(crate) fn layouts() -> Vec<Layout> {
    let host = Layout::detect().unwrap();
    let mut layouts = Vec::new();
    if host.kind() == LayoutKind::Hybrid {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let legacy: String = mounts
            .split_inclusive('\n')
            .filter(|line| !line.contains(" - cgroup2 "))
            .collect();
        let groups = std::fs::read("/proc/self/cgroup").unwrap();
        layouts.push(Layout::from_proc(legacy.as_bytes(), &groups).unwrap());
    }
    layouts.push(host);
    layouts
}

/// Makes the group of the configuration, or says why the test cannot run here.
pub(crate) fn make(layout: &Layout, test: &str, config: &CgroupConfig) -> Option<Guard> {
    match create(layout, config) {
        Ok(group) => Some(Guard(group)),
        Err(error) if is_lack_of_host(&error) => {
            println!("SKIP {test}: {error}");
            None
        }
        Err(error) => panic!("{test}: {error:?}"),
    }
}

pub(crate) fn create(layout: &Layout, config: &CgroupConfig) -> Result<Cgroup> {
    Cgroup::create(layout, &CgroupSpec::new(config)?)
}

pub(crate) fn is_lack_of_host(error: &ns_cgroups::Error) -> bool {
    use ns_cgroups::Kind::{Busy, Denied, Unsupported};
    matches!(error.kind(), Unsupported | Denied | Busy)
}

pub(crate) fn read(group: &Cgroup, controller: &str, file: &str) -> String {
    let paths = group.paths();
    let path = paths.get(controller).or_else(|| paths.get("")).unwrap();
    let text = std::fs::read_to_string(format!("{path}/{file}"));
    text.unwrap_or_else(|error| panic!("{path}/{file}: {error}"))
        .trim()
        .to_owned()
}

/// The version's file of two.
pub(crate) fn file<'f>(group: &Cgroup, controller: &str, v1: &'f str, v2: &'f str) -> &'f str {
    if group.paths().contains_key(controller) {
        v1
    } else {
        v2
    }
}
