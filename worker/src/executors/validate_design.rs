//! Checks the design that a task names: every finding becomes a message, and an error among them the task's failure.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_queue::{Outcome, ResultMessage, ResultStatus, TaskResult};
use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::task::spawn_blocking;

use super::protocol::without_nul;
use crate::design::Resolved;
use crate::design::finding::{DocumentRef, Finding, Severity, Tally};
use crate::design::ingest::Status;
use crate::design::model::Kind;
use crate::design::reading::Reading;
use crate::design::readings::Readings;
use crate::design::status::titled;
use crate::{Context, Execution, Executor, Stop};

/// Findings recorded as messages, the gravest first: more than anybody reads, and few enough for the memory in which an
/// attempt's messages wait.
const MESSAGES_MAX: usize = 500;

/// Of a message's text, and of a name in it.
const TEXT_MAX_BYTES: usize = 512;
const NAME_MAX_BYTES: usize = 128;

/// Checks the design of each task by all rules.
#[derive(Debug, Clone, Default)]
pub struct ValidateDesign {
    readings: Arc<Readings>,
}

/// What the task leaves behind.
#[derive(Serialize)]
struct Output<'c> {
    #[serde(flatten)]
    tally: Tally,
    models: &'c BTreeMap<Kind, usize>,
}

impl ValidateDesign {
    /// One that reads no design which others have read.
    pub(crate) fn sharing(readings: Arc<Readings>) -> Self {
        Self { readings }
    }

    /// Checks on a thread of its own, since a large design takes seconds.
    async fn checked(&self, design: &Resolved) -> Result<(Arc<Reading>, Vec<Finding>), String> {
        let reading = self.readings.read(design).await?;
        let checking = spawn_blocking(move || {
            let findings = reading.check(None);
            (reading, findings)
        });
        checking.await.map_err(|error| error.to_string())
    }
}

impl Executor for ValidateDesign {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(async move {
            let Some(design) = context.design() else {
                return Outcome::failure("design", "the executor was given no design");
            };
            tokio::select! {
                biased;
                checked = self.checked(design) => match checked {
                    Ok((reading, findings)) => ended(context, &reading, &findings),
                    Err(panic) => Outcome::retry("panic", format!("the check broke off: {panic}")),
                },
                // the check itself goes on to its end, and nobody hears of it
                reason = context.stopped() => match reason {
                    Stop::Terminated => Outcome::failure("terminated", "terminated while the design was checked"),
                    Stop::Lost | Stop::Shutdown => Outcome::Release,
                    Stop::Timeout => Outcome::retry("timeout", "the design was not checked in time"),
                },
            }
        })
    }
}

/// Records what was found. The outcome is final: the same documents are as wrong the next time.
fn ended(context: &Context, reading: &Reading, findings: &[Finding]) -> Outcome {
    messages(findings).into_iter().for_each(|message| context.message(message));
    let tally = Tally::of(findings);
    let (status, reason) = match (reading.status, tally.errors) {
        (Status::Unreadable, _) => (ResultStatus::Failure, Some("design_unreadable")),
        (_, 0) => (ResultStatus::Success, None),
        _ => (ResultStatus::Failure, Some("design_invalid")),
    };
    let output = to_raw_value(&Output { tally, models: &reading.models });
    Outcome::Ended(TaskResult {
        status,
        message: Some(tally.to_string()),
        reason: reason.map(str::to_owned),
        output: Some(output.expect("counts by name are JSON")),
        ..TaskResult::default()
    })
}

/// A message of each finding, those that weigh most first, and how many were left out.
pub(crate) fn messages(findings: &[Finding]) -> Vec<ResultMessage> {
    let by_weight = [Severity::Error, Severity::Warning, Severity::Info];
    let sorted = by_weight.iter().flat_map(|weight| findings.iter().filter(|finding| finding.severity == *weight));
    let mut messages: Vec<ResultMessage> = sorted.take(MESSAGES_MAX).map(message).collect();
    if let Some(more) = findings.len().checked_sub(MESSAGES_MAX).filter(|more| *more > 0) {
        messages.push(ResultMessage::note(format!("and {more} more findings")));
    }
    messages
}

fn message(finding: &Finding) -> ResultMessage {
    let document = |document: &DocumentRef| json!({ "schema": cut(&document.schema, NAME_MAX_BYTES), "name": cut(&document.name, NAME_MAX_BYTES) });
    let documents: Vec<_> = finding.documents.iter().map(document).collect();
    let mut extra = json!({
        "code": finding.code, "rule": finding.rule, "severity": finding.severity, "documents": documents,
        "line": finding.line,
    });
    if !finding.remedy.is_empty() {
        extra["remedy"] = cut(&finding.remedy, TEXT_MAX_BYTES).into();
    }
    let about = finding.documents.first();
    ResultMessage {
        message: cut(&titled(finding), TEXT_MAX_BYTES),
        error: finding.severity == Severity::Error,
        context: about.map(|document| cut(&document.name, NAME_MAX_BYTES)),
        context_type: about.map(|_| "document".to_owned()),
        extra: Some(extra),
    }
}

/// A text that Postgres takes, cut if it is long.
fn cut(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    without_nul(&text[..end]) + if end < text.len() { "…" } else { "" }
}
