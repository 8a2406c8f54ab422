//! Which control group hierarchies this process sees, and where it sits in each.

use crate::{
    dir,
    error::{Error, Kind, Result},
    mountinfo::{self, Mount},
};

/// The hierarchies that are mounted where this process can see them.
///
/// # Examples
/// ```
/// let layout = ns_cgroups::Layout::detect()?;
/// println!("{:?}", layout.kind());
/// for hierarchy in layout.hierarchies() {
///     println!("{} at {}", hierarchy.controllers().join(","), hierarchy.mount_point());
/// }
/// # Ok::<(), ns_cgroups::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
}

/// What kind of host it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayoutKind {
    /// One cgroup v2 hierarchy has all controllers.
    Unified,
    /// Controllers are in v1 hierarchies, and there is no v2.
    Legacy,
    /// Controllers are in v1 hierarchies, and a v2 hierarchy is there beside them.
    Hybrid,
    /// No hierarchy is mounted.
    None,
}

/// Which of the two interfaces of the kernel a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// cgroup v1.
    V1,
    /// cgroup v2.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    controllers: Vec<String>,
    name: Option<String>,
    mount_point: String,
    own: Option<String>,
    writable: bool,
}

/// One line of `/proc/self/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership<'a> {
    controllers: Vec<&'a str>,
    name: Option<&'a str>,
    path: &'a str,
}

impl Layout {
    /// Reads the layout of this process.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | any | `/proc/self` cannot be read |
    ///
    /// # References
    /// `cgroups(7)`, `cgroup_namespaces(7)`, `proc(5)`.
    pub fn detect() -> Result<Self> {
        let mounts = dir::read_path("/proc/self/mountinfo")?;
        let memberships = dir::read_path("/proc/self/cgroup")?;
        Layout::from_proc(&mounts, &memberships)
    }

    /// The layout that the contents of `/proc/self/mountinfo` and `/proc/self/cgroup` describe.
    ///
    /// Mounts that a later mount hides are left out. Of several mounts of one hierarchy the one is
    /// taken in which the own group can be seen, a writable one first.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | a line has too few fields |
    pub fn from_proc(mountinfo: &[u8], memberships: &[u8]) -> Result<Self> {
        let mountinfo = String::from_utf8_lossy(mountinfo);
        let memberships = String::from_utf8_lossy(memberships);
        let mounts: Vec<Mount> = mountinfo::visible_cgroup_mounts(&mountinfo)?;
        let mut hierarchies = Vec::new();
        for line in memberships.lines() {
            let membership = Membership::parse(line)?;
            hierarchies.extend(membership.hierarchy(&mounts));
        }
        hierarchies.sort_by_key(|hierarchy: &Hierarchy| hierarchy.version);
        Ok(Layout { hierarchies })
    }

    /// What kind of host it is. Named v1 hierarchies without controllers do not count.
    #[must_use]
    pub fn kind(&self) -> LayoutKind {
        let has_v1 = self
            .hierarchies
            .iter()
            .any(|hierarchy| hierarchy.version == Version::V1 && !hierarchy.controllers.is_empty());
        match (has_v1, self.unified().is_some()) {
            (true, true) => LayoutKind::Hybrid,
            (true, false) => LayoutKind::Legacy,
            (false, true) => LayoutKind::Unified,
            (false, false) => LayoutKind::None,
        }
    }

    /// The v1 hierarchies, then the v2 one.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The v2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.hierarchies
            .iter()
            .find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// The v1 hierarchy that has the controller of this v1 name, e.g. `blkio`.
    #[must_use]
    pub fn legacy(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| {
            hierarchy.version == Version::V1
                && hierarchy.controllers.iter().any(|own| own == controller)
        })
    }
}

impl Hierarchy {
    /// v1 or v2.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The v1 controllers, several when they are mounted together. Empty on v2, where every group
    /// has its own set, in `cgroup.controllers`.
    #[must_use]
    pub fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// The name of a v1 hierarchy without controllers, e.g. `systemd`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &str {
        &self.mount_point
    }

    /// The group of this process, below the mount point and without a slash in front, empty when
    /// the mount point is it; `None` when the mount does not show it.
    #[must_use]
    pub fn own_group(&self) -> Option<&str> {
        self.own.as_deref()
    }

    /// Whether the mount, as opposed to the files, lets one write.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }
}

