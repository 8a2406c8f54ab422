//! Verbs on containers that have an id.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::str::FromStr as _;

use clap::{ArgMatches, Args, Command, Subcommand, value_parser};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use ns_config::CgroupConfig;
use ns_config::cgroup::Limit;
use ns_exec::{Container, Kind, MemoryEvent, MemoryEvents, StateDir};
use serde_json::{Value, json};

use crate::flag::{self, Flag, by_table, value};
use crate::report::{Failure, print};

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum ContainerVerb {
    /// List the containers that have an id.
    ///
    /// The status is found out by looking: created (the command waits for nsrun start), running, paused, stopped (the
    /// command has ended), stale (of another boot, or its start was cut off), creating; or damaged, when what was
    /// written about it cannot be read.
    List {
        /// Print JSON: a list of objects with id, status, pid and, of a damaged one, error.
        #[arg(long)]
        json: bool,
        /// Print the ids alone.
        #[arg(long, short, conflicts_with = "json")]
        quiet: bool,
    },
    /// Print what is known about a container, as JSON.
    State { id: String },
    /// Let the command of a created container begin; its exit code is 0 when the command runs, 126 or 127 as of nsrun run.
    Start { id: String },
    /// List the processes of a container by their numbers on the host.
    Ps {
        id: String,
        /// Print JSON: a list of numbers.
        #[arg(long)]
        json: bool,
    },
    /// Print what a container uses, as JSON in the form of nsinit stats.
    ///
    /// Times are in nanoseconds, sizes in bytes, traffic is as the container sees it. Zeros are left out.
    Stats { id: String },
    /// Print a line of JSON for each lack of memory, until the container ends.
    Events { id: String },
    /// Stop all processes of a container until it is resumed.
    Pause { id: String },
    /// Let the processes of a paused container go on.
    Resume { id: String },
    /// Send a signal to the command of a container.
    ///
    /// A command that is the first of its pid namespace, as in a sandbox, ignores what it does not handle, TERM too:
    /// KILL ends it in any case.
    Kill {
        id: String,
        /// Name or number, such as TERM, SIGUSR1 or 9.
        #[arg(default_value = "TERM", value_parser = signal)]
        signal: i32,
        /// Send it to every process of the container.
        #[arg(long)]
        all: bool,
    },
    /// Remove containers whose command has ended, or was not started yet: what is left in their groups, the groups, interfaces, state.
    Delete {
        #[arg(required = true)]
        id: Vec<String>,
        /// End the command first; forget a container whose state cannot be read; be content when there is none.
        #[arg(long, short)]
        force: bool,
    },
    /// Change limits of a running container; those that are not named stay as they are.
    Update(Box<UpdateFlags>),
}

// Limits of a control group.
#[derive(Debug)]
pub(crate) struct Limits {
    memory: Option<Limit>,
    memory_swap: Option<Limit>,
    memory_reservation: Option<Limit>,
    cpu_shares: Option<u64>,
    cpu_quota: Option<Limit>,
    cpu_period: Option<u64>,
    cpuset_cpus: Option<String>,
    cpuset_mems: Option<String>,
    pids_limit: Option<Limit>,
    blkio_weight: Option<u16>,
}

impl Limits {
    pub(crate) const FLAGS: [Flag; 10] = [
        Flag::new(
            "memory",
            &["BYTES"],
            "Memory: a number of bytes, with k, m or g for powers of 1024, or max",
        )
        .typed(|arg| arg.value_parser(bytes)),
        Flag::new("memory-swap", &["BYTES"], "Memory and swap together")
            .typed(|arg| arg.value_parser(bytes)),
        Flag::new(
            "memory-reservation",
            &["BYTES"],
            "Memory that is protected, or kept to when memory is short",
        )
        .typed(|arg| arg.value_parser(bytes)),
        Flag::new(
            "cpu-shares",
            &["N"],
            "Relative processor time, 2 to 262144; 1024 is usual",
        )
        .typed(|arg| arg.value_parser(value_parser!(u64))),
        Flag::new(
            "cpu-quota",
            &["US"],
            "Processor time per period in microseconds, or max",
        )
        .typed(|arg| arg.value_parser(limit)),
        Flag::new(
            "cpu-period",
            &["US"],
            "Length of the period in microseconds, 1000 to 1000000",
        )
        .typed(|arg| arg.value_parser(value_parser!(u64))),
        Flag::new("cpuset-cpus", &["LIST"], "Processors, such as 0-3,7"),
        Flag::new("cpuset-mems", &["LIST"], "Memory nodes, such as 0"),
        Flag::new(
            "pids-limit",
            &["N"],
            "Number of processes and threads, or max",
        )
        .typed(|arg| arg.value_parser(limit)),
        Flag::new(
            "blkio-weight",
            &["N"],
            "Relative weight on block devices, 10 to 1000",
        )
        .typed(|arg| arg.value_parser(value_parser!(u16))),
    ];

    fn describe(command: Command) -> Command {
        flag::describe(command, &Self::FLAGS)
    }

