//! Reading one JSON object by known keys, collecting every problem on the way.

use std::{cell::RefCell, collections::HashMap, str::FromStr};

use crate::{
    cgroup::Limit,
    error::{Error, Kind, Problem, Problems},
    json::{self, Node},
    suggest,
};

/// Keys that an object may have, and where keys of other versions went.
pub(crate) struct Keys {
    pub(crate) known: &'static [&'static str],
    pub(crate) moved: &'static [(&'static str, &'static str)],
}

/// [`Keys`] of a format that has no other versions.
macro_rules! keys {
    ($($key:literal)*) => {
        Keys { known: &[$($key),*], moved: &[] }
    };
}
pub(crate) use keys;

/// What is found on the way through a document.
pub(crate) struct Notes {
    problems: RefCell<Problems>,
    /// Keys that mean nothing, where the format says that they are no error; keys then count in their exact case.
    ignored: Option<RefCell<Problems>>,
}

impl Notes {
    /// Every unknown key is a problem; keys are taken in any case.
    pub(crate) fn strict() -> Self {
        Notes {
            problems: RefCell::new(Problems::none()),
            ignored: None,
        }
    }

    /// Unknown keys are noted and are no problem.
    pub(crate) fn lenient() -> Self {
        Notes {
            problems: RefCell::new(Problems::none()),
            ignored: Some(RefCell::new(Problems::none())),
        }
    }

    /// What was read and what was ignored, or all problems in the order of the document: sections are read in an
    /// order of their own, and people mend a document from the top.
    pub(crate) fn finish<T: Default>(
        self,
        step: &'static str,
        root: &Node,
        value: Option<T>,
    ) -> Result<(T, Vec<Problem>), Error> {
        let problems = in_document_order(root, self.problems.into_inner());
        if let Some(error) = Error::from_problems(step, problems) {
            return Err(error);
        }
        let ignored = self.ignored.map(RefCell::into_inner);
        let ignored = ignored.map(|ignored| in_document_order(root, ignored));
        let ignored = ignored.into_iter().flatten().collect();
        Ok((value.unwrap_or_default(), ignored))
    }
}

/// Parses a document, which must not be `null`.
pub(crate) fn document(step: &'static str, text: &[u8]) -> Result<Node, Error> {
    let root = json::parse(text).map_err(|error| {
        let rule = format!("is not JSON: {error}");
        Error::new(step, Problem::bare(Kind::Syntax, "", &rule))
    })?;
    match root {
        Node::Null => {
            let problem = Problem::bare(Kind::Syntax, "", "is null").accepted("an object");
            Err(Error::new(step, problem))
        }
        root => Ok(root),
    }
}

/// An object whose keys have been checked.
///
/// Its methods return what a missing key means when the value is of the wrong type: the problem is
/// noted, and reading goes on to find the others. `null` is the same as a missing key.
pub(crate) struct Object<'a> {
    pub(crate) pointer: String,
    notes: &'a Notes,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    key: &'static str,
    pointer: String,
    node: &'a Node,
}

