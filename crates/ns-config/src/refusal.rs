//! Settings that a format cannot express, collected while writing.

use crate::{
    error::{Error, Kind, Problem, Problems},
    source::{Setting, Source},
};

/// What cannot be written; nothing is left out silently.
pub(crate) struct Refusals {
    source: Source,
    format: &'static str,
    problems: Problems,
}

impl Refusals {
    /// For a configuration that came from `source` and is written in `format`.
    pub(crate) fn new(source: Source, format: &'static str) -> Self {
        Refusals {
            source,
            format,
            problems: Problems::none(),
        }
    }

    /// Notes that a setting cannot be written, and what to do about it.
    pub(crate) fn refuse(&mut self, setting: Setting, rule: &str, way_out: &str) {
        self.refuse_at(self.source.pointer(setting), rule, way_out);
    }

    /// The same for an item, which knows its place; the setting's own is used when it does not.
    pub(crate) fn refuse_item(&mut self, item: (&str, Setting), rule: &str, way_out: &str) {
        let (pointer, setting) = item;
        match pointer.is_empty() {
            true => self.refuse(setting, rule, way_out),
            false => self.refuse_at(pointer, rule, way_out),
        }
    }

    /// Notes it when it is so.
    pub(crate) fn refuse_if(&mut self, is_set: bool, setting: Setting) {
        if is_set {
            let rule = format!("cannot be written as {}", self.format);
            let way_out = "remove it, or keep the configuration in a form that has it";
            self.refuse(setting, &rule, way_out);
        }
    }

    fn refuse_at(&mut self, pointer: &str, rule: &str, way_out: &str) {
        let problem = Problem::bare(Kind::Unsupported, pointer, rule);
        self.problems.push(problem.hint(way_out));
    }

    /// The error that lists all of them.
    pub(crate) fn into_result(self, step: &'static str) -> Result<(), Error> {
        match Error::from_problems(step, self.problems) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// A JSON text, indented by tabs as the original did.
pub(crate) fn document(form: &impl serde::Serialize, step: &'static str) -> Result<String, Error> {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
    let written = form
        .serialize(&mut serializer)
        .map_err(|error| error.to_string());
    written
        .and_then(|()| String::from_utf8(text).map_err(|error| error.to_string()))
        .map_err(|error| Error::new(step, Problem::bare(Kind::Unsupported, "", &error)))
}
