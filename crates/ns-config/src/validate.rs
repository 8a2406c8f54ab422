//! What a configuration must fulfil before anything is started.

mod cgroup;
mod device;
mod identity;
mod mount;
mod network;
mod path;

use crate::{
    config::{Config, Propagation, RootEntry, Rootfs},
    environment::check_entry,
    error::{Kind, Problem, Problems},
    namespace::NamespaceKind,
    source::{Setting, Source},
    sysctl::sysctl_namespace,
    user::ResolvedUser,
};

impl Config {
    /// Checks everything that can be known without looking at the host: values in range, paths
    /// that stay where they must, and that whatever a setting changes belongs to a namespace of
    /// the container's own (seed holes H6, H9, H15).
    ///
    /// # Errors
    /// Every problem at once, each with pointer, value and what is accepted.
    ///
    /// # Examples
    /// ```
    /// use ns_config::Config;
    ///
    /// let config = Config { hostname: Some("box".to_owned()), ..Config::default() };
    /// let problems = config.validate().unwrap_err();
    /// assert_eq!(problems.to_string(), "check configuration: hostname: \"box\": \
    ///     needs a new UTS namespace, or it would change the host; accepted: NEWUTS without a path");
    /// ```
    pub fn validate(&self) -> Result<(), Problems> {
        let mut check = Check {
            config: self,
            problems: Problems::none(),
        };
        check.root();
        check.namespaces();
        check.names();
        check.ids();
        check.mounts();
        check.devices();
        check.kernel_paths();
        check.sysctl();
        check.process();
        check.networks();
        check.routes();
        check.cgroup();
        check.problems.into_result()
    }

    /// Checks that the ids of a user, once looked up, exist in the new user namespace.
    ///
    /// # Errors
    /// A problem for each id that has no mapping; setting it would fail with a bare EINVAL.
    pub fn validate_user(&self, user: &ResolvedUser) -> Result<(), Problems> {
        let mut check = Check {
            config: self,
            problems: Problems::none(),
        };
        check.mapped_uid(user.uid);
        let gids = std::iter::once(&user.gid).chain(&user.additional_gids);
        gids.for_each(|gid| check.mapped_gid(*gid, Setting::User));
        check.additional_gids();
        check.problems.into_result()
    }
}

/// Problems found so far, of one configuration.
struct Check<'a> {
    config: &'a Config,
    problems: Problems,
}