impl<'a> Object<'a> {
    /// Checks the keys; `None` when it is not an object.
    pub(crate) fn open(
        node: &'a Node,
        pointer: &str,
        keys: &Keys,
        notes: &'a Notes,
    ) -> Option<Self> {
        let mut object = Object {
            pointer: pointer.to_owned(),
            notes,
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
        let found = keys.known.iter().find(|key| match self.notes.ignored {
            None => key.eq_ignore_ascii_case(spelled),
            Some(_) => **key == spelled,
        });
        let Some(key) = found else {
            return self.ignore(unknown_key(spelled, &pointer, keys));
        };
        if self.fields.iter().any(|field| field.key == *key) {
            return self.note_duplicate(&pointer);
        }
        if *node != Node::Null {
            self.fields.push(Field { key, pointer, node });
        }
    }

    pub(crate) fn note(&self, problem: Problem) {
        self.notes.problems.borrow_mut().push(problem);
    }

    pub(crate) fn note_error(&self, pointer: &str, error: Error) {
        self.notes.problems.borrow_mut().extend_at(pointer, error);
    }

    fn note_duplicate(&self, pointer: &str) {
        let rule = "key is given twice";
        self.note(Problem::bare(Kind::DuplicateKey, pointer, rule));
    }

    /// Notes what means nothing here: a problem, unless the format says that it is none.
    pub(crate) fn ignore(&self, problem: Problem) {
        match &self.notes.ignored {
            None => self.note(problem),
            Some(ignored) => ignored.borrow_mut().push(problem),
        }
    }

    pub(crate) fn wrong_type(&self, pointer: &str, node: &Node, expected: &str) {
        let mut problem = Problem::bare(
            Kind::WrongType,
            pointer,
            &format!("is {}", node.type_name()),
        );
        problem.value = Problem::new(Kind::WrongType, "", Raw(node), "").value;
        self.note(problem.accepted(expected));
    }

    /// A value that is of the right type and still not accepted.
    pub(crate) fn invalid(&self, key: &str, rule: &str, accepted: &str) {
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

    pub(crate) fn missing(&self, key: &str, accepted: &str) {
        let problem = Problem::bare(Kind::Missing, &child(&self.pointer, key), "is missing");
        self.note(problem.accepted(accepted));
    }

    fn field(&self, key: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.key == key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    /// Value and pointer.
    pub(crate) fn node(&self, key: &str) -> Option<(&'a Node, String)> {
        self.field(key)
            .map(|field| (field.node, field.pointer.clone()))
    }

    /// A string; empty is the same as missing.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
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
    pub(crate) fn flag(&self, key: &str) -> bool {
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
    pub(crate) fn integer<T: TryFrom<i128>>(&self, key: &str, accepted: &str) -> Option<T> {
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

    /// A number that is not negative, or -1 for no limit.
    pub(crate) fn limit(&self, key: &str, accepted: &str) -> Option<Limit> {
        match self.integer::<i64>(key, accepted)? {
            -1 => Some(Limit::Max),
            value => {
                let limit = u64::try_from(value).ok().map(Limit::Value);
                if limit.is_none() {
                    self.invalid(key, "is negative", accepted);
                }
                limit
            }
        }
    }

    /// A string that is read as a `T`; empty is the same as missing.
    pub(crate) fn parsed<T: FromStr<Err = Error>>(&self, key: &str) -> Option<T> {
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
    pub(crate) fn list(&self, key: &str) -> Vec<(&'a Node, String)> {
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
    pub(crate) fn texts(&self, key: &str) -> Vec<(&'a str, String)> {
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

    /// The members of an object of strings, in their order, each with its pointer.
    pub(crate) fn string_map(&self, key: &str) -> Vec<(String, String, String)> {
        let Some(field) = self.field(key) else {
            return Vec::new();
        };
        let Node::Object(entries) = field.node else {
            self.wrong_type(&field.pointer, field.node, "an object of strings");
            return Vec::new();
        };
        let mut members: Vec<(String, String, String)> = Vec::new();
        for (name, node) in entries {
            let pointer = child(&field.pointer, name);
            if members.iter().any(|(earlier, ..)| earlier == name) {
                self.note_duplicate(&pointer);
            } else if let Node::String(value) = node {
                members.push((name.clone(), value.clone(), pointer));
            } else {
                self.wrong_type(&pointer, node, "a string");
            }
        }
        members
    }

    /// The members of an object of objects, in their order.
    pub(crate) fn object_map(&self, key: &str, keys: &Keys) -> Vec<(String, Object<'a>)> {
        let Some(field) = self.field(key) else {
            return Vec::new();
        };
        let Node::Object(entries) = field.node else {
            self.wrong_type(&field.pointer, field.node, "an object of objects");
            return Vec::new();
        };
        let mut members: Vec<(String, Object<'a>)> = Vec::new();
        for (name, node) in entries {
            let pointer = child(&field.pointer, name);
            if members.iter().any(|(earlier, _)| earlier == name) {
                self.note_duplicate(&pointer);
            } else if let Some(object) = Object::open(node, &pointer, keys, self.notes) {
                members.push((name.clone(), object));
            }
        }
        members
    }

    /// The objects of a list.
    pub(crate) fn objects(&self, key: &str, keys: &Keys) -> Vec<Object<'a>> {
        let items = self.list(key).into_iter();
        items
            .filter_map(|(node, pointer)| Object::open(node, &pointer, keys, self.notes))
            .collect()
    }

    /// The object under a key.
    pub(crate) fn object(&self, key: &str, keys: &Keys) -> Option<Object<'a>> {
        let field = self.field(key)?;
        Object::open(field.node, &field.pointer, keys, self.notes)
    }
}

/// The pointer of a member, escaped as RFC 6901 asks.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn in_document_order(root: &Node, problems: Problems) -> Problems {
    let mut places = HashMap::new();
    if !problems.is_empty() {
        note_places(root, String::new(), &mut places);
    }
    let place = |problem: &Problem| {
        let mut pointer = problem.pointer.as_str();
        // What is missing belongs to the object that it is missing from.
        while !places.contains_key(pointer) {
            pointer = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        places.get(pointer).copied()
    };
    let mut list: Vec<Problem> = problems.into_iter().collect();
    list.sort_by_key(place);
    Problems::from_list(list)
}

fn note_places(node: &Node, pointer: String, places: &mut HashMap<String, usize>) {
    let place = places.len();
    places.entry(pointer.clone()).or_insert(place);
    match node {
        Node::Object(entries) => {
            entries
                .iter()
                .for_each(|(key, node)| note_places(node, child(&pointer, key), places));
        }
        Node::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(idx, node)| note_places(node, format!("{pointer}/{idx}"), places));
        }
        _ => {}
    }
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
