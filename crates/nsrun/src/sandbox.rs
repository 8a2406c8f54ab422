//! The flags of `nsrun sandbox` as a configuration.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ns_config::{
    CapabilitySet, CgroupConfig, Config, Mount, MountAttributes, MountKind, MountOptions,
};
use ns_exec::Sandbox;

use crate::arguments::{Capabilities, MountFlag, SandboxFlags};
use crate::report::Failure;

pub(crate) fn config(flags: &SandboxFlags, root: Option<&Path>) -> Result<Config, Failure> {
    let sandbox = Sandbox {
        rootfs: flags.rootfs.as_deref().map(absolute).transpose()?,
        writable_rootfs: flags.writable_rootfs,
        mounts: flags
            .mounts
            .iter()
            .map(mount_of)
            .collect::<Result<_, _>>()?,
        share_network: flags.share_net,
        user_namespace: flags.unshare_user,
        environment: environment(&flags.env)?,
        clear_environment: flags.clearenv,
        working_dir: flags.chdir.clone(),
        user: flags.user.clone(),
        hostname: flags.hostname.clone(),
        capabilities: capabilities(flags),
        rlimits: flags.rlimit.clone(),
        new_session: flags.new_session,
        die_with_parent: flags.die_with_parent,
        terminal: flags.tty,
    };
    let mut config = sandbox.config()?;
    config.cgroup = cgroup(flags, root)?;
    Ok(config)
}

/// A group for the limits that were asked for; and for a container with an id, to be paused and measured, where that
/// takes no right that we may lack.
fn cgroup(flags: &SandboxFlags, root: Option<&Path>) -> Result<Option<CgroupConfig>, Failure> {
    let limits = crate::verbs::settings(&flags.limits);
    let can_make = || nix::unistd::geteuid().is_root() && ns_exec::can_make_groups();
    let is_wanted = flags.name.id.is_some() && can_make();
    if limits == CgroupConfig::default() && !is_wanted {
        return Ok(None);
    }
    let name = match (&flags.name.id, root) {
        (Some(id), None) => format!("nsrun-{id}"),
        (Some(id), Some(root)) => format!("nsrun-{id}-{:016x}", number_of(root)?),
        (None, _) => format!("nsrun-sandbox-{}", std::process::id()),
    };
    Ok(Some(CgroupConfig { name, ..limits }))
}

/// What tells the groups of one state directory from those of another, in which the same id is another container.
fn number_of(root: &Path) -> Result<u64, Failure> {
    let root = std::path::absolute(root)
        .map_err(|error| Failure::new(format!("--root {root:?}: {error}")))?;
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    Ok(hasher.finish())
}

fn capabilities(flags: &SandboxFlags) -> CapabilitySet {
    let collect = |words: &[Capabilities]| {
        words
            .iter()
            .fold(CapabilitySet::EMPTY, |set, word| match word {
                Capabilities::All => CapabilitySet::ALL,
                Capabilities::One(capability) => set.union([*capability].into_iter().collect()),
            })
    };
    collect(&flags.cap_add).difference(collect(&flags.cap_drop))
}

/// `NAME=VALUE` as it is; `NAME` with the caller's value.
pub(crate) fn environment(entries: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let entry = |entry: &OsString| {
        if entry.as_bytes().contains(&b'=') {
            ns_config::merge_environment([entry.clone()])
                .map_err(|error| Failure::new(format!("--env: {error}")))?;
            return Ok(entry.clone());
        }
        let value = std::env::var_os(entry).ok_or_else(|| {
            Failure::new(format!(
                "--env {}: there is no such variable to take over",
                entry.display()
            ))
        })?;
        let mut joined = entry.clone();
        joined.push("=");
        joined.push(value);
        Ok(joined)
    };
    entries.iter().map(entry).collect()
}

fn mount_of(flag: &MountFlag) -> Result<Mount, Failure> {
    Ok(match flag {
        MountFlag::Bind {
            source,
            destination,
        } => bind("--bind", source, destination, false)?,
        MountFlag::ReadOnlyBind {
            source,
            destination,
        } => bind("--ro-bind", source, destination, true)?,
        MountFlag::Tmpfs(destination) => {
            let kind = MountKind::Filesystem {
                fstype: "tmpfs".to_owned(),
                source: "tmpfs".to_owned(),
            };
            let mut tmpfs = mount(destination, kind, format!("--tmpfs {destination}"));
            tmpfs.options.set = MountAttributes {
                no_suid: true,
                no_dev: true,
                ..MountAttributes::default()
            };
            tmpfs.options.data = vec![("mode".to_owned(), Some("1777".to_owned()))];
            tmpfs
        }
        MountFlag::Directory(destination) => mount(
            destination,
            MountKind::Directory { mode: 0o755 },
            format!("--dir {destination}"),
        ),
        MountFlag::Symlink {
            target,
            destination,
        } => {
            let kind = MountKind::Symlink {
                target: target.clone(),
            };
            mount(
                destination,
                kind,
                format!("--symlink {target} {destination}"),
            )
        }
    })
}

fn bind(flag: &str, source: &str, destination: &str, read_only: bool) -> Result<Mount, Failure> {
    let kind = MountKind::Bind {
        source: absolute(source)?,
        recursive: true,
        optional: false,
    };
    let mut mount = mount(destination, kind, format!("{flag} {source} {destination}"));
    mount.options.set_recursive = MountAttributes {
        read_only,
        no_suid: true,
        no_dev: true,
        ..MountAttributes::default()
    };
    Ok(mount)
}

fn mount(destination: &str, kind: MountKind, pointer: String) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer,
    }
}

/// A host path against the caller's working directory, links left alone.
fn absolute(path: &str) -> Result<String, Failure> {
    let whole =
        std::path::absolute(path).map_err(|error| Failure::new(format!("{path:?}: {error}")))?;
    whole
        .into_os_string()
        .into_string()
        .map_err(|path| Failure::new(format!("{path:?} is not UTF-8")))
}
