//! The tests in a privileged container: by docker, by podman, or by our own program.
//!
//! All three start from the same [`Tree`]. An engine has its storage, its state and its daemon below a directory of the
//! run; nothing of it is left, whatever ends the run: a [`Guard`] removes it.

mod daemon;
mod guard;
mod remains;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

use crate::failure::{Failure, Result, While};
use crate::inside::{self, End, Job};
use crate::tally::{Outcome, Tally};
use crate::tree::{Tree, make_directory};
use crate::view::{self, View};
use crate::workspace::{Workspace, succeed};

use daemon::Daemon;
use guard::Guard;
use remains::Remains;

pub(crate) use guard::Guarding;

/// What starts the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The first of these that works here.
    Any,
    /// A running daemon, else one of our own.
    Docker,
    /// Podman, without systemd.
    Podman,
    /// The program under test.
    Nsrun,
}

/// A container that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// The first process of the container, so that there is one that reaps.
const START: &str = "/run-tests";
const START_TEXT: &str = "#!/bin/busybox sh\n\
    /fresh-tmp\n\
    /xtask inside /job.json\n\
    exit $?\n";

impl Engine {
    /// Runs the job in a container.
    pub(crate) fn run(self, workspace: &Workspace, job: &Job, tally: &mut Tally) -> Result<()> {
        let parent = workspace.target.join("itest");
        make_directory(&parent)?;
        Remains::remove_abandoned(&parent);
        let guard = Guard::start(&parent)?;
        let Remains { name, directory } = guard.remains();
        make_directory(&directory)?;
        let tree = Tree::build(&directory.join("tree"), workspace, job)?;
        tree.add_script(START, START_TEXT)?;
        let run = Run {
            name,
            directory,
            tree,
            job,
        };
        let (end, whose) = match self.or_first_that_works() {
            Engine::Docker => (run.in_docker(tally), "infrastructure: docker: "),
            Engine::Podman => (run.in_podman(tally), "infrastructure: podman: "),
            Engine::Nsrun | Engine::Any => (run.in_nsrun(tally), ""),
        };
        drop(guard);
        if let End::Broken(why) = end? {
            let failed = Outcome::Failed(format!("{whose}{why}"));
            tally.add("privileged container", failed);
        }
        Ok(())
    }

    fn or_first_that_works(self) -> Engine {
        match self {
            Engine::Any if docker(None).arg("info").is_quiet_success() => Engine::Docker,
            Engine::Any if Command::new("podman").arg("--version").is_quiet_success() => {
                Engine::Podman
            }
            Engine::Any => Engine::Nsrun,
            chosen => chosen,
        }
    }
}

/// One run in a container.
struct Run<'a> {
    name: String,
    directory: PathBuf,
    tree: Tree,
    job: &'a Job,
}

impl Run<'_> {
    fn in_docker(&self, tally: &mut Tally) -> Result<End> {
        let daemon = match docker(None).arg("info").is_quiet_success() {
            true => None,
            false => Some(Daemon::start(&self.directory.join("docker"), &self.name)?),
        };
        let socket = daemon.as_ref().map(Daemon::socket);
        let rights = docker_rights()?;
        self.import_and_run(|| docker(socket.as_deref()), "docker", &rights, tally)
    }

    fn in_podman(&self, tally: &mut Tally) -> Result<End> {
        let storage = self.directory.join("podman");
        make_directory(&storage)?;
        // Its defaults are more than a process without CAP_SYS_RESOURCE may ask for.
        let limits = getrlimit(Resource::RLIMIT_NOFILE);
        let (_, n_files) = limits.while_doing("getrlimit(RLIMIT_NOFILE)")?;
        let flags = [
            "--privileged".to_owned(),
            format!("--ulimit=nofile={n_files}:{n_files}"),
            "--ulimit=nproc=1000:1000".to_owned(),
        ];
        self.import_and_run(|| podman(&storage), "podman", &flags, tally)
    }

    fn import_and_run(
        &self,
        engine: impl Fn() -> Command,
        place: &str,
        flags: &[String],
        tally: &mut Tally,
    ) -> Result<End> {
        let archive = self.directory.join("tree.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(self.tree.path())
            .arg("-cf")
            .arg(&archive)
            .arg(".");
        succeed(&mut tar)?;
        let archive_file = File::open(&archive).while_doing(archive.display())?;
        succeed(
            engine()
                .args(["import", "-", &self.name])
                .stdin(archive_file)
                .stdout(Stdio::null()),
        )?;
        fs::remove_file(&archive).while_doing(archive.display())?;
        let mut run = engine();
        run.args(["run", "--network=none", "--name", &self.name]);
        run.arg(format!("--cgroup-parent=/{}", self.name));
        run.args(flags).args([&self.name, START]);
        inside::follow(&mut run, place, LIMIT, tally)
    }

    fn in_nsrun(&self, tally: &mut Tally) -> Result<End> {
        let config = self.directory.join("container.json");
        let text = privileged(self.tree.path())?.to_string();
        fs::write(&config, text).while_doing(config.display())?;
        let mut command = Command::new(&self.job.programs.nsrun);
        command
            .arg("run")
            .arg("--config")
            .arg(config)
            .args(["--", START]);
        inside::follow(&mut command, "nsrun", LIMIT, tally)
    }
}

