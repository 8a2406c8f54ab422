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
use crate::view::View;
use crate::workspace::Workspace;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

/// Options of the benches that compare with other programs.
#[derive(Debug, Args)]
struct Options {
    /// How often each is measured.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The layout of control groups that all see; without it, the machine's own.
    #[arg(long, value_enum)]
    view: Option<View>,
    /// Install from Debian what is compared with: bubblewrap, runc, crun.
    #[arg(long)]
    install_peers: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A start of a static program that does nothing, from the first call to the end.
    Start(Options),
    /// A start with limits of memory, cpu and processes, and a pair of interfaces on a bridge.
    Limits(Options),
    /// Another command in a running container.
    Exec(Options),
    /// What one container uses.
    Stats(Options),
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