impl Check<'_> {
    fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A value that is not accepted.
    fn invalid(&mut self, pointer: &str, value: impl std::fmt::Debug, rule: &str, accepted: &str) {
        self.note(Problem::new(Kind::InvalidValue, pointer, value, rule).accepted(accepted));
    }

    /// Settings that contradict each other, or need another.
    fn conflict(&mut self, pointer: &str, value: impl std::fmt::Debug, rule: &str, accepted: &str) {
        self.note(Problem::new(Kind::Conflict, pointer, value, rule).accepted(accepted));
    }

    fn pointer(&self, setting: Setting) -> &'static str {
        self.config.source.pointer(setting)
    }

    /// The pointer of a list item, or one made of the setting and the index.
    fn item(&self, pointer: &str, setting: Setting, item_idx: usize) -> String {
        match pointer.is_empty() {
            true => format!("{}/{item_idx}", self.pointer(setting)),
            false => pointer.to_owned(),
        }
    }

    /// The pointer of a key inside a list item, in formats that have keys.
    fn key(&self, pointer: &str, seed: &str, oci: &str) -> String {
        match self.config.source {
            Source::Seed => format!("{pointer}/{seed}"),
            Source::Oci if !oci.is_empty() => format!("{pointer}/{oci}"),
            _ => pointer.to_owned(),
        }
    }

    /// Notes that a setting would change the host (seed hole H6).
    fn needs_new(&mut self, kind: NamespaceKind, setting: Setting, value: impl std::fmt::Debug) {
        if self.config.namespaces.creates(kind) {
            return;
        }
        let kind_name = match kind {
            NamespaceKind::Uts | NamespaceKind::Ipc => kind.oci_name().to_uppercase(),
            other => other.oci_name().to_owned(),
        };
        let rule = format!("needs a new {kind_name} namespace, or it would change the host");
        let accepted = format!("{} without a path", kind.name());
        self.conflict(self.pointer(setting), value, &rule, &accepted);
    }

    fn root(&mut self) {
        let config = self.config;
        let pointer = self.pointer(Setting::Rootfs);
        match &config.rootfs {
            Rootfs::Directory(path) if path.is_empty() => {}
            Rootfs::Directory(path) => {
                let rule = path::fault(path).or_else(|| {
                    path::components(path)
                        .is_empty()
                        .then_some("is the root of the host")
                });
                if let Some(rule) = rule {
                    self.invalid(
                        pointer,
                        path,
                        rule,
                        "an absolute path of a directory, not /",
                    );
                }
                self.needs_new(NamespaceKind::Mount, Setting::Rootfs, path);
            }
            Rootfs::Empty { size_bytes } => {
                if *size_bytes == Some(0) {
                    let accepted = "a size, or none for half of the memory";
                    self.invalid(pointer, 0, "is a root of no size", accepted);
                }
                self.needs_new(NamespaceKind::Mount, Setting::Rootfs, "empty");
            }
        }
        if config.readonly_rootfs {
            self.needs_new(NamespaceKind::Mount, Setting::ReadonlyRootfs, true);
        }
        if config.root_entry != RootEntry::Pivot {
            self.needs_new(NamespaceKind::Mount, Setting::RootEntry, true);
        } else if config.rootfs_propagation != Propagation::Private {
            let word = config.rootfs_propagation.word();
            self.needs_new(NamespaceKind::Mount, Setting::RootfsPropagation, word);
        }
    }

    fn namespaces(&mut self) {
        for (entry_idx, entry) in self.config.namespaces.entries.iter().enumerate() {
            let pointer = self.item(&entry.pointer, Setting::Namespaces, entry_idx);
            let earlier = &self.config.namespaces.entries[..entry_idx];
            if earlier.iter().any(|other| other.kind == entry.kind) {
                let rule = "is the second entry of this type";
                self.conflict(&pointer, entry.kind.name(), rule, "one");
            }
            let Some(path) = &entry.path else { continue };
            if let Some(rule) = path::fault(path) {
                let pointer = self.key(&pointer, "path", "path");
                self.invalid(
                    &pointer,
                    path,
                    rule,
                    "an absolute path, e.g. /proc/42/ns/net",
                );
            }
        }
    }

    fn names(&mut self) {
        let config = self.config;
        for (name, setting) in [
            (&config.hostname, Setting::Hostname),
            (&config.domainname, Setting::Domainname),
        ] {
            let Some(name) = name else { continue };
            let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            let rule = if name.is_empty() || name.len() > 64 {
                Some("is empty or too long")
            } else if !name.chars().all(ordinary) || name.starts_with(['-', '.']) {
                Some("is not a name")
            } else {
                None
            };
            if let Some(rule) = rule {
                let accepted = "1 to 64 letters, digits, '-', '_' and '.', beginning with none of \
                    '-' and '.'";
                self.invalid(self.pointer(setting), name, rule, accepted);
            }
            self.needs_new(NamespaceKind::Uts, setting, name);
        }
    }

    fn kernel_paths(&mut self) {
        let config = self.config;
        for (paths, setting) in [
            (&config.masked_paths, Setting::MaskedPaths),
            (&config.readonly_paths, Setting::ReadonlyPaths),
        ] {
            for path in paths {
                let root = path::components(path)
                    .is_empty()
                    .then_some("is the whole root");
                if let Some(rule) = path::fault(path).or(root) {
                    let pointer = self.pointer(setting);
                    self.invalid(pointer, path, rule, "absolute paths inside the container");
                }
            }
            if !paths.is_empty() {
                self.needs_new(NamespaceKind::Mount, setting, paths);
            }
        }
        if let Some(label) = &config.mount_label {
            self.needs_new(NamespaceKind::Mount, Setting::MountLabel, label);
            self.label(label, Setting::MountLabel);
        }
    }

    fn sysctl(&mut self) {
        for (setting_idx, setting) in self.config.sysctl.iter().enumerate() {
            let pointer = self.item(&setting.pointer, Setting::Sysctl, setting_idx);
            let earlier = &self.config.sysctl[..setting_idx];
            if earlier.iter().any(|other| other.name == setting.name) {
                self.conflict(&pointer, &setting.name, "is set twice", "one value");
            }
            if setting.value.contains('\0') {
                self.invalid(&pointer, &setting.value, "has a NUL", "text");
            }
            match sysctl_namespace(&setting.name) {
                Err(error) => self.problems.extend_at(&pointer, error),
                Ok(kind) if !self.config.namespaces.creates(kind) => {
                    let rule =
                        "belongs to a namespace that is not new, so it would change the host";
                    let accepted = format!("{} without a path", kind.name());
                    self.conflict(&pointer, &setting.name, rule, &accepted);
                }
                Ok(_) => {}
            }
        }
    }

    fn process(&mut self) {
        self.working_dir();
        for (entry_idx, entry) in self.config.process.environment.iter().enumerate() {
            if let Err(mut problem) = check_entry(entry) {
                problem.pointer = self.item("", Setting::Environment, entry_idx);
                self.note(*problem);
            }
        }
        self.capabilities();
        self.rlimits();
        let process = &self.config.process;
        if let Some(score) = process
            .oom_score_adj
            .filter(|score| !(-1000..=1000).contains(score))
        {
            let pointer = self.pointer(Setting::OomScoreAdj);
            self.invalid(pointer, score, "is out of range", "-1000 to 1000");
        }
        if let Some(umask) = process.umask.filter(|umask| *umask > 0o777) {
            let pointer = self.pointer(Setting::Umask);
            self.invalid(pointer, umask, "has more than permission bits", "0 to 0777");
        }
        if !(0..=64).contains(&process.parent_death_signal) {
            let pointer = self.pointer(Setting::ParentDeathSignal);
            self.invalid(
                pointer,
                process.parent_death_signal,
                "is not a signal",
                "0 to 64",
            );
        }
        for (label, setting) in [
            (&process.apparmor_profile, Setting::ApparmorProfile),
            (&process.selinux_label, Setting::SelinuxLabel),
        ] {
            label.iter().for_each(|label| self.label(label, setting));
        }
    }

    fn label(&mut self, label: &str, setting: Setting) {
        if label.is_empty() || label.contains(|c: char| c.is_control() || c == '"') {
            let pointer = self.pointer(setting);
            self.invalid(
                pointer,
                label,
                "is empty or has a control character or quote",
                "a name",
            );
        }
    }

    /// A directory named through a descriptor may be one of the host (seed hole H11).
    fn working_dir(&mut self) {
        let Some(path) = &self.config.process.working_dir else {
            return;
        };
        let components = path::components(path);
        let through_fd = match components.as_slice() {
            ["proc", rest @ ..] => rest.iter().any(|c| matches!(*c, "fd" | "cwd" | "root")),
            ["dev", "fd" | "stdin" | "stdout" | "stderr", ..] => true,
            _ => false,
        };
        let pointer = self.pointer(Setting::WorkingDir);
        let accepted = "an absolute path inside the container";
        if let Some(rule) = path::syntax_fault(path) {
            self.invalid(pointer, path, rule, accepted);
        } else if through_fd {
            let rule = "leads through an open descriptor";
            self.note(Problem::new(Kind::Hostile, pointer, path, rule).accepted(accepted));
        }
    }

    fn capabilities(&mut self) {
        let sets = self.config.process.capabilities;
        let usable_as_ambient = sets.permitted.intersection(sets.inheritable);
        for (key, set, limit, rule) in [
            (
                "permitted",
                sets.permitted,
                sets.bounding,
                "has more than the bounding set",
            ),
            (
                "effective",
                sets.effective,
                sets.permitted,
                "has more than the permitted set",
            ),
            (
                "inheritable",
                sets.inheritable,
                sets.bounding,
                "has more than the bounding set",
            ),
            (
                "ambient",
                sets.ambient,
                usable_as_ambient,
                "has more than what is both permitted and inheritable",
            ),
        ] {
            let surplus = set.difference(limit);
            if !surplus.is_empty() {
                let pointer = self.key(self.pointer(Setting::Capabilities), "", key);
                let pointer = pointer.trim_end_matches('/');
                self.conflict(pointer, surplus, &format!("{key} set {rule}"), "a subset");
            }
        }
    }

    fn rlimits(&mut self) {
        let rlimits = &self.config.process.rlimits;
        for (rlimit_idx, rlimit) in rlimits.iter().enumerate() {
            let pointer = self.item(&rlimit.pointer, Setting::Rlimits, rlimit_idx);
            let earlier = &rlimits[..rlimit_idx];
            if earlier
                .iter()
                .any(|other| other.resource == rlimit.resource)
            {
                self.conflict(
                    &pointer,
                    rlimit.resource.name(),
                    "is limited twice",
                    "one entry",
                );
            }
            if rlimit.soft > rlimit.hard {
                let pointer = self.key(&pointer, "soft", "soft");
                let accepted = format!("at most {}", rlimit.hard);
                self.conflict(&pointer, rlimit.soft, "is above the hard limit", &accepted);
            }
        }
    }
}
