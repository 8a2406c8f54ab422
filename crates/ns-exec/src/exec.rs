//! `Exec`, `CreateCommand` and `DefaultCreateCommand` of the seed.

use crate::error::Result;
use crate::process::{ExitStatus, Process};
use crate::sequence::Prepared;
use crate::start::Start;

/// Builds what is started from what was asked for; an embedder wraps [`default_create_command`] to look at
/// the plan, or to refuse it. Unlike the seed's, it can fail.
pub type CreateCommand<'a> = dyn FnOnce(Start<'_>) -> Result<Prepared> + 'a;

/// Plans the start as the configuration says.
///
/// # Errors
/// As [`Start::prepare`].
pub fn default_create_command(start: Start<'_>) -> Result<Prepared> {
    start.prepare()
}

/// Runs a command in a container from start to end: plans it, starts it, calls `started` once the command is
/// being executed, waits, and removes what the container had on the host.
///
/// It returns when the command has ended, also when processes that it left behind still hold its output.
///
/// # Privileges
/// See [`Prepared::start`].
///
/// # Errors
/// As [`Start::prepare`] and [`Prepared::start`]. The exit status of the command is no error.
pub fn exec(
    start: Start<'_>,
    create: Box<CreateCommand<'_>>,
    started: impl FnOnce(&Process),
) -> Result<ExitStatus> {
    let process = create(start)?.start()?;
    started(&process);
    let status = process.wait()?;
    process.release()?;
    Ok(status)
}
