//! `state.json` in `$data_path`, for programs that read what the old tool wrote. Nothing here ever reads it (H4).
//!
//! The directory may be one that somebody hostile writes into, before the container runs or from inside of it. So it
//! becomes a descriptor once, before anything runs; the file is made under a name that nobody can know, by `O_EXCL`,
//! and put in its place by a rename. Whatever lies there is replaced and never opened: a link is not followed, a fifo
//! is not waited for, a second name of another file leaves that file alone. Whoever wins a race against the rename
//! gets an object of their own renamed in their own directory.

use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use ns_config::state::{ContainerState, NetworkState, State};

use crate::report::Failure;

/// The file, not written yet or written.
#[derive(Debug)]
pub(super) struct StateFile {
    dir: OwnedFd,
    path: PathBuf,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Under its temporary name.
    Made(String, File),
    /// In its place; held, so that no other file gets its number.
    Written(File),
    Gone,
}

impl StateFile {
    /// Opens the directory and makes the file under a temporary name, so that a place that cannot be written is an
    /// error before anything runs.
    pub(super) fn make(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(NAME);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(directory, flags, Mode::empty())
            .map_err(|errno| failed("open", directory, errno))?;
        if kind_at(&dir) == Some(SFlag::S_IFDIR) {
            return Err(failed("rename", &path, Errno::EISDIR)
                .with_hint("remove that directory, or leave data_path unset"));
        }
        for _ in 0..MAX_ROUNDS {
            let name = format!(
                ".{NAME}.{:016x}",
                RandomState::new().build_hasher().finish()
            );
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            match openat(&dir, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Ok(file) => {
                    let stage = Stage::Made(name, File::from(file));
                    return Ok(StateFile { dir, path, stage });
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(failed("open", &directory.join(name), errno)),
            }
        }
        Err(failed("open", &path, Errno::EEXIST))
    }

    /// Writes what the old tool wrote, and puts it in its place.
    pub(super) fn write(&mut self, state: &ContainerState) -> Result<(), Failure> {
        let Stage::Made(name, file) = &mut self.stage else {
            return Ok(());
        };
        file.write_all(seed_state(state).to_json().as_bytes())
            .map_err(|error| Failure::new(format!("write {:?}: {error}", self.path)))?;
        renameat(&self.dir, name.as_str(), &self.dir, NAME)
            .map_err(|errno| failed("rename", &self.path, errno))?;
        if let Stage::Made(_, file) = std::mem::replace(&mut self.stage, Stage::Gone) {
            self.stage = Stage::Written(file);
        }
        Ok(())
    }

    /// Removes it; what somebody else has put in its place stays.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        let Stage::Written(file) = std::mem::replace(&mut self.stage, Stage::Gone) else {
            return Ok(());
        };
        let ours = fstat(&file).map_err(|errno| failed("fstat", &self.path, errno))?;
        match fstatat(&self.dir, NAME, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) => {}
            Ok(_) => {
                let message = format!("remove {:?}: it is another file by now", self.path);
                return Err(Failure::new(message).with_hint("somebody has replaced it"));
            }
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(failed("fstatat", &self.path, errno)),
        }
        match unlinkat(&self.dir, NAME, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(failed("unlink", &self.path, errno)),
        }
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        if let Stage::Made(name, _) = &self.stage {
            // There is nobody left to tell.
            let _left = unlinkat(&self.dir, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

fn seed_state(state: &ContainerState) -> State {
    State {
        init_pid: i32::try_from(state.init_pid).unwrap_or_default(),
        init_start_time: state.init_start_ticks.to_string(),
        network_state: NetworkState {
            veth_host: state.host_interfaces.first().cloned().unwrap_or_default(),
            veth_child: inside_name(state),
            ns_path: String::new(),
        },
        cgroup_paths: state.cgroup_paths.clone(),
    }
}

/// The other end is made under the name that it keeps.
fn inside_name(state: &ContainerState) -> String {
    let is_veth =
        |kind: &ns_config::NetworkKind| matches!(kind, ns_config::NetworkKind::Veth { .. });
    let mut veths = state
        .config
        .networks
        .iter()
        .filter(|network| is_veth(&network.kind));
    let first = veths.next().map(ns_config::Network::name_inside);
    first.unwrap_or_default().to_owned()
}

fn kind_at(dir: &OwnedFd) -> Option<SFlag> {
    let found: FileStat = fstatat(dir, NAME, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    Some(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)
}

fn failed(call: &str, path: &Path, errno: Errno) -> Failure {
    Failure::new(format!("write the state: {call}({path:?}): {errno}"))
}

const NAME: &str = "state.json";
/// How often a name that nobody can know may be taken already.
const MAX_ROUNDS: u32 = 16;