    pub(crate) fn read(matches: &ArgMatches) -> Self {
        Limits {
            memory: value(matches, "memory"),
            memory_swap: value(matches, "memory-swap"),
            memory_reservation: value(matches, "memory-reservation"),
            cpu_shares: value(matches, "cpu-shares"),
            cpu_quota: value(matches, "cpu-quota"),
            cpu_period: value(matches, "cpu-period"),
            cpuset_cpus: value(matches, "cpuset-cpus"),
            cpuset_mems: value(matches, "cpuset-mems"),
            pids_limit: value(matches, "pids-limit"),
            blkio_weight: value(matches, "blkio-weight"),
        }
    }
}

by_table!(Limits);

#[derive(Debug, Args)]
pub(crate) struct UpdateFlags {
    id: String,
    #[command(flatten)]
    limits: Limits,
}

pub(crate) fn state_dir(root: Option<&Path>) -> Result<StateDir, Failure> {
    Ok(match root {
        Some(root) => StateDir::open(root)?,
        None => StateDir::default_place()?,
    })
}

pub(crate) fn run(verb: ContainerVerb, root: Option<&Path>) -> Result<u8, Failure> {
    let dir = state_dir(root)?;
    let open = |id: &str| Container::open(id, &dir);
    match verb {
        ContainerVerb::List { json, quiet } => list(&dir, json, quiet)?,
        ContainerVerb::State { id } => print_json(&describe(&open(&id)?)?)?,
        ContainerVerb::Start { id } => open(&id)?.start()?,
        ContainerVerb::Ps { id, json } => ps(&open(&id)?, json)?,
        ContainerVerb::Stats { id } => print_json(&open(&id)?.stats()?)?,
        ContainerVerb::Events { id } => events(&open(&id)?)?,
        ContainerVerb::Pause { id } => open(&id)?.pause()?,
        ContainerVerb::Resume { id } => open(&id)?.resume()?,
        ContainerVerb::Kill { id, signal, all } => match all {
            true => open(&id)?.signal_all(signal)?,
            false => open(&id)?.signal(signal)?,
        },
        ContainerVerb::Delete { id, force } => return delete(&dir, &id, force),
        ContainerVerb::Update(flags) => {
            let settings = settings(&flags.limits);
            if settings == CgroupConfig::default() {
                return Err(Failure::new("update: no limit is named".to_owned())
                    .with_hint("nsrun update --help lists them"));
            }
            open(&flags.id)?.update(&settings)?;
        }
    }
    Ok(0)
}

fn list(dir: &StateDir, as_json: bool, ids_only: bool) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (id, found) in Container::list(dir)? {
        rows.push(match found.and_then(|found| Ok((found.status()?, found))) {
            Ok((status, found)) => {
                let pid = status.is_alive().then(|| found.state().init_pid);
                json!({"id": id, "status": status.as_str(), "pid": pid})
            }
            Err(error) => {
                json!({"id": id, "status": "damaged", "pid": null, "error": error.to_string()})
            }
        });
    }
    if as_json {
        return print_json(&rows);
    }
    let text = |row: &Value, key: &str| match &row[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let width = rows.iter().map(|row| text(row, "id").len()).max();
    let width = width.unwrap_or(0).max(2);
    let mut lines = String::new();
    if !ids_only {
        append(
            &mut lines,
            format_args!("{:width$}  {:8}  PID\n", "ID", "STATUS"),
        );
    }
    for row in &rows {
        let (id, status, pid) = (text(row, "id"), text(row, "status"), text(row, "pid"));
        match ids_only {
            true => append(&mut lines, format_args!("{id}\n")),
            false => append(&mut lines, format_args!("{id:width$}  {status:8}  {pid}\n")),
        }
    }
    print(&lines)
}

fn describe(container: &Container<'_>) -> Result<Value, Failure> {
    let (status, state) = (container.status()?, container.state());
    Ok(json!({
        "id": state.id,
        "status": status.as_str(),
        "pid": status.is_alive().then_some(state.init_pid),
        "start_ticks": state.init_start_ticks,
        "boot_id": state.boot_id,
        "namespaces": state.namespace_inodes,
        "cgroup_paths": state.cgroup_paths,
        "host_interfaces": state.host_interfaces,
    }))
}

fn ps(container: &Container<'_>, as_json: bool) -> Result<(), Failure> {
    let pids = container.processes()?;
    if as_json {
        return print_json(&pids);
    }
    let mut text = "    PID  COMMAND\n".to_owned();
    for pid in pids {
        // One that has ended meanwhile has none.
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = command
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        // What a process calls itself is not to reach the terminal as it is.
        let words: Vec<String> = words.map(|word| word.escape_ascii().to_string()).collect();
        append(&mut text, format_args!("{pid:7}  {}\n", words.join(" ")));
    }
    print(&text)
}

pub(crate) fn events(container: &Container<'_>) -> Result<(), Failure> {
    let mut events = container.memory_events()?;
    let process = container.open_process()?;
    while let Some(count) = next_event(&mut events, &process)? {
        let line = json!({"type": "oom", "id": container.id(), "count": count});
        print(&format!("{line}\n"))?;
    }
    Ok(())
}

