//! The program that runs between clone and exec in a container.
//!
//! A caller turns what it wants into a [`Plan`]: a flat list of [`Op`]s, each one system call or one
//! small fixed sequence of them. The plan is then run by the interpreter, either in this process
//! ([`apply`], [`replace_process`]) or, with the feature `stub`, in a new process inside new namespaces ([`launch`]), where
//! a static program of a few kilobytes walks it and finally executes the command.
//!
//! This crate has never heard of JSON, of a root file system layout, of control groups or of netlink.
//! After clone there is no heap, no lock, no logging, no unwinding.
//!
//! Read [`op`](Op) first, then [`PlanBuilder`], then [`apply`] or [`launch`].
//! For a whole container use `ns-exec`.

mod apply;
#[cfg(feature = "stub")]
mod channel;
mod error;
mod explain;
mod hints;
mod init;
mod interpret;
#[cfg(feature = "stub")]
mod launch;
mod lookup;
mod op;
mod path;
mod plan;
mod process;
#[cfg(feature = "stub")]
mod sealed;
mod sys;
#[cfg(feature = "stub")]
mod window;

pub use apply::{apply, own_capabilities, replace_process};
#[cfg(feature = "stub")]
pub use channel::release;
pub use error::{Error, Kind, Result, errno_text};
pub use explain::Explained;
pub use init::{Init, Inside, finalize_setns, init, init_joined, protect, security_labels};
#[cfg(feature = "stub")]
pub use launch::{IdMapping, Launch, Started, launch};
pub use op::{Bytes, Call, Create, Depth, Failure, Missing, Op, Opening, Slot, Strings, Text};
pub use plan::{Plan, PlanBuilder};
pub use process::{
    Command, Groups, execute, finalize_namespace, load_container_environment, resource_limits,
    restore_parent_death_signal, setup_user, signals,
};
#[cfg(feature = "stub")]
pub use sealed::STUB_BYTES;
