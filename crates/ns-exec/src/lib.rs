//! Starts a command in a fresh Linux container, from any thread of any program.
//!
//! A [`Config`](ns_config::Config) says what the container is; [`Start`] adds the command, its streams and
//! descriptors. [`Start::prepare`] turns both into a plan, a flat list of system calls that can be read
//! ([`Prepared::plan`]) before anything happens; [`Prepared::start`] clones the process and returns once the
//! command is being executed, as a [`Process`] to wait for.
//!
//! It is no daemon and keeps no state of its own: no global variables but the sealed stub, no signal handlers,
//! no change of directory, umask or environment of the caller. Only [`Relay`] blocks signals, in its own thread.
//!
//! # Examples
//! ```no_run
//! // no_run: it takes root or user namespaces.
//! use ns_config::{Config, NamespaceKind};
//! use ns_exec::Start;
//!
//! let mut config = Config::default();
//! config.namespaces.add(NamespaceKind::Pid, None, "");
//! config.process.environment = vec!["PATH=/usr/bin:/bin".into()];
//! config.process.capabilities = ns_config::Capabilities::default();
//! let process = Start::new(&config, ["sh", "-c", "exit 7"]).prepare()?.start()?;
//! assert_eq!(process.wait()?.code(), 7);
//! # Ok::<(), ns_exec::Error>(())
//! ```
//!
//! # Rights and kernels
//! Linux 5.14. Namespaces take `CAP_SYS_ADMIN` or a user namespace among them.
//! A process is the child of the *process* that started it, but its parent death signal belongs to the *thread*.

mod container;
mod doctor;
mod error;
mod exec;
mod exec_in;
mod functions;
mod identity;
mod ids;
mod join;
mod own_process;
mod parked;
mod process;
mod relay;
mod removal;
mod resources;
mod sandbox;
mod sequence;
mod start;
mod state_dir;
mod sys;
mod terminal;
mod user;

pub use container::{Container, Status};
pub use doctor::{Finding, can_make_groups, doctor, refuse_gained_rights};
pub use error::{Error, Kind, Result, Stage};
pub use exec::{CreateCommand, default_create_command, exec};
pub use exec_in::{Target, exec_in};
pub use identity::ProcessIdentity;
pub use own_process::{enter_cgroups, initialize_networking, setup_cgroups};
pub use process::{ExitStatus, Process};
pub use relay::Relay;
pub use sandbox::Sandbox;
pub use sequence::Prepared;
pub use start::{Start, Stream};
pub use state_dir::StateDir;
pub use terminal::{HostTerminal, WindowSize};

/// A control group, see [`setup_cgroups`] and [`Container::cgroup`].
pub use ns_cgroups::Cgroup;
/// Reports of a lack of memory, see [`Container::memory_events`].
pub use ns_cgroups::{MemoryEvent, MemoryEvents};
/// `get_namespace_flags` of the seed: the `CLONE_NEW*` bits of the namespaces that are made.
pub use ns_config::namespace_flags as get_namespace_flags;
/// One interface, see [`Container::interfaces`].
pub use ns_network::Interface;
/// Interfaces that were made, see [`initialize_networking`].
pub use ns_network::Made;

/// Holds the README to what compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