/// How often there was no memory since the last time; `None` when the container has ended.
fn next_event(events: &mut MemoryEvents, process: &OwnedFd) -> Result<Option<u64>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("wait for events: {error}"));
    loop {
        let mut polled = [
            PollFd::new(events.as_fd(), PollFlags::POLLIN),
            PollFd::new(process.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            result => drop(result.map_err(|errno| failed(&errno))?),
        }
        let has_ended = polled[1].any().unwrap_or(true);
        match events.take().map_err(|error| failed(&error))? {
            Some(MemoryEvent::OutOfMemory(count)) => return Ok(Some(count)),
            Some(MemoryEvent::Ended) => return Ok(None),
            None if has_ended => return Ok(None),
            None => {}
        }
    }
}

/// All are tried; the first failure is the error and the others go before it.
fn delete(dir: &StateDir, ids: &[String], force: bool) -> Result<u8, Failure> {
    let failures: Vec<Failure> = ids
        .iter()
        .filter_map(|id| delete_one(dir, id, force).err())
        .map(Failure::from)
        .collect();
    match failures.into_iter().reduce(Failure::with_also) {
        None => Ok(0),
        Some(failure) => Err(failure),
    }
}

fn delete_one(dir: &StateDir, id: &str, force: bool) -> ns_exec::Result<()> {
    let found = Container::open(id, dir);
    if !force {
        return found?.delete();
    }
    let removed = match found {
        Ok(container) => container.kill_and_delete(),
        // A start that was killed at its very begin has left a directory.
        Err(error) if error.kind() == Kind::NotFound => return dir.clear(id),
        Err(error) => dir.forget(id).map_err(|_| error),
    };
    match removed {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The limits that are named.
pub(crate) fn settings(limits: &Limits) -> CgroupConfig {
    let mut config = CgroupConfig::default();
    config.memory.limit_bytes = limits.memory;
    config.memory.total_bytes = limits.memory_swap;
    config.memory.reservation_bytes = limits.memory_reservation;
    config.cpu.shares = limits.cpu_shares;
    config.cpu.quota_us = limits.cpu_quota;
    config.cpu.period_us = limits.cpu_period;
    config.cpu.cpus = limits.cpuset_cpus.clone();
    config.cpu.mems = limits.cpuset_mems.clone();
    config.pids = limits.pids_limit;
    config.io.weight = limits.blkio_weight;
    config
}

fn limit(word: &str) -> Result<Limit, String> {
    match word {
        "max" | "-1" => Ok(Limit::Max),
        word => word
            .parse()
            .map(Limit::Value)
            .map_err(|error| format!("{error}; a number or max is accepted")),
    }
}

fn bytes(word: &str) -> Result<Limit, String> {
    let (digits, shift) = match word.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&word[..at], 10),
        Some((at, 'm' | 'M')) => (&word[..at], 20),
        Some((at, 'g' | 'G')) => (&word[..at], 30),
        _ => (word, 0),
    };
    match limit(digits)? {
        Limit::Value(number) => number
            .checked_mul(1 << shift)
            .map(Limit::Value)
            .ok_or_else(|| "the number is too large".to_owned()),
        Limit::Max if shift == 0 => Ok(Limit::Max),
        Limit::Max => Err("max has no unit".to_owned()),
    }
}

fn signal(word: &str) -> Result<i32, String> {
    if let Ok(number) = word.parse::<i32>() {
        let is_signal = (1..=64).contains(&number);
        return is_signal
            .then_some(number)
            .ok_or_else(|| "signals are 1 to 64".to_owned());
    }
    let upper = word.to_ascii_uppercase();
    let name = match upper.starts_with("SIG") {
        true => upper,
        false => format!("SIG{upper}"),
    };
    Signal::from_str(&name)
        .map(|signal| signal as i32)
        .map_err(|_| "there is no such signal".to_owned())
}

pub(crate) fn append(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("a string takes what fits into memory");
}

pub(crate) fn print_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("write JSON: {error}")))?;
    print(&format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (word, expected) in [
            ("0", Some(Limit::Value(0))),
            ("4096", Some(Limit::Value(4096))),
            ("64m", Some(Limit::Value(64 << 20))),
            ("1G", Some(Limit::Value(1 << 30))),
            ("max", Some(Limit::Max)),
            ("-1", Some(Limit::Max)),
            ("", None),
            ("m", None),
            ("maxm", None),
            ("64x", None),
            ("18446744073709551615g", None),
        ] {
            assert_eq!(bytes(word).ok(), expected, "{word:?}");
        }
    }

    #[test]
    fn signals_are_names_or_numbers() {
        for (word, expected) in [
            ("9", Some(9)),
            ("kill", Some(9)),
            ("SIGTERM", Some(15)),
            ("0", None),
            ("65", None),
            ("-9", None),
            ("NOPE", None),
        ] {
            assert_eq!(signal(word).ok(), expected, "{word:?}");
        }
    }
}
