use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use crate::design::finding::Severity;
use crate::design::model::{HostSettings, Labels, Text};
use crate::design::schema::quoted;
use crate::design::units::Written;
use crate::design::yaml::{Map, Node, Value};

/// Longer texts are seldom said twice.
const SHARED_BYTES_MAX: usize = 64;

/// What typed conversion carries along: texts that documents share, and what is wrong with the present document.
///
/// A document's schema has been checked, so a value of another type than the schema's does not come here, and is
/// taken as absent.
#[derive(Default)]
pub(super) struct Conversion {
    texts: HashSet<Text>,
    /// Settings that say nothing, whose empty parts are shared.
    pub(super) blank: HostSettings,
    pub(super) problems: Vec<Problem>,
}

/// A value that the model does not take.
pub(super) struct Problem {
    pub(super) line: u32,
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

/// Problems told of one document.
const PROBLEMS_MAX: usize = 50;

impl Conversion {
    pub(super) fn problem(&mut self, line: u32, message: impl Into<String>, remedy: &'static str) {
        self.tell(line, Severity::Error, message.into(), remedy);
    }

    fn tell(&mut self, line: u32, severity: Severity, message: String, remedy: &'static str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { line, severity, message, remedy });
        }
    }

    /// The text, one copy for all documents.
    pub(super) fn share(&mut self, text: &str) -> Text {
        if text.len() > SHARED_BYTES_MAX {
            return Text::from(text);
        }
        if let Some(shared) = self.texts.get(text) {
            return shared.clone();
        }
        let shared = Text::from(text);
        self.texts.insert(shared.clone());
        shared
    }

    pub(super) fn text(&mut self, map: &Map<'_>, key: &str) -> Option<Text> {
        map.get(key).and_then(Node::text).map(|text| self.share(text))
    }

    pub(super) fn text_or(&mut self, map: &Map<'_>, key: &str, default: &str) -> Text {
        let text = map.get(key).and_then(Node::text).unwrap_or(default);
        self.share(text)
    }

    /// A text without which the document cannot be used; its absence is a problem.
    pub(super) fn required(&mut self, node: &Node<'_>, key: &str, what: &str) -> Option<Text> {
        match node.get(key) {
            Some(value) if !value.is_null() => self.scalar(value, &format!("{what}{key}")),
            _ => {
                self.problem(node.line, format!("{what}{key} is missing"), "");
                None
            }
        }
    }

    /// Any scalar as text. Null and collections are problems.
    pub(super) fn scalar(&mut self, node: &Node<'_>, what: &str) -> Option<Text> {
        if let Value::Number(number) = &node.value
            && number.is_sexagesimal()
        {
            let message = format!("{what} is the number {number}: YAML reads {} in base 60", number.written);
            self.tell(node.line, Severity::Warning, message, "put it in quotes");
        }
        match node.scalar_text() {
            Some(text) if !node.is_null() => Some(self.share(&text)),
            _ => {
                self.problem(node.line, format!("{what} is {}, where text is needed", node.kind()), "");
                None
            }
        }
    }

    pub(super) fn written<T: FromStr>(&mut self, map: &Map<'_>, key: &str) -> Option<Written<T>> {
        self.text(map, key).map(Written::new)
    }

    /// A number's whole part; one beyond 64 bits is a problem.
    pub(super) fn whole(&mut self, map: &Map<'_>, key: &str) -> Option<i64> {
        let node = map.get(key)?;
        let Value::Number(number) = &node.value else { return None };
        let whole = number.whole();
        if whole.is_none() {
            let message = format!("{key} is {}, beyond 64 bits", quoted(&number.written));
            self.problem(node.line, message, "");
        }
        whole
    }

    pub(super) fn boolean(&self, map: &Map<'_>, key: &str) -> Option<bool> {
        match map.get(key)?.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn texts(&mut self, map: &Map<'_>, key: &str) -> Vec<Text> {
        items(map, key).iter().filter_map(Node::text).map(|text| self.share(text)).collect()
    }

    /// A mapping whose values are scalars, kept as texts.
    pub(super) fn labels(&mut self, map: &Map<'_>, key: &str) -> Labels {
        let mut labels = Labels::new();
        for (label, value) in entries(map, key) {
            if let Some(value) = self.scalar(value, &format!("{key}.{label}")) {
                labels.insert(self.share(label), value);
            }
        }
        labels
    }

    /// The same, sharing the empty one.
    pub(super) fn shared_labels(&mut self, map: Option<&Map<'_>>, key: &str) -> Arc<Labels> {
        let labels = map.map(|map| self.labels(map, key)).unwrap_or_default();
        if labels.is_empty() { self.blank.owner_data.clone() } else { Arc::new(labels) }
    }

    /// One of a few words; another is a problem. The key is told with the place before it (`bonding.mode`).
    pub(super) fn choice<T: Copy>(&mut self, node: &Node<'_>, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = node.get(key.rsplit('.').next().unwrap_or(key))?;
        let text = value.scalar_text()?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("{key} is {}, which is not one of {}", quoted(&text), names.join(", "));
            self.problem(value.line, message, "");
        }
        found
    }
}

/// The values of a list; of none if there is no such key.
pub(super) fn items<'n, 'a>(map: &'n Map<'a>, key: &str) -> &'n [Node<'a>] {
    match map.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

/// The entries of a mapping; of none if there is no such key.
pub(super) fn entries<'n, 'a>(map: &'n Map<'a>, key: &str) -> impl Iterator<Item = (&'n str, &'n Node<'a>)> {
    map.get(key).and_then(Node::map).into_iter().flat_map(Map::iter)
}
