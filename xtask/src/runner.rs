//! Runs test programs, one process per test, as root or as a plain user.
//!
//! One process per test, because a test of this workspace may change namespaces, ids and limits of
//! its process; and so that what it prints, its `SKIP` line for one, is known to be its own. The same
//! runner serves root, the plain user and the private views of control groups, with or without
//! further tools on the machine.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result, While};
use crate::libtest;
use crate::program::{Programs, TestProgram};
use crate::tally::{Outcome, Tally};

/// A test that takes longer is killed and has failed.
const LIMIT: Duration = Duration::from_secs(180);
/// Tests slower than this are named.
const SLOW: Duration = Duration::from_secs(20);

/// How tests are started.
#[derive(Debug)]
pub(crate) struct Runner {
    /// Stands behind every test's name in parentheses.
    pub(crate) label: String,
    /// Whose rights they have.
    pub(crate) rights: Rights,
    /// Set on top of our own environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Where they start when their package's directory is out of reach.
    pub(crate) directory: PathBuf,
    /// Only tests whose full name contains this.
    pub(crate) filter: String,
}

/// Whose rights a test has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Ours.
    Own,
    /// Root's, by way of `sudo`.
    Sudo,
    /// Those of the user and group with this number, and no other group.
    User(u32),
}

#[derive(Debug)]
struct Test<'a> {
    program: &'a TestProgram,
    name: String,
}

/// A test that has ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// `PACKAGE::PROGRAM TEST (LABEL)`.
    pub(crate) name: String,
    /// How it went.
    pub(crate) outcome: Outcome,
    took: Duration,
}

impl Runner {
    /// Runs all tests of the programs and adds each to the tally by its name.
    pub(crate) fn run(&self, programs: &Programs, tally: &mut Tally) -> Result<()> {
        let mut counts = Tally::default();
        self.each(programs, |finished| {
            finished.print();
            counts.add("", finished.outcome.clone());
            tally.add(finished.name, finished.outcome);
        })?;
        println!("{}: {counts}", self.label);
        Ok(())
    }

