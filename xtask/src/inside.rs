//! The tests somewhere else: this program starts itself in a view, a container or a virtual machine, and reads there
//! what became of each test.
//!
//! The one inside has a [`Job`] in a file and writes one line of JSON per test that ended; the last line says that
//! there is no more. A report without that line is of a place that broke, not of a test.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result, While};
use crate::program::Programs;
use crate::runner::{Finished, Rights, Runner};
use crate::tally::Tally;
use crate::view::{self, View};

/// What is to run inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Where they lie inside.
    pub(crate) programs: Programs,
    /// Only tests whose name contains this.
    pub(crate) filter: String,
    /// The layout of control groups that they see.
    pub(crate) view: Option<View>,
}

/// Options of `inside`.
#[derive(Debug, Args)]
pub(crate) struct Inside {
    /// The job, as the one outside wrote it.
    job: PathBuf,
}

/// One line of the report.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Finished(Finished),
    End,
}

/// How a report ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is whole.
    Complete,
    /// It broke off, or lasted too long; in words.
    Broken(String),
}

impl Job {
    /// All tests of the programs, with the control groups that are there.
    pub(crate) fn all_of(programs: Programs) -> Self {
        Job {
            programs,
            filter: String::new(),
            view: None,
        }
    }

    /// Writes it for the one inside.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).while_doing("write the job")?;
        std::fs::write(path, text).while_doing(path.display())
    }
}

impl Inside {
    /// Runs the tests of the job and reports each on the standard output.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let text = std::fs::read(&self.job).while_doing(self.job.display())?;
        let job: Job = serde_json::from_slice(&text).while_doing(self.job.display())?;
        if let Some(view) = job.view {
            view::enter(view)?;
        }
        let runner = Runner {
            label: "root".into(),
            rights: Rights::Own,
            environment: Vec::new(),
            directory: PathBuf::from("/"),
            filter: job.filter,
        };
        let mut unwritten = None;
        runner.each(&job.programs, |finished| {
            unwritten = write_line(&Line::Finished(finished))
                .err()
                .or(unwritten.take());
        })?;
        match unwritten {
            Some(failure) => Err(failure),
            None => write_line(&Line::End).map(|()| ExitCode::SUCCESS),
        }
    }
}

fn write_line(line: &Line) -> Result<()> {
    let text = serde_json::to_string(line).while_doing("write a report")?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .while_doing("write a report")
}

/// Starts a command whose standard output is a report, and reads it to its end; tests are named after the place.
///
/// The command is killed when the time is up, and what it leaves on its standard error is for the reader of the log.
/// To be called from the main thread: the command ends with the thread that started it.
pub(crate) fn follow(
    command: &mut Command,
    place: &str,
    limit: Duration,
    tally: &mut Tally,
) -> Result<End> {
    let until = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .while_doing(place)?;
    let end = read(&mut child, place, until, tally);
    let status = child.wait().while_doing(place)?;
    Ok(match end? {
        End::Broken(why) => End::Broken(format!("{why}; {status}")),
        End::Complete => End::Complete,
    })
}

fn read(child: &mut Child, place: &str, until: Instant, tally: &mut Tally) -> Result<End> {
    let Some(stdout) = child.stdout.take() else {
        return Err(Failure::new(format!("{place}: no standard output")));
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout)
            .split(b'\n')
            .map_while(|line| line.ok());
        for line in lines {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut counts = Tally::default();
    let mut is_complete = false;
    let why = loop {
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => match parse(&line) {
                Some(Line::Finished(finished)) => add(finished, place, tally, &mut counts),
                Some(Line::End) => is_complete = true,
                None => println!("{place}: {}", String::from_utf8_lossy(&line).trim_end()),
            },
            Err(RecvTimeoutError::Disconnected) => break "it ended in the middle",
            Err(RecvTimeoutError::Timeout) => {
                child.kill().while_doing(place)?;
                break "its time was up";
            }
        }
    };
    println!("{place}: {counts}");
    Ok(if is_complete {
        End::Complete
    } else {
        End::Broken(format!("{why}, after {counts}"))
    })
}

fn parse(line: &[u8]) -> Option<Line> {
    serde_json::from_slice(line).ok()
}

fn add(mut finished: Finished, place: &str, tally: &mut Tally, counts: &mut Tally) {
    finished.name = format!("{place}: {}", finished.name);
    finished.print();
    counts.add("", finished.outcome.clone());
    tally.add(finished.name, finished.outcome);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Outcome;

    fn follow_script(script: &str, limit: Duration) -> (End, Tally) {
        let mut tally = Tally::default();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let end = follow(&mut command, "there", limit, &mut tally).expect("sh");
        (end, tally)
    }

    const PASSED: &str =
        r#"{"Finished":{"name":"a x (root)","outcome":"Passed","took":{"secs":0,"nanos":1}}}"#;
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn report_with_its_end_is_complete_and_names_the_place() {
        let script = format!("echo '{PASSED}'; echo noise; echo '\"End\"'");
        let (end, tally) = follow_script(&script, LONG);
        assert_eq!(end, End::Complete);
        assert_eq!(tally.outcome("there: a x (root)"), Some(&Outcome::Passed));
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn report_without_its_end_is_broken() {
        let (end, tally) = follow_script(&format!("echo '{PASSED}'; exit 3"), LONG);
        assert!(matches!(end, End::Broken(why) if why.contains("exit status: 3")));
        assert!(tally.is_clean());
    }

    #[test]
    fn report_that_lasts_too_long_is_broken() {
        let (end, _) = follow_script("exec sleep 600", Duration::from_millis(20));
        assert!(matches!(end, End::Broken(why) if why.contains("time was up")));
    }
}
