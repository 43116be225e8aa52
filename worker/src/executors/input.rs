//! What `command` writes to a program's stdin and `http` posts: the task, and the design that it names.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore_queue::Outcome;
use serde::Serialize;

use crate::Context;
use crate::design::Resolved;
use crate::design::compile::Compiled;
use crate::design::delivered::Delivered;
use crate::design::model;

#[derive(Serialize)]
struct Design<'a> {
    content_hash: String,
    size_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<&'a str>>,
    #[serde(flatten)]
    content: Content<'a>,
}

/// What came is text, nearly always; what is not is carried all the same.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Text(&'a str),
    Base64(String),
    Documents(&'a model::Design),
    Model(&'a Compiled),
}

/// One object, as `TASK_SCHEMA` has it; the outcome where the design is too large for one.
pub(super) async fn json(context: &Context) -> Result<Vec<u8>, Outcome> {
    let mut json = serde_json::to_vec(context.task()).expect("a task's keys are strings and its values are JSON");
    if let Some(trace) = context.trace() {
        // into the task's object, which has keys
        json.pop();
        json.push(b',');
        json.extend_from_slice(&serde_json::to_vec(trace).expect("strings are JSON")[1..]);
    }
    let Some(design) = context.design().cloned() else { return Ok(json) };
    let delivered = context.delivered().cloned();
    // off the loops: a large design takes a moment
    let writing = tokio::task::spawn_blocking(move || {
        let max_bytes = delivered.as_ref().map_or(usize::MAX, Delivered::json_max_bytes);
        json.pop();
        json.extend_from_slice(b",\"design\":");
        let mut bounded = Bounded { json, left: max_bytes };
        write(&mut bounded, &design, delivered.as_ref()).map_err(|_| max_bytes)?;
        bounded.json.push(b'}');
        Ok(bounded.json)
    });
    match writing.await {
        Ok(written) => written.map_err(|max_bytes: usize| {
            let remedy = "select nodes by the task's node_filter, or raise [design] max_bytes";
            Outcome::failure("design", format!("the design has more than {max_bytes} bytes as JSON: {remedy}"))
        }),
        Err(error) => Err(Outcome::retry("panic", format!("writing the design broke off: {error}"))),
    }
}

fn write(to: &mut Bounded, design: &Resolved, delivered: Option<&Delivered>) -> serde_json::Result<()> {
    let narrowed = delivered.and_then(Delivered::narrowed);
    let content = match delivered {
        None => match str::from_utf8(design.bytes()) {
            Ok(text) => Content::Text(text),
            Err(_) => Content::Base64(STANDARD.encode(design.bytes())),
        },
        Some(delivered) => match narrowed.as_ref().or(delivered.model()) {
            Some(model) => Content::Model(model),
            None => Content::Documents(delivered.documents()),
        },
    };
    let nodes = delivered.filter(|delivered| delivered.is_filtered()).and_then(Delivered::nodes);
    let nodes = nodes.map(|nodes| nodes.into_iter().map(|node| &*node.name).collect());
    let (content_hash, size_bytes) = (design.content_hash().to_string(), design.bytes().len());
    serde_json::to_writer(to, &Design { content_hash, size_bytes, nodes, content })
}

/// JSON that grows by so many bytes at most: what many nodes inherit is written out for each.
struct Bounded {
    json: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.json.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{TimeZone, Utc};
    use longshore_queue::Task;
    use serde_json::Value;
    use serde_json::value::RawValue;
    use tokio::sync::mpsc::unbounded_channel;

    use super::super::TASK_SCHEMA;
    use super::*;
    use crate::config::DesignForm;
    use crate::design::compile::compile;
    use crate::design::ingest::ingest;
    use crate::design::reading::Reading;

    /// A site of two nodes.
    const SITE: &str = include_str!("../../tests/design/rules/valid.yaml");

    fn context() -> Context {
        let instant = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).single().expect("an instant");
        let task = Task {
            task_id: uuid::Uuid::now_v7(),
            parent_task_id: None,
            root_task_id: None,
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
            error_count: 0,
        };
        Context::new(task, std::time::Duration::from_secs(1), unbounded_channel().0)
    }

    async fn sent(context: &Context) -> Vec<u8> {
        json(context).await.expect("is small enough")
    }

    /// The key `design` of what is sent, which is as the schema says.
    async fn design(context: &Context) -> Value {
        let schema: Value = serde_json::from_str(TASK_SCHEMA).expect("is JSON");
        let schema = jsonschema::validator_for(&schema).expect("is a schema");
        let mut value: Value = serde_json::from_slice(&sent(context).await).expect("is JSON");
        assert_eq!(schema.iter_errors(&value).map(|error| error.to_string()).collect::<Vec<_>>(), [""; 0]);
        value["design"].take()
    }

    fn context_with(form: DesignForm, selected: Option<&[u32]>, json_max_bytes: usize) -> Context {
        let context = context();
        context.set_design(Resolved::new(SITE.as_bytes().to_vec()));
        let reading = Arc::new(Reading::of(SITE.as_bytes()));
        context.set_delivered(Delivered::new(form, reading, selected.map(Arc::from), json_max_bytes));
        context
    }

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[tokio::test]
    async fn without_a_design_it_is_the_task_to_the_byte() {
        let context = context();
        assert_eq!(sent(&context).await, serde_json::to_vec(context.task()).expect("is JSON"));
    }

    #[tokio::test]
    async fn a_design_comes_as_text_or_base64_with_its_hash_and_as_the_schema_says() {
        for (bytes, key, text) in
            [(&b"a: \"\xc3\xa9\"\n"[..], "text", "a: \"\u{e9}\"\n"), (b"\xff\x00", "base64", "/wA="), (b"", "text", "")]
        {
            let context = context();
            context.set_design(Resolved::new(bytes.to_vec()));
            let design = design(&context).await;
            assert_eq!((&design[key], &design["size_bytes"]), (&text.into(), &bytes.len().into()));
            assert_eq!(keys(&design).len(), 3);
        }
    }

    #[tokio::test]
    async fn a_model_is_what_the_compiled_design_prints() {
        let design = design(&context_with(DesignForm::Model, None, usize::MAX)).await;
        let compiled = compile(Arc::new(ingest(SITE.as_bytes()).design));
        assert_eq!(design["model"], serde_json::to_value(&compiled).expect("is JSON"));
        assert_eq!(keys(&design), ["content_hash", "model", "size_bytes"]);
    }

    #[tokio::test]
    async fn of_a_model_the_selected_nodes_alone_are_sent_and_named() {
        let whole = design(&context_with(DesignForm::Model, None, usize::MAX)).await;
        let design = design(&context_with(DesignForm::Model, Some(&[1]), usize::MAX)).await;
        assert_eq!(design["nodes"], serde_json::json!([whole["model"]["nodes"][1]["name"]]));
        let mut expected = whole["model"].clone();
        expected["nodes"] = serde_json::json!([whole["model"]["nodes"][1]]);
        // its one boot action is for all nodes
        assert_eq!(expected["boot_actions"][0]["targets"].as_array().map(Vec::len), Some(2));
        expected["boot_actions"][0]["targets"] = design["nodes"].clone();
        assert_eq!(design["model"], expected);
    }

    #[tokio::test]
    async fn documents_are_sent_as_ingested_and_the_selected_nodes_are_named() {
        let ingested = serde_json::to_value(ingest(SITE.as_bytes()).design).expect("is JSON");
        let all = design(&context_with(DesignForm::Documents, None, usize::MAX)).await;
        assert_eq!((&all["documents"], keys(&all)), (&ingested, vec!["content_hash", "documents", "size_bytes"]));
        let some = design(&context_with(DesignForm::Documents, Some(&[0]), usize::MAX)).await;
        assert_eq!((&some["documents"], some["nodes"].as_array().map(Vec::len)), (&ingested, Some(1)));
        let none = design(&context_with(DesignForm::Documents, Some(&[]), usize::MAX)).await;
        assert_eq!(none["nodes"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn one_with_more_bytes_than_allowed_is_a_failure_that_says_what_to_do() {
        let whole = context_with(DesignForm::Model, None, usize::MAX);
        let size = sent(&whole).await.len() - serde_json::to_vec(whole.task()).expect("is JSON").len();
        let size = size - ",\"design\":".len();
        assert!(json(&context_with(DesignForm::Model, None, size)).await.is_ok());
        let Err(Outcome::Ended(result)) = json(&context_with(DesignForm::Model, None, size - 1)).await else {
            panic!("it is a final failure")
        };
        let message = result.message.unwrap_or_default();
        assert!(
            message.starts_with(&format!("the design has more than {} bytes as JSON: select", size - 1)),
            "{message}"
        );
    }
}
