//! Who the command runs as: looked up in the files that the container will see, as bytes.

use std::os::unix::ffi::OsStrExt as _;

use ns_config::{Config, Mount, MountKind, NamespaceKind, ResolvedUser, Rootfs, Setting};
use ns_mount::Root;

use crate::error::{Error, Kind, Result, Stage};

/// A passwd or group file larger than this is refused.
const FILE_LIMIT_BYTES: usize = 4 << 20;

/// Resolves the configured user in the container's own `/etc/passwd` and `/etc/group`; numbers are never names.
pub(crate) fn resolve(config: &Config) -> Result<ResolvedUser> {
    resolve_in(config, |path| read(config, path))
}

/// Resolves the configured user in files that `read` finds; missing ones are empty.
pub(crate) fn resolve_in(
    config: &Config,
    read: impl Fn(&str) -> Result<Vec<u8>>,
) -> Result<ResolvedUser> {
    let user = &config.process.user;
    // Two ids leave only the home directory to be looked up.
    let needs_files = user.uid().is_none() || user.gid().is_none() || !has_home(config);
    let read = |path| {
        if needs_files {
            read(path)
        } else {
            Ok(Vec::new())
        }
    };
    let passwd = read("/etc/passwd")?;
    let group = read("/etc/group")?;
    config.process.user.resolve(&passwd, &group).map_err(|error| {
        let kind = match error.kind() {
            ns_config::Kind::NotFound => Kind::NotFound,
            _ => Kind::InvalidValue,
        };
        Error::new(kind, Stage::Configuration, error.to_string())
            .with_pointer(config.source.pointer(Setting::User))
            .with_hint("the name must be in the container's /etc/passwd or /etc/group; an id always works")
    })
}

fn has_home(config: &Config) -> bool {
    let entries = &config.process.environment;
    entries
        .iter()
        .any(|entry| entry.len() > 5 && entry.as_bytes().starts_with(b"HOME="))
}

/// The file as the container will see it; empty when it is not there.
fn read(config: &Config, path: &str) -> Result<Vec<u8>> {
    if !config.namespaces.creates(NamespaceKind::Mount) {
        return read_below("/", path);
    }
    let covering = config.mounts.iter().rev().find_map(|mount| {
        let rest = path.strip_prefix(mount.destination.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
    });
    match (covering, &config.rootfs) {
        (Some((mount, rest)), _) => read_in_mount(mount, rest),
        (None, Rootfs::Directory(directory)) if directory.is_empty() => read_below(".", path),
        (None, Rootfs::Directory(directory)) => read_below(directory, path),
        (None, Rootfs::Empty { .. }) => Ok(Vec::new()),
    }
}

fn read_in_mount(mount: &Mount, rest: &str) -> Result<Vec<u8>> {
    match &mount.kind {
        MountKind::Bind { source, .. } if rest.is_empty() => match source.rsplit_once('/') {
            Some((directory, name)) => read_below(&format!("{directory}/"), name),
            None => Ok(Vec::new()),
        },
        MountKind::Bind { source, .. } => read_below(source, rest),
        MountKind::File { contents, .. } if rest.is_empty() => Ok(contents.clone()),
        // A new file system has no users yet.
        _ => Ok(Vec::new()),
    }
}

pub(crate) fn read_below(directory: &str, path: &str) -> Result<Vec<u8>> {
    let root = match Root::open(directory) {
        // The planner of the mounts tells more about a directory that is not there.
        Err(error) if error.kind() == ns_mount::Kind::NotFound => return Ok(Vec::new()),
        root => root.map_err(|error| Error::from_mount(&error))?,
    };
    read_in(&root, path)
}

/// A file below a root, which may be hostile; empty when it is not there.
pub(crate) fn read_in(root: &Root, path: &str) -> Result<Vec<u8>> {
    let file = root
        .read_file(path, FILE_LIMIT_BYTES)
        .map_err(|error| Error::from_mount(&error))?;
    Ok(file.unwrap_or_default())
}
