//! The container's own control groups, laid out as the host has them.

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use ns_config::MountOptions;
use ns_init::{Create, Depth, Op, PlanBuilder, Slot};

use crate::attribute::{Change, NODEV, NOEXEC, NOSUID, RDONLY};
use crate::destination::Destination;
use crate::error::{Error, Kind, Planned, Result};
use crate::host::{Rights, read};
use crate::mountinfo::{MountEntry, parse};
use crate::source::HostSource;
use crate::tree::{Choices, FLAG, Tree, change, new_filesystem};

/// Where the host has its control groups, and in which version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CgroupLayout {
    /// None are mounted.
    #[default]
    Absent,
    /// One version 2 hierarchy.
    V2 {
        /// Where it is mounted, usually `/sys/fs/cgroup`.
        mount_point: String,
    },
    /// Version 1 hierarchies side by side, with or without one of version 2 among them.
    V1 {
        /// The directory that they are mounted in, usually `/sys/fs/cgroup`.
        mount_point: String,
        /// The hierarchies, in the order in which they are mounted.
        hierarchies: Vec<CgroupHierarchy>,
    },
}

/// One hierarchy among several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupHierarchy {
    /// Name of its directory, e.g. `cpu,cpuacct`.
    pub directory: String,
    /// Its controllers (version 1).
    pub controllers: Vec<String>,
    /// Its name, e.g. `systemd` (version 1).
    pub name: Option<String>,
    /// Whether it is the version 2 hierarchy.
    pub is_v2: bool,
}

impl CgroupLayout {
    /// Looks at `/sys/fs/cgroup`, and, when that is not a version 2 hierarchy, reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENOENT | `/proc` is not mounted |
    /// | `InvalidValue` | | the file is not what the kernel writes |
    pub fn detect() -> Result<Self> {
        let usual = "/sys/fs/cgroup";
        let is_v2 = statfs(usual).is_ok_and(|stat| stat.filesystem_type() == CGROUP2_SUPER_MAGIC);
        if is_v2 {
            let mount_point = usual.to_owned();
            return Ok(CgroupLayout::V2 { mount_point });
        }
        Self::parse(&read("/proc/self/mountinfo")?)
    }

    /// Reads the layout out of the bytes of a `mountinfo` file.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | a line is not what the kernel writes |
    ///
    /// # References
    /// `proc_pid_mountinfo(5)`, `cgroups(7)`.
    pub fn parse(mountinfo: &[u8]) -> Result<Self> {
        let entries = parse(mountinfo)?;
        let groups = || {
            entries
                .iter()
                .filter(|entry| matches!(entry.fstype.as_slice(), b"cgroup" | b"cgroup2"))
        };
        let Some(v1) = groups().find(|entry| entry.fstype == b"cgroup") else {
            return Ok(match groups().next() {
                None => CgroupLayout::Absent,
                Some(entry) => CgroupLayout::V2 {
                    mount_point: String::from_utf8_lossy(&entry.mount_point).into_owned(),
                },
            });
        };
        let (base, _) = split(v1);
        let mut hierarchies: Vec<CgroupHierarchy> = Vec::new();
        for entry in groups() {
            let (above, directory) = split(entry);
            let is_new = hierarchies.iter().all(|other| other.directory != directory);
            if above == base && is_new {
                hierarchies.push(hierarchy(entry, directory));
            }
        }
        Ok(CgroupLayout::V1 {
            mount_point: base,
            hierarchies,
        })
    }

    fn mount_point(&self) -> Option<&str> {
        match self {
            CgroupLayout::Absent => None,
            CgroupLayout::V2 { mount_point } | CgroupLayout::V1 { mount_point, .. } => {
                Some(mount_point)
            }
        }
    }
}

fn split(entry: &MountEntry) -> (String, String) {
    let place = String::from_utf8_lossy(&entry.mount_point).into_owned();
    match place.rsplit_once('/') {
        Some((above, directory)) => (above.to_owned(), directory.to_owned()),
        None => (String::new(), place),
    }
}

fn hierarchy(entry: &MountEntry, directory: String) -> CgroupHierarchy {
    let is_v2 = entry.fstype == b"cgroup2";
    let options = String::from_utf8_lossy(&entry.super_options).into_owned();
    let words = || options.split(',').filter(|_| !is_v2);
    let is_controller = |word: &&str| !NOT_CONTROLLERS.contains(word) && !word.contains('=');
    CgroupHierarchy {
        directory,
        controllers: words().filter(is_controller).map(str::to_owned).collect(),
        name: words()
            .find_map(|word| word.strip_prefix("name="))
            .map(str::to_owned),
        is_v2,
    }
}

/// Checks that there is something to show; gives the host's tree where it can only be bound.
pub(crate) fn check(options: &MountOptions, choices: &Choices) -> Result<Option<HostSource>> {
    let Some(mount_point) = choices.cgroup_layout.mount_point() else {
        let call = "the host has no control groups mounted";
        return Err(Error::new(Kind::Unsupported, STEP, call));
    };
    if wants_writable(options) && !choices.own_cgroup {
        let call = "a writable view without a cgroup namespace would be the host's";
        return Err(Error::new(Kind::Denied, STEP, call)
            .with_hint("give the container a cgroup namespace, or mount the view read-only"));
    }
    // The kernel lets a user namespace mount control groups only through a cgroup namespace of its own.
    if choices.rights == Rights::UserNamespace && !choices.own_cgroup {
        return HostSource::check(mount_point, true, false, choices.sources);
    }
    Ok(None)
}

