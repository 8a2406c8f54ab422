//! A docker daemon of our own, for one run.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{QuietSuccess, docker};
use crate::failure::{Failure, Result, While};

/// A running daemon; the run's [`Guard`](super::Guard) ends it.
#[derive(Debug)]
pub(super) struct Daemon {
    /// Disconnected once it has ended and was reaped.
    running: Receiver<()>,
    directory: PathBuf,
}

/// To answer.
const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(200);

impl Daemon {
    /// Starts one with everything that it makes in the directory, and waits until it answers.
    pub(super) fn start(directory: &Path, cgroup_parent: &str) -> Result<Daemon> {
        fs::create_dir(directory).while_doing(directory.display())?;
        let log = directory.join("log");
        let log_file = File::create(&log).while_doing(log.display())?;
        let log_too = log_file.try_clone().while_doing(log.display())?;
        let at = |name: &str| directory.join(name).display().to_string();
        let mut child = Command::new("dockerd")
            .arg(format!("--data-root={}", at("data")))
            .arg(format!("--exec-root={}", at("exec")))
            .arg(format!("--pidfile={}", at("pid")))
            .arg(format!("--host=unix://{}", at("socket")))
            .arg(format!("--cgroup-parent=/{cgroup_parent}"))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .stdout(log_file)
            .stderr(log_too)
            .spawn()
            .while_doing("dockerd (package docker.io)")?;
        let (sender, running) = mpsc::channel();
        std::thread::spawn(move || {
            let _status = child.wait();
            drop(sender);
        });
        let daemon = Daemon {
            running,
            directory: directory.into(),
        };
        let until = Instant::now() + PATIENCE;
        while !docker(Some(&daemon.socket()))
            .arg("info")
            .is_quiet_success()
        {
            if daemon.has_ended_within(STEP) || Instant::now() > until {
                let text = fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!("dockerd does not answer:\n{text}")));
            }
        }
        Ok(daemon)
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn has_ended_within(&self, time: Duration) -> bool {
        self.running.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }
}
