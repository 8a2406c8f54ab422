//! Linux control groups, held by descriptor.

mod bpf;
mod controller;
mod create;
mod devices;
mod dir;
mod error;
mod events;
mod freeze;
mod group;
mod layout;
mod limits;
mod mountinfo;
mod open;
mod path;
mod process;
mod remove;
mod spec;
mod stats;
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
