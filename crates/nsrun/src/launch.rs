//! Running the command in the foreground.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::Path;

use ns_config::Config;
use ns_exec::{HostTerminal, Relay, Start};

use crate::report::Failure;

/// A configuration larger than this is refused.
const CONFIG_LIMIT_BYTES: u64 = 16 << 20;

pub(crate) fn read_config(path: &Path) -> Result<Config, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("read the configuration {path:?}: {error}"));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > CONFIG_LIMIT_BYTES {
        return Err(Failure::new(format!(
            "read the configuration {path:?}: it is no regular file of at most {CONFIG_LIMIT_BYTES} bytes"
        )));
    }
    let text = std::fs::read(path).map_err(failed)?;
    Config::from_seed(&text).map_err(|error| Failure::new(format!("{path:?}: {error}")))
}

/// Gives the command's exit code.
pub(crate) fn run(config: &Config, command: Vec<OsString>) -> Result<u8, Failure> {
    let stdin = std::io::stdin();
    let mut start = Start::new(config, command);
    if config.process.terminal {
        start = start.window_size(HostTerminal::size(stdin.as_fd())?);
    }
    let prepared = start.prepare()?;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    let process = prepared.start()?;
    let terminal = match config.process.terminal {
        true => Some(HostTerminal::raw(stdin.as_fd())?),
        false => None,
    };
    let status = relay.run(&process, terminal.as_ref());
    drop(terminal);
    process.release()?;
    let status = status?;
    Ok(u8::try_from(status.code() & 0xff).unwrap_or(u8::MAX))
}
