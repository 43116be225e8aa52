//! Measures how long a synthetic site takes to be read, compiled and checked, and how much memory at most:
//! `cargo run --release --example design_site -- 5000`

use std::sync::Arc;
use std::time::Instant;

use longshore_worker::design::compile::compile;
use longshore_worker::design::finding::Tally;
use longshore_worker::design::ingest::{Status, ingest};
use longshore_worker::design::rules::{self, Platforms, Subject};

#[path = "../tests/design/site.rs"]
mod site;

fn main() {
    let nodes = std::env::args().nth(1).and_then(|nodes| nodes.parse().ok()).unwrap_or(5_000);
    let yaml = site::yaml(nodes);
    let before_kib = peak_kib();
    let begun = Instant::now();
    let ingested = ingest(yaml.as_bytes());
    let read = begun.elapsed();
    for finding in ingested.findings.iter().take(5) {
        println!("{finding:?}");
    }
    assert!(ingested.status == Status::Success, "the site is read");
    let compiled = compile(Arc::new(ingested.design));
    let compiled_after = begun.elapsed();
    assert!(compiled.findings.is_empty(), "the site compiles: {:?}", compiled.findings.first());
    let platforms = Platforms::from_json(r#"{"noble": ["hwe-24.04"]}"#).expect("an image and its kernel");
    let found = rules::check(&Subject { compiled: &compiled, platforms: Some(&platforms) });
    let done = begun.elapsed();
    assert_eq!(Tally::of(&found), Tally::default(), "no rule finds fault with the site: {:?}", found.first());
    println!(
        "{} nodes, {:.1} MB: read {read:.0?}, compiled after {compiled_after:.0?}, checked after {done:.0?}, peak {} MiB, before {} MiB",
        compiled.nodes.len(),
        yaml.len() as f64 / 1e6,
        peak_kib() / 1024,
        before_kib / 1024,
    );
}

/// The most memory that this process has had, as Linux tells it; 0 elsewhere.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
