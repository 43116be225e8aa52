//! What a check found, and where.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::model::{Document, Text};

/// One thing that a check found in a design.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: `DD001`. Several rules may share a code.
    pub code: &'static str,
    /// Which rule of that code, in words joined by underscores: `storage_sizing`.
    pub rule: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What is wrong, with which value.
    pub message: String,
    /// What to do about it; empty if the message says it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remedy: Cow<'static, str>,
    /// The documents it is about, the one to change first. Empty for a finding about the whole design.
    pub documents: Vec<DocumentRef>,
    /// The line it is about, or of the first document; counted from 1.
    pub line: Option<u32>,
    /// Which of the inputs the line lies in, counted from 0 in the order in which they were given.
    #[serde(skip)]
    pub input: u32,
}

/// How much a finding weighs. A design with an error is not acted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A rule found nothing, or something worth knowing.
    Info,
    /// Probably a mistake; the design can be acted on.
    Warning,
    /// A mistake.
    Error,
}

/// A document by its schema and name, as findings point to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DocumentRef {
    /// `drydock/Network/v1`
    pub schema: Cow<'static, str>,
    /// As its metadata says.
    pub name: Text,
}

impl Finding {
    /// A finding about the whole design.
    pub fn new(code: &'static str, rule: &'static str, severity: Severity, message: impl Into<String>) -> Finding {
        Finding {
            code,
            rule,
            severity,
            message: message.into(),
            remedy: Cow::Borrowed(""),
            documents: Vec::new(),
            line: None,
            input: 0,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Finding {
        self.remedy = remedy.into();
        self
    }

    /// Points to a document. The first one gives the finding its place, unless it has one.
    #[must_use]
    pub fn about(mut self, document: &impl Document) -> Finding {
        if self.line.is_none() {
            let origin = document.origin();
            (self.line, self.input) = (Some(origin.line), origin.input);
        }
        self.documents.push(document.reference());
        self
    }
}

/// How many findings there are of each weight that matters. Displays both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Any of them: the design is not acted on.
    pub errors: usize,
    /// Probable mistakes.
    pub warnings: usize,
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
