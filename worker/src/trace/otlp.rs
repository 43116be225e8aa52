//! Exports spans by OTLP over HTTP, on a thread of its own: a collector that is slow, or away, costs spans and nothing
//! else.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::{Counter, counter};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use uuid::Uuid;

use super::span::text;
use crate::config::{ConfigError, Otlp};
use crate::executors::http::{causes, read};
use crate::{Secret, tls};

/// Spans that wait for export, some MiB: beyond it further ones are dropped, and counted.
const WAITING_MAX: usize = 16_384;

/// Spans of one request, as others send.
const BATCH_MAX: usize = 512;

/// How long spans gather.
const GATHER: Duration = Duration::from_secs(1);

/// So often a batch is sent that the collector could not take; then it is dropped.
const TRIES: u32 = 3;

/// The pause before a batch is sent again, where the collector does not say; and the longest that it may say.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How much of an answer is read: a number, and a text that nobody reads.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// How long the end of the worker waits for the last spans.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A file of headers beyond this holds something else.
const HEADERS_MAX_BYTES: u64 = 64 * 1024;

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Outlet {
    spans: Sender<Span>,
    dropped: Counter,
}

impl Outlet {
    /// Takes a span, or drops it where too many wait.
    pub(super) fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.increment(1);
        }
    }
}

fn dropped(reason: &'static str) -> Counter {
    counter!("longshore_otlp_spans_dropped_total", "reason" => reason)
}

/// The thread that exports.
#[derive(Debug)]
pub(crate) struct Exporter {
    thread: JoinHandle<()>,
    end: watch::Sender<bool>,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// Headers that cannot be read, or no HTTP client.
    pub(crate) fn start(settings: &Otlp, source: &str, name: &str) -> Result<(Self, Outlet), ConfigError> {
        let refuse = |what: String| ConfigError::new(source, format!("otlp: {what}"));
        let (spans, waiting) = channel(WAITING_MAX);
        let (end, ended) = watch::channel(false);
        let id = Uuid::new_v4().to_string();
        let resource = [
            ("service.name", settings.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &id),
            ("longshore.worker", name),
        ];
        let sending = Sending {
            client: client().map_err(refuse)?,
            url: settings.traces_url(),
            headers: headers(settings).map_err(refuse)?,
            timeout: settings.timeout,
            resource: Resource {
                attributes: resource.map(|(key, value)| text(key, value)).to_vec(),
                ..Resource::default()
            },
            is_failing: false,
            exported: counter!("longshore_otlp_spans_exported_total"),
            failed: dropped("failed"),
        };
        let started = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            std::thread::Builder::new()
                .name("otlp".to_owned())
                .spawn(move || runtime.block_on(run(sending, waiting, ended)))
        });
        let thread = started.map_err(|error| refuse(format!("no thread: {error}")))?;
        Ok((Self { thread, end }, Outlet { spans, dropped: dropped("queue_full") }))
    }

    /// Exports what waits, as far as that is quickly done, and ends.
    pub(crate) async fn finish(self) {
        self.end.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        tokio::time::timeout(LAST_WORDS + Duration::from_secs(1), joined).await.ok();
    }
}

/// Exports until the end has been asked for and nothing waits, and then no longer than [`LAST_WORDS`].
async fn run(mut sending: Sending, mut waiting: Receiver<Span>, mut ended: watch::Receiver<bool>) {
    let mut ending = ended.clone();
    let work = async {
        loop {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            tokio::select! {
                biased;
                count = waiting.recv_many(&mut batch, BATCH_MAX) => if count == 0 { return },
                _ = ending.wait_for(|asked| *asked) => return,
            }
            let full = async {
                while batch.len() < BATCH_MAX && !waiting.is_closed() {
                    let room = BATCH_MAX - batch.len();
                    waiting.recv_many(&mut batch, room).await;
                }
            };
            tokio::select! {
                biased;
                () = full => {}
                () = tokio::time::sleep(GATHER) => {}
                _ = ending.wait_for(|asked| *asked) => {}
            }
            sending.export(batch).await;
        }
    };
    let limit = async {
        // whoever asks lives until it has asked
        ended.wait_for(|asked| *asked).await.ok();
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = work => {}
        () = limit => tracing::warn!("the last spans were not exported"),
    }
}

/// What a request is made of.
struct Sending {
    client: Client,
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    resource: Resource,
    /// Whether that has been said: one line per change.
    is_failing: bool,
    exported: Counter,
    failed: Counter,
}

/// Why a batch was not taken.
struct Refusal {
    what: String,
    /// After what pause it may be sent again; `None`: never.
    pause: Option<Duration>,
}

impl Sending {
    /// Sends a batch until it is taken, is refused for good, or has been sent often enough.
    async fn export(&mut self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let scope = InstrumentationScope {
            name: "longshore".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }];
        let resource_spans =
            vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..Default::default() }];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        for number in 1.. {
            match self.send(body.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(count);
                    self.exported.increment(count - rejected);
                    self.failed.increment(rejected);
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(endpoint = %self.url.origin().ascii_serialization(), "spans are exported again");
                    }
                    return;
                }
                Err(Refusal { pause: Some(pause), .. }) if number < TRIES => tokio::time::sleep(pause).await,
                Err(Refusal { what, .. }) => {
                    self.failed.increment(count);
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let endpoint = self.url.origin().ascii_serialization();
                        tracing::warn!(endpoint, problem = what, "spans cannot be exported, and are dropped");
                    }
                    return;
                }
            }
        }
    }

    /// Sends it once; how many of its spans were rejected.
    async fn send(&self, body: Vec<u8>) -> Result<u64, Refusal> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).timeout(self.timeout).body(body);
        let broken = |error| Refusal { what: causes(error), pause: Some(PAUSE) };
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            let answer = read(response, ANSWER_MAX_BYTES).await.map_err(broken)?;
            let answer = ExportTraceServiceResponse::decode(&*answer).unwrap_or_default();
            let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
            return Ok(u64::try_from(rejected).unwrap_or(0));
        }
        let retryable = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let asked = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let pause = asked.map_or(PAUSE, Duration::from_secs).min(PAUSE_MAX);
        Err(Refusal { what: format!("it answers {status}"), pause: retryable.contains(&status).then_some(pause) })
    }
}

fn client() -> Result<Client, String> {
    tls::install_provider();
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client: {}", causes(error)))
}

/// The configured headers, and those of the file.
fn headers(settings: &Otlp) -> Result<HeaderMap, String> {
    let mut all: BTreeMap<String, Secret> = settings.headers.clone();
    if let Some(path) = &settings.headers_file {
        all.extend(read_headers(path).map_err(|what| format!("headers_file {} {what}", path.display()))?);
    }
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
    for (name, value) in &all {
        let read = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value.expose()).ok());
        let (name, mut value) = read.ok_or_else(|| format!("header `{}` cannot be sent", name.escape_debug()))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// One header a line, `name: value`.
fn read_headers(path: &Path) -> Result<Vec<(String, Secret)>, String> {
    let length = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > HEADERS_MAX_BYTES {
        return Err(format!("must have at most {HEADERS_MAX_BYTES} bytes, got {length}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(index, line): (usize, &str)| {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("must have lines `name: value`: line {} is none (it is not shown)", index + 1))?;
        Ok((name.trim().to_ascii_lowercase(), Secret::new(value.trim())))
    };
    lines.map(header).collect()
}
