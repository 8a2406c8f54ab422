//! A JSON document as written: order kept, duplicate keys kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Integer(i128),
    Fraction(f64),
    String(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The JSON type, with its article.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Integer(_) => "an integer",
            Node::Fraction(_) => "a fraction",
            Node::String(_) => "a string",
            Node::Array(_) => "a list",
            Node::Object(_) => "an object",
        }
    }
}

impl Node {
    /// An object without the members that are `Null`.
    pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
        let present = members.into_iter().filter(|(_, node)| *node != Node::Null);
        Node::Object(present.map(|(key, node)| (key.to_owned(), node)).collect())
    }

    /// `Null` in place of an object or list of nothing.
    pub(crate) fn or_null_when_empty(self) -> Node {
        match &self {
            Node::Object(members) if members.is_empty() => Node::Null,
            Node::Array(items) if items.is_empty() => Node::Null,
            _ => self,
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Node::String(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Node::String(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Node::Bool(value)
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Node::Integer(value.into())
    }
}

impl From<u64> for Node {
    fn from(value: u64) -> Self {
        Node::Integer(value.into())
    }
}

impl From<u32> for Node {
    fn from(value: u32) -> Self {
        Node::Integer(value.into())
    }
}

impl<T: Into<Node>> From<Option<T>> for Node {
    fn from(value: Option<T>) -> Self {
        value.map_or(Node::Null, Into::into)
    }
}

impl<T: Into<Node>> FromIterator<T> for Node {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Node::Array(items.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Integer(value) => serializer.serialize_i128(*value),
            Node::Fraction(value) => serializer.serialize_f64(*value),
            Node::String(text) => serializer.serialize_str(text),
            Node::Array(items) => serializer.collect_seq(items),
            Node::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, node) in members {
                    map.serialize_entry(key, node)?;
                }
                map.end()
            }
        }
    }
}

/// The value as JSON text; lists and objects are only hinted at.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Null => f.write_str("null"),
            Node::Bool(value) => write!(f, "{value}"),
            Node::Integer(value) => write!(f, "{value}"),
            Node::Fraction(value) => write!(f, "{value}"),
            Node::String(value) => write!(f, "{value:?}"),
            Node::Array(_) => f.write_str("[…]"),
            Node::Object(_) => f.write_str("{…}"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        match value.is_finite() {
            true => Ok(Node::Fraction(value)),
            false => Err(E::custom("number out of range")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            list.push(entry);
        }
        Ok(Node::Object(list))
    }
}

/// Parses one document.
pub(crate) fn parse(text: &[u8]) -> Result<Node, serde_json::Error> {
    if text.contains(&0) {
        return Err(serde_json::Error::custom("NUL byte in the document"));
    }
    serde_json::from_slice(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_keeps_order_and_duplicates() {
        let node = parse(br#"{"b": 1, "a": [null, -1, 1.5, "x"], "b": true}"#).unwrap();
        let Node::Object(entries) = node else {
            panic!("an object")
        };
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b"]);
    }

    #[test]
    fn document_nested_too_deep_is_refused() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }
}
