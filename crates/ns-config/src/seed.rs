//! `container.json` of docker/libcontainer: the reader, and what the format implies.

mod read;
mod read_cgroup;
mod read_mount;
mod read_network;
mod write;
mod write_cgroup;
mod write_mount;
mod write_network;

use crate::{
    config::Config,
    error::Error,
    mount::{Mount, MountAttributes, MountKind, MountOptions},
};

/// The files that `restrict_sys` makes unreadable: the list of current engines.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The files that `restrict_sys` makes read-only: the list of current engines. `/sys` as a whole
/// is read-only as well.
pub const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

impl Config {
    /// Reads `container.json`, with everything that the format implies written out: with a new
    /// mount namespace the list of mounts begins with `/proc`, `/dev` and `/sys`; `restrict_sys`
    /// becomes [`MASKED_PATHS`] and [`READONLY_PATHS`]; the command leads a session of its own.
    ///
    /// It reads all three encodings of `namespaces`, keys in any case, and the keys that later
    /// versions of the format added. It does not [validate](Config::validate).
    ///
    /// # Errors
    /// Every problem of the document at once, each with its JSON pointer:
    ///
    /// | kind | when |
    /// |---|---|
    /// | [`Kind::Syntax`](crate::Kind::Syntax) | not JSON, or `null` |
    /// | [`Kind::UnknownKey`](crate::Kind::UnknownKey) | a key that means nothing, or has moved; the hint names the nearest or the new one |
    /// | [`Kind::DuplicateKey`](crate::Kind::DuplicateKey) | a key given twice, in whatever case |
    /// | [`Kind::WrongType`](crate::Kind::WrongType) | a value of another JSON type |
    /// | [`Kind::Missing`](crate::Kind::Missing) | a key without which the entry means nothing |
    /// | [`Kind::InvalidValue`](crate::Kind::InvalidValue), [`Kind::Conflict`](crate::Kind::Conflict) | a value that is not accepted |
    ///
    /// # Examples
    /// ```
    /// use ns_config::{Config, NamespaceKind};
    ///
    /// let text = br#"{"root_fs": "/srv/rootfs", "namespaces": {"NEWNS": true, "NEWPID": true}}"#;
    /// let config = Config::from_seed(text)?;
    /// assert!(config.namespaces.creates(NamespaceKind::Pid));
    /// assert_eq!(config.mounts[0].destination, "/proc");
    /// # Ok::<(), ns_config::Error>(())
    /// ```
    pub fn from_seed(text: &[u8]) -> Result<Config, Error> {
        read::read(text)
    }

    /// Writes `container.json` in the form of the seed, indented by tabs; reading it back gives
    /// the same configuration but for the pointers.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::Kind::Unsupported) for each setting that the format cannot
    /// express, named by its field.
    pub fn to_seed(&self) -> Result<String, Error> {
        write::write(self)
    }
}

/// The mounts that the format implies when there is a new mount namespace.
fn system_mounts(restrict_sys: bool, pointer: &str) -> Vec<Mount> {
    let strict = MountAttributes {
        no_suid: true,
        no_dev: true,
        no_exec: true,
        ..MountAttributes::default()
    };
    let filesystem = |fstype: &str, destination: &str, set: MountAttributes| Mount {
        destination: destination.to_owned(),
        kind: MountKind::Filesystem {
            fstype: fstype.to_owned(),
            source: fstype.to_owned(),
        },
        options: MountOptions {
            set,
            ..MountOptions::default()
        },
        pointer: pointer.to_owned(),
    };
    let dev = Mount {
        destination: "/dev".to_owned(),
        kind: MountKind::DevLayout,
        options: MountOptions::default(),
        pointer: pointer.to_owned(),
    };
    let sys = MountAttributes {
        read_only: restrict_sys,
        ..strict
    };
    vec![
        filesystem("proc", "/proc", strict),
        dev,
        filesystem("sysfs", "/sys", sys),
    ]
}
