//! Tests that may not be skipped where CI runs: `ci-must-run.txt`.

use crate::failure::{Failure, Result};
use crate::tally::{Outcome, Tally};

/// The list beside this program: one test per line, `root` or `user` first.
const LIST: &str = include_str!("../ci-must-run.txt");

/// Adds a failure for every listed test of `who` that did not run.
pub(crate) fn check(who: &str, tally: &mut Tally) -> Result<()> {
    for test in parse(LIST)?.into_iter().filter(|(row, _)| *row == who) {
        let name = format!("{} ({who})", test.1);
        let why = match tally.outcome(&name) {
            None => "there is no such test",
            Some(Outcome::Skipped(_)) => "it was skipped",
            Some(_) => continue,
        };
        println!("FAIL {name}: must run, but {why}");
        tally.add(format!("must run: {name}"), Outcome::Failed(why.into()));
    }
    Ok(())
}

fn parse(list: &str) -> Result<Vec<(&str, &str)>> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once(' ') {
            Some((who @ ("root" | "user"), test)) => Ok((who, test.trim())),
            _ => Err(Failure::new(format!(
                "ci-must-run.txt: not `root TEST` or `user TEST`: {line:?}"
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_list_is_readable() {
        assert!(parse(LIST).is_ok_and(|list| !list.is_empty()));
        assert!(parse("everybody x").is_err());
    }

    #[test]
    fn test_that_is_not_there_is_a_failure() {
        let mut tally = Tally::default();
        check("root", &mut tally).expect("a readable list");
        assert!(!tally.is_clean());
    }
}
