//! A configuration's root file system as ops, step by step.

use std::os::unix::fs::MetadataExt;

use ns_config::{Config, Device, NamespaceKind, Propagation, RootEntry, Rootfs, Setting};
use ns_init::{Depth, Op, PlanBuilder, Slot};

use crate::attribute::{Change, NODEV, NOSUID, RDONLY, propagation_word};
use crate::console::{self, Terminal, TerminalSlots};
use crate::destination::Destination;
use crate::device;
use crate::error::{Error, Kind, Planned, Result};
use crate::host::{Host, Rights, read};
use crate::mask::{self, Listed};
use crate::mount::Entry;
use crate::mountinfo::{parse, top_mount_points};
use crate::source::HostSource;
use crate::tree::{Choices, Tree, change, new_filesystem};

/// Writes the ops that turn a new mount namespace into the root file system of a configuration.
///
/// # Order
/// The methods are called in the order in which they stand here; `terminal` only when one is wanted.
/// Ops of others may be pushed in between: before [`enter`](Self::enter) host paths can be opened,
/// after it they cannot.
/// [`root`](Self::root) sets the umask to 0 in the process that runs the plan; whoever executes a
/// command afterwards sets it again.
///
/// # Examples
/// See the [crate text](crate).
#[must_use = "a planner does nothing until its methods are called"]
pub struct RootfsPlanner<'a> {
    config: &'a Config,
    rootfs: Option<HostSource>,
    entries: Vec<Entry<'a>>,
    devices: Vec<(&'a Device, Destination)>,
    masked: Vec<Listed>,
    read_only: Vec<Listed>,
    tree: Tree,
}

/// What the caller of [`RootfsPlanner::plan`] goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootfsSlots {
    /// The mount that is `/` afterwards.
    pub root: Slot,
    /// The container's devpts, if it has one.
    pub devpts: Option<Slot>,
    /// The two ends of the terminal, if one was asked for.
    pub terminal: Option<TerminalSlots>,
}

impl<'a> RootfsPlanner<'a> {
    /// Checks everything that can be checked in the caller: the root, each destination, the host's sources.
    /// With [`Sources::Caller`](crate::Sources::Caller) the sources are opened now.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | | no mount namespace of its own; root relative, not a directory, or the host's own; destination relative or `/` |
    /// | `NotFound` | ENOENT | the root or a source is not there |
    /// | `Hostile` | | a destination holds `..`, or lies in `/proc` and is no procfs |
    /// | `Denied` | EPERM | the caller may not copy mounts; a writable cgroup view of the host |
    /// | `Unsupported` | | an option or kind that this crate does not offer |
    pub fn new(config: &'a Config, host: &Host, plan: &mut PlanBuilder) -> Result<Self> {
        check_namespace(config)?;
        let choices = Choices::new(config, host);
        let rootfs = check_rootfs(config, &choices)?;
        let entries: Vec<Entry<'a>> = config
            .mounts
            .iter()
            .map(|mount| Entry::check(mount, &choices))
            .collect::<Result<_>>()?;
        let checked = |device: &'a Device| Ok((device, device::check(device, choices.rights)?));
        let devices: Vec<_> = config.devices.iter().map(checked).collect::<Result<_>>()?;
        let pointer = |setting| config.source.pointer(setting);
        let masked = listed(&config.masked_paths, pointer(Setting::MaskedPaths))?;
        let read_only = listed(&config.readonly_paths, pointer(Setting::ReadonlyPaths))?;
        let n_objects = entries.len() + devices.len() + masked.len() + read_only.len();
        let root = plan.slot("the new root");
        Ok(RootfsPlanner {
            config,
            rootfs,
            entries,
            devices,
            masked,
            read_only,
            tree: Tree::new(root, choices, n_objects),
        })
    }

    /// All steps in order.
    ///
    /// # Errors
    /// As [`new`](Self::new) and the steps.
    pub fn plan(
        config: &'a Config,
        host: &Host,
        terminal: Option<&Terminal>,
        plan: &mut PlanBuilder,
    ) -> Result<RootfsSlots> {
        let mut planner = RootfsPlanner::new(config, host, plan)?;
        planner.root(plan)?;
        planner.mounts(plan)?;
        planner.devices(plan)?;
        let terminal = terminal
            .map(|terminal| planner.terminal(terminal, plan))
            .transpose()?;
        planner.masks(plan)?;
        planner.read_only(plan)?;
        planner.enter(plan)?;
        Ok(RootfsSlots {
            root: planner.tree.root,
            devpts: planner.tree.devpts,
            terminal,
        })
    }

