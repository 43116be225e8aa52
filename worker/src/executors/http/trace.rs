//! The producer's trace context (W3C), from a task's `request_context` into headers. Pure.

use std::collections::HashMap;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;

/// What every participant of a trace has to pass on; a longer tracestate may be dropped (Trace Context, 3.3.1.5).
const TRACESTATE_MAX_BYTES: usize = 512;

/// `traceparent`, and with it `tracestate`, as far as they are valid.
pub(super) fn headers(request_context: &RawValue) -> Vec<(HeaderName, HeaderValue)> {
    let context: HashMap<String, Value> = serde_json::from_str(request_context.get()).unwrap_or_default();
    let text = |key: &str| context.get(key).and_then(Value::as_str);
    let Some(traceparent) = text("traceparent").filter(|text| is_traceparent(text)) else { return Vec::new() };
    let tracestate = text("tracestate").filter(|text| is_tracestate(text));
    [("traceparent", Some(traceparent)), ("tracestate", tracestate)]
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value?).ok()?)))
        .collect()
}

/// `version-trace_id-parent_id-flags` in lower-case hex (Trace Context, 3.2.2). A later version may have more behind it.
fn is_traceparent(text: &str) -> bool {
    let is_hex =
        |part: &str, length| part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &str, length| is_hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        [version, trace_id, parent_id, flags, ref more @ ..] => {
            is_hex(version, 2)
                && version != "ff"
                && is_id(trace_id, 32)
                && is_id(parent_id, 16)
                && is_hex(flags, 2)
                && (more.is_empty() || version != "00")
                && text.len() <= TRACESTATE_MAX_BYTES
        }
        _ => false,
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

    fn read(context: &Value) -> Vec<String> {
        let raw = serde_json::value::to_raw_value(context).expect("is JSON");
        let text = |(name, value): (HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().expect("is ASCII"));
        headers(&raw).into_iter().map(text).collect()
    }

    #[test]
    fn only_valid_trace_context_is_passed_on() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let both = serde_json::json!({"traceparent": parent, "tracestate": "congo=t61rcWkgMzE,rojo=1", "other": 1});
        let expected = [format!("traceparent: {parent}"), "tracestate: congo=t61rcWkgMzE,rojo=1".to_owned()];
        assert_eq!(read(&both), expected);
        for wrong in ["x\r\nSet-Cookie: y=z", "", "no pair", "\u{e9}=1"] {
            let context = serde_json::json!({"traceparent": parent, "tracestate": wrong});
            assert_eq!(read(&context), expected[..1], "{wrong:?}");
        }
        for wrong in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
        ] {
            let context = serde_json::json!({"traceparent": wrong, "tracestate": "a=b"});
            assert_eq!(read(&context), Vec::<String>::new(), "{wrong:?}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert_eq!(read(&serde_json::json!({"traceparent": later})).len(), 1);
        assert!(read(&serde_json::json!([parent])).is_empty());
    }
}
