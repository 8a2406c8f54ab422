//! What a run in a container leaves while it lasts: a directory, processes, mounts, control groups, an engine's records.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{QuietSuccess, docker, podman};
use crate::failure::{Failure, Result, While};

/// Everything that one run made, or may yet make.
#[derive(Debug)]
pub(super) struct Remains {
    /// Of container, image and control group.
    pub(super) name: String,
    /// All files of the run, and its engine's.
    pub(super) directory: PathBuf,
}

const PREFIX: &str = "ns-itest-";
const GROUPS: &str = "/sys/fs/cgroup";
/// For a process to end, a group to become empty.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

impl Remains {
    /// Those of the run with this number.
    pub(super) fn of(parent: &Path, number: u32) -> Remains {
        Remains {
            name: format!("{PREFIX}{number}"),
            directory: parent.join(number.to_string()),
        }
    }

    /// Removes what runs left whose guard was killed.
    ///
    /// A group is removed whoever's run it was, but only when it has no members.
    pub(super) fn remove_abandoned(parent: &Path) {
        for number in names_in(parent).filter_map(|name| abandoned(&name)) {
            if let Err(failure) = Remains::of(parent, number).remove() {
                println!("left behind by an earlier run: {failure}");
            }
        }
        for place in hierarchies() {
            for name in names_in(&place) {
                let number = name.strip_prefix(PREFIX).and_then(abandoned);
                if number.is_some() {
                    let _removed = remove_group(&place.join(name));
                }
            }
        }
    }

    /// Ends and removes all of it, the engines' records by the engines themselves.
    pub(super) fn remove(&self) -> Result<()> {
        // One that still works would add to what is being removed, and an engine waits for ever for one that is frozen.
        self.end("container", Signal::SIGKILL, |process| {
            process.runs("podman") || process.runs("docker") || self.has_root_of(&process.mounts)
        })?;
        self.remove_records();
        // At SIGTERM it ends its containers and its containerd.
        let daemon = self.end("dockerd", Signal::SIGTERM, |process| {
            process.runs("dockerd")
        });
        self.end("process", Signal::SIGKILL, |_| true)?;
        self.remove_groups()?;
        self.remove_directory()?;
        daemon
    }

    fn remove_records(&self) {
        let mut engines = Vec::new();
        if docker(None).arg("info").is_quiet_success() {
            engines.push(docker(None));
        }
        let storage = self.directory.join("podman");
        if storage.exists() {
            engines.push(podman(&storage));
        }
        for engine in engines {
            for verb in ["rm", "rmi"] {
                let _removed = with_limit(&engine)
                    .args([verb, "--force", &self.name])
                    .is_quiet_success();
            }
        }
    }

    /// Sends the signal to those of our processes that are meant, until there is none.
    fn end(&self, what: &str, signal: Signal, is_meant: impl Fn(&Process) -> bool) -> Result<()> {
        let mut signalled = Vec::new();
        let is_over = within_patience(|| {
            // A test that was killed may have frozen a group of its own, and who is frozen does not die.
            self.groups().iter().for_each(|group| thaw(group));
            let ours = Process::all().filter(|process| self.is_ours(process) && is_meant(process));
            let ours: Vec<Pid> = ours.map(|process| process.pid).collect();
            for &pid in &ours {
                if !signalled.contains(&pid) {
                    // One that has ended by itself meanwhile is none the next time.
                    let _sent = kill(pid, signal);
                    signalled.push(pid);
                }
            }
            ours.is_empty()
        });
        match is_over {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "a {what} of {} did not end at {signal}",
                self.name
            ))),
        }
    }

    /// Whether it was started with the directory or the name, or has its root below the directory, as what runs in the
    /// container has.
    fn is_ours(&self, process: &Process) -> bool {
        let directory = [self.directory.as_os_str().as_bytes(), b"/"].concat();
        let mut arguments = process.arguments();
        arguments.any(|argument| argument == self.name.as_bytes() || has_part(argument, &directory))
            || self.has_root_of(&process.mounts)
    }

    fn has_root_of(&self, mounts: &[u8]) -> bool {
        // In mountinfo a path begins at the root of its file system, wherever that is mounted.
        let end = Path::new(
            self.directory
                .parent()
                .and_then(Path::file_name)
                .unwrap_or_default(),
        );
        let end = end.join(self.directory.file_name().unwrap_or_default());
        let part = [b"/", end.as_os_str().as_bytes(), b"/"].concat();
        let mut lines = mounts.split(|&byte| byte == b'\n');
        lines.any(|line| {
            let is_root = line.split(|&byte| byte == b' ').nth(4) == Some(b"/");
            is_root && has_part(line, &part)
        })
    }

    fn groups(&self) -> Vec<PathBuf> {
        let groups = hierarchies().map(|place| place.join(&self.name));
        groups.filter(|group| group.exists()).collect()
    }

    /// Engines leave the parent of their containers, and some a group of their own in it.
    fn remove_groups(&self) -> Result<()> {
        let groups = self.groups();
        // Who was killed is a member until it is reaped.
        let is_over = within_patience(|| groups.iter().all(|group| remove_group(group)));
        match is_over {
            true => Ok(()),
            false => Err(Failure::new(format!("a group {} has members", self.name))),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "engines fill the directory, so that nobody has descriptors of what is there"
    )]
    fn remove_directory(&self) -> Result<()> {
        for mount in self.mounts()?.iter().rev() {
            umount2(mount, MntFlags::MNT_DETACH).while_doing(mount.display())?;
        }
        // A tree of the host must not be emptied through a mount.
        if let Some(mount) = self.mounts()?.first() {
            return Err(Failure::new(format!("{} is mounted", mount.display())));
        }
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).while_doing(self.directory.display())
            }
            _ => Ok(()),
        }
    }

    /// In the order in which they were made.
    fn mounts(&self) -> Result<Vec<PathBuf>> {
        let text =
            fs::read_to_string("/proc/self/mountinfo").while_doing("/proc/self/mountinfo")?;
        let targets = text.lines().filter_map(|line| line.split(' ').nth(4));
        let targets = targets.map(PathBuf::from);
        Ok(targets
            .filter(|target| target.starts_with(&self.directory))
            .collect())
    }
}

