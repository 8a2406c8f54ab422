//! Id maps of user namespaces (`user_namespaces(7)`).

/// One line of `/proc/PID/uid_map` or `gid_map`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// First id inside.
    pub container_id: u32,
    /// First id outside.
    pub host_id: u32,
    /// How many ids, at least 1.
    pub size: u32,
}
