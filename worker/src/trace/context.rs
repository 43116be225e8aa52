//! W3C Trace Context in a task's `request_context`: read, checked, written. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{SpanId, TraceId};

/// What every participant of a trace has to pass on; a longer tracestate may be dropped (Trace Context, 3.3.1.5).
const TRACESTATE_MAX_BYTES: usize = 512;

/// The flag that says that somebody records the trace.
const SAMPLED: u8 = 1;

/// What an executor is told of its trace, to hand it on: valid as it stands, in headers as in variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceContext {
    /// `version-trace_id-parent_id-flags`.
    pub traceparent: String,
    /// Members of other vendors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// A `traceparent`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) flags: u8,
}

impl TraceParent {
    /// Reads `version-trace_id-parent_id-flags` in lower-case hex (Trace Context, 3.2.2). A later version may have more
    /// behind it. As `traceparent_of` of the database.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace_id, span_id, flags, ref more @ ..] = parts[..] else { return None };
        let version = u8::from_be_bytes(hex(version)?);
        let is_known = version == 0 && more.is_empty() || (1..0xff).contains(&version);
        let is_printable = text.len() <= TRACESTATE_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let (trace_id, span_id, flags) = (hex(trace_id)?, hex(span_id)?, hex(flags)?);
        let is_valid = is_known && is_printable && trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            flags: u8::from_be_bytes(flags),
        })
    }

    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// So many bytes in lower-case hex.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(is_hex.then(|| text.as_bytes().chunks(2))?) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// What a task's `request_context` says of its trace. What is not valid says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) context: Option<TraceContext>,
    /// The same, taken apart.
    pub(crate) parent: Option<TraceParent>,
    /// Whether the task begins a trace of its own unless it is a subtask, and its context is only where it comes from.
    pub(crate) begins_anew: bool,
    /// The task that it is a retry of.
    pub(crate) retry_of: Option<Uuid>,
}

/// The keys that count; each may be anything.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    traceparent: Value,
    tracestate: Value,
    retry_of: Option<Value>,
    schedule: Value,
}

impl Carried {
    pub(crate) fn of(request_context: Option<&RawValue>) -> Self {
        // an array would be taken for the keys' values in their order
        let object = request_context.map(RawValue::get).filter(|json| json.trim_start().starts_with('{'));
        let keys: Keys = object.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let text = keys.traceparent.as_str().unwrap_or_default();
        let parent = TraceParent::parse(text);
        let tracestate = keys.tracestate.as_str().filter(|text| is_tracestate(text)).map(str::to_owned);
        Self {
            context: parent.map(|_| TraceContext { traceparent: text.to_owned(), tracestate }),
            parent,
            begins_anew: keys.retry_of.is_some() || keys.schedule.get("fire_at").is_some_and(|at| !at.is_null()),
            retry_of: keys.retry_of.and_then(|id| id.as_str()?.parse().ok()),
        }
    }
}

/// `key=value` pairs between commas, of printable ASCII.
fn is_tracestate(text: &str) -> bool {
    (1..=TRACESTATE_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        && text.split(',').all(|member| member.trim().is_empty() || member.contains('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(context: &Value) -> Option<TraceContext> {
        Carried::of(Some(&serde_json::value::to_raw_value(context).expect("is JSON"))).context
    }

    #[test]
    fn only_valid_trace_context_is_passed_on() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let passed = |tracestate: Option<&str>| {
            Some(TraceContext { traceparent: parent.to_owned(), tracestate: tracestate.map(str::to_owned) })
        };
        let both = serde_json::json!({"traceparent": parent, "tracestate": "congo=t61rcWkgMzE,rojo=1", "other": 1});
        assert_eq!(read(&both), passed(Some("congo=t61rcWkgMzE,rojo=1")));
        for wrong in [
            serde_json::json!("x\r\nSet-Cookie: y=z"),
            serde_json::json!(""),
            serde_json::json!("no pair"),
            serde_json::json!("\u{e9}=1"),
            serde_json::json!({"a": 1}),
        ] {
            assert_eq!(read(&serde_json::json!({"traceparent": parent, "tracestate": wrong})), passed(None), "{wrong}");
        }
        for wrong in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "00-é4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(&serde_json::json!({"traceparent": wrong, "tracestate": "a=b"})), None, "{wrong:?}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(read(&serde_json::json!({ "traceparent": later })).is_some());
        assert_eq!(read(&serde_json::json!({ "traceparent": { "a": parent } })), None);
        assert_eq!(read(&serde_json::json!([parent])), None);
        assert_eq!(read(&serde_json::json!(parent)), None);
    }

    /// The list has each rule; the database is held to it as well.
    #[test]
    fn traceparents_are_read_alike_by_sql_and_by_the_worker() {
        for line in include_str!("../../../queue/tests/it/traceparents.txt").lines() {
            let (expected, text) = line.split_once(' ').expect("a word and a traceparent");
            assert_eq!(TraceParent::parse(text.trim_start()).is_some(), expected == "valid", "{line}");
        }
        let long = format!("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-{}", "x".repeat(512));
        assert_eq!(TraceParent::parse(&long), None);
    }

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
        let parent = TraceParent::parse(text).expect("is valid");
        assert_eq!(parent.to_string(), text);
        assert!(parent.is_sampled());
    }
}
