//! What is measured: a program started once per round, or a process that starts one when told.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::library::Library;
use crate::failure::{Failure, Result, While};

/// One row of the bench.
#[derive(Debug)]
pub(super) struct Contender {
    /// How it is called in the table.
    pub(super) name: &'static str,
    /// The row it is compared with.
    pub(super) floor: &'static str,
    /// How one start is made.
    pub(super) way: Way,
}

/// How one start is made.
#[derive(Debug)]
pub(super) enum Way {
    /// By a process of its own; `{id}` in an argument becomes a name that is used once.
    Program(Vec<OsString>, PathBuf),
    /// By a process that is there already, with what it is asked for.
    Library(Library, String),
}

/// Not counted: caches fill, kernel modules load.
const WARM_UP_ROUNDS: usize = 3;
/// The kernel takes namespaces apart after their last process has been waited for, and holds the lock of all networks
/// while it does: no start is to pay for the one before.
const SETTLE: Duration = Duration::from_millis(10);

/// One start of each per round, each round beginning with the next one, so that all see the same machine.
#[expect(
    clippy::disallowed_methods,
    reason = "no descriptor tells when the kernel has taken a namespace apart"
)]
pub(super) fn measure(contenders: &mut [Contender], n_rounds: u32) -> Result<Vec<Vec<u64>>> {
    let n_contenders = contenders.len();
    let n_rounds = usize::try_from(n_rounds).while_doing("rounds")? + WARM_UP_ROUNDS;
    let mut figures = vec![Vec::with_capacity(n_rounds); n_contenders];
    for round in 0..n_rounds {
        for turn in 0..n_contenders {
            let index = (round + turn) % n_contenders;
            thread::sleep(SETTLE);
            let nanoseconds = contenders[index].start(round)?;
            if round >= WARM_UP_ROUNDS {
                figures[index].push(nanoseconds);
            }
        }
    }
    Ok(figures)
}

impl Contender {
    /// Makes one start; gives its nanoseconds, from before the process is made to its end.
    pub(super) fn start(&mut self, round: usize) -> Result<u64> {
        match &mut self.way {
            Way::Library(library, request) => library.ask(request),
            Way::Program(words, directory) => {
                let mut command = command(words, directory, round);
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                let begin = Instant::now();
                let status = command.spawn().and_then(|mut child| child.wait());
                let took = begin.elapsed();
                let status = status.while_doing(self.name)?;
                if !status.success() {
                    return Err(Failure::new(format!("{}: {status}", self.name)));
                }
                u64::try_from(took.as_nanos()).while_doing(self.name)
            }
        }
    }

    /// Peak of resident memory of the process that starts, in KiB; measured by the floor program, because a
    /// process inherits the peak of the one that it was spawned from.
    pub(super) fn resident_kib(&self, floor: &Path) -> Option<u64> {
        let Way::Program(words, directory) = &self.way else {
            return None;
        };
        let mut under = vec![floor.as_os_str().to_owned(), "rss".into()];
        under.extend(words.iter().cloned());
        let mut figures: Vec<u64> = (0..3)
            .filter_map(|round| {
                let output = command(&under, directory, 1_000_000 + round)
                    .stdin(Stdio::null())
                    .output()
                    .ok()?;
                String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .last()?
                    .trim()
                    .parse()
                    .ok()
            })
            .collect();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied()
    }

    /// The first start, with what it says on failure.
    pub(super) fn try_once(&mut self) -> Result<()> {
        if let Way::Program(words, directory) = &self.way {
            let output = command(words, directory, 2_000_000)
                .stdin(Stdio::null())
                .output();
            let output = output.while_doing(self.name)?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr);
                let line = words.lines().last().unwrap_or_default();
                return Err(Failure::new(format!("{}: {line}", output.status)));
            }
            return Ok(());
        }
        self.start(0).map(drop)
    }
}

fn command(words: &[OsString], directory: &Path, round: usize) -> Command {
    let id = format!("ns-bench-{}-{round}", std::process::id());
    let mut words = words.iter().map(|word| match word.to_str() {
        Some("{id}") => OsString::from(&id),
        _ => word.clone(),
    });
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(directory);
    command
}
