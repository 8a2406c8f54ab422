//! What went wrong, and where in the configuration.

use std::fmt;

/// The result of a call of this crate that did not succeed: the step, and one or more problems.
///
/// It prints as `<step>: <pointer>: <value>: <rule broken>; accepted: <what is>`, with `hint:` and
/// `also:` on lines of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    step: &'static str,
    first: Problem,
    more: Vec<Problem>,
}

/// What a program could do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The document is not JSON, or not an object.
    Syntax,
    /// A key that means nothing here.
    UnknownKey,
    /// A key that is given twice.
    DuplicateKey,
    /// A string where a number is needed, and the like.
    WrongType,
    /// Something that must be there is not.
    Missing,
    /// The value is not one of those that are accepted.
    InvalidValue,
    /// Two settings contradict each other, or one needs another.
    Conflict,
    /// The value is meaningful, but cannot be expressed in this format or applied by this program.
    Unsupported,
    /// A user or group is not in the files that were given.
    NotFound,
    /// The value is larger than the kernel takes.
    Limit,
    /// The value would reach out of the container.
    Hostile,
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What a program could do about it.
    pub kind: Kind,
    /// JSON pointer, or command-line flag; empty is the whole document.
    pub pointer: String,
    /// The value as found, shortened; empty when there is none or when it must not be shown.
    pub value: String,
    /// The rule that it breaks.
    pub rule: String,
    /// What is accepted; empty when the rule says it.
    pub accepted: String,
    /// Advice, often the nearest accepted value.
    pub hint: Option<String>,
}

/// Every problem that [`Config::validate`](crate::Config::validate) found; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Error {
    pub(crate) fn new(step: &'static str, first: Problem) -> Self {
        Error(Box::new(Inner {
            step,
            first,
            more: Vec::new(),
        }))
    }

    /// An error out of all problems, or nothing when there are none.
    pub(crate) fn from_problems(step: &'static str, problems: Problems) -> Option<Self> {
        let mut list = problems.list.into_iter();
        let first = list.next()?;
        Some(Error(Box::new(Inner {
            step,
            first,
            more: list.collect(),
        })))
    }

    /// The kind of the first problem.
    pub fn kind(&self) -> Kind {
        self.0.first.kind
    }

    /// Always `None`: this crate makes no system call.
    pub fn errno(&self) -> Option<i32> {
        None
    }

    /// What was being done, e.g. `read container.json`.
    pub fn step(&self) -> &'static str {
        self.0.step
    }

    /// The JSON pointer (or flag) of the first problem; empty is the whole document.
    pub fn pointer(&self) -> &str {
        &self.0.first.pointer
    }

    /// The advice of the first problem.
    pub fn hint(&self) -> Option<&str> {
        self.0.first.hint.as_deref()
    }

    /// Every problem, in the order of the document; at least one.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        std::iter::once(&self.0.first).chain(&self.0.more)
    }

    /// The same error, with problems that name no place placed at `pointer`.
    #[must_use]
    pub fn at(mut self, pointer: &str) -> Self {
        for problem in std::iter::once(&mut self.0.first).chain(&mut self.0.more) {
            if problem.pointer.is_empty() {
                problem.pointer = pointer.to_owned();
            }
        }
        self
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut list = vec![self.0.first];
        list.extend(self.0.more);
        list
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.step, self.0.first)?;
        self.0
            .more
            .iter()
            .try_for_each(|problem| write!(f, "\nalso: {problem}"))
    }
}

impl std::error::Error for Error {}

impl Problem {
    pub(crate) fn new(kind: Kind, pointer: &str, value: impl fmt::Debug, rule: &str) -> Self {
        Problem {
            kind,
            pointer: pointer.to_owned(),
            value: shorten(&format!("{value:?}")),
            rule: rule.to_owned(),
            accepted: String::new(),
            hint: None,
        }
    }

    /// A problem whose value does not exist or must not be shown.
    pub(crate) fn bare(kind: Kind, pointer: &str, rule: &str) -> Self {
        Problem {
            kind,
            pointer: pointer.to_owned(),
            value: String::new(),
            rule: rule.to_owned(),
            accepted: String::new(),
            hint: None,
        }
    }

    pub(crate) fn accepted(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = accepted.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds `did you mean "…"?` when there is a near enough candidate.
    pub(crate) fn nearest(mut self, nearest: Option<&str>) -> Self {
        self.hint = nearest
            .map(|name| format!("did you mean {name:?}?"))
            .or(self.hint);
        self
    }
}

impl Problem {
    /// The problem in one line, without the advice.
    #[must_use]
    pub fn line(&self) -> String {
        let parts = [&self.pointer, &self.value, &self.rule];
        let parts: Vec<&str> = parts
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        let line = parts.join(": ");
        match self.accepted.as_str() {
            "" => line,
            accepted => format!("{line}; accepted: {accepted}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Problems {
    pub(crate) fn none() -> Self {
        Problems { list: Vec::new() }
    }

    pub(crate) fn from_list(list: Vec<Problem>) -> Self {
        Problems { list }
    }

    /// Whether nothing is wrong; never so for what a call returned.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The problems, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    pub(crate) fn extend_at(&mut self, pointer: &str, error: Error) {
        self.list.extend(error.at(pointer).into_problems());
    }

    /// `Ok` when nothing is wrong.
    pub(crate) fn into_result(self) -> Result<(), Problems> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self),
        }
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CHECK)?;
        for (problem_idx, problem) in self.list.iter().enumerate() {
            let lead = if problem_idx == 0 { ": " } else { "\nalso: " };
            write!(f, "{lead}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let nothing = Problem::bare(Kind::InvalidValue, "", "is not valid");
        Error::from_problems(CHECK, problems).unwrap_or_else(|| Error::new(CHECK, nothing))
    }
}

const CHECK: &str = "check configuration";

/// Keeps a value readable inside one line.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    if text.chars().count() <= MAX_CHARS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARS).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_with_two_problems_prints_each_on_its_line() {
        let mut problems = Problems::none();
        problems.push(
            Problem::new(Kind::InvalidValue, "/a", "x y", "is not a host name")
                .accepted("letters")
                .hint("try \"xy\""),
        );
        problems.push(Problem::bare(Kind::Missing, "/b", "is missing"));
        let error = Error::from_problems("read container.json", problems).unwrap();
        assert_eq!(
            error.to_string(),
            "read container.json: /a: \"x y\": is not a host name; accepted: letters\n\
             hint: try \"xy\"\nalso: /b: is missing"
        );
    }

    #[test]
    fn long_value_is_shortened() {
        let problem = Problem::new(Kind::Limit, "/a", "x".repeat(5000), "is too long");
        assert!(problem.to_string().len() < 200, "one line stays readable");
    }
}