/// Another process, as it was when it was looked at.
#[derive(Debug)]
struct Process {
    pid: Pid,
    command_line: Vec<u8>,
    mounts: Vec<u8>,
}

impl Process {
    /// All but us.
    fn all() -> impl Iterator<Item = Process> {
        let own = Pid::this();
        let pids = names_in(Path::new("/proc")).filter_map(|name| name.parse().ok());
        let pids = pids.map(Pid::from_raw).filter(move |&pid| pid != own);
        pids.map(|pid| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            Process {
                pid,
                command_line: read("cmdline"),
                mounts: read("mountinfo"),
            }
        })
    }

    fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.command_line.split(|&byte| byte == 0)
    }

    fn runs(&self, program: &str) -> bool {
        let first = self.arguments().next().unwrap_or_default();
        first.rsplit(|&byte| byte == b'/').next() == Some(program.as_bytes())
    }
}

/// The number, when no process has it any more.
fn abandoned(number: &str) -> Option<u32> {
    let number = number.parse().ok()?;
    let is_alive = Path::new("/proc").join(u32::to_string(&number)).exists();
    (!is_alive).then_some(number)
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn hierarchies() -> impl Iterator<Item = PathBuf> {
    let base = Path::new(GROUPS);
    let each = names_in(base).map(|name| base.join(name));
    each.chain([PathBuf::from(base)])
}

/// Groups below too; in v1 and in v2.
fn thaw(group: &Path) {
    for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        // Most groups have neither file.
        let _thawed = fs::write(group.join(file), text);
    }
    groups_in(group).for_each(|below| thaw(&below));
}

/// Whether it is gone; the kernel refuses to remove groups that have members.
fn remove_group(group: &Path) -> bool {
    groups_in(group).for_each(|below| {
        remove_group(&below);
    });
    let _removed = fs::remove_dir(group);
    !group.exists()
}

fn groups_in(group: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.map(|entry| entry.path())
}

fn has_part(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[expect(
    clippy::disallowed_methods,
    reason = "neither a process of somebody else, found by what it runs, nor a group of v1 has a descriptor to wait on"
)]
fn within_patience(mut is_over: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !is_over() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// The same command, given up after a minute: one that hangs must not keep the rest from being removed.
fn with_limit(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", "60"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Stdio};

    /// Above what a kernel gives to a process.
    const NOBODY: u32 = 4_194_305;

    #[test]
    fn run_of_a_living_process_is_not_abandoned() {
        assert_eq!(abandoned(&std::process::id().to_string()), None);
        assert_eq!(abandoned(&NOBODY.to_string()), Some(NOBODY));
        assert_eq!(abandoned("tree"), None);
        assert_eq!(abandoned(""), None);
    }

    /// Waits for the end of its standard input, with an argument that it does not use.
    fn waiting(argument: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", "read line", "sh"]).arg(argument);
        let child = command.stdin(Stdio::piped()).spawn();
        child.expect("sh")
    }

    #[test]
    fn process_is_ended_when_it_was_started_with_the_directory_and_not_otherwise() {
        let parent = tempfile::tempdir().expect("directory");
        let remains = Remains::of(parent.path(), NOBODY);
        fs::create_dir(&remains.directory).expect("directory");
        let mut ours = waiting(&remains.directory.join("tree"));
        let mut other = waiting(&parent.path().join(format!("{NOBODY}0/tree")));
        let ended = remains.end("process", Signal::SIGKILL, |_| true);
        let removed = remains.remove_directory();
        // Closes its standard input, at which it would end by itself.
        let ours = ours.wait().expect("sh");
        drop(other.stdin.take());
        let other = other.wait().expect("sh");
        ended.expect("ended");
        removed.expect("removed");
        assert!(!remains.directory.exists());
        assert_eq!(ours.signal(), Some(Signal::SIGKILL as i32));
        assert_eq!(other.code(), Some(1), "the end of its input, and no signal");
    }

    #[test]
    fn process_in_the_container_is_known_by_its_root() {
        let remains = Remains::of(Path::new("/work/target/itest"), 7);
        for (mounts, is_ours) in [
            (
                "1 2 8:1 /w/target/itest/7/tree / rw - ext4 /dev/sda rw",
                true,
            ),
            (
                "1 2 0:5 / / rw - overlay o rw,upperdir=/w/target/itest/7/podman/root/u",
                true,
            ),
            (
                "1 2 8:1 /w/target/itest/70/tree / rw - ext4 /dev/sda rw",
                false,
            ),
            (
                "1 2 8:1 / / rw - ext4 /dev/sda rw\n1 2 0:5 / /target/itest/7/merged rw - overlay o rw",
                false,
            ),
        ] {
            assert_eq!(remains.has_root_of(mounts.as_bytes()), is_ours, "{mounts}");
        }
    }
}
