//! Reading one JSON object by known keys, collecting every problem on the way.

use std::{cell::RefCell, str::FromStr};

use super::json::Node;
use crate::{
    error::{Error, Kind, Problem, Problems},
    suggest,
};

/// Keys that an object may have, and where keys of other versions went.
pub(super) struct Keys {
    pub(super) known: &'static [&'static str],
    pub(super) moved: &'static [(&'static str, &'static str)],
}

/// An object whose keys have been checked.
///
/// Its methods return what a missing key means when the value is of the wrong type: the problem is
/// noted, and reading goes on to find the others. `null` is the same as a missing key.
pub(super) struct Object<'a> {
    pub(super) pointer: String,
    pub(super) problems: &'a RefCell<Problems>,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    key: &'static str,
    pointer: String,
    node: &'a Node,
}

impl<'a> Object<'a> {
    /// Checks the keys, in any case as the seed took them; `None` when it is not an object.
    pub(super) fn open(
        node: &'a Node,
        pointer: &str,
        keys: &Keys,
        problems: &'a RefCell<Problems>,
    ) -> Option<Self> {
        let mut object = Object {
            pointer: pointer.to_owned(),
            problems,
            fields: Vec::new(),
        };
        let Node::Object(entries) = node else {
            object.wrong_type(pointer, node, "an object");
            return None;
        };
        for (spelled, node) in entries {
            object.take_entry(spelled, node, keys);
        }
        Some(object)
    }

    fn take_entry(&mut self, spelled: &str, node: &'a Node, keys: &Keys) {
        let pointer = child(&self.pointer, spelled);
        let found = keys
            .known
            .iter()
            .find(|key| key.eq_ignore_ascii_case(spelled));
        let Some(key) = found else {
            return self.note(unknown_key(spelled, &pointer, keys));
        };
        if self.fields.iter().any(|field| field.key == *key) {
            return self.note(Problem::bare(
                Kind::DuplicateKey,
                &pointer,
                "key is given twice",
            ));
        }
        if *node != Node::Null {
            self.fields.push(Field { key, pointer, node });
        }
    }

    pub(super) fn note(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn note_error(&self, pointer: &str, error: Error) {
        self.problems.borrow_mut().extend_at(pointer, error);
    }

    pub(super) fn wrong_type(&self, pointer: &str, node: &Node, expected: &str) {
        let mut problem = Problem::bare(
            Kind::WrongType,
            pointer,
            &format!("is {}", node.type_name()),
        );
        problem.value = Problem::new(Kind::WrongType, "", Raw(node), "").value;
        self.note(problem.accepted(expected));
    }

    /// A value that is of the right type and still not accepted.
    pub(super) fn invalid(&self, key: &str, rule: &str, accepted: &str) {
        let (pointer, value) = match self.field(key) {
            Some(field) => (
                field.pointer.clone(),
                Problem::new(Kind::Missing, "", Raw(field.node), "").value,
            ),
            None => (child(&self.pointer, key), String::new()),
        };
        let mut problem = Problem::bare(Kind::InvalidValue, &pointer, rule).accepted(accepted);
        problem.value = value;
        self.note(problem);
    }

    pub(super) fn missing(&self, key: &str, accepted: &str) {
        let problem = Problem::bare(Kind::Missing, &child(&self.pointer, key), "is missing");
        self.note(problem.accepted(accepted));
    }

    fn field(&self, key: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.key == key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    /// Value and pointer.
    pub(super) fn node(&self, key: &str) -> Option<(&'a Node, String)> {
        self.field(key)
            .map(|field| (field.node, field.pointer.clone()))
    }

    /// A string; empty is the same as missing.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let field = self.field(key)?;
        match field.node {
            Node::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            other => {
                self.wrong_type(&field.pointer, other, "a string");
                None
            }
        }
    }

    /// A boolean; missing is false.
    pub(super) fn flag(&self, key: &str) -> bool {
        let Some(field) = self.field(key) else {
            return false;
        };
        match field.node {
            Node::Bool(value) => *value,
            other => {
                self.wrong_type(&field.pointer, other, "true or false");
                false
            }
        }
    }

    /// An integer that fits `T`.
    pub(super) fn integer<T: TryFrom<i128>>(&self, key: &str, accepted: &str) -> Option<T> {
        let field = self.field(key)?;
        match field.node {
            Node::Integer(value) => {
                let converted = T::try_from(*value).ok();
                if converted.is_none() {
                    self.invalid(key, "is out of range", accepted);
                }
                converted
            }
            other => {
                self.wrong_type(&field.pointer, other, accepted);
                None
            }
        }
    }

    /// A string that is read as a `T`; empty is the same as missing.
    pub(super) fn parsed<T: FromStr<Err = Error>>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note_error(&self.field(key)?.pointer, error);
                None
            }
        }
    }

    /// The items of a list, each with its pointer.
    pub(super) fn list(&self, key: &str) -> Vec<(&'a Node, String)> {
        let Some(field) = self.field(key) else {
            return Vec::new();
        };
        let Node::Array(items) = field.node else {
            self.wrong_type(&field.pointer, field.node, "a list");
            return Vec::new();
        };
        let pointer = |idx: usize| format!("{}/{idx}", field.pointer);
        items
            .iter()
            .enumerate()
            .map(|(idx, item)| (item, pointer(idx)))
            .collect()
    }

    /// The strings of a list, each with its pointer.
    pub(super) fn texts(&self, key: &str) -> Vec<(&'a str, String)> {
        let items = self.list(key).into_iter();
        items
            .filter_map(|(node, pointer)| match node {
                Node::String(text) => Some((text.as_str(), pointer)),
                other => {
                    self.wrong_type(&pointer, other, "a string");
                    None
                }
            })
            .collect()
    }

    /// The objects of a list.
    pub(super) fn objects(&self, key: &str, keys: &Keys) -> Vec<Object<'a>> {
        let items = self.list(key).into_iter();
        items
            .filter_map(|(node, pointer)| Object::open(node, &pointer, keys, self.problems))
            .collect()
    }

    /// The object under a key.
    pub(super) fn object(&self, key: &str, keys: &Keys) -> Option<Object<'a>> {
        let field = self.field(key)?;
        Object::open(field.node, &field.pointer, keys, self.problems)
    }
}

/// The pointer of a member, escaped as RFC 6901 asks.
pub(super) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn unknown_key(spelled: &str, pointer: &str, keys: &Keys) -> Problem {
    let moved = keys
        .moved
        .iter()
        .find(|(old, _)| old.eq_ignore_ascii_case(spelled));
    if let Some((_, place)) = moved {
        let problem = Problem::bare(Kind::UnknownKey, pointer, "key of another version");
        return problem.hint(format!("write it as {place}"));
    }
    let problem = Problem::bare(Kind::UnknownKey, pointer, "key means nothing here");
    problem.nearest(suggest::nearest(spelled, keys.known.iter().copied()))
}

/// Prints a node as JSON where a problem prints values by `Debug`.
struct Raw<'a>(&'a Node);

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
