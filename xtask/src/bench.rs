//! `cargo xtask bench`: measures, always against a floor program in the same run.

mod chart;
mod contender;
mod exec;
mod floor;
mod groups;
mod library;
mod limits;
mod many;
mod message;
mod peers;
mod place;
mod recipe;
mod report;
mod snapshot;
mod start;
mod stats;

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
    /// A start with limits of memory, cpu and processes, and a pair of interfaces on a bridge.
    Limits(limits::Options),
    /// Another command in a running container.
    Exec(limits::Options),
    /// What one container uses.
    Stats(limits::Options),
    /// What each request takes while many containers live.
    Many(many::Options),
}

impl Bench {
    /// Runs the bench.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        match &self.what {
            What::Start(options) => start::run(options, workspace),
            What::Limits(options) => limits::run(options, workspace),
            What::Exec(options) => exec::run(options, workspace),
            What::Stats(options) => stats::run(options, workspace),
            What::Many(options) => many::run(options, workspace),
        }
    }
}
