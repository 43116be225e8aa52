//! What this worker tells of its tasks: a line of the log for each change of a task's state, and its spans.
//!
//! A change that SQL makes by itself is told by whoever meets it: of the tasks above one that has ended by the worker
//! that recorded that end, of a task that was inserted or terminated while it waited by nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use longshore_queue::{Change, Rescued};
use uuid::Uuid;

use crate::Context;
use crate::attempt::Attempt;
use crate::metrics::Finish;
use crate::trace::{Carried, End, SpanId, Trace, TraceId, Tracer};
use crate::verdict::Verdict;

/// The target of the lines, for RUST_LOG.
const TARGET: &str = "longshore::task";

/// Tells of the tasks of one worker.
#[derive(Debug)]
pub(crate) struct Journal {
    worker: String,
    /// Where there are several.
    cell: Option<Arc<str>>,
    tracer: Option<Arc<Tracer>>,
}

/// One line, as far as it has something to say.
#[derive(Default)]
struct Line<'a> {
    trace_id: Option<TraceId>,
    result: Option<&'a str>,
    reason: Option<&'a str>,
    due: Option<DateTime<Utc>>,
    execution: Option<Duration>,
}

impl Journal {
    pub(crate) fn new(worker: String, cell: Option<Arc<str>>, tracer: Option<Arc<Tracer>>) -> Self {
        Self { worker, cell, tracer }
    }

    /// The place of a task in its trace, of which its executor is told.
    pub(crate) fn trace(&self, context: &mut Context, claim_token: Uuid) -> Option<Box<Trace>> {
        let trace = self.tracer.as_ref()?.trace(&context.task().into(), context.carried());
        context.hand(trace.handed(SpanId::of_attempt(context.task().task_id, claim_token)));
        Some(Box::new(trace))
    }

    /// A task was claimed.
    pub(crate) fn claimed(&self, attempt: &Attempt) {
        if is_on() {
            self.say("claimed", attempt, &Line::default());
        }
    }

    /// A claimed task has ended as a duplicate of another one.
    pub(crate) fn deduplicated(&self, task: &longshore_queue::Task) {
        let trace_id = Carried::of(task.request_context.as_deref()).parent.map(|parent| parent.trace_id);
        let line = Line { trace_id, reason: Some("duplicate"), ..Line::default() };
        self.line("deduplicated", task.task_id, &task.action, &task.queue, task.attempt, &line);
    }

    /// An outcome was written with a statement that was sent at this moment; in a tree the database says what it made
    /// of the task.
    pub(crate) fn settled(&self, one: &Verdict, change: Option<&Change>, sent: Instant) {
        let attempt = &one.attempt;
        let (event, result) = event(one, change);
        let has_ended = matches!(event, "completed" | "terminated");
        let reason = match change {
            Some(change) if has_ended => change.result_reason.as_deref(),
            _ => one.reason(),
        };
        if is_on() {
            let execution = attempt.execution().map(|(started, ended)| ended - started);
            let due = one.delay().filter(|_| event != "released").map(|delay| attempt.instant(sent) + delay);
            self.say(event, attempt, &Line { trace_id: None, result, reason, due, execution });
        }
        let Some(tracer) = &self.tracer else { return };
        // of one that waits for its subtasks, how its executor ended
        let outcome = if event == "waiting" { one.finish.as_str() } else { result.unwrap_or(event) };
        let is_error = matches!(outcome, "failure" | "retried" | "terminating" | "terminated");
        tracer.attempt(attempt, sent, &End { outcome, is_error, message: one.message() });
        if has_ended {
            let message = change.map_or_else(|| one.message(), |change| change.result_message.as_deref());
            let ended = change.and_then(|change| change.finished_at).unwrap_or_else(|| attempt.instant(sent));
            tracer.task(attempt, ended, &End { outcome, is_error, message });
        }
    }

    /// The claim of an attempt is lost: another worker may hold its task.
    pub(crate) fn lost(&self, attempt: &Attempt) {
        if is_on() {
            self.say("lost", attempt, &Line::default());
        }
        if let Some(tracer) = &self.tracer {
            let end = End { outcome: "lost", is_error: true, message: Some("the claim was lost") };
            tracer.attempt(attempt, Instant::now(), &end);
        }
    }

