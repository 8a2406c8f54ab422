//! The one model of a container: what every reader produces and every planner consumes.

use serde::{Deserialize, Serialize};

use crate::{
    Capabilities, Device, DeviceRule, IdMap, Mount, Namespaces, Rlimit, UserSpec,
    cgroup::CgroupConfig,
    network::{Network, Route},
    source::Source,
};

/// A container as configured: data only, checked by [`Config::validate`].
///
/// Every list item carries the JSON pointer (or the command-line flag) that it came from, so that
/// an error found later, even inside the container, can name the place to mend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where the configuration came from: decides how scalar settings are named in errors.
    pub source: Source,
    /// What becomes `/`.
    pub rootfs: Rootfs,
    /// Whether `/` itself ends up read-only; mounts below it keep their own setting.
    pub readonly_rootfs: bool,
    /// How `/` is entered.
    pub root_entry: RootEntry,
    /// The propagation of `/` inside, set after the root is entered. Default: private.
    pub rootfs_propagation: Propagation,
    /// `sethostname(2)` value; needs a UTS namespace of its own.
    pub hostname: Option<String>,
    /// `setdomainname(2)` value; needs a UTS namespace of its own.
    pub domainname: Option<String>,
    /// The namespaces that are made or joined; all others are shared with the caller.
    pub namespaces: Namespaces,
    /// User ids of a new user namespace, container side first.
    pub uid_mappings: Vec<IdMap>,
    /// Group ids of a new user namespace, container side first.
    pub gid_mappings: Vec<IdMap>,
    /// Mounts, in the order in which they are made.
    pub mounts: Vec<Mount>,
    /// Device nodes to make below the container's root.
    pub devices: Vec<Device>,
    /// Paths that end up unreadable: files read as empty, directories are empty. Missing ones are skipped.
    pub masked_paths: Vec<String>,
    /// Paths that end up read-only with all that is mounted below. Missing ones are skipped.
    pub readonly_paths: Vec<String>,
    /// Kernel settings, dotted or slashed name to value; only those that a private namespace owns.
    pub sysctl: Vec<Sysctl>,
    /// SELinux label of tmpfs-like mounts (`context=`).
    pub mount_label: Option<String>,
    /// Network interfaces, in the order in which they are made.
    pub networks: Vec<Network>,
    /// Routes, added in order after all networks.
    pub routes: Vec<Route>,
    /// The container's control group; `None` leaves the process in the caller's.
    pub cgroup: Option<CgroupConfig>,
    /// What the command runs as.
    pub process: Process,
}

impl Config {
    /// The same configuration with every pointer cleared and no source, so that two can be
    /// compared wherever they came from.
    #[must_use]
    pub fn without_pointers(&self) -> Config {
        let mut config = Config {
            source: Source::default(),
            ..self.clone()
        };
        let rules = config
            .cgroup
            .iter_mut()
            .flat_map(|cgroup| &mut cgroup.devices)
            .flatten();
        let pointers = (config
            .namespaces
            .entries
            .iter_mut()
            .map(|entry| &mut entry.pointer))
        .chain(config.mounts.iter_mut().map(|mount| &mut mount.pointer))
        .chain(config.devices.iter_mut().map(|device| &mut device.pointer))
        .chain(config.sysctl.iter_mut().map(|setting| &mut setting.pointer))
        .chain(
            config
                .networks
                .iter_mut()
                .map(|network| &mut network.pointer),
        )
        .chain(config.routes.iter_mut().map(|route| &mut route.pointer))
        .chain(
            config
                .process
                .rlimits
                .iter_mut()
                .map(|rlimit| &mut rlimit.pointer),
        )
        .chain(rules.map(|rule| &mut rule.pointer));
        pointers.for_each(String::clear);
        config
    }
}

/// What the command runs as, apart from its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The user and group as written; looked up in the container's own `/etc/passwd` and `/etc/group`.
    pub user: UserSpec,
    /// Groups on top of those that the lookup gives.
    pub additional_gids: Vec<u32>,
    /// Working directory inside; `None` is `/`.
    pub working_dir: Option<String>,
    /// The complete environment, `NAME=value` each; later ones win.
    pub environment: Vec<std::ffi::OsString>,
    /// Capability sets; all empty by default.
    pub capabilities: Capabilities,
    /// Resource limits; others are inherited.
    pub rlimits: Vec<Rlimit>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// AppArmor profile the command is executed under.
    pub apparmor_profile: Option<String>,
    /// SELinux label the command is executed under.
    pub selinux_label: Option<String>,
    /// `/proc/PID/oom_score_adj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// File mode creation mask; `None` is 0022.
    pub umask: Option<u32>,
    /// Whether the command gets a pseudo terminal of its own.
    pub terminal: bool,
    /// Whether the command leads a session of its own. A terminal implies it.
    pub new_session: bool,
    /// Signal sent to the command when the thread that started it ends (`PR_SET_PDEATHSIG`); 0 is none.
    pub parent_death_signal: i32,
    /// Whether pushing input into a terminal (`TIOCSTI`, `TIOCLINUX`) is refused by a seccomp filter.
    pub deny_terminal_injection: bool,
}

/// What becomes `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// A directory of the host, absolute; the empty string is the caller's working directory.
    Directory(String),
    /// An empty tmpfs that the mounts fill, with the given limit.
    Empty {
        /// tmpfs size limit; `None` is the kernel's default (half of the memory).
        size_bytes: Option<u64>,
    },
}

impl Default for Rootfs {
    fn default() -> Self {
        Rootfs::Directory(String::new())
    }
}

/// How the new root is entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootEntry {
    /// `pivot_root(2)`: the old root is gone afterwards.
    #[default]
    Pivot,
    /// Move the mount over `/` and `chroot(2)`, for hosts that run from an initramfs.
    Move,
}

/// Mount propagation (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// No propagation in either direction.
    #[default]
    Private,
    /// Events come in, none go out.
    Slave,
    /// Events go both ways.
    Shared,
    /// Private, and cannot be bind mounted.
    Unbindable,
}

/// One kernel setting below `/proc/sys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Name with dots or slashes, e.g. `net.ipv4.ip_forward`.
    pub name: String,
    /// Value as written to the file.
    pub value: String,
    /// Where it was configured.
    pub pointer: String,
}

/// One rule of the device allow-list, last match wins.
pub type DeviceRules = Vec<DeviceRule>;
