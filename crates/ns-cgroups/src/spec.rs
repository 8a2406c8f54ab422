//! What a group shall be, before anything is made.

use ns_config::CgroupConfig;

use crate::{controller::Controller, error::Result, path::CgroupPath};

/// A group to make: where, with which settings, and what else is to be counted.
///
/// # Examples
/// ```
/// use ns_cgroups::{CgroupSpec, Controller};
/// use ns_config::{CgroupConfig, cgroup::Limit};
///
/// let config = CgroupConfig {
///     name: "box1".to_owned(),
///     pids: Some(Limit::Value(64)),
///     ..CgroupConfig::default()
/// };
/// let spec = CgroupSpec::new(&config)?.with_accounting(&[Controller::Memory]);
/// assert_eq!(spec.path().to_string(), "box1");
/// # Ok::<(), ns_cgroups::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CgroupSpec {
    path: CgroupPath,
    config: CgroupConfig,
    accounting: Vec<Controller>,
    existing: Existing,
}

/// What happens when the group is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Existing {
    /// It is an error.
    #[default]
    Refuse,
    /// It becomes ours when nothing is in it, as after a start that died; otherwise it is an error.
    TakeOverEmpty,
    /// It is used, gets the settings, and is never removed by us.
    Share,
}

impl CgroupSpec {
    /// The seed's reading: path from `parent` and `name`.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | the path is empty or leaves its place, see [`CgroupPath`] |
    pub fn new(config: &CgroupConfig) -> Result<Self> {
        let path = CgroupPath::from_parent_and_name(&config.parent, &config.name)?;
        Ok(Self::at(path, config))
    }

    /// The settings of `config`, at a path of the caller's choice.
    #[must_use]
    pub fn at(path: CgroupPath, config: &CgroupConfig) -> Self {
        CgroupSpec {
            path,
            config: config.clone(),
            accounting: Vec::new(),
            existing: Existing::Refuse,
        }
    }

    /// Also makes the group known to these controllers, for their numbers, where the host has them.
    #[must_use]
    pub fn with_accounting(mut self, controllers: &[Controller]) -> Self {
        self.accounting.extend_from_slice(controllers);
        self
    }

    /// What happens when the group is there already.
    #[must_use]
    pub fn with_existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Where it shall be.
    #[must_use]
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    pub(crate) fn config(&self) -> &CgroupConfig {
        &self.config
    }

    pub(crate) fn accounting(&self) -> &[Controller] {
        &self.accounting
    }

    pub(crate) fn existing(&self) -> Existing {
        self.existing
    }
}
