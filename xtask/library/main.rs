//! Starts containers by the library from a process of a given size, one per line of its standard input.
//!
//! `bench-library CONFIG RESIDENT_MB THREADS COMMAND...`; answers each line with the nanoseconds of one
//! start, from the plan to the end of the command.
#![expect(clippy::print_stdout, reason = "the bench reads its answers there")]

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::mpsc;
use std::time::Instant;

use ns_config::Config;
use ns_exec::{Start, Stream};

/// Kept touched, so that it is resident.
const PAGE_BYTES: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || {
        arguments
            .next()
            .ok_or("usage: bench-library CONFIG RESIDENT_MB THREADS COMMAND...")
    };
    let config = Config::from_seed(&std::fs::read(next()?)?)?;
    let resident_mb: usize = next()?.to_string_lossy().parse()?;
    let n_threads: usize = next()?.to_string_lossy().parse()?;
    let command: Vec<OsString> = arguments.collect();
    let memory = resident(resident_mb << 20);
    let _parked: Vec<_> = (1..n_threads).map(|_| parked_thread()).collect();
    for line in stdin().lock().lines() {
        line?;
        let nanoseconds = start(&config, &command)?;
        println!("{nanoseconds}");
        stdout().flush()?;
    }
    drop(memory);
    Ok(())
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

fn start(config: &Config, command: &[OsString]) -> Result<u128, Box<dyn Error>> {
    let begin = Instant::now();
    let status = Start::new(config, command.iter().cloned())
        .stdin(Stream::Null)
        .stdout(Stream::Null)
        .stderr(Stream::Null)
        .prepare()?
        .start()?
        .wait()?;
    let nanoseconds = begin.elapsed().as_nanos();
    if status.code() != 0 {
        return Err(format!("the command ended with {}", status.code()).into());
    }
    Ok(nanoseconds)
}
