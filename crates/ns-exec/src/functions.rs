//! Functions that run in a container, or look into it, and execute nothing there.

use ns_cgroups::Cgroup;
use ns_config::{Device, NamespaceKind};
use ns_init::{Create, Missing, Op, PlanBuilder};
use ns_network::{Interface, NetnsFd};

use crate::container::Container;
use crate::error::{Error, Kind, Result, Stage};
use crate::exec_in::{Joining, Target, join, open_root};
use crate::resources::from_network;

impl Container<'_> {
    /// Makes a device node in the container, as a process of its namespaces and its control group: `mknod` of the
    /// seed.
    ///
    /// The path is resolved inside the container's root, links included, and the directory must be there. A node that
    /// is there already and is the same is kept.
    ///
    /// # Privileges
    /// Those of [`exec`](Self::exec), and `CAP_MKNOD` in the initial user namespace.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `InvalidValue` | | the path is not absolute or names no file; there is no such device number |
    /// | `Unsupported` | | the container has a user namespace of its own, in which the kernel makes no nodes |
    /// | `Denied` | EPERM | the device rules of its group do not allow it, or a right is missing |
    /// | `Denied` | EROFS | the place is read-only |
    /// | `NotFound` | ENOENT | the directory is not there |
    /// | `AlreadyExists` | EEXIST | something else is there |
    /// | `Gone`, `Hostile`, `Busy` | | as [`exec`](Self::exec) |
    pub fn make_node(&self, device: &Device) -> Result<()> {
        let config = &self.state().config;
        if config.namespaces.contains(NamespaceKind::User) {
            let message = format!(
                "make the node {:?}: the container has a user namespace of its own",
                device.path
            );
            let hint =
                "the kernel makes no device nodes there; bind the host's node in the configuration";
            return Err(Error::new(Kind::Unsupported, Stage::Caller, message).with_hint(hint));
        }
        let (directory, name) = split(device)?;
        let (target, cgroup) = self.joinable()?;
        run_inside(&target, cgroup.as_ref(), |plan| {
            let root = open_root(plan)?;
            let parent = plan.slot(directory);
            let path = plan.text(directory)?;
            plan.push(
                "find the directory",
                Op::OpenInRoot {
                    out: parent,
                    root,
                    path,
                    create: Create::Nothing,
                    missing: Missing::Fail,
                },
            );
            let name = plan.text(name)?;
            plan.push("let the mode be what it is", Op::SetUmask { mask: 0 });
            plan.push(
                "make the node",
                Op::MakeNode {
                    parent,
                    name,
                    mode: device.kind.type_bits() | (device.mode & 0o7777),
                    major: device.major,
                    minor: device.minor,
                    uid: device.uid,
                    gid: device.gid,
                },
            );
            Ok(())
        })
    }

    /// Lists the interfaces of the container's network namespace: `ip` of the seed. Nothing runs in the container.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Gone` | its command has ended |
    /// | `Hostile` | its process is another by now |
    /// | `Denied` | the namespace is not the caller's to enter |
    pub fn interfaces(&self) -> Result<Vec<Interface>> {
        let target = self.target()?;
        let netns = NetnsFd::of_process(std::os::fd::AsFd::as_fd(&target));
        netns
            .and_then(|netns| ns_network::interfaces(&netns))
            .map_err(|error| from_network(Stage::Caller, &error))
    }
}

/// Runs ops in the namespaces and the group of a process, and waits for their end.
fn run_inside(
    target: &Target,
    cgroup: Option<&Cgroup>,
    work: impl FnOnce(&mut PlanBuilder) -> Result<()>,
) -> Result<()> {
    let mut plan = PlanBuilder::new();
    plan.push("forbid to attach to this process", Op::ForbidDump);
    join(target, &mut plan)?;
    work(&mut plan)?;
    plan.push("tell the caller", Op::Finish);
    let process = Joining::without_command(plan.finish()).run(cgroup)?;
    match process.wait()?.code() {
        0 => Ok(()),
        code => {
            let message = format!("the process in the container ended with code {code}");
            Err(Error::new(Kind::Gone, Stage::Caller, message))
        }
    }
}

/// The directory and the last name of a path, which is no step upwards.
fn split(device: &Device) -> Result<(&str, &str)> {
    let invalid = |what: String| Error::new(Kind::InvalidValue, Stage::Caller, what);
    if device.major > Device::MAX_MAJOR || device.minor > Device::MAX_MINOR {
        let message = format!("there is no device {}:{}", device.major, device.minor);
        return Err(invalid(message).with_hint("major numbers end at 4095, minor ones at 1048575"));
    }
    let parts = device.path.rsplit_once('/');
    match parts.filter(|(_, name)| device.path.starts_with('/') && !["", ".", ".."].contains(name))
    {
        Some((directory, name)) => Ok((if directory.is_empty() { "/" } else { directory }, name)),
        None => {
            let message = format!("{:?} is not an absolute path of a file", device.path);
            Err(invalid(message).with_hint("name it as the container sees it, such as /dev/fuse"))
        }
    }
}
