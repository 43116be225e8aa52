//! Spans of tasks, as OTLP has them, from what a worker knows when it has settled one.

use std::time::Instant;

use chrono::{DateTime, Utc};
use longshore_queue::{Change, Task};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::otlp::Outlet;
use super::{Carried, Ids, Sample, SpanId, Trace};
use crate::attempt::Attempt;

/// How much of a message the status of a span shows.
const MESSAGE_MAX_BYTES: usize = 1024;

/// OTLP's flags of a span: that the next bit means something, and that the parent is in another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Makes spans, and sends those that are sampled on.
#[derive(Debug)]
pub(crate) struct Tracer {
    sample: Sample,
    outlet: Outlet,
}

/// How something ended.
pub(crate) struct End<'a> {
    pub(crate) outcome: &'a str,
    pub(crate) is_error: bool,
    /// What the task's `result_message` shows.
    pub(crate) message: Option<&'a str>,
}

/// What all spans of a task have in common.
struct Subject<'a> {
    trace: &'a Trace,
    task_id: String,
    queue: &'a str,
    action: &'a str,
    attempt: i16,
}

impl<'a> Subject<'a> {
    fn of(trace: &'a Trace, task: &'a Task) -> Self {
        Self {
            trace,
            task_id: task.task_id.to_string(),
            queue: &task.queue,
            action: &task.action,
            attempt: task.attempt,
        }
    }

    /// A span from `since` to `until`; `operation` is its name, and of what kind that is (OpenTelemetry's conventions
    /// for messaging).
    fn span(
        &self,
        (operation, operation_type): (&str, Option<&str>),
        span_id: SpanId,
        parent: Option<SpanId>,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Span {
        let mut attributes = vec![
            text("messaging.system", "longshore"),
            text("messaging.destination.name", self.queue),
            text("messaging.operation.name", operation),
            text("messaging.message.id", &self.task_id),
            text("longshore.action", self.action),
            number("longshore.attempt", i64::from(self.attempt)),
        ];
        attributes.extend(operation_type.map(|kind| text("messaging.operation.type", kind)));
        Span {
            trace_id: self.trace.trace_id.0.to_vec(),
            span_id: span_id.0.to_vec(),
            trace_state: self.trace.tracestate.clone().unwrap_or_default(),
            parent_span_id: parent.map(|id| id.0.to_vec()).unwrap_or_default(),
            flags: 1 | HAS_IS_REMOTE,
            name: format!("{operation} {}", self.action),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanos(since),
            end_time_unix_nano: nanos(until.max(since)),
            attributes,
            ..Span::default()
        }
    }
}

impl Tracer {
    pub(crate) fn new(sample: Sample, outlet: Outlet) -> Self {
        Self { sample, outlet }
    }

    /// The place of a task in its trace.
    pub(crate) fn trace(&self, ids: &Ids, carried: &Carried) -> Trace {
        Trace::of(ids, carried, self.sample)
    }

    /// An attempt is over: how long its task had waited for it, what it took, and how long its outcome waited to be
    /// written. Of one whose executor was never started there is nothing to tell.
    pub(crate) fn attempt(&self, attempt: &Attempt, recorded: Instant, end: &End<'_>) {
        let (Some(trace), Some((started, ended))) = (&attempt.trace, attempt.execution()) else { return };
        if !trace.is_sampled {
            return;
        }
        let task = attempt.context.task();
        let subject = Subject::of(trace, task);
        let above = Some(SpanId::of_task(task.task_id));
        let random = || SpanId(fastrand::u64(1..).to_be_bytes());
        let due = task.run_at.clamp(task.created.min(attempt.claimed_at), attempt.claimed_at);
        self.outlet.send(subject.span(("wait", None), random(), above, due, attempt.claimed_at));

        let span_id = SpanId::of_attempt(task.task_id, attempt.claim_token);
        let (since, until) = (attempt.instant(started), attempt.instant(ended));
        let mut process = subject.span(("process", Some("process")), span_id, above, since, until);
        process.kind = SpanKind::Consumer.into();
        finish(&mut process, end);
        self.outlet.send(process);

        let mut settle = subject.span(("settle", Some("settle")), random(), above, until, attempt.instant(recorded));
        settle.kind = SpanKind::Client.into();
        self.outlet.send(settle);
    }

    /// A task of which this worker had an attempt has ended.
    pub(crate) fn task(&self, attempt: &Attempt, ended: DateTime<Utc>, end: &End<'_>) {
        if let Some(trace) = attempt.trace.as_deref().filter(|trace| trace.is_sampled) {
            let task = attempt.context.task();
            let created = task.created.min(attempt.claimed_at);
            self.whole(&Subject::of(trace, task), SpanId::of_task(task.task_id), created, ended, end);
        }
    }

    /// A task has ended, as the database says.
    pub(crate) fn change(&self, change: &Change, end: &End<'_>) {
        let context = change.request_context.as_ref().map(|context| &*context.0);
        let trace = self.trace(&change.into(), &Carried::of(context));
        let Some(ended) = change.finished_at.filter(|_| trace.is_sampled) else { return };
        let subject = Subject {
            trace: &trace,
            task_id: change.task_id.to_string(),
            queue: &change.queue,
            action: &change.action,
            attempt: change.attempt,
        };
        self.whole(&subject, SpanId::of_task(change.task_id), change.created, ended, end);
    }

    /// The span of a whole task, from INSERT to its end.
    fn whole(
        &self,
        subject: &Subject<'_>,
        span_id: SpanId,
        created: DateTime<Utc>,
        ended: DateTime<Utc>,
        end: &End<'_>,
    ) {
        let trace = subject.trace;
        let mut span = subject.span(("task", None), span_id, trace.parent, created, ended);
        if trace.parent.is_some() {
            span.flags |= IS_REMOTE;
        }
        span.links = trace.link.iter().map(|(trace_id, span_id)| link(trace_id.0, span_id.0)).collect();
        finish(&mut span, end);
        self.outlet.send(span);
    }
}

fn finish(span: &mut Span, end: &End<'_>) {
    span.attributes.push(text("longshore.outcome", end.outcome));
    if end.is_error {
        let message = end.message.unwrap_or(end.outcome);
        let message = message[..message.floor_char_boundary(MESSAGE_MAX_BYTES)].to_owned();
        span.status = Some(Status { message, code: StatusCode::Error.into() });
    }
}

fn link(trace_id: [u8; 16], span_id: [u8; 8]) -> Link {
    Link { trace_id: trace_id.to_vec(), span_id: span_id.to_vec(), flags: HAS_IS_REMOTE | IS_REMOTE, ..Link::default() }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(instant: DateTime<Utc>) -> u64 {
    instant.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}
