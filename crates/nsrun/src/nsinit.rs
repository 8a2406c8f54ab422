//! The command line of the seed's `nsinit`, for a program that is called by that name.
//!
//! `container.json` is read where the old tool read it, below `$data_path`. What is trusted about a running container
//! is kept in the state directory, never beside it: the documented place was inside the root file system (H4).

mod functions;
mod log;
mod state_file;

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use ns_config::{Config, MountKind, NamespaceKind, Rootfs};
use ns_exec::{Container, Kind, Relay, Start, StateDir};

use crate::convert::{self, Changes, Format};
use crate::launch;
use crate::report::{Failure, print};
use crate::verbs;
use functions::Function;
use log::Log;
use state_file::StateFile;

/// Runs and looks at the container that container.json in $data_path (or here) describes.
#[derive(Debug, Parser)]
#[command(
    name = "nsinit",
    version,
    disable_help_subcommand = true,
    disable_version_flag = true,
    after_help = "Variables: data_path, the directory of container.json, in which state.json is then kept for others \
                  to read; log, a file that errors are added to."
)]
pub(crate) struct Arguments {
    /// Accepted and not used, as ever.
    #[arg(long, hide = true)]
    nspid: Option<String>,
    /// Accepted and not used, as ever.
    #[arg(long, hide = true)]
    console: Option<String>,
    /// Print version
    #[arg(long, short = 'v', short_alias = 'V', action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a command: in the container when it runs, else in a new one.
    Exec {
        /// List the functions that can run inside.
        #[arg(long)]
        list: bool,
        /// What runs in the container, which has to run already for all but exec.
        #[arg(long, value_name = "NAME", default_value = "exec")]
        func: String,
        /// The command, or what the function takes.
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
    /// Print container.json as it was understood, also in the form of OCI.
    Config {
        /// The form that it is printed in.
        #[arg(long, value_name = "FORM", default_value = "seed")]
        to: Format,
        #[command(flatten)]
        changes: Changes,
    },
    /// Stop all processes of the container.
    Pause,
    /// Let them go on.
    Unpause,
    /// Print a line for each lack of memory, until the container ends.
    Oom,
    /// Print help.
    #[command(visible_alias = "h")]
    Help { command: Option<String> },
}

/// Refuses the names that the old tool called itself by in a container.
pub(crate) fn refuse_second_stage(name: &Path) -> Result<(), Failure> {
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    match name.starts_with("nsenter-") {
        true => Err(
            Failure::new(format!("{name}: there is no second stage to be called"))
                .with_hint("use nsinit exec, and --func NAME for what is no command"),
        ),
        false => Ok(()),
    }
}

pub(crate) fn run(matches: &clap::ArgMatches) -> Result<u8, Failure> {
    let mut log = Log::open()?;
    let outcome = run_verb(matches);
    if let Err(failure) = &outcome {
        log.add(&failure.lines());
    }
    outcome
}

fn run_verb(matches: &clap::ArgMatches) -> Result<u8, Failure> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Failure::new(error.to_string()))?;
    match arguments.verb {
        None => help(None)?,
        Some(Verb::Help { command }) => help(command.as_deref())?,
        Some(Verb::Exec { list: true, .. }) => print(functions::LIST)?,
        Some(Verb::Exec { func, command, .. }) => return exec(&func, command),
        Some(Verb::Init { .. }) => {
            let message = "init: the new process is set up by a stub, not by this program";
            return Err(Failure::new(message.to_owned()).with_hint("use nsinit exec -- CMD"));
        }
        Some(Verb::Config { to, changes }) => {
            convert::convert(&data_path().join(CONFIG), to, changes)?;
        }
        Some(Verb::Stats) => with_container(|container| verbs::print_json(&container.stats()?))?,
        Some(Verb::Pause) => with_container(|container| Ok(container.pause()?))?,
        Some(Verb::Unpause) => with_container(|container| Ok(container.resume()?))?,
        Some(Verb::Oom) => with_container(verbs::events)?,
    }
    Ok(0)
}

