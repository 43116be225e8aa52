use super::Rule;
use crate::design::finding::{Finding, Severity};
use crate::design::model::Document;

/// Findings kept of one rule: more than anybody reads, and a bound for what a design can make of them.
pub const FINDINGS_MAX: usize = 10_000;

/// What one rule has found.
#[derive(Debug)]
pub struct Findings {
    code: &'static str,
    rule: &'static str,
    kept: Vec<Finding>,
    /// How many are kept.
    max: usize,
    left_out: usize,
    /// The weight of the heaviest, those left out among them.
    worst: Severity,
}

impl Findings {
    pub(super) fn new(rule: &Rule) -> Findings {
        let (code, rule) = (rule.code, rule.name);
        Findings { code, rule, kept: Vec::new(), max: FINDINGS_MAX, left_out: 0, worst: Severity::Info }
    }

    /// None, of the same rule, for a part: as many are kept as there is room for here, so that all parts together keep
    /// no more than the whole.
    pub(super) fn of_part(&self) -> Findings {
        Findings { kept: Vec::new(), max: self.room(), left_out: 0, worst: Severity::Info, ..*self }
    }

    fn room(&self) -> usize {
        self.max - self.kept.len()
    }

    /// An error of this rule, to be pushed.
    pub(super) fn error(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.code, self.rule, Severity::Error, message)
    }

    /// A warning of this rule, to be pushed.
    pub(super) fn warning(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.code, self.rule, Severity::Warning, message)
    }

    pub(super) fn push(&mut self, finding: Finding) {
        self.worst = self.worst.max(finding.severity);
        if self.room() > 0 {
            self.kept.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// Takes over what was found in a part, as found in this document.
    pub(super) fn repeat(&mut self, part: &Findings, document: &impl Document) {
        let room = part.kept.len().min(self.room());
        self.kept.extend(part.kept[..room].iter().map(|finding| finding.clone().about(document)));
        self.left_out = self.left_out.saturating_add(part.kept.len() - room).saturating_add(part.left_out);
        self.worst = self.worst.max(part.worst);
    }

    /// The list, with how many were left out, or with an info if there is no error.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        if self.left_out > 0 {
            let message = format!("{} more findings of this rule are left out", self.left_out);
            self.kept.push(Finding::new(self.code, self.rule, self.worst, message));
        }
        if self.worst < Severity::Error {
            self.kept.push(Finding::new(self.code, self.rule, Severity::Info, "no errors"));
        }
        self.kept
    }
}
