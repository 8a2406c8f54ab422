//! What is printed, and the exit codes.

use std::io::Write as _;
use std::path::Path;

use ns_exec::{Kind, Stage};

/// An error of our own.
pub(crate) const EXIT_OURS: u8 = 125;
const EXIT_NOT_EXECUTABLE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

/// What ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    also: Vec<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn new(message: String) -> Self {
        Failure {
            message,
            hint: None,
            also: Vec::new(),
            code: EXIT_OURS,
        }
    }

    pub(crate) fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    /// As [`new`](Self::new), of a command that has ended with this code.
    pub(crate) fn of_command(message: String, code: u8) -> Self {
        Failure {
            code,
            ..Self::new(message)
        }
    }

    /// Every problem of a configuration file: the first as the error, each in one line.
    pub(crate) fn of_configuration(path: &Path, error: &ns_config::Error) -> Self {
        let mut problems = error.problems();
        let first = problems.next();
        let line = first.map_or_else(String::new, ns_config::Problem::line);
        Failure {
            message: format!("{path:?}: {}: {line}", error.step()),
            hint: first.and_then(|problem| problem.hint.clone()),
            also: problems.map(with_hint).collect(),
            code: EXIT_OURS,
        }
    }

    /// The first of several, with the other among the further problems.
    pub(crate) fn with_also(mut self, also: Failure) -> Self {
        self.also.push(also.message);
        self.also.extend(also.also);
        self
    }

    /// Further problems, and then one line with the error, its cause and its hint.
    pub(crate) fn lines(&self) -> Vec<String> {
        let also = self.also.iter().map(|also| format!("nsrun: also: {also}"));
        let hint = match &self.hint {
            Some(hint) => format!("; hint: {hint}"),
            None => String::new(),
        };
        let last = format!("nsrun: {}{hint}", self.message);
        also.chain([last]).collect()
    }

    /// Prints the error as what ends the program; gives the exit code.
    pub(crate) fn report(self) -> u8 {
        self.tell();
        self.code
    }

    /// Prints the error and goes on.
    pub(crate) fn tell(&self) {
        for line in self.lines() {
            complain(&format!("{line}\n"));
        }
    }
}

impl From<ns_exec::Error> for Failure {
    fn from(error: ns_exec::Error) -> Self {
        let code = match (error.stage(), error.kind()) {
            (Stage::Command, Kind::NotFound) => EXIT_NOT_FOUND,
            (Stage::Command, _) => EXIT_NOT_EXECUTABLE,
            _ => EXIT_OURS,
        };
        Failure {
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            also: error.also().to_vec(),
            code,
        }
    }
}

fn with_hint(problem: &ns_config::Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{}; hint: {hint}", problem.line()),
        None => problem.line(),
    }
}

/// Prints to the standard output; a full one is an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .map_err(|error| Failure::new(format!("write to the standard output: {error}")))
}

/// Prints to the standard error; when that is closed there is nowhere else to say it.
pub(crate) fn complain(text: &str) {
    let _closed = std::io::stderr().lock().write_all(text.as_bytes());
}
