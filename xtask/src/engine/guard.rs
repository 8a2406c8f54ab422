//! A process that outlives us, and removes what a run made, whatever ended the run.
//!
//! It waits for the end of a pipe of which only we have the other end; that comes at a signal that nobody can catch,
//! too. In a process group of its own, it is not reached by what `timeout` or a terminal send to ours.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use clap::Args;

use super::remains::Remains;
use crate::failure::{Failure, Result, While};

/// The process, as long as the run lasts. Dropped, it has removed everything.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    parent: PathBuf,
}

/// Options of `guard`.
#[derive(Debug, Args)]
pub(crate) struct Guarding {
    /// Where runs have their directories.
    parent: PathBuf,
}

impl Guard {
    /// Starts one for a run with its directory in `parent`.
    pub(super) fn start(parent: &Path) -> Result<Guard> {
        let own = std::env::current_exe().while_doing("/proc/self/exe")?;
        let mut command = Command::new(own);
        let command = command.arg("guard").arg(parent).stdin(Stdio::piped());
        Ok(Guard {
            child: command.process_group(0).spawn().while_doing("guard")?,
            parent: parent.into(),
        })
    }

    /// What it will remove: the run is known by the guard's pid, so that it is not taken for an abandoned one as long
    /// as there is someone to remove it.
    pub(super) fn remains(&self) -> Remains {
        Remains::of(&self.parent, self.child.id())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // A failure is in its own words on the same terminal.
        let _status = self.child.wait();
    }
}

impl Guarding {
    /// Waits for the end of the one that started us, then removes what it made.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let mut nothing = Vec::new();
        std::io::stdin()
            .read_to_end(&mut nothing)
            .while_doing("wait for the run's end")?;
        Remains::of(&self.parent, std::process::id())
            .remove()
            .map(|()| ExitCode::SUCCESS)
            .map_err(|failure| Failure::new(format!("left behind: {failure}")))
    }
}
