//! Reads the values of a section by the table of keys: type, bounds, default.
//!
//! A reader that refuses a value still returns one; nobody sees it, because the report then refuses the whole file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use toml::de::DeValue;

use super::keys::{Default, Key, Kind, human, one_of};
use super::section::{Section, cut, type_of};

/// As in the database's domain `task_design_ref`; what servers take is about as much.
const URL_MAX_BYTES: usize = 2048;

impl<'a> Section<'a> {
    /// A string; `None` if it is absent and has no default.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let key = self.key(name);
        let text = match (self.given(name), &key.default) {
            (Some(DeValue::String(text)), _) => text,
            (Some(value), _) => {
                self.refuse(name, format!("must be a string, got {}", shown(key, value)));
                return None;
            }
            (None, Default::Is(default)) => return Some((*default).to_owned()),
            (None, Default::Otherwise(_)) => return None,
            (None, Default::Required(example)) => {
                self.refuse(name, format!("is missing: write {example}"));
                return None;
            }
        };
        match wrong_text(&key.kind, text) {
            None => Some(text.to_string()),
            Some(wrong) => {
                // What stands before an @ may be a password.
                let hidden = key.kind.is_secret() || text.contains('@');
                let got = if hidden { String::new() } else { format!(", got \"{}\"", cut(text)) };
                self.refuse(name, format!("must be {wrong}{got}"));
                None
            }
        }
    }

    /// An absolute path: the worker's own folder is nobody's business.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let text = self.text(name)?;
        let path = Path::new(&text);
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            self.refuse(name, format!("must be an absolute path without .., got \"{}\"", cut(&text)));
        }
        Some(path.to_owned())
    }

    /// An IP address and a port.
    pub(super) fn address(&self, name: &str) -> SocketAddr {
        let default = default_of(self.key(name));
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A boolean.
    pub(super) fn flag(&self, name: &str) -> bool {
        let key = self.key(name);
        match self.given(name) {
            Some(DeValue::Boolean(flag)) => return *flag,
            Some(value) => self.refuse(name, format!("must be true or false, got {}", shown(key, value))),
            None => {}
        }
        default_of(key)
    }

    /// A duration within its bounds.
    pub(super) fn duration(&self, name: &str) -> Duration {
        let Default::Is(default) = self.key(name).default else {
            unreachable!("the table of keys has {name} with a default")
        };
        self.duration_or(name, default)
    }

    /// The duration, or nothing where the key is absent.
    pub(super) fn some_duration(&self, name: &str) -> Option<Duration> {
        self.given(name)?;
        Some(self.duration_or(name, "365d"))
    }

    fn duration_or(&self, name: &str, default: &'static str) -> Duration {
        let key = self.key(name);
        let Kind::Duration { min, max } = &key.kind else { unreachable!("the table of keys has {name} as a duration") };
        let text = match self.given(name) {
            None => default,
            Some(DeValue::String(text)) => text.as_ref(),
            Some(value) => {
                self.refuse(
                    name,
                    format!("must be a duration in quotes such as {default:?}, got {}", shown(key, value)),
                );
                default
            }
        };
        match humantime::parse_duration(text) {
            Ok(duration) if duration < *min => self.refuse(name, too_little(human(*min), text)),
            Ok(duration) if duration > *max => self.refuse(name, too_much(human(*max), text)),
            Ok(duration) => return duration,
            Err(_) => self.refuse(name, format!("must be a duration such as {default:?}, got \"{}\"", cut(text))),
        }
        humantime::parse_duration(default).unwrap_or(*min)
    }

    /// A whole number within its bounds; `None` if it is absent and has no default.
    pub(super) fn count(&self, name: &str) -> Option<usize> {
        let key = self.key(name);
        let Kind::Count { min, max } = key.kind else { unreachable!("the table of keys has {name} as a count") };
        match (self.given(name), &key.default) {
            (None, Default::Is(_)) => return Some(default_of(key)),
            (None, _) => return None,
            (Some(DeValue::Integer(number)), _) => {
                // A number too large for the type is as much too large as any other.
                let count = usize::from_str_radix(number.as_str(), number.radix());
                match count {
                    Ok(count) if (min..=max).contains(&count) => return Some(count),
                    Ok(count) if count < min => self.refuse(name, too_little(min, &number.to_string())),
                    Err(_) if number.as_str().starts_with('-') => {
                        self.refuse(name, too_little(min, &number.to_string()))
                    }
                    _ => self.refuse(name, too_much(max, &number.to_string())),
                }
            }
            (Some(value), _) => {
                self.refuse(name, format!("must be a whole number, {}, got {}", key.kind.bounds(), shown(key, value)));
            }
        }
        Some(min)
    }

    /// A number within its bounds.
    pub(super) fn number(&self, name: &str) -> f64 {
        let key = self.key(name);
        let Kind::Number { min, max } = key.kind else { unreachable!("the table of keys has {name} as a number") };
        let text = match self.given(name) {
            None => return default_of(key),
            Some(DeValue::Float(number)) => number.as_str(),
            Some(DeValue::Integer(number)) if number.radix() == 10 => number.as_str(),
            Some(value) => {
                self.refuse(name, format!("must be a number, {}, got {}", key.kind.bounds(), shown(key, value)));
                return default_of(key);
            }
        };
        match text.parse::<f64>() {
            Ok(number) if (min..=max).contains(&number) => return number,
            Ok(number) if number > max => self.refuse(name, too_much(max, text)),
            _ => self.refuse(name, too_little(min, text)),
        }
        default_of(key)
    }

    /// A list of strings, not empty; `None` if it is absent and not required.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let key = self.key(name);
        let Kind::Texts { max } = key.kind else { unreachable!("the table of keys has {name} as a list of strings") };
        let list = match (self.given(name), &key.default) {
            (Some(DeValue::Array(list)), _) if (1..=max).contains(&list.len()) => list,
            (Some(DeValue::Array(list)), _) => {
                self.refuse(name, format!("must hold {}, got {}: {}", key.kind.bounds(), list.len(), remedy(key)));
                return None;
            }
            (Some(value), _) => {
                self.refuse(name, format!("must be an array of strings, got {}", shown(key, value)));
                return None;
            }
            (None, Default::Required(example)) => {
                self.refuse(name, format!("is missing: write {example}"));
                return None;
            }
            (None, _) => return None,
        };
        let texts = list.iter().enumerate().filter_map(|(index, item)| match item.get_ref() {
            DeValue::String(text) if !text.contains('\0') => Some(text.to_string()),
            DeValue::String(_) => {
                self.refuse(name, format!("must hold no NUL character, got one in string {}", index + 1));
                None
            }
            other => {
                self.refuse(name, format!("must hold strings only, got {}", shown(key, other)));
                None
            }
        });
        Some(texts.collect())
    }

    /// A table of strings, which are secret; empty if it is absent.
    pub(super) fn text_map(&self, name: &str) -> BTreeMap<String, String> {
        let key = self.key(name);
        let Kind::TextMap { max } = key.kind else {
            unreachable!("the table of keys has {name} as a table of strings")
        };
        let table = match self.given(name) {
            None => return BTreeMap::new(),
            Some(DeValue::Table(table)) => table,
            Some(value) => {
                self.refuse(name, format!("must be a table of strings, got {}", shown(key, value)));
                return BTreeMap::new();
            }
        };
        if table.len() > max {
            self.refuse(name, format!("must hold at most {max} strings, got {}", table.len()));
        }
        let entries = table.iter().filter_map(|(entry, value)| match value.get_ref() {
            DeValue::String(text) => Some((entry.get_ref().to_string(), text.to_string())),
            other => {
                self.refuse_entry(name, entry.get_ref(), format!("must be a string, got {}", type_of(other)));
                None
            }
        });
        entries.collect()
    }

    fn given(&self, name: &str) -> Option<&'a DeValue<'a>> {
        self.entry(name).map(toml::Spanned::get_ref)
    }
}

