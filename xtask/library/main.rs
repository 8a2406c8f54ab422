//! Does by the library what a bench measures, one line of its standard input at a time.
//!
//! * `bench-library start CONFIG RESIDENT_MB THREADS COMMAND...`: a process of that size; each line is a start
//! * `bench-library container CONFIG STATE_DIRECTORY`: containers with an id; each line is a request of [`container`]
//!
//! Each line is answered with the nanoseconds that it took. `NS_BENCH_PIDS` is the limit of processes, which the
//! format of the configuration does not know.
#![expect(clippy::print_stdout, reason = "the bench reads its answers there")]

mod container;

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use ns_config::Config;
use ns_config::cgroup::Limit;
use ns_exec::{ExitStatus, Start, StateDir, Stream};

use crate::container::Containers;

/// Kept touched, so that it is resident.
const PAGE_BYTES: usize = 4096;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().ok_or("usage: see the head of main.rs");
    let (what, file) = (next()?, next()?);
    let config = read_config(Path::new(&file))?;
    match what.to_str() {
        Some("start") => {
            let resident_mb: usize = next()?.to_string_lossy().parse()?;
            let n_threads: usize = next()?.to_string_lossy().parse()?;
            let command: Vec<OsString> = arguments.collect();
            let memory = resident(resident_mb << 20);
            let _parked: Vec<_> = (1..n_threads).map(|_| parked_thread()).collect();
            answer_lines(|_| start(&config, &command))?;
            drop(memory);
            Ok(())
        }
        Some("container") => {
            let dir = StateDir::open(next()?)?;
            let mut containers = Containers::new(&config, &dir);
            let answered = answer_lines(|request| containers.answer(request));
            answered.and(containers.end())
        }
        _ => Err("the first word is start or container".into()),
    }
}

fn answer_lines(mut answer: impl FnMut(&str) -> Outcome<u128>) -> Outcome<()> {
    for line in stdin().lock().lines() {
        println!("{}", answer(&line?)?);
        stdout().flush()?;
    }
    Ok(())
}

fn read_config(file: &Path) -> Outcome<Config> {
    let mut config = Config::from_seed(&std::fs::read(file)?)?;
    // A layout without controllers has no limits at all.
    if let (Some(cgroup), Ok(limit)) = (&mut config.cgroup, std::env::var("NS_BENCH_PIDS"))
        && cgroup.memory.limit_bytes.is_some()
    {
        cgroup.pids = Some(Limit::Value(limit.parse()?));
    }
    Ok(config)
}

fn resident(n_bytes: usize) -> Vec<u8> {
    let mut memory = vec![0; n_bytes];
    memory
        .iter_mut()
        .step_by(PAGE_BYTES)
        .for_each(|byte| *byte = 1);
    memory
}

/// Lives until its sender is dropped.
fn parked_thread() -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || receiver.recv().is_ok());
    sender
}

fn start(config: &Config, command: &[OsString]) -> Outcome<u128> {
    let begin = Instant::now();
    let process = quiet(Start::new(config, command.iter().cloned()))
        .prepare()?
        .start()?;
    let status = process.wait()?;
    process.release()?;
    let nanoseconds = begin.elapsed().as_nanos();
    check_end(status).map(|()| nanoseconds)
}

/// A command that fails measures nothing.
fn check_end(status: ExitStatus) -> Outcome<()> {
    match status.code() {
        0 => Ok(()),
        code => Err(format!("the command ended with {code}").into()),
    }
}

/// With nothing to read and nowhere to write to.
fn quiet(start: Start<'_>) -> Start<'_> {
    start
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null)
}
