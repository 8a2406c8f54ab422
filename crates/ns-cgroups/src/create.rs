//! Making the directories of a group, from the base down, and undoing it.

use nix::errno::Errno;
use ns_config::CgroupConfig;

use crate::{
    controller::{AVAILABLE, Controller, lists},
    dir::Dir,
    error::{Error, Kind, Result},
    group::{Made, Member},
    layout::{Hierarchy, Layout, Version},
    limits,
    path::{Base, CgroupPath},
    spec::{CgroupSpec, Existing},
};

/// One hierarchy that the group shall be in, and what must be on there (v2).
pub(crate) struct Place<'l> {
    pub(crate) hierarchy: &'l Hierarchy,
    pub(crate) wanted: Vec<String>,
}

/// The group in all hierarchies that it needs; all of them, or none and an error.
pub(crate) fn members(layout: &Layout, spec: &CgroupSpec) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for place in places(layout, spec)? {
        match place.make(spec) {
            Ok(member) => members.push(member),
            Err(error) => return Err(undo_all(&members, error)),
        }
    }
    Ok(members)
}

/// Removes what was made and adds what could not be removed to the error.
pub(crate) fn undo_all(members: &[Member], error: Error) -> Error {
    members
        .iter()
        .fold(error, |error, member| undo(&member.made, error))
}

fn undo(made: &[Made], error: Error) -> Error {
    made.iter()
        .rev()
        .fold(error, |error, made| match made.remove() {
            Ok(()) => error,
            Err(other) => error.with_also(other),
        })
}

impl Made {
    /// Levels that others have come to use stay.
    fn remove(&self) -> Result<()> {
        match self.parent.remove_child(&self.name) {
            Err(error) if error.is(Errno::EBUSY) || error.is(Errno::ENOTEMPTY) => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

/// The v2 names of the controllers that the configuration needs and that are left to v2.
pub(crate) fn unified_controllers(
    config: &CgroupConfig,
    is_left_to_unified: impl Fn(Controller) -> bool,
) -> Vec<String> {
    let required = Controller::required(config).into_iter();
    let mut names: Vec<String> = required
        .filter(|(controller, _)| is_left_to_unified(*controller))
        .filter_map(|(controller, _)| controller.unified_name())
        .map(str::to_owned)
        .collect();
    names.extend(limits::unified_map_controllers(config));
    names.sort();
    names.dedup();
    names
}

/// Where each needed controller is: v1 when it is mounted there, else v2. The v2 hierarchy is always
/// used when there is one, because it kills, freezes and reports emptiness best; without it, one v1
/// hierarchy that can tell who is in the group.
pub(crate) fn places<'l>(layout: &'l Layout, spec: &CgroupSpec) -> Result<Vec<Place<'l>>> {
    let mut hierarchies: Vec<&Hierarchy> = Vec::new();
    for (controller, setting) in Controller::required(spec.config()) {
        let name = controller.legacy_name();
        let unified = controller.unified_name().is_some() || controller == Controller::Devices;
        match (layout.legacy(name), layout.unified().filter(|_| unified)) {
            (Some(hierarchy), _) => hierarchies.push(hierarchy),
            (None, Some(_)) => {}
            (None, None) => return Err(no_controller(layout, name).with_setting(setting)),
        }
    }
    let counted = spec.accounting().iter();
    hierarchies.extend(counted.filter_map(|controller| layout.legacy(controller.legacy_name())));
    let Some(unified) = layout.unified() else {
        if !spec.config().unified.is_empty() {
            return Err(no_controller(layout, "cgroup v2").with_setting("unified"));
        }
        hierarchies.push(tracking_hierarchy(layout)?);
        return Ok(legacy_places(hierarchies));
    };
    let mut places = legacy_places(hierarchies);
    let left = |controller: Controller| layout.legacy(controller.legacy_name()).is_none();
    places.push(Place {
        hierarchy: unified,
        wanted: unified_controllers(spec.config(), left),
    });
    Ok(places)
}

fn legacy_places(mut hierarchies: Vec<&Hierarchy>) -> Vec<Place<'_>> {
    hierarchies.sort_by_key(|hierarchy| hierarchy.mount_point());
    hierarchies.dedup();
    let place = |hierarchy| Place {
        hierarchy,
        wanted: Vec::new(),
    };
    hierarchies.into_iter().map(place).collect()
}

