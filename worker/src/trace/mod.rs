//! Traces: which one a task belongs to, what its executor is told of it, and the spans that are exported.
//!
//! Nothing of a trace is stored. The id of a task's span follows from the task's id, that of an attempt's span from the
//! claim's token, and a trace that no producer began has its uppermost task's id: so each worker knows the parent of
//! every span, whoever exports that.

mod context;
mod otlp;
mod span;

use std::fmt;

use longshore_queue::Change;
use longshore_queue::Task;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::context::TraceContext;
pub(crate) use self::context::{Carried, TraceParent};
pub(crate) use self::otlp::Exporter;
pub(crate) use self::span::{End, Tracer};

/// The id of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(pub(crate) [u8; 16]);

/// The id of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(pub(crate) [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl SpanId {
    /// The span that a task is, from INSERT to its end: as `task_span_id` of the database.
    pub(crate) fn of_task(task_id: Uuid) -> Self {
        Self::of(Sha256::digest(task_id.as_bytes()))
    }

    /// The span that one attempt is.
    pub(crate) fn of_attempt(task_id: Uuid, claim_token: Uuid) -> Self {
        Self::of(Sha256::new().chain_update(task_id.as_bytes()).chain_update(claim_token.as_bytes()).finalize())
    }

    fn of(digest: impl AsRef<[u8]>) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&digest.as_ref()[..8]);
        Self(id)
    }
}

/// Where a task stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) trace_id: TraceId,
    /// What its span lies in; `None`: it begins the trace.
    pub(crate) parent: Option<SpanId>,
    /// A span of another trace that it comes from.
    pub(crate) link: Option<(TraceId, SpanId)>,
    /// Whether its spans are exported.
    pub(crate) is_sampled: bool,
    pub(crate) tracestate: Option<String>,
}

/// What the place of a task in its trace follows from.
pub(crate) struct Ids {
    pub(crate) task_id: Uuid,
    pub(crate) parent_task_id: Option<Uuid>,
    pub(crate) root_task_id: Option<Uuid>,
}

impl From<&Task> for Ids {
    fn from(task: &Task) -> Self {
        Self { task_id: task.task_id, parent_task_id: task.parent_task_id, root_task_id: task.root_task_id }
    }
}

impl From<&Change> for Ids {
    fn from(change: &Change) -> Self {
        Self { task_id: change.task_id, parent_task_id: change.parent_task_id, root_task_id: change.root_task_id }
    }
}

impl Trace {
    /// The place of a task that carries this; `sample` decides where nobody has.
    pub(crate) fn of(ids: &Ids, carried: &Carried, sample: Sample) -> Self {
        let parent = carried.parent;
        let begins_anew = carried.begins_anew && ids.parent_task_id.is_none();
        // of a retried task the place is known, of a schedule that of whoever made it
        let retried = carried.retry_of.map(SpanId::of_task);
        let link = match (retried, parent) {
            (Some(span_id), Some(parent)) => Some((parent.trace_id, span_id)),
            (Some(span_id), None) => {
                let trace_id = ids.root_task_id.or(carried.retry_of).map(|root| TraceId(*root.as_bytes()));
                trace_id.map(|trace_id| (trace_id, span_id))
            }
            (None, Some(parent)) if begins_anew => Some((parent.trace_id, parent.span_id)),
            (None, _) => None,
        };
        match parent {
            Some(parent) if !begins_anew => Self {
                trace_id: parent.trace_id,
                parent: Some(parent.span_id),
                link,
                is_sampled: parent.is_sampled(),
                tracestate: carried.context.as_ref().and_then(|context| context.tracestate.clone()),
            },
            _ => {
                let trace_id = TraceId(*ids.root_task_id.unwrap_or(ids.task_id).as_bytes());
                let parent = ids.parent_task_id.map(SpanId::of_task);
                Self { trace_id, parent, link, is_sampled: sample.takes(trace_id), tracestate: None }
            }
        }
    }

    /// What an executor is told, whose own spans shall lie in this one.
    pub(crate) fn handed(&self, span_id: SpanId) -> TraceContext {
        let parent = TraceParent { trace_id: self.trace_id, span_id, flags: u8::from(self.is_sampled) };
        TraceContext { traceparent: parent.to_string(), tracestate: self.tracestate.clone() }
    }
}

