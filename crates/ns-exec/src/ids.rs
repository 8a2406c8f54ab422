//! Id maps of a new user namespace: who writes them, and writing them.

use std::fs;

use ns_config::{Config, IdMap, NamespaceKind, Setting};
use ns_init::{Groups, IdMapping};

use crate::error::{Error, Kind, Result, Stage};

/// `CAP_SETGID` and `CAP_SETUID`.
const SET_IDS: u64 = 1 << 6 | 1 << 7;
const HELPER_PLACES: [&str; 3] = ["/usr/bin", "/bin", "/usr/local/bin"];

/// How the ids of the container are mapped.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(crate) mapping: IdMapping,
    pub(crate) groups: Groups,
    writer: Option<Writer>,
}

/// Who writes maps that the child cannot write itself.
#[derive(Debug)]
enum Writer {
    /// This process has the rights.
    Caller { uid_map: String, gid_map: String },
    /// `newuidmap` and `newgidmap`, which look into `/etc/subuid` and `/etc/subgid`.
    Helpers {
        uid: Vec<String>,
        gid: Vec<String>,
        newuidmap: String,
        newgidmap: String,
    },
}

impl Ids {
    /// Chooses before anything is started; there is no second way later.
    pub(crate) fn choose(config: &Config) -> Result<Self> {
        let rights = effective_capabilities()?;
        if !config.namespaces.creates(NamespaceKind::User) {
            let may_set_groups =
                rights & SET_IDS == SET_IDS || config.namespaces.contains(NamespaceKind::User);
            let groups = if may_set_groups {
                Groups::Settable
            } else {
                Groups::Fixed
            };
            return Ok(Ids {
                mapping: IdMapping::None,
                groups,
                writer: None,
            });
        }
        let (uid_map, gid_map) = (&config.uid_mappings, &config.gid_mappings);
        let (uid, gid) = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        if is_own_id(uid_map, uid) && is_own_id(gid_map, gid) {
            let mapping = IdMapping::Own {
                uid_map: IdMap::render(uid_map),
                gid_map: IdMap::render(gid_map),
            };
            return Ok(Ids {
                mapping,
                groups: Groups::Fixed,
                writer: None,
            });
        }
        let writer = if rights & SET_IDS == SET_IDS {
            Writer::Caller {
                uid_map: IdMap::render(uid_map),
                gid_map: IdMap::render(gid_map),
            }
        } else {
            Writer::Helpers {
                uid: helper_arguments(uid_map),
                gid: helper_arguments(gid_map),
                newuidmap: find_helper("newuidmap", config, Setting::UidMappings)?,
                newgidmap: find_helper("newgidmap", config, Setting::GidMappings)?,
            }
        };
        Ok(Ids {
            mapping: IdMapping::Caller,
            groups: Groups::Settable,
            writer: Some(writer),
        })
    }

    /// Whether the child waits for [`write`](Self::write).
    pub(crate) fn is_awaited(&self) -> bool {
        self.writer.is_some()
    }

    /// Writes the maps of a process that waits for them.
    pub(crate) fn write(&self, pid: i32) -> Result<()> {
        match &self.writer {
            None => Ok(()),
            Some(Writer::Caller { uid_map, gid_map }) => {
                write_map(&format!("/proc/{pid}/uid_map"), uid_map)?;
                write_map(&format!("/proc/{pid}/gid_map"), gid_map)
            }
            Some(Writer::Helpers {
                uid,
                gid,
                newuidmap,
                newgidmap,
            }) => {
                run_helper(newuidmap, pid, uid)?;
                run_helper(newgidmap, pid, gid)
            }
        }
    }
}

/// Whether this process may set its groups where it is.
pub(crate) fn groups_of_caller() -> Result<Groups> {
    Ok(match effective_capabilities()? & SET_IDS {
        SET_IDS => Groups::Settable,
        _ => Groups::Fixed,
    })
}

/// One id, and it is ours: the kernel lets the new process map it without any right.
fn is_own_id(maps: &[IdMap], id: u32) -> bool {
    matches!(maps, [IdMap { host_id, size: 1, .. }] if *host_id == id)
}

fn helper_arguments(maps: &[IdMap]) -> Vec<String> {
    maps.iter()
        .flat_map(|map| [map.container_id, map.host_id, map.size])
        .map(|number| number.to_string())
        .collect()
}

fn find_helper(name: &str, config: &Config, setting: Setting) -> Result<String> {
    HELPER_PLACES
        .iter()
        .map(|place| format!("{place}/{name}"))
        .find(|path| fs::metadata(path).is_ok_and(|file| file.is_file()))
        .ok_or_else(|| {
            Error::new(Kind::NotFound, Stage::Configuration, format!("map ids: {name} is not installed"))
                .with_hint("mapping more than the own id takes CAP_SETUID or the package uidmap; or map one id alone")
                .with_pointer(config.source.pointer(setting))
        })
}

fn write_map(path: &str, map: &str) -> Result<()> {
    fs::write(path, map).map_err(|error| {
        Error::from_io(
            Stage::Caller,
            &format!("map ids: write({path:?}, {map:?})"),
            &error,
        )
        .with_hint("the ids outside must be mapped in the caller's own user namespace")
    })
}

fn run_helper(path: &str, pid: i32, arguments: &[String]) -> Result<()> {
    let output = std::process::Command::new(path)
        .arg(pid.to_string())
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| {
            Error::from_io(Stage::Caller, &format!("map ids: execve({path:?})"), &error)
        })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(
        Kind::Denied,
        Stage::Caller,
        format!("map ids: {path}: {}", words.trim()),
    )
    .with_hint("the ids outside must be granted to this user in /etc/subuid and /etc/subgid"))
}

/// The effective set of this thread.
pub(crate) fn effective_capabilities() -> Result<u64> {
    let (_, effective) = ns_init::own_capabilities()?;
    Ok(effective)
}
