//! `nsrun exec`: another command in a container that runs.

use std::ffi::OsString;
use std::path::Path;

use clap::Args;
use ns_config::UserSpec;
use ns_exec::{Container, Start, Stream};

use crate::launch;
use crate::report::Failure;

#[derive(Debug, Args)]
pub(crate) struct ExecFlags {
    /// Run as this user, a name or number, inside.
    #[arg(long, short = 'u', value_name = "USER[:GROUP]")]
    user: Option<UserSpec>,
    /// Start in this directory of the container.
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Set a variable; NAME alone takes the caller's value.
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Give the command a terminal of its own; the standard input must be one.
    #[arg(long, short = 't', conflicts_with = "detach")]
    tty: bool,
    /// Return once the command runs; its input and output are /dev/null.
    #[arg(long, short = 'd')]
    detach: bool,
    /// The container.
    id: String,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Gives the command's exit code; 0 when it goes on without us.
pub(crate) fn exec(flags: ExecFlags, root: Option<&Path>) -> Result<u8, Failure> {
    let dir = crate::verbs::state_dir(root)?;
    let container = Container::open(&flags.id, &dir)?;
    let mut config = container.state().config.clone();
    let process = &mut config.process;
    process.user = flags.user.unwrap_or_else(|| process.user.clone());
    process.working_dir = flags.cwd.or_else(|| process.working_dir.take());
    process
        .environment
        .extend(crate::sandbox::environment(&flags.env)?);
    process.terminal = flags.tty;
    process.new_session |= flags.detach;
    // It was about the one who started the container.
    process.parent_death_signal = 0;
    if flags.detach {
        let start = Start::new(&config, flags.command)
            .stdin(Stream::Null)
            .stdout(Stream::Null)
            .stderr(Stream::Null);
        // Somebody else's child is reaped by the system.
        let _process = container.exec(start)?;
        return Ok(0);
    }
    launch::run_joined(&container, &config, flags.command)
}