impl<'a> Membership<'a> {
    /// `5:cpu,cpuacct:/path`, `1:name=systemd:/path`, `0::/path`.
    fn parse(line: &'a str) -> Result<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            let call = format!("/proc/self/cgroup: {line:?} has fewer than three fields");
            return Err(Error::new(
                Kind::InvalidValue,
                "find own control groups",
                call,
            ));
        };
        let words = || controllers.split(',').filter(|word| !word.is_empty());
        Ok(Membership {
            controllers: words().filter(|word| !word.contains('=')).collect(),
            name: words().find_map(|word| word.strip_prefix("name=")),
            path: path.strip_suffix(" (deleted)").unwrap_or(path),
        })
    }

    fn is_v2(&self) -> bool {
        self.controllers.is_empty() && self.name.is_none()
    }

    fn is_of(&self, mount: &Mount) -> bool {
        let has = |wanted: &str| {
            mount
                .super_options
                .split(',')
                .any(|option| option == wanted)
        };
        if self.is_v2() {
            return mount.fstype == "cgroup2";
        }
        let named = match self.name {
            Some(name) => has(&format!("name={name}")),
            None => true,
        };
        mount.fstype == "cgroup" && named && self.controllers.iter().all(|own| has(own))
    }

    fn hierarchy(&self, mounts: &[Mount]) -> Option<Hierarchy> {
        let candidates = mounts.iter().filter(|mount| self.is_of(mount));
        let best = candidates.max_by_key(|mount| {
            let shown = below(self.path, &mount.root).is_some();
            // A mount of the whole hierarchy before one of a part of it.
            (
                shown,
                mount.is_writable(),
                std::cmp::Reverse(mount.root.len()),
            )
        })?;
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Some(Hierarchy {
            version: if self.is_v2() {
                Version::V2
            } else {
                Version::V1
            },
            controllers: owned(&self.controllers),
            name: self.name.map(str::to_owned),
            mount_point: best.mount_point.clone(),
            own: below(self.path, &best.root).map(str::to_owned),
            writable: best.is_writable(),
        })
    }
}

