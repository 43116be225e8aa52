//! What was found, and what was looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::code::{Code, Severity};
use crate::cli::say::count;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) code: Code,
    severity: Severity,
    title: &'static str,
    /// With the values.
    pub(super) seen: String,
    /// What to do; SQL where that mends it.
    remedy: String,
}

impl Finding {
    pub(super) fn new(code: Code, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), title: code.title(), seen: seen.into(), remedy: remedy.into() }
    }
}

/// Why a check could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotChecked(pub(super) String);

impl From<longshore_queue::Error> for NotChecked {
    fn from(error: longshore_queue::Error) -> Self {
        Self(error.to_string())
    }
}

/// What a check yields: what is wrong, or why that is not known.
pub(super) type Checked = Result<Vec<Finding>, NotChecked>;

/// All that is known of an installation.
#[derive(Debug)]
pub(super) struct Report {
    wanted: BTreeSet<Code>,
    findings: Vec<Finding>,
    checked: BTreeSet<Code>,
    not_checked: BTreeMap<Code, String>,
}

impl Report {
    /// An empty one, of the codes that are asked for.
    pub(super) fn new(only: &[Code], skip: &[Code]) -> Self {
        let wanted = |code: &Code| (only.is_empty() || only.contains(code)) && !skip.contains(code);
        Self {
            wanted: Code::ALL.iter().copied().filter(wanted).collect(),
            findings: Vec::new(),
            checked: BTreeSet::new(),
            not_checked: BTreeMap::new(),
        }
    }

    /// Makes the check for these codes, unless none of them is asked for.
    pub(super) async fn take(&mut self, codes: &[Code], check: impl Future<Output = Checked>) {
        if codes.iter().any(|code| self.wanted.contains(code)) {
            self.note(codes, check.await);
        }
    }

    /// Notes what the check for these codes yielded.
    pub(super) fn note(&mut self, codes: &[Code], result: Checked) {
        let wanted = codes.iter().copied().filter(|code| self.wanted.contains(code));
        match result {
            Ok(findings) => {
                self.checked.extend(wanted);
                self.findings.extend(findings.into_iter().filter(|finding| self.wanted.contains(&finding.code)));
            }
            Err(NotChecked(why)) => self.not_checked.extend(wanted.map(|code| (code, why.clone()))),
        }
    }

    /// Notes that nothing else can be known.
    pub(super) fn end(&mut self, why: &str) {
        for code in &self.wanted {
            if !self.checked.contains(code) {
                self.not_checked.entry(*code).or_insert_with(|| why.to_owned());
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether nothing was found that counts; `strict`: warnings count.
    pub(super) fn is_healthy(&self, strict: bool) -> bool {
        self.count(Severity::Error) == 0 && (!strict || self.count(Severity::Warning) == 0)
    }

    /// The worst first, then by code.
    fn sorted(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| (finding.severity, finding.code));
        findings
    }

    /// For programs.
    pub(super) fn json(&self, database: &str, schema: &str, strict: bool) -> serde_json::Value {
        let not_checked: Vec<_> =
            self.not_checked.iter().map(|(code, why)| serde_json::json!({ "code": code, "why": why })).collect();
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "database": database,
            "schema": schema,
            "healthy": self.is_healthy(strict),
            "findings": self.sorted(),
            "checked": self.checked,
            "not_checked": not_checked,
        })
    }

    /// For people.
    pub(super) fn text(&self, database: &str, schema: &str) -> String {
        let mut text = String::new();
        for finding in self.sorted() {
            text += &format!("{:7}  {}  {}\n", finding.severity, finding.code, finding.title);
            text += &format!("         seen    {}\n", indented(&finding.seen));
            text += &format!("         remedy  {}\n\n", indented(&finding.remedy));
        }
        // what one cause has kept from being looked at is told together
        let mut by_cause: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (code, why) in &self.not_checked {
            by_cause.entry(why).or_default().push(code.to_string());
        }
        for (why, codes) in by_cause {
            text += &format!("not checked: {}\n         {}\n\n", codes.join(", "), indented(why));
        }
        let checked = count(self.checked.len(), "code");
        let errors = count(self.count(Severity::Error), "error");
        let warnings = count(self.count(Severity::Warning), "warning");
        text += &format!("{database}, schema {schema}: {checked} checked, {errors}, {warnings}\n");
        text
    }
}

/// Lines after the first, below its beginning.
fn indented(text: &str) -> String {
    text.replace('\n', "\n                 ")
}
