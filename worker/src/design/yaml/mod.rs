//! A stream of YAML documents as value trees that remember their lines.
//!
//! `granit-parser` gives the events; what they mean is decided here, by the rules of YAML 1.1 ("safe"): `scalar`
//! resolves plain scalars, `stream` builds the trees within limits.

mod scalar;
mod stream;

use std::borrow::Cow;
use std::collections::HashMap;

use scalar::resolve;
pub(super) use scalar::{Amount, Number};
pub(super) use stream::{Document, Stream, SyntaxError};

/// A value and its line, counted from 1: that of its key if it has one, otherwise where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node<'a> {
    pub(super) value: Value<'a>,
    pub(super) line: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    /// A date or a time: no text, unless it is quoted.
    Timestamp(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Map<'a>),
}

/// A mapping in the order of its keys' first appearances. Keys are texts as they were written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Map<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

/// Up to this many entries comparing each with each is cheaper than hashing.
const COMPARED_MAX: usize = 12;

impl<'a> Map<'a> {
    /// Of several entries with one key the last one's value counts, in the place of the first.
    pub(super) fn new(entries: Vec<(Cow<'a, str>, Node<'a>)>) -> Map<'a> {
        let mut map = Map(Vec::with_capacity(entries.len()));
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let hashed = entries.len() > COMPARED_MAX;
        for (key, node) in entries {
            let place = if hashed {
                let next = map.0.len();
                Some(*places.entry(key.clone()).or_insert(next)).filter(|place| *place < next)
            } else {
                map.0.iter().position(|(known, _)| *known == key)
            };
            match place {
                Some(place) => map.0[place].1 = node,
                None => map.0.push((key, node)),
            }
        }
        map
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0.iter().map(|(key, node)| (&**key, node))
    }
}

impl<'a> Node<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.map().and_then(|map| map.get(key))
    }

    pub(super) fn map(&self) -> Option<&Map<'a>> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What the value is, in words for a reader of YAML.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Timestamp(_) => "a date",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The text that a scalar becomes where any scalar is taken: `True`, `None`, `493` for `0755`. Collections have
    /// none.
    pub(super) fn scalar_text(&self) -> Option<Cow<'_, str>> {
        Some(match &self.value {
            Value::Null => Cow::Borrowed("None"),
            Value::Bool(true) => Cow::Borrowed("True"),
            Value::Bool(false) => Cow::Borrowed("False"),
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::Timestamp(text) | Value::Text(text) => Cow::Borrowed(text),
            Value::List(_) | Value::Map(_) => return None,
        })
    }
}
