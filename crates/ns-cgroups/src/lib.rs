//! Linux control groups, held by descriptor: v1, v2 and hosts that have both. A group is made with
//! its limits and device rules, takes processes, is frozen, measured, watched and killed, and is
//! removed without a trace of what was made and without a touch on anything else.
//!
//! What it is not: it starts no process, knows no container, and talks to no systemd. It has never
//! heard of JSON. It keeps no global state, handles no signal, and may be called from any thread.
//!
//! The three types to meet, in order: [`Layout`] (which hierarchies the host has), [`CgroupSpec`]
//! (what a group shall be) and [`Cgroup`] (the handle of one).
//!
//! ```no_run
//! // Needs the right to write to the cgroup file system.
//! use std::time::Duration;
//! use ns_cgroups::{Cgroup, CgroupSpec, Layout};
//! use ns_config::{CgroupConfig, cgroup::Limit};
//!
//! let mut config = CgroupConfig {
//!     name: "box1".to_owned(),
//!     ..CgroupConfig::default()
//! };
//! config.memory.limit_bytes = Some(Limit::Value(64 << 20));
//! let group = Cgroup::create(&Layout::detect()?, &CgroupSpec::new(&config)?)?;
//! // Clone into group.dir_fd(), or group.join(pid); then, when it is to end:
//! group.kill(Duration::from_secs(5))?;
//! group.remove(Duration::from_secs(5))?;
//! # Ok::<(), ns_cgroups::Error>(())
//! ```
//!
//! Rights and kernels: Linux 5.14; root, or a part of the tree that is delegated to the caller.
//! Programs that start containers want `ns-exec`, which uses this crate.

mod layout;
mod leaf;
mod mountinfo;

mod controller;
mod path;
mod spec;

mod group;

mod create;
mod explain;
mod join;
mod open;

mod limits;

mod bpf;
mod devices;

mod freeze;
mod process;
mod remove;

mod events;
mod stats;

mod dir;
mod error;
mod sys;
mod wait;

pub use controller::Controller;
pub use error::{Error, Kind, Result};
pub use events::{MemoryEvent, MemoryEvents, MemoryPressure, PressureLevel};
pub use group::Cgroup;
pub use layout::{Hierarchy, Layout, LayoutKind, Version};
pub use limits::weight_from_shares;
pub use path::{Base, CgroupPath};
pub use spec::{CgroupSpec, Existing};
pub use stats::{
    HugetlbStats, MemoryCounters, PidsStats, Pressure, PressureStats, PressureTimes, Stats,
    SwapStats,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
