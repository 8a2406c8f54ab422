//! The set of namespaces that a container makes or joins (`namespaces(7)`).

use serde::{Deserialize, Serialize};

/// The eight kinds of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NamespaceKind {
    /// User and group ids, capabilities.
    User,
    /// Mount points.
    Mount,
    /// Process ids.
    Pid,
    /// Network devices, addresses, routes, sockets.
    Network,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Root of the control group view.
    Cgroup,
    /// Boot and monotonic clocks.
    Time,
}

/// One namespace to make, or to join when it has a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which kind.
    pub kind: NamespaceKind,
    /// A file of the nsfs file system to join, absolute; `None` makes a new one.
    pub path: Option<String>,
    /// Where it was configured.
    pub pointer: String,
}

/// The namespaces of a container; every kind at most once.
///
/// # Examples
/// ```
/// use ns_config::{NamespaceKind, Namespaces, namespace_flags};
///
/// let mut namespaces: Namespaces = [NamespaceKind::Mount, NamespaceKind::Pid].into_iter().collect();
/// namespaces.add(NamespaceKind::Network, Some("/run/netns/blue".to_owned()), "/namespaces/2");
/// assert_eq!(namespace_flags(&namespaces), 0x2002_0000, "what is joined is not made");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// In the order of the configuration.
    pub entries: Vec<Namespace>,
}

impl NamespaceKind {
    /// All eight, in the order in which existing ones are joined: user first, because it gives the
    /// rights for the rest, and mount last, because it changes what paths mean.
    pub const ALL: [NamespaceKind; 8] = [
        NamespaceKind::User,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Network,
        NamespaceKind::Pid,
        NamespaceKind::Cgroup,
        NamespaceKind::Time,
        NamespaceKind::Mount,
    ];

    /// The bit of `clone3(2)`, `unshare(2)` and `setns(2)`.
    #[doc(alias = "CLONE_NEWNS")]
    #[doc(alias = "CLONE_NEWUSER")]
    pub fn clone_flag(self) -> u64 {
        match self {
            NamespaceKind::User => 0x1000_0000,
            NamespaceKind::Mount => 0x0002_0000,
            NamespaceKind::Pid => 0x2000_0000,
            NamespaceKind::Network => 0x4000_0000,
            NamespaceKind::Ipc => 0x0800_0000,
            NamespaceKind::Uts => 0x0400_0000,
            NamespaceKind::Cgroup => 0x0200_0000,
            NamespaceKind::Time => 0x0000_0080,
        }
    }

    /// The name in `container.json`, e.g. `NEWPID`.
    pub fn name(self) -> &'static str {
        match self {
            NamespaceKind::User => "NEWUSER",
            NamespaceKind::Mount => "NEWNS",
            NamespaceKind::Pid => "NEWPID",
            NamespaceKind::Network => "NEWNET",
            NamespaceKind::Ipc => "NEWIPC",
            NamespaceKind::Uts => "NEWUTS",
            NamespaceKind::Cgroup => "NEWCGROUP",
            NamespaceKind::Time => "NEWTIME",
        }
    }

    /// The name in the OCI runtime specification, e.g. `network`.
    pub fn oci_name(self) -> &'static str {
        match self {
            NamespaceKind::User => "user",
            NamespaceKind::Mount => "mount",
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "network",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        }
    }

    /// The file name in `/proc/PID/ns`, e.g. `net`.
    pub fn proc_name(self) -> &'static str {
        match self {
            NamespaceKind::Mount => "mnt",
            NamespaceKind::Network => "net",
            other => other.oci_name(),
        }
    }

    /// The kind that `container.json` calls `name`, in exactly this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that the OCI runtime specification calls `name`.
    pub fn from_oci_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.oci_name() == name)
    }
}

impl Namespaces {
    /// Whether the kind is made or joined, that is, not shared with the caller.
    pub fn contains(&self, kind: NamespaceKind) -> bool {
        self.get(kind).is_some()
    }