/// All that we have ourselves, in namespaces of its own: the host's devices and control groups, nothing masked.
fn privileged(rootfs: &Path) -> Result<serde_json::Value> {
    let bind =
        |path: &str| json!({"type": "bind", "source": path, "destination": path, "writable": true});
    let namespaces = ["NEWNS", "NEWUTS", "NEWIPC", "NEWPID", "NEWNET"];
    Ok(json!({
        "root_fs": rootfs,
        "hostname": "itest",
        "environment": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
        "namespaces": namespaces.map(|kind| json!({"type": kind})),
        "networks": [{"type": "loopback", "address": "127.0.0.1/8", "gateway": "localhost", "mtu": 65536}],
        "capabilities": own_capabilities()?,
        "restrict_sys": false,
        "mount_config": {"mounts": [bind("/dev"), bind("/sys/fs/cgroup")]},
    }))
}

/// The names without `cap_`, in capitals.
fn own_capabilities() -> Result<Vec<String>> {
    let status = fs::read_to_string("/proc/self/status").while_doing("/proc/self/status")?;
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"));
    let bits = bits.ok_or_else(|| Failure::new("/proc/self/status has no CapEff"))?;
    decode_capabilities(bits)
}

fn decode_capabilities(bits: &str) -> Result<Vec<String>> {
    let output = Command::new("/sbin/capsh")
        .arg(format!("--decode={bits}"))
        .output();
    let output = output.while_doing("capsh (package libcap2-bin)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, names) = text.trim().split_once('=').unwrap_or_default();
    let names = names.split(',');
    let names = names.map(|name| name.strip_prefix("cap_").unwrap_or(name));
    Ok(names.map(str::to_uppercase).collect())
}

/// Privileged; where we lack a capability that docker would give then, all that makes the difference, one by one.
fn docker_rights() -> Result<Vec<String>> {
    let own = own_capabilities()?;
    let all = decode_capabilities("ffffffffffffffff")?;
    // Numbers that no capability has yet stand there as numbers.
    let known = all
        .iter()
        .filter(|name| !name.starts_with(|first: char| first.is_ascii_digit()));
    let drops: Vec<String> = known
        .filter(|name| !own.contains(name))
        .map(|name| format!("--cap-drop={name}"))
        .collect();
    if drops.is_empty() {
        return Ok(vec!["--privileged".into()]);
    }
    let rest = [
        "--cap-add=ALL",
        "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined",
        "--security-opt=systempaths=unconfined",
        "--device-cgroup-rule=a *:* rwm",
        "--volume=/dev:/dev",
        "--volume=/sys:/sys",
        "--volume=/sys/fs/cgroup:/sys/fs/cgroup",
    ];
    Ok(drops.into_iter().chain(rest.map(str::to_owned)).collect())
}

fn docker(socket: Option<&Path>) -> Command {
    let mut command = Command::new("docker");
    if let Some(socket) = socket {
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    }
    command
}

/// Podman with everything of its own in the directory.
fn podman(storage: &Path) -> Command {
    let mut command = Command::new("podman");
    for (option, name) in [
        ("--root", "root"),
        ("--runroot", "runroot"),
        ("--tmpdir", "tmp"),
    ] {
        command.arg(option).arg(storage.join(name));
    }
    // Where it unpacks what it imports.
    command.env("TMPDIR", storage);
    command.args(["--cgroup-manager=cgroupfs", "--events-backend=file"]);
    if view::machine_view().is_ok_and(|machine| machine == View::Hybrid) {
        // crun refuses such machines.
        command.arg("--runtime=runc");
    }
    command
}

trait QuietSuccess {
    /// Runs it without a word; whether it succeeded.
    fn is_quiet_success(&mut self) -> bool;
}

impl QuietSuccess for Command {
    fn is_quiet_success(&mut self) -> bool {
        let quiet = self.stdout(Stdio::null()).stderr(Stdio::null());
        quiet
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}
