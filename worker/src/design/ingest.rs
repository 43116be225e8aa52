//! Reads a stream of documents into a design.

use std::collections::BTreeMap;

use serde::Serialize;

use super::finding::Finding;
use super::model::{Design, Kind};

/// What came of reading one or more streams.
#[derive(Debug)]
pub struct Ingested {
    /// The documents that could be read.
    pub design: Design,
    /// What is wrong with the others, in the order of the documents.
    pub findings: Vec<Finding>,
    /// How many documents of each kind became part of the design.
    pub models: BTreeMap<Kind, usize>,
    /// Whether the design is complete.
    pub status: Status,
}

/// Whether all was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every document was read.
    Success,
    /// Some documents were refused: the design is not complete, so it is neither compiled nor checked.
    Failure,
    /// A stream could not be read to its end: not UTF-8, no YAML, or beyond a limit.
    Unreadable,
}
