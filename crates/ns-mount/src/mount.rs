//! The mount list: each entry checked in the caller, then written as ops.

use ns_config::{Mount, MountKind, MountOptions, OverlayUpper};
use ns_init::{Create, Depth, Op, Opening, PlanBuilder, Slot};

use crate::attribute::{changes, filesystem_word};
use crate::cgroup_view;
use crate::destination::Destination;
use crate::dev_layout;
use crate::error::{Error, Kind, Planned, Result};
use crate::source::{
    HostSource, OpenSource, check_absolute, clone_mount, is_tied, missing, open_host,
};
use crate::tree::{Choices, FLAG, Tree, change, new_filesystem, open_in};

/// One entry of the list that has passed every check that the caller can make.
pub(crate) struct Entry<'a> {
    pub(crate) mount: &'a Mount,
    destination: Destination,
    source: Option<HostSource>,
    opened: Option<OpenSource>,
}

impl<'a> Entry<'a> {
    pub(crate) fn check(mount: &'a Mount, choices: &Choices) -> Result<Self> {
        Self::check_unplaced(mount, choices).map_err(|error| error.at(mount.pointer.as_str()))
    }

    fn check_unplaced(mount: &'a Mount, choices: &Choices) -> Result<Self> {
        let destination = Destination::parse(&mount.destination, STEP)?;
        check_proc(&destination, &mount.kind)?;
        check_options(&mount.options)?;
        let source = match &mount.kind {
            MountKind::Bind {
                source,
                recursive,
                optional,
            } => HostSource::check(source, *recursive, *optional, choices.sources)?,
            MountKind::CgroupView => cgroup_view::check(&mount.options, choices)?,
            MountKind::Filesystem { fstype, .. } if fstype == "cgroup" => {
                cgroup_view::check(&mount.options, choices)?
            }
            MountKind::Overlay { lower, upper } => check_layers(lower, upper.as_ref())?,
            _ => None,
        };
        Ok(Entry {
            mount,
            destination,
            source,
            opened: None,
        })
    }

