//! Every key of the file in one table: what a section accepts, the defaults and the bounds that are applied, and what
//! `CONFIG.md` must say.

use std::time::Duration;

/// One key of the file.
pub(super) struct Key {
    /// The section it stands in, as written in the file; `NAME` is the user's word, and the top level is empty.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Default,
    /// The one executor that takes it; `None`: all.
    pub(super) executor: Option<&'static str>,
}

/// What holds when a key is absent.
pub(super) enum Default {
    /// This value, read as if it stood in the file.
    Is(&'static str),
    /// Something found out at run time, or nothing: said in words.
    Otherwise(&'static str),
    /// The key must be there, for example like this.
    Required(&'static str),
}

/// The type of a key and its bounds, both ends included.
pub(super) enum Kind {
    Text { max_bytes: usize },
    Secret { max_bytes: usize },
    Identifier,
    Choice(&'static [&'static str]),
    Address,
    HttpUrl,
    PostgresUrl,
    Flag,
    Count { min: usize, max: usize },
    Number { min: f64, max: f64 },
    Duration { min: Duration, max: Duration },
    Texts { max: usize },
    TextMap { max: usize },
}

/// What an action's `executor` may be.
pub(super) const EXECUTORS: &[&str] = &["noop", "command", "http", "validate_design", "rust"];

use Default::{Is, Otherwise, Required};

/// In the order of `CONFIG.md`.
pub(super) const KEYS: &[Key] = &[
    key("", "database_url", Kind::PostgresUrl, Otherwise("`DATABASE_URL`, which wins")),
    key("", "schema", Kind::Identifier, Is("public")),
    key("", "connection", Kind::Choice(&["direct", "transaction_pooler"]), Is("direct")),
    key("", "notify", Kind::Flag, Is("true")),
    key("cells.NAME", "database_url", Kind::PostgresUrl, Otherwise("`database_url_file`")),
    key("cells.NAME", "database_url_file", PATH, Otherwise("`database_url`")),
    key("http", "listen", Kind::Address, Is("127.0.0.1:9464")),
    key("log", "format", Kind::Choice(&["text", "json"]), Is("text")),
    key("worker", "name", Kind::Text { max_bytes: 128 }, Otherwise("hostname-pid")),
    // From 100ms, so that a fleet of hundreds does not spend the database on heartbeats.
    key("worker", "heartbeat", duration(ms(100), secs(300)), Is("5s")),
    // From 1s: a shorter pause of the machine or the network must not lose every claim.
    key("worker", "lease", duration(secs(1), secs(3600)), Is("15s")),
    // Below the 30s that Kubernetes waits before it kills.
    key("worker", "shutdown_deadline", duration(ms(0), days(1)), Is("25s")),
    key("worker", "executor_threads", Kind::Count { min: 1, max: 512 }, Otherwise("one per core")),
    key("queues.NAME", "concurrency", Kind::Count { min: 1, max: 10_000 }, Is("64")),
    key("queues.NAME", "poll", duration(ms(10), secs(60)), Is("1s")),
    key("queues.NAME", "prefetch", Kind::Flag, Is("true")),
    key("actions.NAME", "executor", Kind::Choice(EXECUTORS), Required("executor = \"noop\"")),
    // Up to what a task's own timeout may be.
    key("actions.NAME", "timeout", duration(ms(10), days(31)), Is("1h")),
    key("actions.NAME", "queues", Kind::Texts { max: 1000 }, Otherwise("every queue of the file")),
    key("actions.NAME.retry", "base", duration(ms(0), days(31)), Is("15s")),
    key("actions.NAME.retry", "factor", Kind::Number { min: 1.0, max: 100.0 }, Is("2.0")),
    key("actions.NAME.retry", "max", duration(secs(1), days(31)), Is("24h")),
    key("actions.NAME.retry", "jitter", Kind::Number { min: 0.0, max: 1.0 }, Is("0.1")),
    only("command", "argv", Kind::Texts { max: 256 }, Required("argv = [\"resize\", \"--json\"]")),
    only("command", "stdout", Kind::Choice(&["text", "jsonl"]), Is("text")),
    only("command", "env", Kind::TextMap { max: 256 }, Otherwise("none")),
    // Up to 64 MiB, because each of up to 10,000 attempts may hold as much.
    only("command", "max_output_bytes", Kind::Count { min: 1024, max: 67_108_864 }, Is("1048576")),
    only("command", "kill_after", duration(ms(0), secs(600)), Is("5s")),
    only("http", "url", Kind::HttpUrl, Required("url = \"https://example.com/hook\"")),
    only("http", "headers", Kind::TextMap { max: 64 }, Otherwise("none")),
    key("retention", "success", duration(secs(60), days(3650)), Is("7d")),
    key("retention", "other", duration(secs(60), days(3650)), Is("30d")),
    key("retention", "build_data", duration(secs(60), days(3650)), Otherwise("kept for ever")),
    key("actions.NAME.design", "as", Kind::Choice(&["bytes", "documents", "model"]), Required("as = \"bytes\"")),
    key("actions.NAME.design", "node_filter", Kind::Choice(&["none", "task"]), Is("none")),
    key("actions.NAME.design", "timeout", duration(ms(10), days(1)), Is("1m")),
    key("design", "file_root", PATH, Otherwise("no file is read")),
    key("design", "allow", Kind::Texts { max: 256 }, Otherwise("none")),
    key("design", "content_types", Kind::Texts { max: 64 }, Otherwise("YAML, JSON, plain text, octets")),
    key("design", "ca_file", PATH, Otherwise("the system's alone")),
    // Up to 1 GiB: a reference is held in memory, once a worker and again for each attempt that is sent it.
    key("design", "max_bytes", Kind::Count { min: 1, max: 1_073_741_824 }, Is("67108864")),
    key("design", "connect_timeout", duration(ms(10), secs(300)), Is("10s")),
    key("design", "timeout", duration(ms(10), secs(3600)), Is("30s")),
    // As many as browsers follow at most; more is a loop.
    key("design", "redirects", Kind::Count { min: 0, max: 20 }, Is("0")),
    key("design", "cache_bytes", Kind::Count { min: 0, max: 68_719_476_736 }, Is("134217728")),
    key("design", "cache_entries", Kind::Count { min: 1, max: 100_000 }, Is("256")),
    key("design", "cache_ttl", duration(ms(0), days(1)), Is("1m")),
    key("design.keystone", "auth_url", Kind::HttpUrl, Required("auth_url = \"https://keystone:5000/v3\"")),
    key("design.keystone", "origins", Kind::Texts { max: 64 }, Required("origins = [\"http://deckhand:9000\"]")),
    key("design.keystone", "username", Kind::Text { max_bytes: 256 }, Required("username = \"longshore\"")),
    key("design.keystone", "password", SECRET, Otherwise("`password_file`")),
    key("design.keystone", "password_file", PATH, Otherwise("`password`")),
    key("design.keystone", "user_domain_name", Kind::Text { max_bytes: 256 }, Is("Default")),
    key("design.keystone", "project_id", Kind::Text { max_bytes: 256 }, Required("project_id = \"…\"")),
    key("design.credentials.NAME", "origin", Kind::HttpUrl, Required("origin = \"https://host:port\"")),
    key("design.credentials.NAME", "username", Kind::Text { max_bytes: 256 }, Otherwise("`token`")),
    key("design.credentials.NAME", "password", SECRET, Otherwise("`password_file`")),
    key("design.credentials.NAME", "password_file", PATH, Otherwise("`password`")),
    key("design.credentials.NAME", "token", SECRET, Otherwise("`token_file`")),
    key("design.credentials.NAME", "token_file", PATH, Otherwise("`token`")),
    key("otlp", "endpoint", Kind::HttpUrl, Required("endpoint = \"http://localhost:4318\"")),
    key("otlp", "service_name", Kind::Text { max_bytes: 256 }, Is("longshore")),
    key("otlp", "headers", Kind::TextMap { max: 64 }, Otherwise("none")),
    key("otlp", "headers_file", PATH, Otherwise("none")),
    key("otlp", "sample", Kind::Number { min: 0.0, max: 1.0 }, Is("1.0")),
    key("otlp", "timeout", duration(ms(10), secs(60)), Is("10s")),
];

/// As long as systems take.
const PATH: Kind = Kind::Text { max_bytes: 4096 };
/// As long as servers take a header.
const SECRET: Kind = Kind::Secret { max_bytes: 4096 };

const fn key(section: &'static str, name: &'static str, kind: Kind, default: Default) -> Key {
    Key { section, name, kind, default, executor: None }
}

/// A key of an action that one executor takes.
const fn only(executor: &'static str, name: &'static str, kind: Kind, default: Default) -> Key {
    Key { section: "actions.NAME", name, kind, default, executor: Some(executor) }
}

const fn duration(min: Duration, max: Duration) -> Kind {
    Kind::Duration { min, max }
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// The words that a section accepts: its keys, then the sections below it.
pub(super) fn known(section: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = KEYS.iter().filter(|key| key.section == section).map(|key| key.name).collect();
    for key in KEYS {
        let below = match section {
            "" => Some(key.section),
            _ => key.section.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let word = below.and_then(|below| below.split('.').next()).filter(|word| !word.is_empty());
        words.extend(word.filter(|word| !words.contains(word)));
    }
    words
}

/// A duration as one would write it: in the largest unit that needs no fraction.
pub(super) fn human(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [(86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s")];
    let unit = units.into_iter().chain([(1_000_000, "ms"), (1000, "us")]).find(|(unit, _)| nanos.is_multiple_of(*unit));
    match unit {
        _ if nanos == 0 => "0s".to_owned(),
        Some((unit, name)) => format!("{}{name}", nanos / unit),
        None => format!("{nanos}ns"),
    }
}

impl Kind {
    /// The bounds in words, for people; both ends are included.
    pub(super) fn bounds(&self) -> String {
        match self {
            Self::Text { max_bytes } | Self::Secret { max_bytes } => format!("1 to {max_bytes} bytes"),
            Self::Identifier => "`[a-z_][a-z0-9_]{0,42}`".to_owned(),
            Self::Choice(words) => one_of(words),
            Self::Address => "IP address and port".to_owned(),
            Self::HttpUrl => "http:// or https://, no password".to_owned(),
            Self::PostgresUrl => "postgres:// or postgresql://".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count { min, max } => format!("{min} to {max}"),
            Self::Number { min, max } => format!("{min} to {max}"),
            Self::Duration { min, max } => format!("{} to {}", human(*min), human(*max)),
            Self::Texts { max } => format!("1 to {max} strings"),
            Self::TextMap { max } => format!("0 to {max} strings"),
        }
    }

    /// Whether no error may show its value.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Self::PostgresUrl | Self::TextMap { .. } | Self::Secret { .. })
    }
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.as_slice() {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first five columns of a key's row in `CONFIG.md`.
    fn row(key: &Key) -> [String; 5] {
        let path = if key.section.is_empty() { key.name.to_owned() } else { format!("{}.{}", key.section, key.name) };
        let kind = match key.kind {
            Kind::Flag => "boolean",
            Kind::Count { .. } => "integer",
            Kind::Number { .. } => "number",
            Kind::Duration { .. } => "duration",
            Kind::Texts { .. } => "array of strings",
            Kind::TextMap { .. } => "table of strings",
            Kind::PostgresUrl | Kind::Secret { .. } => "string, secret",
            _ => "string",
        };
        let default = match key.default {
            Is(value) => format!("`{value}`"),
            Otherwise(words) => words.to_owned(),
            Required(_) => "required".to_owned(),
        };
        [format!("`{path}`"), kind.to_owned(), default, key.kind.bounds(), key.executor.unwrap_or("").to_owned()]
    }

    #[test]
    fn the_table_in_config_md_lists_every_key_with_its_default_and_bounds() {
        let page = include_str!("../../CONFIG.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let said: Vec<String> = rows.iter().map(|row| row[..5].join(" | ")).collect();
        let meant: Vec<String> = KEYS.iter().map(|key| row(key).join(" | ")).collect();
        assert_eq!(said.join("\n"), meant.join("\n"), "left: CONFIG.md, right: KEYS");
        assert!(rows.iter().all(|row| row.len() == 6 && !row[5].is_empty()), "every key says what it means");
    }

    #[test]
    fn a_section_knows_its_keys_and_the_sections_below() {
        assert_eq!(
            known(""),
            [
                "database_url",
                "schema",
                "connection",
                "notify",
                "cells",
                "http",
                "log",
                "worker",
                "queues",
                "actions",
                "retention",
                "design",
                "otlp"
            ]
        );
        assert!(known("actions.NAME").ends_with(&["retry", "design"]));
        assert_eq!(known("actions.NAME.retry"), ["base", "factor", "max", "jitter"]);
    }

    #[test]
    fn durations_print_as_one_writes_them() {
        let printed = [ms(0), ms(200), ms(1500), secs(90), secs(120), secs(7200), days(31), Duration::from_nanos(7)];
        assert_eq!(printed.map(human), ["0s", "200ms", "1500ms", "90s", "2m", "2h", "31d", "7ns"]);
    }
}
