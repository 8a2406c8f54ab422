//! Mounts.

use super::{Check, path};
use crate::{
    error::{Kind, Problem},
    mount::{Mount, MountAttributes, MountKind, MountOptions},
    namespace::NamespaceKind,
    source::Setting,
};

impl Check<'_> {
    pub(super) fn mounts(&mut self) {
        let mounts = &self.config.mounts;
        if let Some(first) = mounts.first() {
            self.needs_new(NamespaceKind::Mount, Setting::Mounts, &first.destination);
        }
        for (mount_idx, mount) in mounts.iter().enumerate() {
            let pointer = self.item(&mount.pointer, Setting::Mounts, mount_idx);
            self.destination(mount, &pointer);
            self.mount_kind(mount, &pointer);
            self.mount_options(mount, &pointer);
        }
    }

    /// Nothing may cover what the container's protection rests on (seed hole H9).
    fn destination(&mut self, mount: &Mount, pointer: &str) {
        let destination = &mount.destination;
        let pointer = &self.key(pointer, "destination", "destination");
        let accepted = "an absolute path inside the container, not / and not below /proc";
        if let Some(rule) = path::fault(destination) {
            return self.invalid(pointer, destination, rule, accepted);
        }
        let rule = match path::components(destination).as_slice() {
            [] => "is the root itself",
            ["proc"] if !is_procfs(&mount.kind) => "covers /proc with something else",
            ["proc", rest @ ..] if !rest.is_empty() && !is_proc_file(&mount.kind, rest) => {
                "is below /proc"
            }
            _ => return,
        };
        let problem = Problem::new(Kind::Hostile, pointer, destination, rule);
        self.note(problem.accepted(accepted));
    }

    fn mount_kind(&mut self, mount: &Mount, pointer: &str) {
        match &mount.kind {
            MountKind::Bind { source, .. } => {
                self.host_path(source, &self.key(pointer, "source", "source"));
                self.relabel(mount, source, pointer);
            }
            MountKind::Filesystem { fstype, source } => {
                let strange = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.');
                if fstype.is_empty() || fstype.contains(strange) {
                    let pointer = self.key(pointer, "type", "type");
                    let accepted = "a name of /proc/filesystems";
                    self.invalid(&pointer, fstype, "is not a file system type", accepted);
                }
                if source.contains('\0') {
                    let pointer = self.key(pointer, "source", "source");
                    self.invalid(&pointer, source, "has a NUL", "a device or a name");
                }
            }
            MountKind::Overlay { lower, upper } => {
                if lower.is_empty() || lower.len() > MAX_LAYERS {
                    let rule = "is not a number of lower directories";
                    self.invalid(pointer, lower.len(), rule, "1 to 500");
                }
                let upper = upper.iter().flat_map(|upper| [&upper.upper, &upper.work]);
                lower
                    .iter()
                    .chain(upper)
                    .for_each(|layer| self.host_path(layer, pointer));
            }
            MountKind::File { mode, .. } | MountKind::Directory { mode } => {
                if *mode > 0o7777 {
                    let accepted = "permission bits, at most 07777";
                    self.invalid(pointer, mode, "has more than permission bits", accepted);
                }
            }
            MountKind::Symlink { target } => {
                if target.is_empty() || target.contains('\0') || target.len() > 4095 {
                    let accepted = "1 to 4095 bytes without NUL";
                    self.invalid(pointer, target, "is not the target of a link", accepted);
                }
            }
            MountKind::DevLayout | MountKind::CgroupView => {}
        }
    }

    /// A path of the host, which may hold `..` and links.
    fn host_path(&mut self, path: &str, pointer: &str) {
        if let Some(rule) = path::syntax_fault(path) {
            self.invalid(pointer, path, rule, "an absolute path of the host");
        }
    }

    fn relabel(&mut self, mount: &Mount, source: &str, pointer: &str) {
        let Some(relabel) = mount.options.relabel else {
            return;
        };
        if matches!(path::components(source).as_slice(), [] | ["usr"] | ["etc"]) {
            let pointer = self.key(pointer, "relabel", "options");
            let rule = format!("would relabel {source:?} of the host");
            let problem = Problem::new(Kind::Hostile, &pointer, relabel.word(), &rule);
            self.note(problem.accepted("no relabelling of /, /usr and /etc"));
        }
    }

    fn mount_options(&mut self, mount: &Mount, pointer: &str) {
        let options = &mount.options;
        let pointer = &match self.config.source {
            crate::Source::Oci => format!("{pointer}/options"),
            _ => pointer.to_owned(),
        };
        for (set, clear) in [
            (options.set, options.clear),
            (options.set_recursive, options.clear_recursive),
        ] {
            let both = MountOptions {
                set: overlap(set, clear),
                ..MountOptions::default()
            };
            if let Some(word) = both.words().first() {
                self.conflict(pointer, word, "is switched both on and off", "one of them");
            }
        }
        let is_tmpfs =
            matches!(&mount.kind, MountKind::Filesystem { fstype, .. } if fstype == "tmpfs");
        if options.copy_up && !is_tmpfs {
            self.conflict(pointer, "tmpcopyup", "needs a tmpfs", "type tmpfs");
        }
        let is_fixed = matches!(
            mount.kind,
            MountKind::DevLayout | MountKind::Directory { .. } | MountKind::Symlink { .. }
        );
        if is_fixed && *options != MountOptions::default() {
            let words = options.words();
            return self.conflict(pointer, words, "are options, which do nothing here", "none");
        }
        if options.relabel.is_some() && !matches!(mount.kind, MountKind::Bind { .. }) {
            self.conflict(pointer, "relabel", "needs a bind mount", "type bind");
        }
        for (key, value) in &options.data {
            let text = [Some(key.as_str()), value.as_deref()];
            if key.is_empty() || text.into_iter().flatten().any(|text| text.contains('\0')) {
                self.invalid(pointer, key, "is not a mount option", "text without NUL");
            } else if matches!(mount.kind, MountKind::Bind { .. }) {
                // Left in, a typo of "nosuid" would be silently without effect.
                self.invalid(pointer, key, "is not an option of a bind mount", "mount(8)");
            }
        }
    }
}

fn overlap(a: MountAttributes, b: MountAttributes) -> MountAttributes {
    MountAttributes {
        read_only: a.read_only && b.read_only,
        no_suid: a.no_suid && b.no_suid,
        no_dev: a.no_dev && b.no_dev,
        no_exec: a.no_exec && b.no_exec,
        no_dir_atime: a.no_dir_atime && b.no_dir_atime,
        no_symfollow: a.no_symfollow && b.no_symfollow,
    }
}

/// A new procfs, or the caller's, which is all that is possible with a shared pid namespace.
fn is_procfs(kind: &MountKind) -> bool {
    match kind {
        MountKind::Filesystem { fstype, .. } => fstype == "proc",
        MountKind::Bind { source, .. } => path::components(source) == ["proc"],
        _ => false,
    }
}

/// Files that lxcfs and the like replace, and that protect nothing.
fn is_proc_file(kind: &MountKind, below_proc: &[&str]) -> bool {
    const FILES: [&str; 11] = [
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "net/dev",
        "slabinfo",
        "stat",
        "swaps",
        "sys/crypto/fips_enabled",
        "sys/kernel/ns_last_pid",
        "uptime",
    ];
    matches!(kind, MountKind::Bind { .. }) && FILES.contains(&below_proc.join("/").as_str())
}

/// `OVL_MAX_STACK`.
const MAX_LAYERS: usize = 500;
