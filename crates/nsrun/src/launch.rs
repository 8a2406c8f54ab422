//! Running the command, in the foreground or without us.

use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::path::Path;

use ns_config::Config;
use ns_exec::{Container, ExitStatus, HostTerminal, Process, Relay, Start, StateDir, Stream};

use crate::arguments::{CreateFlags, NameFlags};
use crate::report::Failure;

/// A configuration larger than this is refused.
const CONFIG_LIMIT_BYTES: u64 = 16 << 20;
const SIGKILL: i32 = 9;

pub(crate) fn read_config(path: &Path) -> Result<Config, Failure> {
    let text = read_text(path)?;
    if ns_config::Source::of_document(&text) == ns_config::Source::Oci {
        let message = format!("read the configuration {path:?}: it is a config.json of OCI");
        return Err(Failure::new(message).with_hint(
            "nsrun config --to seed --without-args --config FILE prints it as container.json",
        ));
    }
    Config::from_seed(&text).map_err(|error| Failure::of_configuration(path, &error))
}

/// Reads a configuration file, whatever is in it.
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("read the configuration {path:?}: {error}"));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > CONFIG_LIMIT_BYTES {
        return Err(Failure::new(format!(
            "read the configuration {path:?}: it is no regular file of at most {CONFIG_LIMIT_BYTES} bytes"
        )));
    }
    std::fs::read(path).map_err(failed)
}

/// Gives the command's exit code; 0 when it goes on without us.
pub(crate) fn run(
    mut config: Config,
    command: Vec<OsString>,
    name: &NameFlags,
    root: Option<&Path>,
) -> Result<u8, Failure> {
    match &name.id {
        None => run_nameless(&config, command),
        Some(id) => {
            let dir = crate::verbs::state_dir(root)?;
            if name.detach {
                detach(&mut config, command, id, &dir)
            } else {
                run_named(&config, command, id, &dir)
            }
        }
    }
}

fn run_nameless(config: &Config, command: Vec<OsString>) -> Result<u8, Failure> {
    let prepared = start(config, command)?.prepare()?;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    let process = prepared.start()?;
    let status = stand_by(&relay, &process);
    let end = told(status, &process);
    process.release()?;
    end
}

/// The container is removed when its command has ended.
pub(crate) fn run_named(
    config: &Config,
    command: Vec<OsString>,
    id: &str,
    dir: &StateDir,
) -> Result<u8, Failure> {
    let start = start(config, command)?;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    let container = Container::run(start, id, dir)?;
    stand_by_and_delete(&relay, &container)
}

/// Waits for the command of a container that was started here, and removes the container.
pub(crate) fn stand_by_and_delete(relay: &Relay, container: &Container<'_>) -> Result<u8, Failure> {
    let process = container
        .process()
        .ok_or_else(|| Failure::new("the container has no process".to_owned()))?;
    let status = stand_by(relay, process);
    let end = told(status, process);
    match container.delete() {
        // Somebody else was quicker.
        Err(error) if error.kind() == ns_exec::Kind::NotFound => {}
        removed => removed?,
    }
    end
}

/// The command's exit code; with a word about one that a memory limit has ended, which cannot say so itself.
fn told(status: ns_exec::Result<ExitStatus>, process: &Process) -> Result<u8, Failure> {
    let status = status?;
    let code = exit_code(status);
    match status == ExitStatus::Signaled(SIGKILL) && process.has_met_memory_limit() {
        true => {
            let message =
                "the command was killed, and its group has met its memory limit".to_owned();
            Err(Failure::of_command(message, code)
                .with_hint("\"memory\" of \"cgroups\", or --memory, may be too low for it"))
        }
        false => Ok(code),
    }
}

fn detach(
    config: &mut Config,
    command: Vec<OsString>,
    id: &str,
    dir: &StateDir,
) -> Result<u8, Failure> {
    let start = outliving("--detach", config, command)?
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null);
    Container::run(start, id, dir)?;
    Ok(0)
}

/// The command waits, and this program ends.
pub(crate) fn create(flags: CreateFlags, root: Option<&Path>) -> Result<u8, Failure> {
    let mut config = read_config(&flags.config)?;
    let dir = crate::verbs::state_dir(root)?;
    let start = outliving("create", &mut config, flags.command)?;
    Container::create(start, &flags.id, &dir)?;
    Ok(0)
}

/// A command that goes on when this program has ended.
fn outliving<'a>(
    what: &str,
    config: &'a mut Config,
    command: Vec<OsString>,
) -> Result<Start<'a>, Failure> {
    if config.process.terminal {
        return Err(
            Failure::new(format!("{what}: the configuration asks for a terminal"))
                .with_hint("nobody would read it; set \"tty\" to false"),
        );
    }
    if config.process.parent_death_signal != 0 {
        return Err(Failure::new(format!(
            "{what}: the configuration has the command die with nsrun"
        )));
    }
    // The caller's terminal is to signal and to hang up others.
    config.process.new_session = true;
    Ok(Start::new(config, command))
}

/// Another command in a running container; gives its exit code.
pub(crate) fn run_joined(
    container: &Container<'_>,
    config: &Config,
    command: Vec<OsString>,
) -> Result<u8, Failure> {
    let start = start(config, command)?;
    // ORDER: before the start, so that no signal is lost in between.
    let relay = Relay::new()?;
    let process = container.exec(start)?;
    Ok(exit_code(stand_by(&relay, &process)?))
}

/// A terminal inside begins with the size of the one outside.
pub(crate) fn start(config: &Config, command: Vec<OsString>) -> Result<Start<'_>, Failure> {
    let start = Start::new(config, command);
    Ok(match config.process.terminal {
        true => start.window_size(HostTerminal::size(std::io::stdin().as_fd())?),
        false => start,
    })
}

fn stand_by(relay: &Relay, process: &Process) -> ns_exec::Result<ExitStatus> {
    let stdin = std::io::stdin();
    let terminal = match process.terminal() {
        Some(_) => Some(HostTerminal::raw(stdin.as_fd())?),
        None => None,
    };
    relay.run(process, terminal.as_ref())
}

fn exit_code(status: ExitStatus) -> u8 {
    u8::try_from(status.code() & 0xff).unwrap_or(u8::MAX)
}
