//! What a running container is made of, read from outside.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Result, While};

/// Namespaces, mounts and the tree of a container.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// `CLONE_NEW*` bits of the namespaces that are not ours.
    pub(super) namespaces: u64,
    /// Its mount table.
    pub(super) mounts: Vec<Mount>,
    /// Our own.
    pub(super) host: Vec<Mount>,
    /// What is in each directory that is a mount of its own making.
    pub(super) entries: Vec<Entry>,
}

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) root: String,
    pub(super) place: String,
    pub(super) options: String,
    pub(super) fstype: String,
    pub(super) super_options: String,
    pub(super) is_directory: bool,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: EntryKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    Link(String),
    Device(u64),
    Other,
}

const NAMESPACES: [(&str, u64); 8] = [
    ("mnt", 0x0002_0000),
    ("cgroup", 0x0200_0000),
    ("uts", 0x0400_0000),
    ("ipc", 0x0800_0000),
    ("user", 0x1000_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
    ("time", 0x0000_0080),
];

/// Runs the command, which must copy its standard input to its standard output, and looks at what it is in.
pub(super) fn take(command: &mut Command) -> Result<Snapshot> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .while_doing("start a container to look at")?;
    let snapshot = running(&mut child).and_then(look_at);
    // The end of its input is the end of the command.
    drop(child.stdin.take());
    let status = child.wait().while_doing("wait for the container")?;
    if !status.success() {
        return Err(Failure::new(format!("the container to look at: {status}")));
    }
    snapshot
}

/// The process of the command, once it runs.
fn running(child: &mut Child) -> Result<PathBuf> {
    let (Some(stdin), Some(stdout)) = (&mut child.stdin, &mut child.stdout) else {
        return Err(Failure::new("the container has no pipes"));
    };
    let mut answer = [0];
    stdin.write_all(b"?").while_doing("talk to the container")?;
    stdout
        .read_exact(&mut answer)
        .while_doing("hear from the container")?;
    let list = format!("/proc/{0}/task/{0}/children", child.id());
    let children = fs::read_to_string(&list).while_doing(list)?;
    let pid = children.split_whitespace().next();
    let pid = pid.ok_or_else(|| Failure::new("the container's process is not a child"))?;
    Ok(Path::new("/proc").join(pid))
}

/// The `CLONE_NEW*` bits of the namespaces of a directory in procfs that are not ours.
pub(super) fn foreign_namespaces(process: &Path) -> Result<u64> {
    let link = |process: &Path, name: &str| {
        fs::read_link(process.join("ns").join(name)).while_doing(format!("namespace {name}"))
    };
    let mut namespaces = 0;
    for (name, flag) in NAMESPACES {
        if link(process, name)? != link(Path::new("/proc/self"), name)? {
            namespaces |= flag;
        }
    }
    Ok(namespaces)
}

fn look_at(process: PathBuf) -> Result<Snapshot> {
    let root = process.join("root");
    let mounts = mounts(&process.join("mountinfo"), &root)?;
    let mut entries = Vec::new();
    for mount in mounts
        .iter()
        .filter(|mount| mount.fstype == "tmpfs" && mount.root == "/")
    {
        list(&root, &mount.place, &mut entries)?;
    }
    Ok(Snapshot {
        namespaces: foreign_namespaces(&process)?,
        mounts,
        host: self::mounts(Path::new("/proc/self/mountinfo"), Path::new("/"))?,
        entries,
    })
}

pub(super) fn mounts(file: &Path, root: &Path) -> Result<Vec<Mount>> {
    let text = fs::read_to_string(file).while_doing(file.display())?;
    let parsed = text.lines().filter_map(Mount::parse);
    Ok(parsed
        .map(|mount| Mount {
            is_directory: root.join(mount.place.trim_start_matches('/')).is_dir(),
            ..mount
        })
        .collect())
}

fn list(root: &Path, place: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let directory = root.join(place.trim_start_matches('/'));
    for entry in fs::read_dir(&directory).while_doing(directory.display())? {
        let entry = entry.while_doing(directory.display())?;
        let metadata = entry.metadata().while_doing(place)?;
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => EntryKind::Directory,
            kind if kind.is_symlink() => {
                let target = fs::read_link(entry.path()).while_doing(place)?;
                EntryKind::Link(target.to_string_lossy().into_owned())
            }
            kind if kind.is_char_device() => EntryKind::Device(metadata.rdev()),
            _ => EntryKind::Other,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{}/{name}", place.trim_end_matches('/'));
        entries.push(Entry { path, kind });
    }
    Ok(())
}

impl Mount {
    /// One line of `/proc/PID/mountinfo`.
    pub(super) fn parse(line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(2).map(String::from);
        let mut types = after.split(' ').map(String::from);
        Some(Mount {
            device: fields.next()?,
            root: fields.next()?,
            place: fields.next()?,
            options: fields.next()?,
            fstype: types.next()?,
            super_options: types.nth(1)?,
            is_directory: true,
        })
    }
}