/// Looks at the container of this directory, or changes it.
fn with_container(work: impl FnOnce(&Container<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
    let dir = verbs::state_dir(None)?;
    work(&Container::open(&id()?, &dir)?)
}

fn help(verb: Option<&str>) -> Result<(), Failure> {
    let mut command = Arguments::command();
    let text = match verb {
        None => command.render_long_help(),
        Some(name) => match command.find_subcommand_mut(name) {
            Some(found) => found.render_long_help(),
            None => {
                return Err(Failure::new(format!("help: there is no command {name:?}"))
                    .with_hint("nsinit help lists them"));
            }
        },
    };
    print(&text.to_string())
}

fn exec(func: &str, command: Vec<OsString>) -> Result<u8, Failure> {
    let function = Function::parse(func)?;
    if function.is_none() && command.is_empty() {
        return Err(Failure::new("exec: no command is named".to_owned()));
    }
    let (dir, id) = (verbs::state_dir(None)?, id()?);
    match (Container::open(&id, &dir), function) {
        (Ok(container), Some(function)) => return function.call(&container, &command),
        (Err(error), None) if error.kind() == Kind::NotFound => {}
        (Err(error), Some(_)) if error.kind() == Kind::NotFound => {
            let message = format!("--func {func}: the container does not run");
            return Err(Failure::new(message).with_hint("start it with nsinit exec -- CMD"));
        }
        (Err(error), _) => return Err(error.into()),
        (Ok(container), None) if container.status()?.is_alive() => {
            // With the configuration that it was started with: the file may have been written to since.
            return launch::run_joined(&container, &container.state().config, command);
        }
        // Whoever started it was killed; what it left is in the way.
        (Ok(container), None) => container.delete()?,
    }
    start(&dir, &id, command)
}

fn start(dir: &StateDir, id: &str, command: Vec<OsString>) -> Result<u8, Failure> {
    let place = data_path();
    let config = launch::read_config(&place.join(CONFIG))?;
    check_unreachable(&place, &config)?;
    let Some(directory) = named_data_path() else {
        return launch::run_named(&config, command, id, dir);
    };
    let start = launch::start(&config, command)?;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    // ORDER: before the start: a place that cannot be written is told before anything runs.
    let mut state_file = StateFile::make(&directory)?;
    let code = run_with_state_file(start, id, dir, &mut state_file)
        .and_then(|container| launch::stand_by_and_delete(&relay, &container));
    match (code, state_file.remove()) {
        (Ok(code), Ok(())) => Ok(code),
        // The command has run, and how it ended is what was asked for.
        (Ok(code), Err(failure)) => {
            failure.tell();
            Ok(code)
        }
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(also)) => Err(failure.with_also(also)),
    }
}

/// ORDER: the file is there before the command runs, which the old tool's was not, and a file that cannot be written
/// ends what has not begun.
fn run_with_state_file<'a>(
    start: Start<'_>,
    id: &str,
    dir: &'a StateDir,
    state_file: &mut StateFile,
) -> Result<Container<'a>, Failure> {
    let container = Container::create(start, id, dir)?;
    let begun = state_file
        .write(container.state())
        .and_then(|()| container.start().map_err(Failure::from));
    match begun {
        Ok(()) => Ok(container),
        Err(failure) => Err(match container.kill_and_delete() {
            Ok(()) => failure,
            Err(also) => failure.with_also(also.into()),
        }),
    }
}

/// Refuses a container.json that the container could write to: the next start would do what it says (H4).
fn check_unreachable(place: &Path, config: &Config) -> Result<(), Failure> {
    if !config.namespaces.creates(NamespaceKind::Mount) {
        return Ok(());
    }
    let resolve = |path: &Path| {
        std::fs::canonicalize(path).map_err(|error| Failure::new(format!("find {path:?}: {error}")))
    };
    // Whoever can write to the directory can put another file there.
    let places = [resolve(place)?, resolve(&place.join(CONFIG))?];
    let root = match &config.rootfs {
        Rootfs::Directory(path) if path.is_empty() => Some("."),
        Rootfs::Directory(path) => Some(path.as_str()),
        Rootfs::Empty { .. } => None,
    };
    let root = root.filter(|_| !config.readonly_rootfs);
    let binds = config.mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Bind { source, .. } if !mount.options.set_recursive.read_only => {
            Some(source.as_str())
        }
        _ => None,
    });
    for reachable in root.into_iter().chain(binds) {
        // What is not there is refused by the planner.
        let Ok(reachable) = std::fs::canonicalize(reachable) else {
            continue;
        };
        let is_inside = places.iter().any(|place| place.starts_with(&reachable));
        if reachable.parent().is_some() && is_inside {
            let message = format!(
                "check the data path: {:?} lies in {reachable:?}, which the container can write to",
                place.join(CONFIG)
            );
            let hint = "it would decide how the next container is started; keep container.json in a \
                directory of its own, name that by data_path, and name the root by root_fs, or set readonly_fs";
            return Err(Failure::new(message).with_hint(hint));
        }
    }
    Ok(())
}

fn named_data_path() -> Option<PathBuf> {
    let named = std::env::var_os("data_path").filter(|path| !path.is_empty());
    named.map(PathBuf::from)
}

fn data_path() -> PathBuf {
    named_data_path().unwrap_or_else(|| PathBuf::from("."))
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
