use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Kind, METRICS, Metric};

#[test]
fn the_page_of_metrics_has_each_metric_once_with_its_type_labels_and_meaning() {
    let page = include_str!("../../METRICS.md");
    let said: Vec<&str> = page.lines().filter(|line| line.starts_with("| `longshore_")).collect();
    let meant: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let (labels, kind) = (metric.labels.join(", "), metric.kind.as_str());
            format!("| `{}` | {kind} | {labels} | {} |", metric.name, metric.meaning)
        })
        .collect();
    assert_eq!(said.join("\n"), meant.join("\n"), "left: METRICS.md, right: METRICS");
}

#[test]
fn the_table_of_metrics_is_in_order_and_has_each_once() {
    assert!(METRICS.is_sorted_by(|one, next| one.name < next.name), "{METRICS:?}");
}

/// The labels that Prometheus, its alerts and Kubernetes add.
const OF_THE_SCRAPE: [&str; 11] = [
    "job",
    "instance",
    "namespace",
    "pod",
    "container",
    "service",
    "endpoint",
    "cluster",
    "alertname",
    "severity",
    "le",
];

/// Names that begin alike and are no metrics: crates, a table, and the roles of `deploy/roles.sql`.
fn other_names() -> HashSet<String> {
    let roles = include_str!("../../../deploy/roles.sql");
    let crates = ["longshore_queue", "longshore_worker", "longshore_postgres", "longshore_migrations"];
    names_in(roles).map(|(_, name)| name.to_owned()).chain(crates.map(str::to_owned)).collect()
}

/// The names that begin with `longshore_`, and where each ends.
fn names_in(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:".contains(byte);
    text.match_indices("longshore_").filter_map(move |(at, _)| {
        let begins = at == 0 || !is_name(&text.as_bytes()[at - 1]);
        let length = text.as_bytes()[at..].iter().take_while(|byte| is_name(byte)).count();
        begins.then(|| (at + length, &text[at..at + length]))
    })
}

/// The metric that a series belongs to.
fn metric_of(series: &str) -> Option<&'static Metric> {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix));
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Histogram => metric.name == series || Some(metric.name) == base,
        _ => metric.name == series,
    })
}

/// What is wrong with the metrics that a text names: unknown ones, and labels that they do not have.
fn wrong_in(text: &str, others: &HashSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let labels_of = |list: &str| -> Vec<String> {
        let names = list.split(',').map(|part| part.split(['=', '!']).next().unwrap_or("").trim().to_owned());
        names.filter(|name| !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())).collect()
    };
    for (end, name) in names_in(text) {
        // a colon is in the names of recording rules; an underscore ends one that is cut short, `longshore_design_…`
        if others.contains(name) || name.contains(':') || name.ends_with('_') {
            continue;
        }
        let Some(metric) = metric_of(name) else {
            wrong.push(format!("there is no metric {name}"));
            continue;
        };
        let selector = text[end..].strip_prefix('{').filter(|rest| !rest.starts_with('{'));
        for label in selector.and_then(|rest| rest.split('}').next()).map(labels_of).unwrap_or_default() {
            if !metric.labels.contains(&label.as_str()) && !OF_THE_SCRAPE.contains(&label.as_str()) {
                wrong.push(format!("{name} has no label {label}"));
            }
        }
    }
    for (at, _) in text.match_indices("by (") {
        for label in labels_of(text[at + 4..].split(')').next().unwrap_or_default()) {
            let known = METRICS.iter().any(|metric| metric.labels.contains(&label.as_str()));
            if text.contains("longshore_") && !known && !OF_THE_SCRAPE.contains(&label.as_str()) {
                wrong.push(format!("by ({label}): no metric has such a label"));
            }
        }
    }
    wrong
}

/// The files below a folder, but for what is built or fetched.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the repository can be read").map_while(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = !name.to_string_lossy().starts_with('.') && name != "target" && name != "node_modules";
        if is_ours && path.is_dir() {
            files(&path, into);
        } else if is_ours {
            into.push(path);
        }
    }
}

#[test]
fn documents_rules_and_dashboards_name_metrics_and_labels_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut all, others) = (Vec::new(), other_names());
    files(&root, &mut all);
    let ends = |path: &Path, of: &[&str]| path.extension().is_some_and(|end| of.iter().any(|one| end == *one));
    let deploy = root.join("deploy");
    let (mut seen, mut wrong) = (0, Vec::new());
    for path in all {
        let is_rule = path.starts_with(&deploy) && ends(&path, &["yml", "yaml", "json", "tpl"]);
        let text = if is_rule || ends(&path, &["md"]) { std::fs::read_to_string(&path) } else { continue };
        let text = text.expect("documents are text");
        seen += names_in(&text).count();
        wrong.extend(wrong_in(&text, &others).into_iter().map(|what| format!("{}: {what}", path.display())));
    }
    assert_eq!(wrong, [""; 0]);
    assert!(seen > METRICS.len(), "only {seen} names found");
}

#[test]
fn a_wrong_name_or_label_would_be_found() {
    let wrong = |text: &str| wrong_in(text, &other_names());
    assert_eq!(
        wrong("sum by (cell, le) (rate(longshore_claim_seconds_bucket{result=\"rows\", job=~\"x\"}[5m]))"),
        [""; 0]
    );
    assert_eq!(wrong("longshore_leader{queue=\"a\"}"), ["longshore_leader has no label queue"]);
    assert_eq!(wrong("longshore_leader_count"), ["there is no metric longshore_leader_count"]);
    assert_eq!(wrong("sum by (shop) (longshore_leader)"), ["by (shop): no metric has such a label"]);
    assert_eq!(wrong("GRANT longshore_reader; longshore:wait:p99{shop=\"a\"}"), [""; 0]);
}

#[test]
fn every_metric_that_the_code_counts_is_described() {
    let mut sources = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut seen = HashSet::new();
    for path in sources.iter().filter(|path| !path.ends_with("names.rs") && !path.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(path).expect("sources are text");
        for name in text.split('"').filter(|part| part.starts_with("longshore_") && *part != "longshore_worker") {
            if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
                assert!(METRICS.iter().any(|metric| metric.name == name), "{name} in {}", path.display());
                seen.insert(name.to_owned());
            }
        }
    }
    let silent = METRICS.iter().filter(|metric| !seen.contains(metric.name)).map(|metric| metric.name);
    assert_eq!(silent.collect::<Vec<_>>(), [""; 0], "described, and counted nowhere");
}
