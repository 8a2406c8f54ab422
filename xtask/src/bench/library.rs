//! A process of a given size that starts containers by the library.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::place::Place;
use crate::failure::{Failure, Result, While};

/// The limit of processes of containers that have limits.
pub(super) const N_PIDS: u32 = 64;

/// `bench-library`, waiting to be told.
#[derive(Debug)]
pub(super) struct Library {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Library {
    /// A process of a size, which starts containers.
    pub(super) fn starting(
        place: &Place,
        config: &Path,
        resident_mb: u32,
        n_threads: u32,
    ) -> Result<Library> {
        let mut command = Command::new(&place.library);
        command
            .arg("start")
            .arg(config)
            .args([resident_mb.to_string(), n_threads.to_string()])
            .arg("/true");
        Library::spawn(command)
    }

    /// A process that has containers with an id, and ends with them.
    pub(super) fn holding(place: &Place, config: &Path, states: &Path) -> Result<Library> {
        let mut command = Command::new(&place.library);
        command.arg("container").arg(config).arg(states);
        Library::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Library> {
        let mut child = command
            // The seed's format has no limit of processes.
            .env("NS_BENCH_PIDS", N_PIDS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .while_doing("bench-library")?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or_else(|| Failure::new("bench-library has no pipe"))?;
        Ok(Library {
            child,
            stdin,
            answers: BufReader::new(stdout),
        })
    }

    /// Has it do what one line says; gives the nanoseconds that it measured.
    pub(super) fn ask(&mut self, request: &str) -> Result<u64> {
        let mut answer = String::new();
        if let Some(stdin) = &mut self.stdin {
            writeln!(stdin, "{request}").while_doing("bench-library")?;
        }
        self.answers
            .read_line(&mut answer)
            .while_doing("bench-library")?;
        answer
            .trim()
            .parse()
            .while_doing("bench-library gave no time")
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("bench-library: {error}");
        }
    }
}
