//! `cargo xtask itest`: the tests as root, here, in a private view of the control groups, in a privileged container or
//! in a virtual machine.

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;
use nix::unistd::Uid;

use crate::debian::{self, FOR_GUESTS};
use crate::engine::Engine;
use crate::failure::{Failure, Result, While};
use crate::inside::{self, End, Job};
use crate::program::{self, Programs};
use crate::runner::{Rights, Runner};
use crate::tally::{Outcome, Tally};
use crate::view::View;
use crate::vm;
use crate::workspace::Workspace;

/// Options of `itest`.
#[derive(Debug, Args)]
pub(crate) struct Itest {
    /// The layout of control groups that the tests see; without it, the machine's own.
    #[arg(long, value_enum, conflicts_with = "vm")]
    view: Option<View>,
    /// In a privileged container that this engine starts.
    #[arg(long = "in", value_name = "ENGINE", value_enum, conflicts_with = "vm")]
    engine: Option<Engine>,
    /// In a virtual machine: the tests for which control groups make a difference.
    #[arg(long)]
    vm: bool,
    /// The kernel of the virtual machine.
    #[arg(long, value_enum, default_value_t, requires = "vm")]
    kernel: vm::Choice,
    /// Only tests whose name (`PACKAGE::PROGRAM TEST`) contains this text.
    #[arg(default_value = "")]
    filter: String,
}

/// Tests in a view that take longer are given up.
const LIMIT: Duration = Duration::from_secs(30 * 60);

impl Itest {
    /// Builds, goes to the place, runs.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        if !Uid::effective().is_root() {
            return Err(Failure::new("itest runs tests as root: start it as root"));
        }
        let programs = program::build(workspace)?;
        let mut tally = Tally::default();
        if self.vm {
            debian::install(&FOR_GUESTS)?;
            let job = self.job(programs.about_groups());
            vm::run(workspace, &job, self.kernel, &mut tally)?;
        } else if let Some(engine) = self.engine {
            engine.run(workspace, &self.job(programs.without_pure()), &mut tally)?;
        } else if let Some(view) = self.view {
            in_view(self.job(programs), view, &mut tally)?;
        } else {
            self.here(workspace, &programs, &mut tally)?;
        }
        tally.print();
        Ok(if tally.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn job(&self, programs: Programs) -> Job {
        Job {
            programs,
            filter: self.filter.clone(),
            view: self.view,
        }
    }

    fn here(&self, workspace: &Workspace, programs: &Programs, tally: &mut Tally) -> Result<()> {
        let runner = Runner {
            label: "root".into(),
            rights: Rights::Own,
            environment: Vec::new(),
            directory: workspace.root.clone(),
            filter: self.filter.clone(),
        };
        runner.run(programs, tally)
    }
}

/// Runs the job as root in a process that enters the view.
pub(crate) fn in_view(mut job: Job, view: View, tally: &mut Tally) -> Result<()> {
    job.view = Some(view);
    let file = tempfile::NamedTempFile::new().while_doing("temporary file")?;
    job.write(file.path())?;
    let own = std::env::current_exe().while_doing("/proc/self/exe")?;
    let mut command = match Uid::effective().is_root() {
        true => Command::new(own),
        false => {
            let mut command = Command::new("sudo");
            command.arg("-n").arg(own);
            command
        }
    };
    command.arg("inside").arg(file.path());
    let place = format!("view {view}");
    match inside::follow(&mut command, &place, LIMIT, tally)? {
        End::Complete => {}
        End::Broken(why) => tally.add(place, Outcome::Failed(why)),
    }
    Ok(())
}
