//! The command line of the seed's `nsinit`, for a program that is called by that name.
//!
//! `container.json` is read where the old tool read it, below `$data_path`. What is trusted about a running container
//! is kept in the state directory, never beside it: the documented place was inside the root file system (H4).

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use clap::{FromArgMatches as _, Parser, Subcommand};
use ns_config::Config;
use ns_exec::{Container, Kind, Relay, Start, StateDir};

use crate::launch;
use crate::report::{Failure, print};
use crate::verbs;

/// Runs and looks at the container that container.json in $data_path (or here) describes.
#[derive(Debug, Parser)]
#[command(name = "nsinit", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Accepted and not used, as ever.
    #[arg(long, hide = true)]
    nspid: Option<String>,
    /// Accepted and not used, as ever.
    #[arg(long, hide = true)]
    console: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a command: in the container when it runs, else in a new one.
    Exec {
        /// List the functions that can run inside.
        #[arg(long)]
        list: bool,
        /// What runs inside: exec is the only one.
        #[arg(long, value_name = "NAME", default_value = "exec")]
        func: String,
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Refused: there is no second stage to be called.
    #[command(hide = true)]
    Init {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        _arguments: Vec<OsString>,
    },
    /// Print what the container uses, as JSON.
    Stats,
    /// Print container.json as it was understood.
    Config,
    /// Stop all processes of the container.
    Pause,
    /// Let them go on.
    Unpause,
    /// Print a line for each lack of memory, until the container ends.
    Oom,
}

pub(crate) fn run(matches: &clap::ArgMatches) -> Result<u8, Failure> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Failure::new(error.to_string()))?;
    match arguments.verb {
        Verb::Exec { list: true, .. } => print("NAME\tUSAGE\nexec\texecute a command\n")?,
        Verb::Exec { func, command, .. } => return exec(&func, command),
        Verb::Init { .. } => {
            let message = "init: the new process is set up by a stub, not by this program";
            return Err(Failure::new(message.to_owned()).with_hint("use nsinit exec -- CMD"));
        }
        Verb::Config => print_seed(&launch::read_config(&data_path().join(CONFIG))?)?,
        verb => {
            let dir = verbs::state_dir(None)?;
            let container = Container::open(&id()?, &dir)?;
            match verb {
                Verb::Stats => verbs::print_json(&container.stats()?)?,
                Verb::Pause => container.pause()?,
                Verb::Unpause => container.resume()?,
                _ => verbs::events(&container)?,
            }
        }
    }
    Ok(0)
}

/// Prints a configuration in the form of the seed.
pub(crate) fn print_seed(config: &Config) -> Result<(), Failure> {
    let text = config
        .to_seed()
        .map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{}\n", text.trim_end()))
}

fn exec(func: &str, command: Vec<OsString>) -> Result<u8, Failure> {
    if func != "exec" {
        return Err(
            Failure::new(format!("--func {func}: there is no such function"))
                .with_hint("nsinit exec --list tells which there are"),
        );
    }
    if command.is_empty() {
        return Err(Failure::new("exec: no command is named".to_owned()));
    }
    let (dir, id) = (verbs::state_dir(None)?, id()?);
    match Container::open(&id, &dir) {
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error.into()),
        Ok(container) if container.status()?.is_alive() => return join(&container, command),
        // Whoever started it was killed; what it left is in the way.
        Ok(container) => container.delete()?,
    }
    start(&dir, &id, command)
}

fn start(dir: &StateDir, id: &str, command: Vec<OsString>) -> Result<u8, Failure> {
    let config = launch::read_config(&data_path().join(CONFIG))?;
    launch::run_named(&config, command, id, dir)
}

/// With the configuration that the container was started with: the file may have been written to since.
fn join(container: &Container<'_>, command: Vec<OsString>) -> Result<u8, Failure> {
    let config = &container.state().config;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    let process = container.exec(Start::new(config, command))?;
    Ok(launch::exit_code(launch::stand_by(&relay, &process)?))
}

fn data_path() -> PathBuf {
    let named = std::env::var_os("data_path").filter(|path| !path.is_empty());
    named.map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// One container for each directory, as it always was.
fn id() -> Result<String, Failure> {
    let path = data_path();
    let directory = std::fs::metadata(&path)
        .map_err(|error| Failure::new(format!("open the data path {path:?}: {error}")))?;
    Ok(format!(
        "nsinit-{:x}-{:x}",
        directory.dev(),
        directory.ino()
    ))
}

const CONFIG: &str = "container.json";
