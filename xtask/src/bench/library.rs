//! A process of a given size that starts containers by the library.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::failure::{Failure, Result, While};

/// `bench-library`, waiting to be told.
#[derive(Debug)]
pub(super) struct Library {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Library {
    /// Starts the process.
    pub(super) fn spawn(
        program: &Path,
        config: &Path,
        resident_mb: u32,
        n_threads: u32,
    ) -> Result<Library> {
        let mut child = Command::new(program)
            .arg(config)
            .args([resident_mb.to_string(), n_threads.to_string()])
            .arg("/true")
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

    /// Has it make one start; gives the nanoseconds that it measured.
    pub(super) fn start(&mut self) -> Result<u64> {
        let mut answer = String::new();
        if let Some(stdin) = &mut self.stdin {
            stdin.write_all(b"\n").while_doing("bench-library")?;
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
