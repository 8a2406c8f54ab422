//! Linux container configurations as plain data: one model, readers and writers for the formats
//! that describe it, and a validator that reports every problem at once.
//!
//! What it is not: it makes no system call, opens no file and starts nothing. Input is bytes,
//! output is values, or errors that name the place in the configuration by JSON pointer.
//!
//! The three types to meet, in order: [`Config`] (the model), [`Error`] (one failed call, one or
//! more [`Problem`]s with pointers) and [`Source`] (how a setting is called where the user wrote
//! it).
//!
//! ```
//! use ns_config::Config;
//!
//! let text = br#"{"namespaces": [{"type": "NEWPIDS"}], "hostname": "box"}"#;
//! let error = Config::from_seed(text).unwrap_err();
//! assert_eq!(error.pointer(), "/namespaces/0/type");
//! assert_eq!(error.hint(), Some("did you mean \"NEWPID\"?"));
//! ```
//!
//! Rights and kernels: none; it runs anywhere that Rust does. Programs that start containers want
//! `ns-exec`, which uses this crate and re-exports what they need of it.

#![forbid(unsafe_code)]

// In the order in which a newcomer should open them.
mod config;
mod source;

mod error;
mod suggest;

mod namespace;

mod id_map;

mod mount;
mod mount_option;

mod device;

mod capability;

mod rlimit;

mod user;

mod environment;

mod sysctl;

pub mod cgroup;

mod network;

mod json;
mod object;
mod refusal;

mod oci;
mod seed;
mod validate;

mod seccomp;

mod text_form;

pub mod state;
pub mod stats;

pub use crate::{
    capability::{Capabilities, Capability, CapabilitySet},
    cgroup::CgroupConfig,
    config::{Config, DeviceRules, Process, Propagation, RootEntry, Rootfs, Sysctl},
    device::{Device, DeviceAccess, DeviceKind, DeviceRule, DeviceRuleKind},
    environment::merge_environment,
    error::{Error, Kind, Problem, Problems},
    id_map::IdMap,
    mount::{Atime, Mount, MountAttributes, MountKind, MountOptions, OverlayUpper, Relabel},
    mount_option::{BindWord, ParsedOptions},
    namespace::{Namespace, NamespaceKind, Namespaces, namespace_flags},
    network::{IpPrefix, IpvlanMode, MacAddress, MacvlanMode, Network, NetworkKind, Route},
    oci::OciConfig,
    rlimit::{Resource, Rlimit},
    seccomp::{Arch, BpfInstruction, terminal_injection_filter},
    seed::{MASKED_PATHS, READONLY_PATHS},
    source::{Setting, Source},
    state::{ContainerState, State, check_container_id},
    sysctl::{sysctl_namespace, sysctl_path},
    user::{ResolvedUser, UserSpec},
};

/// Holds the README to what compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
