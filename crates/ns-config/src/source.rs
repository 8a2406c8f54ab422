//! Where a configuration came from, and how its settings are called there.

/// The front end that produced a [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Built by a program.
    #[default]
    Code,
    /// `container.json` of docker/libcontainer.
    Seed,
    /// `config.json` of the OCI runtime specification.
    Oci,
    /// Command-line flags.
    Flags,
}
