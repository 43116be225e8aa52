//! What `command` writes to a program's stdin and `http` posts: the task, and the design that it names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore_queue::Task;
use serde::Serialize;

use crate::Context;
use crate::design::Resolved;

#[derive(Serialize)]
struct Input<'a> {
    #[serde(flatten)]
    task: &'a Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    design: Option<Design<'a>>,
}

#[derive(Serialize)]
struct Design<'a> {
    content_hash: String,
    size_bytes: usize,
    #[serde(flatten)]
    bytes: Bytes<'a>,
}

/// Documents are text, nearly always; what is not is carried all the same.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Bytes<'a> {
    Text(&'a str),
    Base64(String),
}

/// One object, as `TASK_SCHEMA` has it.
pub(super) fn json(context: &Context) -> Vec<u8> {
    let input = Input { task: context.task(), design: context.design().map(Design::of) };
    serde_json::to_vec(&input).expect("a task's keys are strings and its values are JSON")
}

impl<'a> Design<'a> {
    fn of(design: &'a Resolved) -> Self {
        let bytes = match str::from_utf8(design.bytes()) {
            Ok(text) => Bytes::Text(text),
            Err(_) => Bytes::Base64(STANDARD.encode(design.bytes())),
        };
        Self { content_hash: design.content_hash().to_string(), size_bytes: design.bytes().len(), bytes }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use serde_json::Value;
    use serde_json::value::RawValue;
    use tokio::sync::mpsc::unbounded_channel;

    use super::super::TASK_SCHEMA;
    use super::*;

    fn context() -> Context {
        let instant = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).single().expect("an instant");
        let task = Task {
            task_id: uuid::Uuid::now_v7(),
            parent_task_id: None,
            action: "a".to_owned(),
            queue: "default".to_owned(),
            priority: 0,
            payload: RawValue::from_string("{\"n\": 1.50}".to_owned()).expect("is JSON"),
            design_ref: Some("file:///a".to_owned()),
            node_filter: None,
            request_context: None,
            run_at: instant,
            created: instant,
            created_by: "p".to_owned(),
            timeout: None,
            attempt: 1,
            max_attempts: 1,
            retry: 0,
            unique_key: None,
            has_subtasks: false,
            subtasks: None,
        };
        Context::new(task, std::time::Duration::from_secs(1), unbounded_channel().0)
    }

    #[test]
    fn without_a_design_it_is_the_task_to_the_byte() {
        let context = context();
        assert_eq!(json(&context), serde_json::to_vec(context.task()).expect("is JSON"));
    }

    #[test]
    fn a_design_comes_as_text_or_base64_with_its_hash_and_as_the_schema_says() {
        let schema: Value = serde_json::from_str(TASK_SCHEMA).expect("is JSON");
        let schema = jsonschema::validator_for(&schema).expect("is a schema");
        for (bytes, key, text) in
            [(&b"a: \"\xc3\xa9\"\n"[..], "text", "a: \"\u{e9}\"\n"), (b"\xff\x00", "base64", "/wA="), (b"", "text", "")]
        {
            let context = context();
            context.set_design(Resolved::new(bytes.to_vec()));
            let value: Value = serde_json::from_slice(&json(&context)).expect("is JSON");
            assert_eq!(schema.iter_errors(&value).map(|error| error.to_string()).collect::<Vec<_>>(), [""; 0]);
            assert_eq!(value["design"][key], text);
            assert_eq!(value["design"]["size_bytes"], bytes.len());
            assert_eq!(value["design"].as_object().map(serde_json::Map::len), Some(3));
        }
    }
}
