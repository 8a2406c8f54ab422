//! `cargo xtask bench`: measures, always against a floor program in the same run.

use std::process::ExitCode;

use clap::Args;

use crate::failure::Result;
use crate::workspace::Workspace;

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {}

impl Bench {
    /// Runs the bench.
    pub(crate) fn run(&self, _workspace: &Workspace) -> Result<ExitCode> {
        Ok(ExitCode::FAILURE)
    }
}
