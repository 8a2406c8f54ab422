//! What making a group would do, in words, without doing it.

use std::{collections::BTreeMap, path::Path};

use crate::{
    controller::Controller,
    create::{self, Place},
    devices,
    error::Result,
    layout::{Layout, Version},
    limits::{self, Phase},
    spec::CgroupSpec,
};

impl CgroupSpec {
    /// The steps of [`Cgroup::create`](crate::Cgroup::create) on a host of that layout, in order,
    /// with paths and values. It changes nothing and needs no right.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Unsupported` | no hierarchy has a controller that a setting needs, or v2 lacks the setting |
    /// | `InvalidValue` | settings contradict each other |
    ///
    /// # Examples
    /// ```
    /// use ns_cgroups::{CgroupSpec, Layout};
    /// use ns_config::{CgroupConfig, cgroup::Limit};
    ///
    /// let layout = Layout::from_proc(b"30 20 0:3 / /cg rw - cgroup2 none rw\n", b"0::/\n")?;
    /// let config = CgroupConfig {
    ///     name: "box1".to_owned(),
    ///     pids: Some(Limit::Value(64)),
    ///     ..CgroupConfig::default()
    /// };
    /// let steps = CgroupSpec::new(&config)?.explain(&layout)?;
    /// assert_eq!(
    ///     steps,
    ///     [
    ///         "make group \"/cg/box1\" with pids switched on above it",
    ///         "write \"/cg/box1/pids.max\" \"64\"",
    ///     ]
    /// );
    /// # Ok::<(), ns_cgroups::Error>(())
    /// ```
    pub fn explain(&self, layout: &Layout) -> Result<Vec<String>> {
        let places = create::places(layout, self)?;
        let mut steps: Vec<String> = places.iter().map(|place| place.explain(self)).collect();
        for (controller, _) in Controller::required(self.config()) {
            let Some(place) = place_of(&places, controller) else {
                continue;
            };
            let version = place.hierarchy.version();
            let writes = limits::writes(version, controller, self.config(), Phase::Create)?;
            let directory = place.directory(self);
            steps.extend(writes.iter().map(|write| write.explain(&directory)));
        }
        let unified = places
            .iter()
            .find(|place| place.hierarchy.version() == Version::V2);
        if let Some(place) = unified {
            let directory = place.directory(self);
            let writes = limits::unified_map_writes(self.config())?;
            steps.extend(writes.iter().map(|write| write.explain(&directory)));
        }
        if let Some(rules) = &self.config().devices
            && let Some(place) = place_of(&places, Controller::Devices)
        {
            let directory = place.directory(self);
            steps.extend(devices::explain(
                place.hierarchy.version(),
                &directory,
                rules,
            )?);
        }
        Ok(steps)
    }

    /// What [`Cgroup::paths`](crate::Cgroup::paths) and [`Cgroup::made_paths`](crate::Cgroup::made_paths) are going to
    /// say, as far as it can be known before: for a record that is there before the group is. Another process may
    /// make a directory first, which is then not to be counted as made.
    ///
    /// # Errors
    /// Those of [`explain`](Self::explain).
    pub fn planned_paths(
        &self,
        layout: &Layout,
    ) -> Result<(BTreeMap<String, String>, Vec<String>)> {
        let (mut paths, mut made) = (BTreeMap::new(), Vec::new());
        for place in create::places(layout, self)? {
            let directory = place.directory(self);
            let keys = place.hierarchy.controllers().iter().cloned();
            let unified = (place.hierarchy.version() == Version::V2).then(String::new);
            paths.extend(keys.chain(unified).map(|key| (key, directory.clone())));
            let n_above = self.path().above().len();
            let levels: Vec<&Path> = Path::new(&directory)
                .ancestors()
                .take(n_above + 1)
                .collect();
            let missing = levels
                .into_iter()
                .rev()
                .filter(|level| level.as_os_str() == directory.as_str() || !level.exists());
            made.extend(missing.filter_map(Path::to_str).map(str::to_owned));
        }
        Ok((paths, made))
    }
}

impl Place<'_> {
    fn explain(&self, spec: &CgroupSpec) -> String {
        let on = match self.wanted.is_empty() {
            true => String::new(),
            false => format!(" with {} switched on above it", self.wanted.join(", ")),
        };
        format!("make group {:?}{on}", self.directory(spec))
    }

    fn directory(&self, spec: &CgroupSpec) -> String {
        let mut names = vec![self.hierarchy.mount_point().trim_end_matches('/')];
        names.extend(self.base_names(spec.path().base()).unwrap_or_default());
        names.extend(spec.path().above().iter().map(String::as_str));
        names.push(spec.path().leaf());
        names.join("/")
    }
}

fn place_of<'p, 'l>(places: &'p [Place<'l>], controller: Controller) -> Option<&'p Place<'l>> {
    let is_legacy = |place: &&Place<'_>| {
        let mut controllers = place.hierarchy.controllers().iter();
        controllers.any(|name| name == controller.legacy_name())
    };
    let is_unified = |place: &&Place<'_>| place.hierarchy.version() == Version::V2;
    places
        .iter()
        .find(is_legacy)
        .or_else(|| places.iter().find(is_unified))
}