    /// The entry of the kind.
    pub fn get(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.entries.iter().find(|entry| entry.kind == kind)
    }

    /// Adds an entry, or gives an existing one of this kind the new path and pointer.
    pub fn add(&mut self, kind: NamespaceKind, path: Option<String>, pointer: &str) {
        let namespace = Namespace {
            kind,
            path,
            pointer: pointer.to_owned(),
        };
        match self.entries.iter_mut().find(|entry| entry.kind == kind) {
            Some(entry) => *entry = namespace,
            None => self.entries.push(namespace),
        }
    }

    /// Takes the entry of the kind away; whether there was one.
    pub fn remove(&mut self, kind: NamespaceKind) -> bool {
        let n_before = self.entries.len();
        self.entries.retain(|entry| entry.kind != kind);
        self.entries.len() != n_before
    }

    /// Whether a new namespace of this kind is made: the container's own, free to be changed.
    pub fn creates(&self, kind: NamespaceKind) -> bool {
        self.get(kind).is_some_and(|entry| entry.path.is_none())
    }

    /// The entries that join an existing namespace, in the order of the configuration.
    pub fn joins(&self) -> impl Iterator<Item = &Namespace> {
        self.entries.iter().filter(|entry| entry.path.is_some())
    }

    /// The `CLONE_NEW*` bits of the entries that make a new namespace.
    pub fn new_flags(&self) -> u64 {
        let new = self.entries.iter().filter(|entry| entry.path.is_none());
        new.fold(0, |flags, entry| flags | entry.kind.clone_flag())
    }
}

impl FromIterator<NamespaceKind> for Namespaces {
    /// New namespaces of the given kinds.
    fn from_iter<I: IntoIterator<Item = NamespaceKind>>(kinds: I) -> Self {
        let mut namespaces = Namespaces::default();
        kinds
            .into_iter()
            .for_each(|kind| namespaces.add(kind, None, ""));
        namespaces
    }
}

/// The `CLONE_NEW*` bits for the namespaces that are made new; the seed's `GetNamespaceFlags`.
///
/// Entries with a path are joined instead and add nothing; the seed made a needless namespace for
/// them, and lost the process in it for `NEWPID`.
#[doc(alias = "GetNamespaceFlags")]
pub fn namespace_flags(namespaces: &Namespaces) -> u64 {
    namespaces.new_flags()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_new_namespaces_are_the_kernels() {
        let all: Namespaces = NamespaceKind::ALL.into_iter().collect();
        assert_eq!(namespace_flags(&all), 0x7e02_0080);
        assert_eq!(namespace_flags(&Namespaces::default()), 0);
    }

    #[test]
    fn flags_leave_out_joined_namespaces() {
        let mut namespaces: Namespaces = [NamespaceKind::Ipc].into_iter().collect();
        namespaces.add(
            NamespaceKind::Pid,
            Some("/proc/1/ns/pid".to_owned()),
            "/namespaces/1",
        );
        assert_eq!(namespaces.new_flags(), 0x0800_0000);
        assert!(namespaces.creates(NamespaceKind::Ipc) && !namespaces.creates(NamespaceKind::Pid));
        assert_eq!(namespaces.joins().count(), 1);
    }

    #[test]
    fn namespace_that_is_removed_is_gone() {
        let mut namespaces: Namespaces = [NamespaceKind::Network].into_iter().collect();
        assert!(namespaces.remove(NamespaceKind::Network));
        assert!(!namespaces.remove(NamespaceKind::Network));
        assert_eq!(namespaces, Namespaces::default());
    }

    #[test]
    fn namespace_added_twice_gets_the_new_path() {
        let mut namespaces: Namespaces = [NamespaceKind::Network].into_iter().collect();
        namespaces.add(NamespaceKind::Network, Some("/run/netns/a".to_owned()), "");
        assert_eq!(namespaces.entries.len(), 1);
        assert!(!namespaces.creates(NamespaceKind::Network));
    }
}
