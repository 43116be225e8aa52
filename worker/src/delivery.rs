//! A design on its way to an executor: resolved, and read where the action wants more than its bytes.

use std::sync::Arc;
use std::time::Instant;

use longshore_queue::{Outcome, ResultMessage, Task};
use serde_json::Value;

use crate::action::WantedDesign;
use crate::attempt::stopped;
use crate::config::DesignForm;
use crate::design::delivered::Delivered;
use crate::design::filter::NodeFilter;
use crate::design::finding::Tally;
use crate::design::ingest::Status;
use crate::design::reading::Reading;
use crate::design::resolve::{Class, Problem};
use crate::design::{Reference, ResolveError};
use crate::executors::finding_messages;
use crate::{Context, metrics};

/// Why an executor is not started for its design.
struct Refusal {
    class: Class,
    reason: &'static str,
    message: String,
    /// What the message is about, and what that is.
    about: Option<(String, &'static str)>,
}

/// Gets the design that the task names, within its own time, and hands it to the attempt's context; the outcome where
/// that cannot be.
pub(crate) async fn deliver(context: &Context, wanted: &WantedDesign) -> Result<(), Outcome> {
    let began = Instant::now();
    let delivered = tokio::select! {
        biased;
        reason = context.stopped() => return Err(stopped(reason)),
        delivered = in_time(context, wanted) => delivered,
    };
    metrics::design_resolved(began.elapsed(), delivered.as_ref().err().map(|refusal| refusal.class));
    let Err(Refusal { class, reason, message, about }) = delivered else { return Ok(()) };
    let (about, kind) = about.unzip();
    context.message(ResultMessage {
        context: about,
        context_type: kind.map(str::to_owned),
        ..ResultMessage::error(message.clone())
    });
    Err(match class {
        Class::Permanent => Outcome::failure(reason, message),
        Class::Transient => Outcome::retry(reason, message),
    })
}

async fn in_time(context: &Context, wanted: &WantedDesign) -> Result<(), Refusal> {
    let task = context.task();
    // first, since it is sooner known to be wrong than a design is fetched
    let filter = if wanted.applies_filter { node_filter(task)? } else { None };
    let Some(text) = &task.design_ref else {
        return Err(ResolveError { reference: "of this task".to_owned(), problem: Problem::Missing }.into());
    };
    let reference = Reference::parse(text).map_err(ResolveError::from)?;
    let prepared = tokio::time::timeout(wanted.timeout, prepare(context, wanted, &reference, filter)).await;
    prepared.unwrap_or_else(|_| {
        let problem = Problem::TimedOut(wanted.timeout);
        Err(ResolveError { reference: reference.to_string(), problem }.into())
    })
}

async fn prepare(
    context: &Context,
    wanted: &WantedDesign,
    reference: &Reference,
    filter: Option<NodeFilter>,
) -> Result<(), Refusal> {
    let resolved = wanted.resolver.resolve(reference).await?;
    // also where it turns out to be of no use: its hash tells which version that was
    context.set_design(resolved.clone());
    if wanted.form == DesignForm::Bytes {
        return Ok(());
    }
    let reading = wanted.readings.read(&resolved).await.map_err(Refusal::broke_off)?;
    let needs_compiled = wanted.form == DesignForm::Model || wanted.applies_filter;
    accept(context, &reading, needs_compiled)?;
    let selected = if wanted.applies_filter { Some(select(context, &reading, filter).await?) } else { None };
    context.set_delivered(Delivered::new(wanted.form, reading, selected, wanted.json_max_bytes));
    Ok(())
}

/// The filter of the task; `None` is all nodes.
fn node_filter(task: &Task) -> Result<Option<NodeFilter>, Refusal> {
    let Some(json) = &task.node_filter else { return Ok(None) };
    let value: Value =
        serde_json::from_str(json.get()).map_err(|error| Refusal::filter(format!("node_filter: {error}")))?;
    NodeFilter::from_json(&value).map_err(|error| Refusal::filter(error.to_string()))
}

/// Records what was found in a design; one with an error is not acted on, and is the same the next time.
fn accept(context: &Context, reading: &Reading, needs_compiled: bool) -> Result<(), Refusal> {
    let findings = if needs_compiled { reading.findings() } else { reading.findings_of_documents() };
    finding_messages(findings).into_iter().for_each(|message| context.message(message));
    let tally = Tally::of(findings);
    if tally.errors == 0 && reading.status == Status::Success {
        return Ok(());
    }
    let what = if reading.status == Status::Success { "compiled" } else { "read" };
    Err(Refusal::permanent("design", format!("the design cannot be {what}: {tally}")))
}

/// Which nodes the filter selects. Off the loops: a large design is indexed first.
async fn select(context: &Context, reading: &Arc<Reading>, filter: Option<NodeFilter>) -> Result<Arc<[u32]>, Refusal> {
    let reading = Arc::clone(reading);
    let selecting = tokio::task::spawn_blocking(move || {
        // `accept` lets none pass that is not compiled
        let selected = reading.compiled.as_ref().map(|compiled| compiled.select(filter.as_ref()));
        selected.unwrap_or_else(|| Ok(Vec::new()))
    });
    let selected = selecting.await.map_err(|error| Refusal::broke_off(error.to_string()))?;
    let selected: Arc<[u32]> = selected.map_err(|error| Refusal::filter(format!("node_filter: {error}")))?.into();
    if selected.is_empty() {
        context.message(ResultMessage::note("the task's node_filter selects no node of the design"));
    }
    Ok(selected)
}

impl Refusal {
    fn permanent(reason: &'static str, message: String) -> Self {
        Self { class: Class::Permanent, reason, message, about: None }
    }

    fn filter(message: String) -> Self {
        Self { about: Some(("node_filter".to_owned(), "column")), ..Self::permanent("node_filter", message) }
    }

    /// Reading panicked, or the worker ends.
    fn broke_off(message: String) -> Self {
        let message = format!("reading the design broke off: {message}");
        Self { class: Class::Transient, ..Self::permanent("design", message) }
    }
}

impl From<ResolveError> for Refusal {
    fn from(error: ResolveError) -> Self {
        let (class, message) = (error.problem.class(), error.to_string());
        Self { class, reason: "design", message, about: Some((error.reference, "design_ref")) }
    }
}