    /// Opens a source that is to stay in the host's peer group, before `/` is made private.
    pub(crate) fn open_early(&mut self, choices: &Choices, plan: &mut PlanBuilder) -> Result<()> {
        let MountKind::Bind { recursive, .. } = self.mount.kind else {
            return Ok(());
        };
        let options = &self.mount.options;
        let tied = is_tied(options.propagation) || is_tied(options.propagation_recursive);
        match &mut self.source {
            Some(source) if tied => {
                plan.at(self.mount.pointer.as_str());
                self.opened = Some(source.open(recursive, true, choices, plan)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it needs the staging file system.
    pub(crate) fn is_staged(&self) -> bool {
        matches!(self.mount.kind, MountKind::File { .. })
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Writes the entry's ops.
    pub(crate) fn plan(&mut self, tree: &mut Tree, plan: &mut PlanBuilder) -> Result<()> {
        plan.at(self.mount.pointer.as_str());
        let options = &self.mount.options;
        let destination = &self.destination;
        match &self.mount.kind {
            MountKind::Bind { recursive, .. } => self.plan_bind(*recursive, tree, plan),
            MountKind::Filesystem { fstype, .. } if fstype == "cgroup" => {
                cgroup_view::plan(destination, options, self.source.as_mut(), tree, plan)
            }
            MountKind::Filesystem { fstype, source } => {
                let mount = plan_filesystem(fstype, source, options, tree, plan)?;
                tree.attach(mount, destination, Create::Directory(0o755), plan)?;
                if fstype == "devpts" && destination.as_str() == "/dev/pts" {
                    tree.devpts = Some(mount);
                } else {
                    tree.release(mount, plan);
                }
                Ok(())
            }
            MountKind::Overlay { lower, upper } => {
                let mount = plan_overlay(lower, upper.as_ref(), options, tree, plan)?;
                tree.attach(mount, destination, Create::Directory(0o755), plan)?;
                tree.release(mount, plan);
                Ok(())
            }
            MountKind::DevLayout => dev_layout::plan(destination, options, tree, plan),
            MountKind::CgroupView => {
                cgroup_view::plan(destination, options, self.source.as_mut(), tree, plan)
            }
            MountKind::File { contents, mode } => self.plan_file(contents, *mode, tree, plan),
            MountKind::Directory { mode } => {
                let made = tree.target(destination, Create::Directory(*mode), plan)?;
                plan.push(
                    "check that it is a directory",
                    Op::CheckDirectory { slot: made },
                );
                tree.release(made, plan);
                Ok(())
            }
            MountKind::Symlink { target } => plan_symlink(destination, target, tree, plan),
            other => {
                let call = format!("{other:?} is not known to this version");
                Err(Error::new(Kind::Unsupported, STEP, call).at(self.mount.pointer.as_str()))
            }
        }
    }

    fn plan_bind(
        &mut self,
        recursive: bool,
        tree: &mut Tree,
        plan: &mut PlanBuilder,
    ) -> Result<()> {
        let Some(source) = &mut self.source else {
            return Ok(());
        };
        let opened = match self.opened {
            Some(opened) => opened,
            None => source.open(recursive, false, &tree.choices, plan)?,
        };
        change_as_asked(opened.mount, &self.mount.options, plan);
        tree.attach(
            opened.mount,
            &self.destination,
            Create::Like(opened.like),
            plan,
        )?;
        tree.release(opened.mount, plan);
        if opened.like != opened.mount {
            tree.release(opened.like, plan);
        }
        Ok(())
    }

    fn plan_file(
        &self,
        contents: &[u8],
        mode: u32,
        tree: &mut Tree,
        plan: &mut PlanBuilder,
    ) -> Result<()> {
        let Some(staging) = tree.staging else {
            let call = "a file of given content needs a root of its own to be prepared in";
            return Err(Error::new(Kind::Unsupported, STEP, call).at(self.mount.pointer.as_str()));
        };
        let file_name = tree.n_staged.to_string();
        tree.n_staged += 1;
        let name = plan.text(&file_name).planning()?;
        let contents = plan.bytes(contents).planning()?;
        let parent = staging;
        plan.push(
            "write the file",
            Op::MakeFile {
                parent,
                name,
                mode,
                contents,
            },
        );
        let file = open_in(staging, &file_name, Create::Nothing, plan)?;
        let mount = clone_mount(file, self.destination.as_str(), Depth::Single, plan);
        change_as_asked(mount, &self.mount.options, plan);
        tree.attach(mount, &self.destination, Create::File(0o644), plan)?;
        tree.release(file, plan);
        tree.release(mount, plan);
        Ok(())
    }
}

fn change_as_asked(mount: Slot, options: &MountOptions, plan: &mut PlanBuilder) {
    let (recursive, single) = changes(options);
    change(mount, Depth::Recursive, recursive, plan);
    change(mount, Depth::Single, single, plan);
}

fn plan_filesystem(
    fstype: &str,
    source: &str,
    options: &MountOptions,
    tree: &Tree,
    plan: &mut PlanBuilder,
) -> Result<Slot> {
    let mut parameters = Vec::new();
    if !source.is_empty() {
        parameters.push(("source", source));
    }
    for (name, value) in &options.data {
        parameters.push((name.as_str(), value.as_deref().unwrap_or(FLAG)));
    }
    parameters.extend(label(fstype, &tree.choices));
    let mount = new_filesystem(fstype, &parameters, filesystem_word(options), plan)?;
    // The attributes came with the mount; propagation cannot.
    let (recursive, single) = changes(options);
    for propagation in [recursive.propagation, single.propagation] {
        let only = crate::attribute::Change {
            propagation,
            ..Default::default()
        };
        change(mount, Depth::Single, only, plan);
    }
    Ok(mount)
}

/// The SELinux label of a file system whose files have none of their own.
pub(crate) fn label<'c>(fstype: &str, choices: &'c Choices) -> Option<(&'static str, &'c str)> {
    let label = choices.mount_label.as_deref()?;
    matches!(fstype, "tmpfs" | "ramfs" | "devpts").then_some(("context", label))
}

fn plan_overlay(
    lower: &[String],
    upper: Option<&OverlayUpper>,
    options: &MountOptions,
    tree: &Tree,
    plan: &mut PlanBuilder,
) -> Result<Slot> {
    let upper_paths = upper.iter().flat_map(|upper| [&upper.upper, &upper.work]);
    let mut slots = Vec::new();
    for path in lower.iter().chain(upper_paths) {
        slots.push(open_host(path, Opening::Directory, plan)?);
    }
    let out = plan.slot("overlay");
    let layers = plan.slot_list(&slots).planning()?;
    let (writable, attributes) = (u32::from(upper.is_some()), filesystem_word(options));
    plan.push(
        "make the overlay",
        Op::NewOverlay {
            out,
            layers,
            writable,
            attributes,
        },
    );
    slots.into_iter().for_each(|slot| tree.release(slot, plan));
    Ok(out)
}

fn plan_symlink(
    destination: &Destination,
    target: &str,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let parent = match destination.parent() {
        None => tree.root,
        Some(parent) => tree.directory(parent, plan)?,
    };
    let name = plan.text(destination.name()).planning()?;
    let target = plan.text(target).planning()?;
    plan.push(
        "make the link",
        Op::MakeSymlink {
            parent,
            name,
            target,
        },
    );
    tree.release(parent, plan);
    Ok(())
}

/// Nothing may cover `/proc` or what is in it but procfs itself: labels and kernel settings would go
/// astray (H9, CVE-2019-16884).
fn check_proc(destination: &Destination, kind: &MountKind) -> Result<()> {
    if !destination.is_in_proc() {
        return Ok(());
    }
    let is_procfs = match kind {
        MountKind::Filesystem { fstype, .. } => fstype == "proc",
        MountKind::Bind { source, .. } => is_on_procfs(source),
        MountKind::Directory { .. } => true,
        _ => false,
    };
    if destination.as_str() == "/proc" && is_procfs {
        return Ok(());
    }
    let call = format!("destination {destination} lies in /proc");
    Err(Error::new(Kind::Hostile, STEP, call).with_hint(
        "only a mount of type proc may be there, at /proc exactly; to hide a file, mask it",
    ))
}

/// Whether the path is a mounted procfs as a whole: `/proc` of the host, for a shared process namespace.
fn is_on_procfs(path: &str) -> bool {
    let is_root = std::os::unix::fs::MetadataExt::ino;
    let root_inode =
        std::fs::metadata(path).is_ok_and(|metadata| is_root(&metadata) == PROC_ROOT_INODE);
    root_inode
        && nix::sys::statfs::statfs(path)
            .is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::PROC_SUPER_MAGIC)
}

fn check_options(options: &MountOptions) -> Result<()> {
    let refuse = |what: &str, hint: &str| {
        Err(Error::new(Kind::Unsupported, STEP, what.to_owned()).with_hint(hint))
    };
    if options.copy_up {
        return refuse(
            "tmpcopyup is not offered",
            "use an overlay whose lower directory is the one to copy",
        );
    }
    if options.relabel.is_some() {
        return refuse(
            "relabelling a source for SELinux is not offered",
            "run chcon on the source first",
        );
    }
    Ok(())
}

fn check_layers(lower: &[String], upper: Option<&OverlayUpper>) -> Result<Option<HostSource>> {
    if lower.is_empty() {
        let call = "an overlay needs at least one lower directory";
        return Err(Error::new(Kind::InvalidValue, STEP, call));
    }
    let upper_paths = upper.iter().flat_map(|upper| [&upper.upper, &upper.work]);
    for path in lower.iter().chain(upper_paths) {
        check_absolute(path)?;
        if let Some(error) = missing(path) {
            return Err(error);
        }
    }
    Ok(None)
}

const STEP: &str = "check the mount";
/// KERNEL: `PROC_ROOT_INO` in include/linux/proc_fs.h.
const PROC_ROOT_INODE: u64 = 1;
