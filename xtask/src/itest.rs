//! `cargo xtask itest`: the tests as root, in a private view of the control groups.

use std::process::ExitCode;

use clap::Args;
use nix::unistd::Uid;

use crate::failure::{Failure, Result};
use crate::program;
use crate::runner::{Rights, Runner};
use crate::tally::Tally;
use crate::view::{self, View};
use crate::workspace::Workspace;

/// Options of `itest`.
#[derive(Debug, Args)]
pub(crate) struct Itest {
    /// The layout of control groups that the tests see; without it, the machine's own.
    #[arg(long, value_enum)]
    view: Option<View>,
    /// Only tests whose name (`PACKAGE::PROGRAM TEST`) contains this text.
    #[arg(default_value = "")]
    filter: String,
}

impl Itest {
    /// Builds, enters the view, runs.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        if !Uid::effective().is_root() {
            return Err(Failure::new("itest runs tests as root: start it as root"));
        }
        let programs = program::build(workspace)?;
        let label = match self.view {
            None => "root".to_owned(),
            Some(view) => {
                view::enter(view)?;
                format!("root, {}", format!("{view:?}").to_lowercase())
            }
        };
        let runner = Runner {
            label,
            rights: Rights::Own,
            environment: Vec::new(),
            directory: workspace.root.clone(),
            filter: self.filter.clone(),
        };
        let mut tally = Tally::default();
        runner.run(&programs, &mut tally)?;
        tally.print();
        Ok(if tally.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