    /// The mount that becomes `/`; usable once [`root`](Self::root) has run.
    #[must_use]
    pub fn root_slot(&self) -> Slot {
        self.tree.root
    }

    /// The container's devpts, once [`mounts`](Self::mounts) has planned one.
    #[must_use]
    pub fn devpts_slot(&self) -> Option<Slot> {
        self.tree.devpts
    }

    /// Cuts the namespace's ties with the host and mounts the new root over `/`, where lookups of the
    /// process do not see it yet.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | a path holds a NUL byte |
    /// | `Limit` | the plan would exceed 4 GiB, or the caller is out of descriptors |
    pub fn root(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        plan.at_nothing();
        plan.push("let modes be as asked for", Op::SetUmask { mask: 0 });
        for entry in &mut self.entries {
            entry.open_early(&self.tree.choices, plan)?;
        }
        plan.at(self.pointer(Setting::RootfsPropagation));
        // ORDER: never shared before the pivot: what is mounted here must not appear on the host.
        let propagation = propagation_word(self.tree.choices.arrival);
        let depth = Depth::Recursive;
        plan.push(
            "cut the ties of all mounts with the host",
            Op::SetRootPropagation { depth, propagation },
        );
        plan.at_nothing();
        if self.entries.iter().any(Entry::is_staged) {
            let parameters = [("source", "tmpfs"), ("mode", "755")];
            let mount = new_filesystem("tmpfs", &parameters, NOSUID | NODEV, plan)?;
            plan.push(
                "mount a place to prepare files in",
                Op::AttachRoot { mount },
            );
            self.tree.staging = Some(mount);
        }
        plan.at(self.pointer(Setting::Rootfs));
        let mount = self.plan_root_mount(plan)?;
        self.tree.root = mount;
        plan.push("mount the new root", Op::AttachRoot { mount });
        Ok(())
    }

    fn plan_root_mount(&mut self, plan: &mut PlanBuilder) -> Result<Slot> {
        if let Some(source) = &mut self.rootfs {
            return Ok(source.open(true, false, &self.tree.choices, plan)?.mount);
        }
        let size = match self.config.rootfs {
            Rootfs::Empty { size_bytes } => size_bytes.map(|bytes| bytes.to_string()),
            Rootfs::Directory(_) => None,
        };
        let mut parameters = vec![("source", "tmpfs"), ("mode", "755")];
        parameters.extend(size.iter().map(|size| ("size", size.as_str())));
        parameters.extend(crate::mount::label("tmpfs", &self.tree.choices));
        new_filesystem("tmpfs", &parameters, NOSUID | NODEV, plan)
    }

    /// Every entry of the mount list, in order.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn mounts(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        for entry in &mut self.entries {
            // A mount over the layout hides it; its descriptor would lead below.
            if entry.destination().as_str() == "/dev" {
                (self.tree.dev, self.tree.devpts) = (None, None);
            }
            entry.plan(&mut self.tree, plan)?;
        }
        Ok(())
    }

    /// The configuration's device nodes.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn devices(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        device::plan(&self.devices, &mut self.tree, plan)
    }

    /// A terminal from the container's own devpts: its primary end is sent to the caller, its peer
    /// becomes `/dev/console`.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | the configuration mounts no devpts at `/dev/pts` |
    /// | `Limit` | the plan would exceed 4 GiB |
    pub fn terminal(
        &mut self,
        terminal: &Terminal,
        plan: &mut PlanBuilder,
    ) -> Result<TerminalSlots> {
        plan.at(self.pointer(Setting::Terminal));
        console::plan(terminal, &mut self.tree, plan)
            .map_err(|error| error.at(self.pointer(Setting::Terminal)))
    }

    /// Masked and read-only paths.
    ///
    /// # Errors
    /// As [`root`](Self::root).
    pub fn masks(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        mask::plan_read_only(&self.read_only, &self.tree, plan)?;
        if self.masked.is_empty() {
            return Ok(());
        }
        plan.at(self.pointer(Setting::MaskedPaths));
        mask::plan_masked(&self.masked, &self.tree, plan)
    }

    /// Makes the root itself read-only, when asked for; mounts below keep their own setting.
    ///
    /// # Errors
    /// None at present.
    pub fn read_only(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        if self.config.readonly_rootfs {
            plan.at(self.pointer(Setting::ReadonlyRootfs));
            let read_only = Change {
                set: RDONLY,
                ..Change::default()
            };
            change(self.tree.root, Depth::Single, read_only, plan);
        }
        Ok(())
    }

    /// Makes the new root `/` and lets go of the old one.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `NotFound`, `InvalidValue` | the caller's mountinfo cannot be read ([`RootEntry::Move`] only) |
    /// | `Limit` | the plan would exceed 4 GiB |
    pub fn enter(&mut self, plan: &mut PlanBuilder) -> Result<()> {
        let root = self.tree.root;
        self.tree.check_held(plan)?;
        plan.at(self.pointer(Setting::RootEntry));
        match self.config.root_entry {
            RootEntry::Pivot => {
                let n_covers = u32::from(self.tree.staging.is_some());
                plan.push("enter the new root", Op::PivotRoot { root, n_covers });
            }
            RootEntry::Move => {
                for place in top_mount_points(&parse(&read("/proc/self/mountinfo")?)?) {
                    let path = plan.text(place).planning()?;
                    plan.push("let go of the host's mount", Op::DetachHost { path });
                }
                plan.push("enter the new root", Op::ChangeRoot { root });
            }
        }
        if let propagation @ (Propagation::Shared | Propagation::Unbindable) =
            self.config.rootfs_propagation
        {
            plan.at(self.pointer(Setting::RootfsPropagation));
            let (depth, propagation) = (Depth::Single, propagation_word(propagation));
            plan.push(
                "set the propagation of the new root",
                Op::SetRootPropagation { depth, propagation },
            );
        }
        plan.at_nothing();
        Ok(())
    }

    fn pointer(&self, setting: Setting) -> &'static str {
        self.config.source.pointer(setting)
    }
}

