//! What was checked and how it went; ends in the one line that machines read.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Result;

/// How one check or test went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// It was not tried, for this reason.
    Skipped(String),
    /// It does not hold, for this reason.
    Failed(String),
}

/// All checks so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rows: Vec<(String, Outcome)>,
    uncounted: usize,
}

impl Tally {
    /// Adds a check by name.
    pub(crate) fn add(&mut self, name: impl Into<String>, outcome: Outcome) {
        self.rows.push((name.into(), outcome));
    }

    /// Adds tests that passed and whose names are not known.
    pub(crate) fn add_passed(&mut self, count: usize) {
        self.uncounted += count;
    }

    /// Adds all of another one.
    pub(crate) fn append(&mut self, other: Tally) {
        self.rows.extend(other.rows);
        self.uncounted += other.uncounted;
    }

    /// Runs a step, says so, and adds it as one check.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let outcome = match step() {
            Ok(()) => Outcome::Passed,
            Err(failure) => {
                println!("FAIL {name}: {failure}");
                Outcome::Failed(failure.to_string())
            }
        };
        self.add(name, outcome);
    }

    /// Forgets skips of tests that need rights they have in another run and ran there; says how many.
    ///
    /// `NAME (user)` that says "needs root" is no loss when `NAME (root)` ran, nor the other way round.
    pub(crate) fn forget_skips_for_rights(&mut self) -> usize {
        let (ran, n_before) = (self.ran(), self.rows.len());
        self.rows.retain(|(name, outcome)| {
            let other = match (outcome, name.rsplit_once(" (")) {
                (Outcome::Skipped(why), Some((test, "user)"))) if wants_root(why) => {
                    format!("{test} (root)")
                }
                (Outcome::Skipped(why), Some((test, "root)")))
                    if why.starts_with("needs a plain user") =>
                {
                    format!("{test} (user)")
                }
                _ => return true,
            };
            !ran.contains(&other)
        });
        n_before - self.rows.len()
    }

    fn ran(&self) -> BTreeSet<String> {
        let ran = self
            .rows
            .iter()
            .filter(|(_, outcome)| !matches!(outcome, Outcome::Skipped(_)));
        ran.map(|(name, _)| name.clone()).collect()
    }

    /// How the named check went.
    pub(crate) fn outcome(&self, name: &str) -> Option<&Outcome> {
        let row = self.rows.iter().find(|(row, _)| row == name);
        row.map(|(_, outcome)| outcome)
    }

    /// Whether nothing failed.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed().count() == 0
    }

    /// Prints what was skipped and what failed, then the counts as the last line.
    pub(crate) fn print(&self) {
        let skipped: Vec<_> = self.skipped().collect();
        if !skipped.is_empty() {
            println!("\nskipped:");
            for (name, reason) in skipped {
                println!("  {name}: {reason}");
            }
        }
        if !self.is_clean() {
            println!("\nfailed:");
            for (name, reason) in self.failed() {
                println!("  {name}: {}", gist(reason));
            }
        }
        println!("\n{self}");
    }

    fn skipped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows
            .iter()
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Skipped(reason) => Some((name.as_str(), reason.as_str())),
                _ => None,
            })
    }

    fn failed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows
            .iter()
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Failed(reason) => Some((name.as_str(), reason.as_str())),
                _ => None,
            })
    }
}

/// What a test says that tried, or knows better than to try.
fn wants_root(why: &str) -> bool {
    why.starts_with("needs root") || why.contains("EACCES (") || why.contains("EPERM (")
}

/// The line that says most: what a panic said, else the first line with words.
fn gist(reason: &str) -> &str {
    let after_panic = reason
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .nth(1);
    let first = || reason.lines().find(|line| !line.trim().is_empty());
    after_panic.or_else(first).unwrap_or_default()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, skipped) = (self.failed().count(), self.skipped().count());
        let passed = self.uncounted + self.rows.len() - failed - skipped;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn skip_for_rights_is_forgotten_when_the_other_run_had_them() {
        let mut tally = Tally::default();
        tally.add("a x (root)", Outcome::Passed);
        tally.add("a x (user)", Outcome::Skipped("needs root".into()));
        tally.add("a y (user)", Outcome::Skipped("needs root".into()));
        tally.add("a z (root)", Outcome::Passed);
        tally.add("a z (user)", Outcome::Skipped("no user namespaces".into()));
        tally.add(
            "a z (user)",
            Outcome::Skipped("mkdirat(x): EACCES (permission denied)".into()),
        );
        assert_eq!(tally.forget_skips_for_rights(), 2);
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn gist_of_a_failure_is_what_the_panic_said() {
        let output =
            "\nrunning 1 test\nthread 'x' panicked at a.rs:1:\nleft is not right\nnote: y\n";
        assert_eq!(gist(output), "left is not right");
        assert_eq!(gist("\n\nexit status: 101\n"), "exit status: 101");
    }

    #[test]
    fn counts_add_up_to_all_rows() {
        let mut tally = Tally::default();
        tally.add_passed(3);
        tally.add("a", Outcome::Passed);
        tally.add("b", Outcome::Skipped("no root".into()));
        tally.step("c", || Err(Failure::new("broken")));
        assert_eq!(tally.to_string(), "4 passed, 1 failed, 1 skipped");
        assert!(!tally.is_clean());
        assert_eq!(tally.outcome("c"), Some(&Outcome::Failed("broken".into())));
    }
}
