//! From streams of documents to everything that is wrong with them: reads, compiles, and runs the rules.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::compile::Compiled;
use super::finding::{Finding, Severity};
use super::ingest::Status;
use super::model::Kind;
use super::reading::Reading;
use super::rules::Platforms;

/// What came of checking a design.
pub struct Checked {
    /// Whether all of it could be read.
    pub status: Status,
    /// How many documents of each kind it has.
    pub models: BTreeMap<Kind, usize>,
    /// What was found: while reading, while compiling, then by each rule.
    pub findings: Vec<Finding>,
    /// The design; `None` where not all of it could be read, since then it is neither compiled nor held against rules.
    pub compiled: Option<Compiled>,
}

/// How many findings there are of each weight that matters. Displays both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Any of them: the design is not acted on.
    pub errors: usize,
    /// Probable mistakes.
    pub warnings: usize,
}

/// Checks streams that make up one design. Takes seconds for a large one: not for a thread that others wait for.
pub fn check<'i>(inputs: impl IntoIterator<Item = &'i [u8]>, platforms: Option<&Platforms>) -> Checked {
    let reading = Reading::of_all(inputs);
    let findings = reading.check(platforms);
    Checked { status: reading.status, models: reading.models, findings, compiled: reading.compiled }
}

impl Tally {
    /// Counts findings.
    pub fn of(findings: &[Finding]) -> Tally {
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Tally { errors: count(Severity::Error), warnings: count(Severity::Warning) }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        let Tally { errors, warnings } = *self;
        write!(f, "{errors} error{}, {warnings} warning{}", plural(errors), plural(warnings))
    }
}
