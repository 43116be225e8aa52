//! One section of the file: where it stands, which words it accepts, and how its problems are noted.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Report;
use super::keys::{KEYS, Key, known};

/// Bytes of a value or a key shown in an error.
const SHOWN_MAX_BYTES: usize = 80;

/// A table of the file, or the empty one that stands for a missing section.
pub(super) struct Section<'a> {
    report: &'a Report<'a>,
    /// Its path in this file; empty at the top.
    path: String,
    /// The same path with `NAME` for the user's words, as in the table of keys.
    pattern: &'static str,
    /// Where it begins; `None` where it is missing.
    at: Option<usize>,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    /// The top level.
    pub(super) fn root(table: &'a DeTable<'a>, report: &'a Report<'a>) -> Self {
        let root = Self { report, path: String::new(), pattern: "", at: None, table: Some(table) };
        root.refuse_unknown();
        root
    }

    /// The section `name` below this one, whose keys stand under `pattern` in the table of keys.
    pub(super) fn section(&self, name: &str, pattern: &'static str) -> Self {
        let section = self.below(name, pattern, self.entry(name));
        section.refuse_unknown();
        section
    }

    /// The sections below `name`, by the user's names, in their order.
    pub(super) fn named(&self, name: &'static str, pattern: &'static str) -> Vec<(String, Self)> {
        let all = self.below(name, name, self.entry(name));
        let entries = all.table.into_iter().flat_map(DeTable::iter);
        let sections = entries.map(|(key, value)| {
            let section = all.below(key.get_ref(), pattern, Some(value));
            section.refuse_unknown();
            (key.get_ref().to_string(), section)
        });
        sections.collect()
    }

    /// A section that the file does not have, with its defaults.
    pub(super) fn missing(&self, pattern: &'static str) -> Self {
        Self { report: self.report, path: pattern.to_owned(), pattern, at: None, table: None }
    }

    fn below(&self, name: &str, pattern: &'static str, entry: Option<&'a Spanned<DeValue<'a>>>) -> Self {
        let path = self.path_of(name);
        let at = entry.map(|value| value.span().start);
        let table = entry.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.report.add(at, format!("{path} must be a section [{path}], got {}", type_of(other)));
                None
            }
        });
        Self { report: self.report, path, pattern, at, table }
    }

    /// What the file holds under this key.
    pub(super) fn entry(&self, name: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(name)
    }

    /// The key of this section in the table of keys.
    pub(super) fn key(&self, name: &str) -> &'static Key {
        let found = KEYS.iter().find(|key| key.section == self.pattern && key.name == name);
        found.unwrap_or_else(|| unreachable!("the table of keys has {}.{name}", self.pattern))
    }

    /// Notes a problem of this key, at its line if it is there, else at the section's.
    pub(super) fn refuse(&self, name: &str, what: impl Display) {
        let at = self.entry(name).map(|value| value.span().start).or(self.at);
        self.report.add(at, format!("{} {what}", self.path_of(name)));
    }

    /// Notes a problem of one entry of a table that is itself a value.
    pub(super) fn refuse_entry(&self, name: &str, entry: &str, what: impl Display) {
        let value = self.entry(name);
        let inner = value.and_then(|value| value.get_ref().as_table()).and_then(|table| table.get(entry));
        let at = inner.or(value).map(|value| value.span().start);
        self.report.add(at, format!("{}.{} {what}", self.path_of(name), quoted(entry)));
    }

    /// Notes a problem of the section as a whole.
    pub(super) fn refuse_all(&self, what: impl Display) {
        self.report.add(self.at, format!("{} {what}", self.path));
    }

    /// Notes each key that this section does not have, with the likeliest remedy.
    fn refuse_unknown(&self) {
        let words = known(self.pattern);
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            if !words.contains(&key.get_ref().as_ref()) {
                let remedy = remedy(key.get_ref(), &words);
                self.report
                    .add(Some(key.span().start), format!("{} is unknown: {remedy}", self.path_of(key.get_ref())));
            }
        }
    }

    /// The path of a key of this section, as one would write it in the file.
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { quoted(name) } else { format!("{}.{}", self.path, quoted(name)) }
    }
}

/// What to do about an unknown key: the same key elsewhere, else the nearest one here, else all there are.
fn remedy(unknown: &str, words: &[&str]) -> String {
    if let Some(key) = KEYS.iter().find(|key| key.name == unknown) {
        return match key.section {
            "" => format!("{unknown} belongs to the top of the file, before the first section"),
            section => format!("{unknown} belongs to [{section}]"),
        };
    }
    let distance = |word: &&&str| strsim::damerau_levenshtein(unknown, word);
    let nearest = words.iter().filter(|_| unknown.len() <= SHOWN_MAX_BYTES).min_by_key(distance);
    match nearest {
        Some(word) if distance(&word) * 2 <= unknown.len().max(word.len()) => format!("did you mean {word}?"),
        _ => format!("known here are {}", words.join(", ")),
    }
}

/// A key as one would write it in the file, cut if it is long.
pub(super) fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare && key.len() <= SHOWN_MAX_BYTES { key.to_owned() } else { format!("\"{}\"", cut(key)) }
}

/// A text without its control characters and cut if it is long, for an error.
pub(super) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_MAX_BYTES);
    let shown = text[..end].escape_debug();
    if end < text.len() { format!("{shown}… ({} bytes)", text.len()) } else { shown.to_string() }
}

/// The type of a value with its article.
pub(super) fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a datetime",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
