//! What was checked and how it went; ends in the one line that machines read.

use std::fmt;

use crate::failure::Result;

/// How one check or test went.
#[derive(Clone, Debug, PartialEq, Eq)]
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
                println!("  {name}: {}", reason.lines().next().unwrap_or_default());
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
