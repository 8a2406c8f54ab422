//! Network interfaces, addresses and routes of a container, made from outside of it.
//!
//! What it is not: it starts no process, moves no thread of its caller, and has never heard of a container's
//! id or state; it sees a network namespace by descriptor and a list of networks. Firewalls, DHCP
//! and address management are somebody else's.
//!
//! The three types to meet, in order: [`NetworkPlan`] (networks and routes, checked), [`NetnsFd`]
//! (the namespace that gets them) and [`Made`] (what to remember, and to remove).
//!
//! ```no_run
//! // no_run: it takes a bridge on the host and CAP_NET_ADMIN.
//! use ns_config::{Network, NetworkKind};
//! use ns_network::{NetnsFd, NetworkPlan};
//!
//! # fn pidfd() -> std::os::fd::OwnedFd { unimplemented!() }
//! let mut network = Network::new(NetworkKind::Veth {
//!     bridge: "br0".to_owned(),
//!     prefix: "veth".to_owned(),
//!     host_interface_name: None,
//!     hairpin: false,
//! });
//! network.addresses.push("10.9.0.2/24".parse()?);
//! network.gateways.push("10.9.0.1".parse()?);
//!
//! let plan = NetworkPlan::new(&[network], &[])?; // values are checked
//! plan.check_host()?; // the bridge is there
//! let child = pidfd(); // a process in a new network namespace, that waits
//! # use std::os::fd::AsFd;
//! let made = plan.apply(&NetnsFd::of_process(child.as_fd())?)?;
//! let host_names: Vec<&str> = made.host_names().collect(); // for the state file
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it works
//!
//! One netlink socket is opened where the caller is, and one in the namespace of the container, by a
//! thread of its own that ends at once. No thread of the caller changes its namespace, nothing runs
//! in the container, and every call blocks until the kernel has answered. The crate keeps no global
//! state and touches no signal, directory or variable.
//!
//! A flag of an interface changes only when it was asked for: the change mask holds the one bit
//! that is meant.
//!
//! # Rights and kernels
//!
//! `CAP_NET_ADMIN` over the namespaces of both ends, and `CAP_SYS_ADMIN` to enter the container's;
//! Linux 5.14. Programs that start containers want `ns-exec`, which uses this crate.

mod plan;

mod error;
mod hints;
mod interface;
mod link;
mod made;
mod netlink;
mod netns;
mod new_netns;
mod route;
mod setup;
mod source;
mod stats;
mod sys;
mod validate;

pub use crate::{
    error::{Error, Kind, Result},
    interface::{Interface, interfaces},
    made::{Made, MadeInterface, remove_host_interfaces},
    netns::{NetnsFd, join_namespace},
    new_netns::NewNetns,
    plan::{NetworkPlan, initialize, plan_loopback},
    stats::{InterfaceStats, statistics, statistics_inside},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