/// A share of all traces, the same on every worker: by a hash of their ids, since those of tasks that were inserted in
/// one moment have much in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    below: u64,
}

impl Sample {
    /// From 0, none, to 1, all.
    pub(crate) fn share(share: f64) -> Self {
        Self { below: (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64 }
    }

    fn takes(self, trace_id: TraceId) -> bool {
        let SpanId(hash) = SpanId::of(Sha256::digest(trace_id.0));
        u64::from_be_bytes(hash) < self.below || self.below == u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    const TASK: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0001);
    const ROOT: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0002);
    const PARENT: Uuid = Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0003);
    const FROM: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn place(is_subtask: bool, context: &serde_json::Value) -> (String, String, String, bool) {
        let ids = Ids {
            task_id: TASK,
            parent_task_id: is_subtask.then_some(PARENT),
            root_task_id: is_subtask.then_some(ROOT),
        };
        let carried = Carried::of(Some(&to_raw_value(context).expect("is JSON")));
        let trace = Trace::of(&ids, &carried, Sample::share(1.0));
        let text = |part: Option<String>| part.unwrap_or_default();
        let link = trace.link.map(|(trace_id, span_id)| format!("{trace_id}-{span_id}"));
        (trace.trace_id.to_string(), text(trace.parent.map(|id| id.to_string())), text(link), trace.is_sampled)
    }

    #[test]
    fn a_tasks_place_follows_from_its_row() {
        let hex = |id: Uuid| id.simple().to_string();
        let span = |id: Uuid| SpanId::of_task(id).to_string();
        let (theirs, their_span) = (FROM[3..35].to_owned(), FROM[36..52].to_owned());
        let none = String::new;
        let nothing = serde_json::json!(null);
        let carries = serde_json::json!({ "traceparent": FROM });
        let of_schedule = serde_json::json!({ "traceparent": FROM, "schedule": { "fire_at": "2026-01-01" } });
        let retried = serde_json::json!({ "traceparent": FROM, "retry_of": ROOT });
        let retried_alone = serde_json::json!({ "retry_of": ROOT });
        // nobody has decided whether it is sampled: so this worker does
        assert_eq!(place(false, &nothing), (hex(TASK), none(), none(), true));
        assert_eq!(place(true, &nothing), (hex(ROOT), span(PARENT), none(), true));
        assert_eq!(place(false, &carries), (theirs.clone(), their_span.clone(), none(), false));
        assert_eq!(place(true, &carries), (theirs.clone(), their_span.clone(), none(), false));
        // traces of their own, that say where they come from
        let link = format!("{theirs}-{their_span}");
        assert_eq!(place(false, &of_schedule), (hex(TASK), none(), link, true));
        assert_eq!(place(false, &retried), (hex(TASK), none(), format!("{theirs}-{}", span(ROOT)), true));
        assert_eq!(place(false, &retried_alone), (hex(TASK), none(), format!("{}-{}", hex(ROOT), span(ROOT)), true));
        // a subtask that is retried stays in its tree
        assert_eq!(place(true, &retried), (theirs.clone(), their_span, format!("{theirs}-{}", span(ROOT)), false));
    }

    #[test]
    fn the_span_of_a_task_is_the_databases() {
        // as in queue/tests/it/trace.rs
        assert_eq!(SpanId::of_task(TASK).to_string(), "2f453803b34f4293");
        assert_ne!(SpanId::of_attempt(TASK, ROOT), SpanId::of_attempt(TASK, PARENT));
    }

    #[test]
    fn a_share_of_traces_is_sampled_and_the_same_everywhere() {
        let taken = |share: f64| {
            (0..10_000).filter(|_| Sample::share(share).takes(TraceId(*Uuid::now_v7().as_bytes()))).count()
        };
        assert_eq!((taken(0.0), taken(1.0)), (0, 10_000));
        let tenth = taken(0.1);
        assert!((800..1200).contains(&tenth), "{tenth} of 10000");
    }
}