/// `path` from `root` on. Both count from the root of the cgroup namespace; what lies above it shows
/// as `/..`, and then the names that lead down again are not to be had.
fn below<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let climbs = |path: &str| path.split('/').any(|name| name == "..");
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    let is_whole_name = rest.is_empty() || rest.starts_with('/');
    (is_whole_name && !climbs(path) && !climbs(root)).then(|| rest.trim_matches('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID_MOUNTS: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID_GROUPS: &str = "9:name=systemd:/\n4:memory:/a/b\n1:cpu,cpuacct:/\n0::/x\n";

    fn layout(mounts: &str, groups: &str) -> Layout {
        Layout::from_proc(mounts.as_bytes(), groups.as_bytes()).unwrap()
    }

    fn own(mounts: &str, groups: &str) -> Vec<(String, Option<String>)> {
        let layout = layout(mounts, groups);
        let hierarchies = layout.hierarchies().iter();
        hierarchies
            .map(|own| (own.mount_point.clone(), own.own.clone()))
            .collect()
    }

    #[test]
    fn hybrid_host_has_both_versions() {
        let layout = layout(HYBRID_MOUNTS, HYBRID_GROUPS);
        assert_eq!(layout.kind(), LayoutKind::Hybrid);
        let memory = layout.legacy("memory").unwrap();
        assert_eq!(memory.own_group(), Some("a/b"));
        let cpuacct = layout.legacy("cpuacct").unwrap();
        assert_eq!(cpuacct.mount_point(), "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(layout.unified().unwrap().own_group(), Some("x"));
        assert_eq!(layout.hierarchies()[0].name(), Some("systemd"));
        assert!(layout.legacy("pids").is_none());
    }

    #[test]
    fn blkio_is_found_in_the_text_of_the_original_test() {
        let groups =
            "11:perf_event:/\n9:freezer:/user/1.session\n4:blkio:/user/1.session\n2:name=x:/\n";
        let mounts = "30 20 0:3 / /cg/blkio rw - cgroup none rw,blkio\n";
        let layout = layout(mounts, groups);
        assert_eq!(
            layout.legacy("blkio").unwrap().own_group(),
            Some("user/1.session")
        );
        assert_eq!(layout.kind(), LayoutKind::Legacy);
    }

    #[test]
    fn nothing_mounted_is_none() {
        assert_eq!(layout("", "0::/\n4:memory:/\n").kind(), LayoutKind::None);
        assert_eq!(
            layout("22 1 0:1 / / rw - ext4 x rw\n", "").kind(),
            LayoutKind::None
        );
    }

    #[test]
    fn own_group_is_counted_from_the_root_of_the_mount() {
        for (root, path, expected) in [
            ("/", "/", Some("")),
            ("/", "/a/b", Some("a/b")),
            ("/docker/1", "/docker/1", Some("")),
            ("/docker/1", "/docker/1/sub", Some("sub")),
            ("/docker/1", "/docker/12", None),
            // The mount was made outside of the cgroup namespace.
            ("/..", "/", None),
            // The process was moved out of the root of its cgroup namespace.
            ("/", "/../other", None),
        ] {
            let mounts = format!("30 20 0:3 {root} /cg rw - cgroup2 none rw\n");
            let own = own(&mounts, &format!("0::{path}\n"));
            assert_eq!(
                own,
                [("/cg".to_owned(), expected.map(str::to_owned))],
                "{root} {path}"
            );
        }
    }

    #[test]
    fn hidden_mounts_do_not_count() {
        // A tmpfs over everything, with only v2 on it.
        let mounts = format!(
            "{HYBRID_MOUNTS}50 31 0:50 / /sys/fs/cgroup rw - tmpfs t rw\n\
             51 50 0:38 / /sys/fs/cgroup/all rw - cgroup2 c rw\n"
        );
        let layout = layout(&mounts, HYBRID_GROUPS);
        assert_eq!(layout.kind(), LayoutKind::Unified);
        assert_eq!(
            layout.unified().unwrap().mount_point(),
            "/sys/fs/cgroup/all"
        );
    }

    /// An engine binds the host's `/sys`, then its control groups at the same place.
    #[test]
    fn mounts_below_a_cover_hide_nothing_upon_it() {
        let mounts = "20 1 0:1 / /sys rw - sysfs s rw\n\
                      30 20 0:2 / /sys/fs/cgroup rw - tmpfs t rw\n\
                      31 30 0:3 / /sys/fs/cgroup/cpu rw - cgroup c rw,cpu\n\
                      40 30 0:2 / /sys/fs/cgroup rw - tmpfs t rw\n\
                      41 40 0:3 / /sys/fs/cgroup/cpu rw - cgroup c rw,cpu\n";
        assert_eq!(layout(mounts, "1:cpu:/\n").kind(), LayoutKind::Legacy);
        let covered = format!("{mounts}50 41 0:4 / /sys/fs/cgroup/cpu rw - tmpfs t rw\n");
        assert_eq!(layout(&covered, "1:cpu:/\n").kind(), LayoutKind::None);
    }

    #[test]
    fn the_mount_that_shows_the_own_group_writably_is_taken() {
        let mounts = "30 20 0:3 / /ro ro - cgroup2 none rw\n\
                      31 20 0:3 /other /elsewhere rw - cgroup2 none rw\n\
                      32 20 0:3 / /rw rw - cgroup2 none rw\n";
        assert_eq!(
            own(mounts, "0::/me\n"),
            [("/rw".to_owned(), Some("me".to_owned()))]
        );
    }

    #[test]
    fn spaces_in_mount_points_are_read() {
        let mounts = "30 20 0:3 / /a\\040b rw - cgroup2 none rw\n";
        assert_eq!(own(mounts, "0::/\n")[0].0, "/a b");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_layout_or_an_error(mounts in any::<Vec<u8>>(), groups in any::<Vec<u8>>()) {
            if let Ok(layout) = Layout::from_proc(&mounts, &groups) {
                prop_assert!(layout.hierarchies().len() <= groups.len());
            }
        }

        #[test]
        fn own_groups_never_climb(path in "(/[ab.]{1,2}){0,4}", root in "(/[ab.]{1,2}){0,3}") {
            if let Some(own) = below(&path, &root) {
                prop_assert!(own.split('/').all(|name| name != ".."));
                let whole = format!("{}/{own}", root.trim_end_matches('/'));
                prop_assert_eq!(whole.trim_end_matches('/'), path.trim_end_matches('/'));
            }
        }
    }
}
