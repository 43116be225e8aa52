//! A design as it was read and compiled, once for all who work with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::compile::{Compiled, compile};
use super::finding::Finding;
use super::ingest::{Ingested, Status, ingest_all};
use super::model::{Design, Kind};
use super::rules::{self, Platforms, Subject};

/// What came of reading a design and compiling it.
pub struct Reading {
    /// The documents as they were ingested: those that could be read.
    pub documents: Arc<Design>,
    /// How many there are of each kind.
    pub models: BTreeMap<Kind, usize>,
    /// Whether all of them could be read.
    pub status: Status,
    /// What follows from the documents; `None` where not all could be read.
    pub compiled: Option<Compiled>,
    /// What was found while reading, then while compiling.
    findings: Vec<Finding>,
    /// How many of them while reading.
    while_reading: usize,
}

impl fmt::Debug for Reading {
    /// Not the documents: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("status", &self.status).field("models", &self.models).finish_non_exhaustive()
    }
}

impl Reading {
    /// Reads and compiles. Takes seconds for a large design: not for a thread that others wait for.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_all([bytes])
    }

    /// The same for streams that make up one design.
    pub fn of_all<'i>(inputs: impl IntoIterator<Item = &'i [u8]>) -> Self {
        let Ingested { design, mut findings, models, status } = ingest_all(inputs);
        let (documents, while_reading) = (Arc::new(design), findings.len());
        let mut compiled = (status == Status::Success).then(|| compile(Arc::clone(&documents)));
        if let Some(compiled) = &mut compiled {
            findings.append(&mut compiled.findings);
        }
        Self { documents, models, status, compiled, findings, while_reading }
    }

    /// What was found while reading, for whoever wants documents alone.
    pub fn findings_of_documents(&self) -> &[Finding] {
        &self.findings[..self.while_reading]
    }

    /// What was found while reading and compiling.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The same, and what the rules find in a design that was compiled.
    pub fn check(&self, platforms: Option<&Platforms>) -> Vec<Finding> {
        let mut findings = self.findings.clone();
        if let Some(compiled) = &self.compiled {
            findings.extend(rules::check(&Subject { compiled, platforms }));
        }
        findings
    }
}
