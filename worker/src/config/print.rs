//! A configuration as it takes effect: what the file says, the defaults of what it leaves out, and no secret.

use std::collections::BTreeSet;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Default, KEYS, Key, Kind};
use super::section::quoted;
use super::{Config, ConfigError, file_named, read_file};

/// What stands for a secret.
const HIDDEN: &str = "\"(not shown)\"";

impl Config {
    /// The file at `path`, else at `LONGSHORE_CONFIG`, else `longshore.toml` in the working directory, as TOML with
    /// every key that takes effect; keys without a value are comments. No secret is in it.
    ///
    /// # Errors
    /// A file that is missing, cannot be read or says something wrong, with all that is wrong.
    pub fn effective(path: Option<&Path>) -> Result<String, ConfigError> {
        let path = file_named(path);
        let name = path.display().to_string();
        let text = read_file(&path, &name)?;
        Self::parse(&text, &name)?;
        let (table, _) = DeTable::parse_recoverable(&text);
        Ok(printed(table.get_ref()))
    }
}

fn printed(root: &DeTable<'_>) -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for pattern in KEYS.iter().map(|key| key.section) {
        if !seen.insert(pattern) {
            continue;
        }
        for (path, table) in sections(root, pattern) {
            section(pattern, &path, table, &mut text);
        }
    }
    text
}

/// The sections of the file that a pattern stands for, each by its path; one that is missing has no table.
fn sections<'t>(root: &'t DeTable<'t>, pattern: &str) -> Vec<(String, Option<&'t DeTable<'t>>)> {
    let mut found = vec![(String::new(), Some(root))];
    for word in pattern.split('.').filter(|word| !word.is_empty()) {
        found = found.into_iter().flat_map(|(path, table)| below(&path, table, word)).collect();
    }
    // one that is missing and cannot do without some key is not there
    let needs = KEYS.iter().any(|key| key.section == pattern && matches!(key.default, Default::Required(_)));
    found.retain(|(_, table)| table.is_some() || !needs);
    found
}

fn below<'t>(path: &str, table: Option<&'t DeTable<'t>>, word: &str) -> Vec<(String, Option<&'t DeTable<'t>>)> {
    let joined = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if word != "NAME" {
        let below = table.and_then(|table| table.get(word)).and_then(|value| value.get_ref().as_table());
        return vec![(joined(word), below)];
    }
    match table {
        // the queue that is served where none is named
        None if path == "queues" => vec![(joined("default"), None)],
        None => Vec::new(),
        Some(table) => {
            table.iter().map(|(name, value)| (joined(&quoted(name.get_ref())), value.get_ref().as_table())).collect()
        }
    }
}

fn section(pattern: &str, path: &str, table: Option<&DeTable<'_>>, text: &mut String) {
    let given = |name: &str| table.and_then(|table| table.get(name)).map(Spanned::get_ref);
    if !path.is_empty() {
        text.push_str(&format!("\n[{path}]\n"));
    }
    let executor = given("executor").and_then(DeValue::as_str);
    for key in KEYS.iter().filter(|key| key.section == pattern) {
        if key.executor.is_some() && key.executor != executor {
            continue;
        }
        text.push_str(&match (given(key.name), &key.default) {
            (Some(value), _) => format!("{} = {}\n", key.name, shown(key, value)),
            (None, Default::Is(default)) => format!("{} = {}\n", key.name, written(key, default)),
            (None, Default::Otherwise(words)) => format!("# {}: {words}\n", key.name),
            (None, Default::Required(_)) => String::new(),
        });
    }
}

/// A value of the file; what may be a secret is not part of it.
fn shown(key: &Key, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(table) => {
            let entries = table.iter().map(|(name, _)| format!("{} = {HIDDEN}", quoted(name.get_ref())));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        _ if key.kind.is_secret() => HIDDEN.to_owned(),
        DeValue::Array(values) => {
            format!("[{}]", values.iter().map(|value| shown(key, value.get_ref())).collect::<Vec<_>>().join(", "))
        }
        DeValue::String(text) => string(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(at) => at.to_string(),
    }
}

/// A default, as one would write it in the file.
fn written(key: &Key, default: &str) -> String {
    match key.kind {
        Kind::Flag | Kind::Count { .. } | Kind::Number { .. } => default.to_owned(),
        _ => string(default),
    }
}

/// A string of TOML: JSON's escapes are among TOML's.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_a_configuration_that_means_the_same_but_for_its_secrets() {
        let text = include_str!("../../longshore.example.toml");
        let (table, _) = DeTable::parse_recoverable(text);
        let printed = printed(table.get_ref());
        assert!(!printed.contains("replace-me\"") || !printed.contains("Bearer"), "{printed}");
        for secret in ["Bearer replace-me", "password = \"replace-me\"", "token = \"replace-me\""] {
            assert!(text.contains(secret) && !printed.contains(secret), "{secret} is shown");
        }
        for line in ["lease = \"15s\"", "[actions.notify.retry]", "headers = { Authorization = \"(not shown)\" }"] {
            assert!(printed.contains(line), "{line} is missing in {printed}");
        }
        let again = Config::parse(&printed, "printed").expect("a configuration");
        let mut meant = Config::parse(text, "printed").expect("a configuration");
        meant.worker.name = again.worker.name.clone();
        assert_eq!(again.queues, meant.queues);
        assert_eq!(again.retention, meant.retention);
        assert_eq!(again.worker, meant.worker);
        assert_eq!(again.actions.keys().collect::<Vec<_>>(), meant.actions.keys().collect::<Vec<_>>());
        assert_eq!(again.actions["resize"], meant.actions["resize"]);
    }

    #[test]
    fn without_sections_the_defaults_are_printed() {
        let (table, _) = DeTable::parse_recoverable("[actions.a]\nexecutor = 'noop'");
        let printed = printed(table.get_ref());
        assert!(printed.contains("\n[queues.default]\nconcurrency = 64\n"), "{printed}");
        assert!(printed.contains("# database_url: ") && !printed.contains("[design.keystone]"), "{printed}");
    }
}