fn tracking_hierarchy(layout: &Layout) -> Result<&Hierarchy> {
    let preferred = ["freezer", "pids", "devices"].iter();
    let preferred = preferred.filter_map(|name| layout.legacy(name)).next();
    let any = || {
        layout
            .hierarchies()
            .iter()
            .find(|own| !own.controllers().is_empty())
    };
    preferred.or_else(any).ok_or_else(|| {
        let call = "no control group file system is mounted";
        Error::new(Kind::Unsupported, "make control group", call)
            .with_hint("mount -t cgroup2 none /sys/fs/cgroup, or start without a control group")
    })
}

fn no_controller(layout: &Layout, name: &str) -> Error {
    let call = format!(
        "no mounted hierarchy has {name}, layout is {:?}",
        layout.kind()
    );
    Error::new(Kind::Unsupported, "make control group", call)
        .with_hint("see /proc/cgroups for what the kernel has")
}

impl Place<'_> {
    fn make(&self, spec: &CgroupSpec) -> Result<Member> {
        let base = self.base(spec.path().base())?;
        self.check_available(&base)?;
        let mut n_races = 0;
        loop {
            let mut made = Vec::new();
            match self.walk(&base, spec, &mut made) {
                Ok((parent, dir, name)) => {
                    return Ok(Member {
                        version: self.hierarchy.version(),
                        controllers: self.hierarchy.controllers().to_vec(),
                        dir,
                        parent,
                        name,
                        made,
                    });
                }
                // Another start has ended and removed a level, empty as it was.
                Err(error) if is_race(&error, spec.path()) && n_races < MAX_RACES => {
                    n_races += 1;
                    drop(undo(&made, error));
                }
                Err(error) => return Err(undo(&made, error)),
            }
        }
    }

    fn base(&self, base: Base) -> Result<Dir> {
        let Some(names) = self.base_names(base) else {
            let mount_point = self.hierarchy.mount_point();
            let call = format!("{mount_point:?} does not show the own group");
            return Err(
                Error::new(Kind::Unsupported, "make control group", call).with_hint(
                    "mount the cgroup file system inside the own cgroup namespace, \
                 or give an absolute path",
                ),
            );
        };
        let mount = Dir::open(self.hierarchy.mount_point(), self.hierarchy.version())?;
        mount.descend(names.into_iter())
    }

    /// The way from the mount to the base; `None` when the mount does not show it.
    pub(crate) fn base_names(&self, base: Base) -> Option<Vec<&str>> {
        let own = match base {
            Base::Root | Base::ExistingParent => "",
            Base::Own => self.hierarchy.own_group()?,
        };
        let mut names: Vec<&str> = own.split('/').filter(|name| !name.is_empty()).collect();
        // Members and controllers for the groups below do not go together.
        if !self.wanted.is_empty() {
            names.pop();
        }
        Some(names)
    }

    fn check_available(&self, base: &Dir) -> Result<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let available = base.read(AVAILABLE)?;
        let missing: Vec<&str> = self
            .wanted
            .iter()
            .filter(|wanted| !lists(&available, wanted))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let call = format!(
            "{:?} has {:?} and lacks {}",
            base.path_of(AVAILABLE),
            available.trim(),
            missing.join(", ")
        );
        Err(Error::new(Kind::Unsupported, "make control group", call)
            .with_setting(missing[0])
            .with_hint(
                "the group above must be delegated these controllers (systemd: Delegate=yes)",
            ))
    }

    fn walk(
        &self,
        base: &Dir,
        spec: &CgroupSpec,
        made: &mut Vec<Made>,
    ) -> Result<(Dir, Dir, String)> {
        let (leaf, above) = (spec.path().leaf(), spec.path().above());
        let mut at = base.try_clone()?;
        for name in above {
            enable(&at, &self.wanted)?;
            if spec.path().base() != Base::ExistingParent && at.make_child(name)? {
                self.note_made(&at, name, made)?;
            }
            at = at.child(name)?;
        }
        enable(&at, &self.wanted)?;
        if at.make_child(leaf)? {
            self.note_made(&at, leaf, made)?;
        } else if may_take_over(&at.child(leaf)?, spec.existing())? {
            let parent = at.try_clone()?;
            made.push(Made {
                parent,
                name: leaf.to_owned(),
            });
        }
        let dir = at.child(leaf)?;
        Ok((at, dir, leaf.to_owned()))
    }

    fn note_made(&self, parent: &Dir, name: &str, made: &mut Vec<Made>) -> Result<()> {
        made.push(Made {
            parent: parent.try_clone()?,
            name: name.to_owned(),
        });
        let has_cpuset = self
            .hierarchy
            .controllers()
            .iter()
            .any(|own| own == "cpuset");
        match self.hierarchy.version() {
            Version::V1 if has_cpuset => fill_cpuset(parent, &parent.child(name)?),
            _ => Ok(()),
        }
    }
}

