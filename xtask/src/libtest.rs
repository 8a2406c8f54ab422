//! What Rust's test harness prints.

use crate::tally::Outcome;

/// The numbers of one or more `test result:` lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that ran and hold.
    pub(crate) passed: usize,
    /// Tests that ran and do not hold.
    pub(crate) failed: usize,
    /// Tests that are switched off in the source.
    pub(crate) ignored: usize,
}

/// Adds up all `test result:` lines; `None` when there is none.
pub(crate) fn counts(output: &str) -> Option<Counts> {
    let results = output.lines().filter_map(|line| {
        let (_, numbers) = line.split_once("test result: ")?;
        let (_, numbers) = numbers.split_once(". ")?;
        Some(numbers)
    });
    results
        .map(|numbers| {
            let mut counts = Counts::default();
            for part in numbers.split(';') {
                let (number, what) = part.trim().split_once(' ').unwrap_or_default();
                let number = number.parse().unwrap_or(0);
                match what {
                    "passed" => counts.passed = number,
                    "failed" => counts.failed = number,
                    "ignored" => counts.ignored = number,
                    _ => {}
                }
            }
            counts
        })
        .reduce(|a, b| Counts {
            passed: a.passed + b.passed,
            failed: a.failed + b.failed,
            ignored: a.ignored + b.ignored,
        })
}

/// The tests that a program lists with `--list --format terse`.
pub(crate) fn names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(String::from)
        .collect()
}

/// How a single test went, from the end of its program and all that it printed.
///
/// A test that cannot run here prints `SKIP name: reason` and returns.
pub(crate) fn outcome(has_succeeded: bool, output: &str) -> Outcome {
    if !has_succeeded {
        return Outcome::Failed(output.to_owned());
    }
    if let Some(reason) = output.lines().find_map(skip_reason) {
        return Outcome::Skipped(reason.to_owned());
    }
    match counts(output) {
        Some(Counts { passed: 1, .. }) => Outcome::Passed,
        Some(Counts { ignored: 1, .. }) => Outcome::Skipped("ignored in the source".into()),
        _ => Outcome::Failed(format!("no test ran\n{output}")),
    }
}

/// With one thread the harness prints `test name ... ` without an end of line before the test runs.
fn skip_reason(line: &str) -> Option<&str> {
    let line = match line.split_once(" ... ") {
        Some((start, rest)) if start.starts_with("test ") => rest,
        _ => line,
    };
    let named = line.trim_start().strip_prefix("SKIP ")?;
    Some(named.split_once(": ").map_or(named, |(_, reason)| reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s";

    #[test]
    fn counts_of_several_results_add_up() {
        let output = format!(
            "running 1 test\n{OK}\ntest result: FAILED. 10 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out\n"
        );
        let expected = Counts {
            passed: 11,
            failed: 2,
            ignored: 3,
        };
        assert_eq!(counts(&output), Some(expected));
        assert_eq!(counts("error: could not compile"), None);
    }

    #[test]
    fn list_gives_tests_and_not_benchmarks() {
        let list = "a::b: test\nslow: benchmark\n\n2 tests, 1 benchmark\n";
        assert_eq!(names(list), ["a::b"]);
    }

    #[test]
    fn skip_line_is_a_skip_with_its_reason() {
        for line in ["SKIP a_b: needs root", "test a_b ... SKIP a_b: needs root"] {
            let output = format!("running 1 test\n{line}\nok\n{OK}\n");
            assert_eq!(
                outcome(true, &output),
                Outcome::Skipped("needs root".into())
            );
        }
    }

    #[test]
    fn failed_program_is_a_failure_whatever_it_printed() {
        let output = format!("SKIP a: no\n{OK}");
        assert_eq!(outcome(false, &output), Outcome::Failed(output.clone()));
    }

    #[test]
    fn program_that_ran_nothing_is_a_failure() {
        let output = OK.replace("1 passed", "0 passed");
        assert!(matches!(outcome(true, &output), Outcome::Failed(_)));
        let ignored = output.replace("0 ignored", "1 ignored");
        assert!(matches!(outcome(true, &ignored), Outcome::Skipped(_)));
        assert_eq!(outcome(true, OK), Outcome::Passed);
    }
}
