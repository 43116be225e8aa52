//! Every fixture with what comes of it: findings, and the design where there is one. `GOLDEN=write` writes the goldens
//! anew, to be read before they are committed.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use longshore_worker::design::compile::{Compiled, compile};
use longshore_worker::design::finding::Finding;
use longshore_worker::design::ingest::ingest;

pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/design/fixtures");

/// The fixtures' names and contents.
pub(crate) fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut fixtures: Vec<(String, Vec<u8>)> = std::fs::read_dir(FIXTURES)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a fixture"))
        })
        .collect();
    fixtures.sort();
    fixtures
}

/// Whether goldens are written rather than compared.
pub(crate) fn writes() -> bool {
    std::env::var_os("GOLDEN").is_some_and(|value| value == "write")
}

#[test]
fn each_fixture_comes_to_its_golden() {
    let mut differing = Vec::new();
    for (name, bytes) in fixtures() {
        let told = told(&bytes);
        let path = Path::new(FIXTURES).join(format!("{name}.golden"));
        if writes() {
            std::fs::write(&path, &told).expect("the golden is written");
        } else if std::fs::read_to_string(&path).unwrap_or_default() != told {
            println!("--- {name}\n{told}");
            differing.push(name);
        }
    }
    assert!(differing.is_empty(), "these differ from their goldens (GOLDEN=write writes them): {differing:?}");
}

fn told(bytes: &[u8]) -> String {
    let ingested = ingest(bytes);
    let mut told = format!("{:?} {:?}\n", ingested.status, ingested.models);
    tell(&mut told, &ingested.findings);
    let design = Arc::new(ingested.design);
    let compiled = compile(design.clone());
    tell(&mut told, &compiled.findings);
    tell_compiled(&mut told, &compiled);
    if !design.host_profiles.is_empty() {
        writeln!(told, "host profiles: {}", pretty(&design.host_profiles)).expect("a string takes all");
    }
    told
}

/// Writes findings, a line each.
pub(crate) fn tell<'f>(told: &mut String, findings: impl IntoIterator<Item = &'f Finding>) {
    for Finding { code, rule, severity, message, remedy, documents, line, .. } in findings {
        let documents: Vec<String> = documents.iter().map(|at| format!("{} {}", at.schema, at.name)).collect();
        let line = line.map_or("-".to_owned(), |line| line.to_string());
        let documents = documents.join(", ");
        write!(told, "{line}: {severity:?} {code} {rule} [{documents}] {message}").expect("a string takes all");
        told.push_str(if remedy.is_empty() { "" } else { " -> " });
        told.push_str(remedy);
        told.push('\n');
    }
}

fn tell_compiled(told: &mut String, compiled: &Compiled) {
    writeln!(told, "compiled: {}", pretty(compiled)).expect("a string takes all");
    for node in compiled.nodes.iter() {
        let line = node.kernel_command_line();
        if !line.is_empty() {
            writeln!(told, "{} boots with {line}", node.name).expect("a string takes all");
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("a design is JSON")
}