impl std::fmt::Debug for RootfsPlanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootfsPlanner")
            .field("n_mounts", &self.entries.len())
            .field("choices", &self.tree.choices)
            .finish_non_exhaustive()
    }
}

/// Without a mount namespace of its own the host's root would be pivoted away (H6).
fn check_namespace(config: &Config) -> Result<()> {
    if !config.namespaces.creates(NamespaceKind::Mount) {
        let call = "a root file system needs a new mount namespace";
        return Err(Error::new(Kind::InvalidValue, STEP, call)
            .at(config.source.pointer(Setting::Namespaces)));
    }
    Ok(())
}

fn check_rootfs(config: &Config, choices: &Choices) -> Result<Option<HostSource>> {
    if config.root_entry == RootEntry::Move && choices.rights == Rights::UserNamespace {
        let call = "in a user namespace the host's mounts cannot be let go of one by one";
        return Err(Error::new(Kind::Unsupported, STEP, call)
            .with_hint("enter the root by pivot_root")
            .at(config.source.pointer(Setting::RootEntry)));
    }
    let Rootfs::Directory(directory) = &config.rootfs else {
        return Ok(None);
    };
    check_directory(directory)
        .and_then(|directory| HostSource::check(&directory, true, false, choices.sources))
        .map_err(|error| error.at(config.source.pointer(Setting::Rootfs)))
}

/// The directory's absolute path, when it is one that can become a root.
fn check_directory(directory: &str) -> Result<String> {
    let refuse = |rule: &str| {
        Err(Error::new(
            Kind::InvalidValue,
            STEP,
            format!("root file system {directory:?} {rule}"),
        ))
    };
    let directory = match directory {
        "" => current_directory()?,
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        _ => return refuse("is not an absolute path"),
    };
    let look = |path: &str| {
        std::fs::metadata(path)
            .map_err(|error| Error::from_io(STEP, format!("stat({path:?})"), &error))
    };
    let (found, host_root) = (look(&directory)?, look("/")?);
    if !found.is_dir() {
        return refuse("is not a directory");
    }
    if (found.dev(), found.ino()) == (host_root.dev(), host_root.ino()) {
        return refuse("is the host's own root").map_err(|error| {
            error.with_hint("mount the host's directories that are needed into an empty root")
        });
    }
    Ok(directory)
}

fn current_directory() -> Result<String> {
    let directory =
        std::env::current_dir().map_err(|error| Error::from_io(STEP, "getcwd()", &error))?;
    directory.into_os_string().into_string().map_err(|path| {
        let call = format!("working directory {path:?} is not UTF-8");
        Error::new(Kind::InvalidValue, STEP, call)
    })
}

fn listed(paths: &[String], pointer: &str) -> Result<Vec<Listed>> {
    let item = |(index, path): (usize, &String)| {
        let pointer = format!("{pointer}/{index}");
        let destination = Destination::parse(path, "check the path")
            .map_err(|error| error.at(pointer.as_str()))?;
        Ok(Listed {
            destination,
            pointer,
        })
    };
    paths.iter().enumerate().map(item).collect()
}

const STEP: &str = "check the root file system";