    /// Runs all tests of the programs and hands over each as it ends.
    pub(crate) fn each(
        &self,
        programs: &Programs,
        mut hand_over: impl FnMut(Finished),
    ) -> Result<()> {
        let queue = Mutex::new(self.list(programs)?);
        let n_workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..n_workers {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    let next = || {
                        queue
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .pop_front()
                    };
                    while let Some(test) = next() {
                        if sender.send(self.finish(&test, programs)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            receiver.iter().for_each(&mut hand_over);
        });
        Ok(())
    }

    fn list<'a>(&self, programs: &'a Programs) -> Result<VecDeque<Test<'a>>> {
        let mut tests = VecDeque::new();
        for program in &programs.tests {
            let output = self
                .command(program, programs)
                .args(["--list", "--format=terse"])
                .output()
                .while_doing(&program.name)?;
            if !output.status.success() {
                let words = String::from_utf8_lossy(&output.stderr);
                return Err(Failure::new(format!("{} --list: {words}", program.name)));
            }
            let names = libtest::names(&String::from_utf8_lossy(&output.stdout));
            let tests_of_it = names.into_iter().map(|name| Test { program, name });
            tests.extend(tests_of_it.filter(|test| test.full_name().contains(&self.filter)));
        }
        Ok(tests)
    }

    fn finish(&self, test: &Test<'_>, programs: &Programs) -> Finished {
        let begin = Instant::now();
        let outcome = self
            .output_of(test, programs)
            .unwrap_or_else(|failure| Outcome::Failed(failure.to_string()));
        Finished {
            name: format!("{} ({})", test.full_name(), self.label),
            outcome,
            took: begin.elapsed(),
        }
    }

    fn output_of(&self, test: &Test<'_>, programs: &Programs) -> Result<Outcome> {
        // A file and not a pipe: whatever a test leaves running cannot hold us up.
        let mut output = tempfile::tempfile().while_doing("temporary file")?;
        let shared = |file: &File| file.try_clone().while_doing("temporary file");
        let child = self
            .command(test.program, programs)
            .args(["--exact", &test.name, "--nocapture"])
            .stdout(shared(&output)?)
            .stderr(shared(&output)?)
            .process_group(0)
            .spawn()
            .while_doing(&test.name)?;
        let status = wait_within(LIMIT, child);
        let mut text = Vec::new();
        output.rewind().while_doing("temporary file")?;
        output
            .read_to_end(&mut text)
            .while_doing("temporary file")?;
        let text = String::from_utf8_lossy(&text);
        Ok(match status {
            Some(status) if status.code().is_some() => libtest::outcome(status.success(), &text),
            Some(status) => Outcome::Failed(format!("{status}\n{text}")),
            None => Outcome::Failed(format!("killed after {} s\n{text}", LIMIT.as_secs())),
        })
    }

    fn command(&self, program: &TestProgram, programs: &Programs) -> Command {
        let directory = OsString::from(&program.directory);
        let of_program = [
            ("CARGO_MANIFEST_DIR", directory),
            ("NSRUN", OsString::from(&programs.nsrun)),
        ];
        let environment = of_program.iter().chain(&self.environment);
        let mut command = match self.rights {
            Rights::Sudo => {
                // sudo resets the environment.
                let mut command = Command::new("sudo");
                command.args(["-n", "env"]);
                for (name, value) in environment {
                    let mut pair = OsString::from(format!("{name}="));
                    pair.push(value);
                    command.arg(pair);
                }
                command.arg(&program.path);
                command
            }
            Rights::Own | Rights::User(_) => {
                let mut command = Command::new(&program.path);
                command.envs(environment.map(|(name, value)| (name, value)));
                command
            }
        };
        if let Rights::User(id) = self.rights {
            command.uid(id).gid(id);
        }
        command.current_dir(self.start_directory(program));
        command.stdin(Stdio::null());
        command
    }

    fn start_directory<'a>(&'a self, program: &'a TestProgram) -> &'a PathBuf {
        let Rights::User(id) = self.rights else {
            return &program.directory;
        };
        let is_reachable = Command::new("test")
            .arg("-r")
            .arg(program.directory.join("Cargo.toml"))
            .uid(id)
            .gid(id)
            .status()
            .is_ok_and(|status| status.success());
        if is_reachable {
            &program.directory
        } else {
            &self.directory
        }
    }
}

impl Test<'_> {
    fn full_name(&self) -> String {
        format!("{} {}", self.program.name, self.name)
    }
}

impl Finished {
    /// Says what went wrong or took long.
    pub(crate) fn print(&self) {
        if let Outcome::Failed(why) = &self.outcome {
            println!("FAIL {}\n{why}", self.name);
        }
        if self.took > SLOW {
            println!("slow: {} took {:.0} s", self.name, self.took.as_secs_f64());
        }
    }
}

/// Waits for a child that leads a process group; `None` when the time was up and the group was killed.
fn wait_within(limit: Duration, mut child: Child) -> Option<ExitStatus> {
    let group = Pid::from_raw(child.id().cast_signed());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()).is_ok());
    let in_time = receiver.recv_timeout(limit);
    // Also what a test that has ended left running. An empty group is no error of ours.
    let _is_gone = killpg(group, Signal::SIGKILL);
    in_time.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).process_group(0);
        command.spawn().expect("sh")
    }

    #[test]
    fn child_in_time_gives_its_status() {
        let status = wait_within(Duration::from_secs(60), child("exit 3"));
        assert_eq!(status.and_then(|status| status.code()), Some(3));
    }

    #[test]
    fn child_out_of_time_is_killed() {
        assert_eq!(
            wait_within(Duration::from_millis(20), child("sleep 600")),
            None
        );
    }
}
