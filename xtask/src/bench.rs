//! `cargo xtask bench`: measures, always against a floor program in the same run.

mod chart;
mod contender;
mod floor;
mod library;
mod peers;
mod recipe;
mod report;
mod snapshot;
mod start;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::failure::Result;
use crate::workspace::Workspace;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A start of a static program that does nothing, from the first call to the end.
    Start(start::Options),
}

impl Bench {
    /// Runs the bench.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        match &self.what {
            What::Start(options) => start::run(options, workspace),
        }
    }
}
