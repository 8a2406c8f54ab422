//! The one error of this program: a sentence for the person at the terminal.

use std::fmt;

/// What went wrong, in words.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// The result type of this program.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that is known by its own words.
    pub(crate) fn new(words: impl Into<String>) -> Self {
        Failure(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds what was being done to an error of another kind.
pub(crate) trait While<T> {
    /// Names the step that the error ended.
    fn while_doing(self, step: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> While<T> for std::result::Result<T, E> {
    fn while_doing(self, step: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{step}: {error}")))
    }
}
