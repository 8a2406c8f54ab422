//! Container root file systems by descriptor: lookups in trees that others can write, mounts,
//! devices, masks and the change of root, planned as a list of system calls before any is made.
//!
//! What it is not: it starts no process, makes no namespace and has never heard of a container; it
//! sees a configuration's mounts, paths and devices, and turns them into [`ns_init`] ops.
//!
//! The three types to meet, in order: [`RootfsPlanner`] (a configuration becomes ops),
//! [`MountPlan`] (mounts below one directory, for a program that wants them in its own mount
//! namespace) and [`Root`] (safe lookups in a hostile tree).
//!
//! # Planning a root file system
//!
//! ```no_run
//! // no_run: it reads the host's mounts and needs a root file system directory.
//! use ns_config::{Config, NamespaceKind, Rootfs};
//! use ns_init::PlanBuilder;
//! use ns_mount::{Host, RootfsPlanner, Terminal};
//!
//! let mut config = Config::default();
//! config.rootfs = Rootfs::Directory("/srv/box".to_owned());
//! config.namespaces.add(NamespaceKind::Mount, None, "/namespaces/0");
//!
//! let host = Host::detect(&config)?;
//! let mut plan = PlanBuilder::new();
//! let mut planner = RootfsPlanner::new(&config, &host, &mut plan)?; // everything is checked here
//! planner.root(&mut plan)?; // propagation, the new root over "/"
//! planner.mounts(&mut plan)?; // config.mounts
//! planner.devices(&mut plan)?; // config.devices
//! let terminal = planner.terminal(&Terminal::default(), &mut plan)?; // only when one is wanted
//! planner.masks(&mut plan)?; // masked and read-only paths
//! planner.read_only(&mut plan)?; // the root itself, when asked for
//! planner.enter(&mut plan)?; // pivot, and the propagation of the new "/"
//! # let _ = terminal;
//! # Ok::<(), ns_mount::Error>(())
//! ```
//!
//! [`RootfsPlanner::plan`] makes the same calls in the same order.
//! [`private_procfs`] and [`sysctl`] go between `mounts` and the ops that need them.
//!
//! # Rights and kernels
//!
//! Planning needs no right, apart from [`Sources::Caller`]. Running a plan needs `CAP_SYS_ADMIN` in
//! the user namespace that owns the mount namespace, and Linux 5.14.
//! Nothing here reads or changes the working directory, umask, environment or signals of the
//! caller, except that a relative place is never guessed: an empty root directory means the
//! caller's working directory.
//!
//! Programs that start containers want `ns-exec`, which uses this crate.

mod attribute;
mod cgroup_view;
mod console;
mod destination;
mod dev_layout;
mod device;
mod error;
mod host;
mod mask;
mod mount;
mod mount_plan;
mod mountinfo;
mod procfs;
mod root;
mod rootfs;
mod source;
mod sys;
mod tree;

pub use crate::{
    cgroup_view::{CgroupHierarchy, CgroupLayout},
    console::{Terminal, TerminalSlots},
    error::{Error, Kind, Result},
    host::{Host, Rights, Sources},
    mount_plan::MountPlan,
    procfs::{private_procfs, sysctl},
    root::{InRoot, Root},
    rootfs::{RootfsPlanner, RootfsSlots},
};
