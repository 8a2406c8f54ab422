//! The set of namespaces that a container makes or joins (`namespaces(7)`).

/// The eight kinds of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Which kind.
    pub kind: NamespaceKind,
    /// A file of the nsfs file system to join, absolute; `None` makes a new one.
    pub path: Option<String>,
    /// Where it was configured.
    pub pointer: String,
}

/// The namespaces of a container; every kind at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// In the order of the configuration.
    pub entries: Vec<Namespace>,
}