fn wants_writable(options: &MountOptions) -> bool {
    options.clear.read_only || options.clear_recursive.read_only
}

/// Writes the ops of the view.
pub(crate) fn plan(
    destination: &Destination,
    options: &MountOptions,
    source: Option<&mut HostSource>,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let read_only = if wants_writable(options) { 0 } else { RDONLY };
    let set = CLOSED | read_only;
    if let Some(source) = source {
        let opened = source.open(true, false, &tree.choices, plan)?;
        let closed = Change {
            set,
            ..Change::default()
        };
        change(opened.mount, Depth::Recursive, closed, plan);
        return tree.attach(opened.mount, destination, DIRECTORY, plan);
    }
    match tree.choices.cgroup_layout.clone() {
        CgroupLayout::V1 { hierarchies, .. } => plan_v1(destination, &hierarchies, set, tree, plan),
        _ => {
            let mount = new_filesystem("cgroup2", &[("source", "cgroup")], set, plan)?;
            tree.attach(mount, destination, DIRECTORY, plan)
        }
    }
}

fn plan_v1(
    destination: &Destination,
    hierarchies: &[CgroupHierarchy],
    set: u64,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let parameters = [("source", "tmpfs"), ("mode", "755")];
    let directory = new_filesystem("tmpfs", &parameters, CLOSED, plan)?;
    tree.attach(directory, destination, DIRECTORY, plan)?;
    for hierarchy in hierarchies {
        plan_hierarchy(hierarchy, directory, set, tree, plan)?;
    }
    let closed = Change {
        set: CLOSED | RDONLY,
        ..Change::default()
    };
    change(directory, Depth::Single, closed, plan);
    Ok(())
}

fn plan_hierarchy(
    hierarchy: &CgroupHierarchy,
    parent: Slot,
    set: u64,
    tree: &Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let name = plan.text(&hierarchy.directory).planning()?;
    plan.push(
        "make the mount point",
        Op::MakeDirectory {
            parent,
            name,
            mode: 0o755,
        },
    );
    let mut parameters = vec![("source", "cgroup")];
    parameters.extend(
        hierarchy
            .controllers
            .iter()
            .map(|name| (name.as_str(), FLAG)),
    );
    parameters.extend(hierarchy.name.iter().map(|name| ("name", name.as_str())));
    let fstype = if hierarchy.is_v2 { "cgroup2" } else { "cgroup" };
    let mount = new_filesystem(fstype, &parameters, set, plan)?;
    tree.attach_at(mount, parent, &hierarchy.directory, plan)?;
    let linked = |name: &&String| **name != hierarchy.directory;
    for controller in hierarchy.controllers.iter().filter(linked) {
        let name = plan.text(controller).planning()?;
        let target = plan.text(&hierarchy.directory).planning()?;
        plan.push(
            "make the link",
            Op::MakeSymlink {
                parent,
                name,
                target,
            },
        );
    }
    Ok(())
}

const STEP: &str = "check the cgroup view";
const CLOSED: u64 = NOSUID | NODEV | NOEXEC;
const DIRECTORY: Create = Create::Directory(0o755);
/// Mount options of version 1 that name no controller.
const NOT_CONTROLLERS: [&str; 8] = [
    "rw",
    "ro",
    "none",
    "all",
    "xattr",
    "noprefix",
    "clone_children",
    "cpuset_v2_mode",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(lines: &[(&str, &str, &str)]) -> CgroupLayout {
        let line = |(place, fstype, options): &(&str, &str, &str)| {
            format!("30 23 0:26 / {place} rw,relatime - {fstype} cgroup {options}\n")
        };
        let text: String = lines.iter().map(line).collect();
        CgroupLayout::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn cgroup_layout_of_a_v2_host_is_v2() {
        let found = layout(&[
            ("/", "ext4", "rw"),
            ("/sys/fs/cgroup", "cgroup2", "rw,nsdelegate"),
        ]);
        let mount_point = "/sys/fs/cgroup".to_owned();
        assert_eq!(found, CgroupLayout::V2 { mount_point });
        assert_eq!(layout(&[("/", "ext4", "rw")]), CgroupLayout::Absent);
    }

    #[test]
    fn cgroup_layout_of_a_hybrid_host_has_every_hierarchy_once() {
        let found = layout(&[
            ("/sys/fs/cgroup", "tmpfs", "rw,mode=755"),
            ("/sys/fs/cgroup/unified", "cgroup2", "rw"),
            ("/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd"),
            ("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            ("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            ("/mnt/elsewhere/memory", "cgroup", "rw,memory"),
        ]);
        let CgroupLayout::V1 {
            mount_point,
            hierarchies,
        } = found
        else {
            panic!("hybrid is a layout of version 1");
        };
        assert_eq!(mount_point, "/sys/fs/cgroup");
        let names: Vec<&str> = hierarchies.iter().map(|h| h.directory.as_str()).collect();
        assert_eq!(names, ["unified", "systemd", "cpu,cpuacct"]);
        assert!(hierarchies[0].is_v2);
        assert_eq!(hierarchies[1].name.as_deref(), Some("systemd"));
        assert!(hierarchies[1].controllers.is_empty());
        assert_eq!(hierarchies[2].controllers, ["cpu", "cpuacct"]);
    }

    proptest! {
        #[test]
        fn cgroup_layout_never_panics(bytes: Vec<u8>) {
            drop(CgroupLayout::parse(&bytes));
        }
    }
}