    /// A task that no worker holds has changed, since another one ended.
    pub(crate) fn changed(&self, change: &Change) {
        let result = (change.status == "complete").then_some(&*change.result_status);
        let event = match &*change.status {
            "complete" => "completed",
            "terminated" => "terminated",
            _ => "resumed",
        };
        if is_on() {
            let reason = change.result_reason.as_deref().filter(|_| event != "resumed");
            let carried = Carried::of(change.request_context.as_ref().map(|context| &*context.0));
            let trace_id = self.tracer.as_ref().map(|tracer| tracer.trace(&change.into(), &carried).trace_id);
            let trace_id = trace_id.or(carried.parent.map(|parent| parent.trace_id));
            let line = Line { trace_id, result, reason, ..Line::default() };
            self.line(event, change.task_id, &change.action, &change.queue, change.attempt, &line);
        }
        if let Some(tracer) = &self.tracer {
            let outcome = result.unwrap_or(event);
            let is_error = matches!(outcome, "failure" | "terminated");
            tracer.change(change, &End { outcome, is_error, message: change.result_message.as_deref() });
        }
    }

    /// A task was taken from a dead worker.
    pub(crate) fn rescued(&self, task: &Rescued) {
        tracing::info!(
            target: TARGET,
            task_id = %task.task_id, queue = task.queue, worker = self.worker, cell = self.cell.as_deref(), status = task.status, "rescued"
        );
    }

    /// Whether anybody wants to know what the database has made of tasks.
    pub(crate) fn asks(&self) -> bool {
        self.tracer.is_some() || is_on()
    }

    fn say(&self, event: &str, attempt: &Attempt, line: &Line<'_>) {
        let task = attempt.context.task();
        let line = Line { trace_id: attempt.trace_id(), ..*line };
        self.line(event, task.task_id, &task.action, &task.queue, task.attempt, &line);
    }

    fn line(&self, event: &str, task_id: Uuid, action: &str, queue: &str, attempt: i16, line: &Line<'_>) {
        let due = line.due.map(|due| due.to_rfc3339_opts(SecondsFormat::Millis, true));
        tracing::info!(
            target: TARGET,
            task_id = %task_id,
            action,
            queue,
            attempt,
            worker = self.worker,
            cell = self.cell.as_deref(),
            trace_id = line.trace_id.map(display),
            result = line.result,
            reason = line.reason,
            due_at = due.map(display),
            execution_seconds = line.execution.map(|execution| execution.as_secs_f64()),
            "{event}"
        );
    }
}

/// Whether the lines are logged.
fn is_on() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::INFO)
}

/// What became of a task, and how well it ended if it has.
fn event<'a>(one: &Verdict, change: Option<&'a Change>) -> (&'static str, Option<&'a str>) {
    if let Some(change) = change {
        match (&*change.status, one.finish) {
            // it gave its claim up, to wait; what came of that since others tell
            (_, Finish::Suspended | Finish::Retried) if !is_its_own(one, change) => return ("suspended", None),
            (_, Finish::Terminated) if !is_its_own(one, change) => return ("terminating", None),
            _ if !is_its_own(one, change) => return ("waiting", None),
            ("complete", _) => return ("completed", Some(&*change.result_status)),
            ("terminated", _) => return ("terminated", None),
            ("queued", Finish::Suspended) => return ("resumed", None),
            _ => {}
        }
    }
    match one.finish {
        Finish::Success => ("completed", Some("success")),
        Finish::PartialSuccess => ("completed", Some("partial_success")),
        Finish::Failure => ("completed", Some("failure")),
        Finish::Terminated => ("terminated", None),
        Finish::Retried => ("retried", None),
        Finish::Snoozed => ("snoozed", None),
        Finish::Suspended => ("suspended", None),
        Finish::Released => ("released", None),
        Finish::Lost => ("lost", None),
    }
}

/// Whether a task stands as the attempt left it.
fn is_its_own(one: &Verdict, change: &Change) -> bool {
    change.claim_token == Some(one.attempt.claim_token)
}