/// Switches controllers on for the groups below, those that are off.
pub(crate) fn enable(dir: &Dir, wanted: &[String]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let on = dir.read(SUBTREE_CONTROL)?;
    let off = wanted.iter().filter(|wanted| !lists(&on, wanted));
    let words: Vec<String> = off.map(|name| format!("+{name}")).collect();
    if words.is_empty() {
        return Ok(());
    }
    let line = words.join(" ");
    dir.write(SUBTREE_CONTROL, &line).map_err(|errno| {
        let call = format!("write({:?}, {line:?})", dir.path_of(SUBTREE_CONTROL));
        let error = Error::from_errno("switch controllers on", call, errno);
        match errno {
            Errno::EBUSY => error.with_hint(
                "a group with members cannot hand controllers to its children; \
                 move its processes into a group below it first (Layout::move_own_group_to_leaf)",
            ),
            Errno::ENOENT => error.with_hint("the group above does not hand this controller down"),
            Errno::EACCES | Errno::EPERM => {
                error.with_hint("this part of the tree is not delegated to this user")
            }
            _ => error,
        }
    })
}

/// A v1 cpuset without processors or memory nodes takes no process. A new one has none.
fn fill_cpuset(parent: &Dir, dir: &Dir) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !dir.read(file)?.trim().is_empty() {
            continue;
        }
        let inherited = parent.read(file)?;
        dir.write(file, inherited.trim()).map_err(|errno| {
            let call = format!("write({:?}, {:?})", dir.path_of(file), inherited.trim());
            Error::from_errno("inherit cpuset", call, errno)
                .with_hint("a group above that is not ours has an empty cpuset")
        })?;
    }
    Ok(())
}

fn may_take_over(dir: &Dir, existing: Existing) -> Result<bool> {
    let refused = |what: &str, hint: &str| {
        let call = format!("{:?} is there already{what}", dir.path());
        Err(Error::new(Kind::AlreadyExists, "make control group", call).with_hint(hint))
    };
    if existing == Existing::Share {
        return Ok(false);
    }
    let is_used = !dir.read("cgroup.procs")?.trim().is_empty() || !dir.children()?.is_empty();
    match (existing, is_used) {
        (_, true) => refused(
            ", and in use",
            "another container runs in it; take another name",
        ),
        (Existing::TakeOverEmpty, false) => Ok(true),
        (_, false) => refused(
            ", and empty",
            "it may be left behind by a start that died: rmdir it",
        ),
    }
}

fn is_race(error: &Error, path: &CgroupPath) -> bool {
    let is_gone = error.is(Errno::ENOENT) || error.is(Errno::ENODEV);
    is_gone && path.base() != Base::ExistingParent
}

const SUBTREE_CONTROL: &str = "cgroup.subtree_control";
/// Each race is lost to another start that got further.
const MAX_RACES: u32 = 64;
