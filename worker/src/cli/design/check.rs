//! Checks a design, and says what was found: to people, or as JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use chrono::Utc;
use longshore_worker::design::finding::{DocumentRef, Finding, Severity, Tally};
use longshore_worker::design::ingest::Status;
use longshore_worker::design::model::Kind;
use longshore_worker::design::reading::Reading;
use longshore_worker::design::rules::Platforms;
use longshore_worker::design::status::StatusDocument;
use serde::Serialize;

use super::load::Inputs;
use crate::cli::exit::Exit;
use crate::cli::say::speaks;

/// How findings are told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// In lines; infos only if asked for.
    People {
        verbose: bool,
    },
    Json,
    Status,
}

/// The object of `--json`.
#[derive(Serialize)]
struct Report<'f> {
    findings: Vec<Placed<'f>>,
    models: &'f BTreeMap<Kind, usize>,
}

/// A finding, with the reference that its line is of where there are several.
#[derive(Serialize)]
struct Placed<'f> {
    #[serde(flatten)]
    finding: &'f Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'f str>,
}

pub(super) fn check(inputs: &Inputs, form: Form, platforms: Option<&Platforms>) -> anyhow::Result<ExitCode> {
    let reading = Reading::of_all(inputs.bytes());
    let findings = &reading.check(platforms);
    let tally = Tally::of(findings);
    let mut out = BufWriter::new(io::stdout());
    match form {
        Form::People { verbose } => {
            print(&mut out, inputs, findings, verbose)?;
            writeln!(out, "{}", summary(&reading, tally))?;
        }
        Form::Json => {
            let several = inputs.len() > 1;
            let place = |finding| Placed { finding, reference: several.then(|| inputs.name(finding.input)) };
            let findings = findings.iter().map(place).collect();
            serde_json::to_writer_pretty(&mut out, &Report { findings, models: &reading.models })?;
            writeln!(out)?;
        }
        Form::Status => {
            serde_json::to_writer_pretty(&mut out, &StatusDocument::new(findings, Utc::now()))?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(match (reading.status, tally.errors) {
        (Status::Unreadable, _) => Exit::Usage,
        (_, 0) => Exit::Done,
        _ => Exit::Failed,
    }
    .into())
}

/// `2 errors, 1 warning in 1 Network, 3 BaremetalNode`
fn summary(reading: &Reading, tally: Tally) -> String {
    let models: Vec<String> = reading.models.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    let models = if models.is_empty() { "no documents".to_owned() } else { models.join(", ") };
    let rest = match reading.status {
        Status::Success => "",
        Status::Failure => "; with documents refused, no rule was applied",
        Status::Unreadable => "; the input could not be read to its end",
    };
    format!("{tally} in {models}{rest}")
}

/// Prints findings for people: where, how grave, which code and rule, what is wrong with which documents, what to do.
pub(super) fn print(out: &mut impl Write, inputs: &Inputs, findings: &[Finding], verbose: bool) -> io::Result<()> {
    for finding in findings.iter().filter(|finding| verbose || finding.severity > Severity::Info) {
        let place = finding.line.map(|line| format!("{}:{line}: ", inputs.name(finding.input))).unwrap_or_default();
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let documents: Vec<String> = finding.documents.iter().map(named).collect();
        let documents = if documents.is_empty() { String::new() } else { format!("{}: ", documents.join(" and ")) };
        let (code, rule) = (finding.code, finding.rule);
        let line = format!("{place}{severity} {code} {rule}: {documents}{}", finding.message);
        writeln!(out, "{}", visible(&line))?;
        if !finding.remedy.is_empty() {
            writeln!(out, "    {}", visible(&finding.remedy))?;
        }
    }
    Ok(())
}

/// `Network mgmt`
fn named(document: &DocumentRef) -> String {
    let kind = document.schema.strip_prefix("drydock/").and_then(|rest| rest.strip_suffix("/v1"));
    format!("{} {}", kind.unwrap_or(&document.schema), document.name)
}

/// A text of a document without what a terminal would obey.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.contains(speaks) {
        text.chars().map(|c| if speaks(c) { '\u{FFFD}' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}