/// The default of a key that always has one.
fn default_of<T: FromStr>(key: &Key) -> T {
    match key.default {
        Default::Is(text) => text.parse().ok(),
        _ => None,
    }
    .unwrap_or_else(|| unreachable!("the table of keys has a default of its type for {}", key.name))
}

/// What a string of this kind must be, if it is not.
pub(super) fn wrong_text(kind: &Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Text { max_bytes } | Kind::Secret { max_bytes } => (!(1..=*max_bytes).contains(&text.len())
            || text.contains('\0'))
        .then(|| format!("1 to {max_bytes} bytes without a NUL character")),
        Kind::Identifier => (!is_identifier(text)).then(|| "a lower-case name, [a-z_][a-z0-9_]{0,42}".to_owned()),
        Kind::Choice(words) => (!words.contains(&text)).then(|| one_of(words)),
        Kind::Address => text
            .parse::<SocketAddr>()
            .is_err()
            .then(|| "an IP address and a port such as \"127.0.0.1:9464\"".to_owned()),
        Kind::HttpUrl => wrong_http_url(text),
        Kind::PostgresUrl => longshore_queue::wrong_address(text),
        _ => None,
    }
}

/// Whether Postgres takes it without quotes and as it stands.
fn is_identifier(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    // channels of notifications are called after it, and end in more (0001_tasks.sql)
    first && rest && text.len() <= 43
}

fn wrong_http_url(text: &str) -> Option<String> {
    match Url::parse(text) {
        _ if text.len() > URL_MAX_BYTES => Some(format!("at most {URL_MAX_BYTES} bytes")),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Some("a URL without user and password: put them into headers, as Authorization".to_owned())
        }
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("an http:// or https:// URL".to_owned()),
        Err(error) => Some(format!("an http:// or https:// URL ({error})")),
        Ok(_) => None,
    }
}

/// What to do instead of writing a wrong value.
fn remedy(key: &Key) -> String {
    match key.default {
        Default::Is(value) => format!("leave it out for {value}"),
        Default::Otherwise(words) => format!("leave it out for {words}"),
        Default::Required(example) => format!("write {example}"),
    }
}

fn too_little(min: impl Display, got: &str) -> String {
    format!("must be at least {min}, got {}", cut(got))
}

fn too_much(max: impl Display, got: &str) -> String {
    format!("must be at most {max}, got {}", cut(got))
}

/// A value for an error: numbers and booleans as they stand, else the type alone, and never a secret.
fn shown(key: &Key, value: &DeValue<'_>) -> String {
    match value {
        _ if key.kind.is_secret() => type_of(value).to_owned(),
        DeValue::Integer(number) => cut(&number.to_string()),
        DeValue::Float(number) => cut(number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::String(text) => format!("\"{}\"", cut(text)),
        other => type_of(other).to_owned(),
    }
}
