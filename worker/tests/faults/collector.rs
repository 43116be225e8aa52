//! A collector that takes spans by OTLP over HTTP, as real ones do, and what stories ask of them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::stream::repeat;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use uuid::Uuid;

/// One span as it came.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) span: Span,
    /// `service.instance.id`.
    pub(crate) worker: String,
}

/// A collector on a port of its own; it ends with the story.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    taken: Arc<Mutex<Vec<Taken>>>,
    /// The header `authorization` of each request.
    pub(crate) authorization: Arc<Mutex<Vec<String>>>,
}

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    /// Takes all but one of each request.
    TakesAllButOne,
    Refuses,
    Hangs,
    /// Takes all, and answers without an end.
    Drones,
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|one| one.key == key).and_then(|one| one.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

impl Taken {
    pub(crate) fn attribute(&self, key: &str) -> String {
        attribute(&self.span.attributes, key)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub(crate) fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (taken, authorization) = (Arc::<Mutex<Vec<Taken>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (into, heard) = (Arc::clone(&taken), Arc::clone(&authorization));
        let take = move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            let said = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            heard.lock().unwrap().extend(said);
            let mut answer = ExportTraceServiceResponse::default();
            match mood {
                Mood::Takes | Mood::Drones => {}
                Mood::TakesAllButOne => {
                    let refused =
                        ExportTracePartialSuccess { rejected_spans: 1, error_message: "one too many".to_owned() };
                    answer.partial_success = Some(refused);
                }
                Mood::Refuses => return (StatusCode::BAD_REQUEST, Body::empty()),
                Mood::Hangs => std::future::pending().await,
            }
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            for of_resource in request.resource_spans {
                let resource = of_resource.resource.unwrap().attributes;
                assert_eq!(attribute(&resource, "service.name"), "longshore");
                let worker = attribute(&resource, "service.instance.id");
                let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                into.lock().unwrap().extend(spans.map(|span| Taken { span, worker: worker.clone() }));
            }
            let drone = || Body::from_stream(repeat(Ok::<_, Infallible>(Bytes::from_static(&[0; 1024]))));
            (StatusCode::OK, if mood == Mood::Drones { drone() } else { Body::from(answer.encode_to_vec()) })
        };
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, taken, authorization }
    }

    /// The section that sends spans here.
    pub(crate) fn section(&self) -> String {
        format!("[otlp]\nendpoint = \"{}\"\n", self.endpoint)
    }

    /// All spans that came.
    pub(crate) fn spans(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Whether the whole of this task has come.
    pub(crate) fn has_task(&self, task_id: Uuid) -> bool {
        let id = task_id.to_string();
        self.spans().iter().any(|one| one.span.name.starts_with("task ") && one.attribute("messaging.message.id") == id)
    }
}

/// The spans as a tree of names, siblings by name; checks that each lies in its parent's time.
pub(crate) fn drawn(spans: &[Taken]) -> String {
    let by_id: BTreeMap<String, &Taken> = spans.iter().map(|one| (one.id(), one)).collect();
    assert_eq!(by_id.len(), spans.len(), "a span came twice");
    let mut below: BTreeMap<String, Vec<&Taken>> = BTreeMap::new();
    for one in spans {
        assert!(one.span.start_time_unix_nano <= one.span.end_time_unix_nano, "{one:?}");
        if let Some(parent) = by_id.get(&one.parent()) {
            assert!(
                parent.span.start_time_unix_nano <= one.span.start_time_unix_nano,
                "{one:?} begins before {parent:?}"
            );
            assert!(parent.span.end_time_unix_nano >= one.span.end_time_unix_nano, "{one:?} ends after {parent:?}");
        }
        below.entry(one.parent()).or_default().push(one);
    }
    let mut lines = Vec::new();
    let roots: Vec<String> = below.keys().filter(|parent| !by_id.contains_key(*parent)).cloned().collect();
    let mut open: Vec<(usize, &Taken)> = Vec::new();
    let push = |open: &mut Vec<_>, depth: usize, parent: &str| {
        let mut siblings = below.get(parent).cloned().unwrap_or_default();
        siblings.sort_by_key(|one| (&one.span.name, one.span.start_time_unix_nano));
        open.extend(siblings.into_iter().rev().map(|one| (depth, one)));
    };
    for root in roots {
        push(&mut open, 0, &root);
    }
    while let Some((depth, one)) = open.pop() {
        lines.push(format!("{}{}", "  ".repeat(depth), one.span.name));
        push(&mut open, depth + 1, &one.id());
    }
    lines.join("\n")
}
