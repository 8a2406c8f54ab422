//! One mount as configured, and the option strings of `mount(8)`, fstab and OCI.

use serde::{Deserialize, Serialize};

use crate::config::Propagation;

/// One entry of the mount list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container.
    pub destination: String,
    /// What is mounted there.
    pub kind: MountKind,
    /// How it is mounted.
    pub options: MountOptions,
    /// Where it was configured.
    pub pointer: String,
}

/// What a mount entry puts at its destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Absolute host path; links in it are followed.
        source: String,
        /// Whether mounts below the source come along.
        recursive: bool,
        /// Whether a missing source skips the entry instead of failing.
        optional: bool,
    },
    /// A new instance of a file system: proc, sysfs, tmpfs, devpts, mqueue, cgroup2, ext4 and so on.
    Filesystem {
        /// Name as in `/proc/filesystems`.
        fstype: String,
        /// The `source` parameter (a device, or a mere name).
        source: String,
    },
    /// An overlay of host directories.
    Overlay {
        /// Lower directories, topmost first, absolute host paths.
        lower: Vec<String>,
        /// Upper and work directory, absolute host paths; `None` is read-only.
        upper: Option<OverlayUpper>,
    },
    /// `/dev` as programs expect it: tmpfs (nosuid), device nodes, `pts`, `shm`, `mqueue` and the
    /// usual links. It takes no options.
    DevLayout,
    /// The container's own control groups, in the layout of the host.
    CgroupView,
    /// A file with the given content, on a tmpfs of its own.
    File {
        /// What the file holds.
        contents: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A directory made inside the root.
    Directory {
        /// Permission bits of the last component; parents get 0755.
        mode: u32,
    },
    /// A symbolic link made inside the root.
    Symlink {
        /// What the link says.
        target: String,
    },
}

impl MountKind {
    /// The links that every container has in `/dev`: the name of each, and what it says.
    pub const DEV_LINKS: [(&'static str, &'static str); 5] = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ];
}

/// The writable half of an overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayUpper {
    /// Where changes go.
    pub upper: String,
    /// Scratch directory on the same file system.
    pub work: String,
}

/// Mount options, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    /// Attributes of this mount to switch on.
    pub set: MountAttributes,
    /// Attributes of this mount that were asked to be off (`rw`, `dev`, `exec`, `suid`).
    pub clear: MountAttributes,
    /// Attributes to switch on here and on every mount below.
    pub set_recursive: MountAttributes,
    /// Attributes to switch off here and on every mount below.
    pub clear_recursive: MountAttributes,
    /// Access-time policy of this mount.
    pub atime: Option<Atime>,
    /// Access-time policy of this mount and every mount below.
    pub atime_recursive: Option<Atime>,
    /// Propagation of this mount.
    pub propagation: Option<Propagation>,
    /// Propagation of this mount and every mount below.
    pub propagation_recursive: Option<Propagation>,
    /// Parameters of the file system (`size=64m`, `mode=1777`, `sync`), in order.
    pub data: Vec<(String, Option<String>)>,
    /// Whether the files below the destination are copied into a new tmpfs (`tmpcopyup`).
    pub copy_up: bool,
    /// SELinux relabelling of a bind source.
    pub relabel: Option<Relabel>,
}

/// Per-mount attributes (`mount_setattr(2)`); a set of switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountAttributes {
    /// `MOUNT_ATTR_RDONLY`.
    pub read_only: bool,
    /// `MOUNT_ATTR_NOSUID`.
    pub no_suid: bool,
    /// `MOUNT_ATTR_NODEV`.
    pub no_dev: bool,
    /// `MOUNT_ATTR_NOEXEC`.
    pub no_exec: bool,
    /// `MOUNT_ATTR_NODIRATIME`.
    pub no_dir_atime: bool,
    /// `MOUNT_ATTR_NOSYMFOLLOW`.
    pub no_symfollow: bool,
}

/// Access-time policy (`MOUNT_ATTR__ATIME`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Atime {
    /// Update when older than the modification, or than a day.
    Relative,
    /// Never update.
    Never,
    /// Update at every read.
    Strict,
}

/// How the source of a bind mount is relabelled for SELinux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relabel {
    /// `z`: shared among containers.
    Shared,
    /// `Z`: private to this container.
    Private,
}
