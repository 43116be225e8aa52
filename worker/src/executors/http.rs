//! Posts the task to an endpoint: messages and the outcome from what it answers.

mod answer;
mod target;

use std::error::Error as _;
use std::time::Duration;

use chrono::Utc;
use longshore_queue::{Outcome, ResultMessage};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use tokio::time::timeout;

pub use self::target::Error;

use self::answer::Class;
use super::{input, protocol};
use crate::config::HttpSettings;
use crate::{Context, Execution, Executor, Stop, tls};

/// How long resolution, connecting and TLS may take together: an endpoint behind a gateway that starts it takes longer
/// to answer, not to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of an answer is read: a result, its messages and an output.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// How much of the body a message about an error shows.
const EXCERPT_MAX_BYTES: usize = 1024;

/// How long an error waits for its body: the status alone decides, the body only explains.
const EXCERPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts every task to one URL.
pub struct Http {
    client: Client,
    url: Url,
    /// What messages show of the URL: its userinfo, path and query may be secrets.
    origin: String,
    headers: HeaderMap,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("origin", &self.origin).field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Http {
    /// An executor that posts to the configured URL.
    ///
    /// # Errors
    /// Names the setting that is out of its bounds, without its value where that may be a secret.
    pub fn new(settings: &HttpSettings) -> Result<Self, Error> {
        let (url, headers) = target::read(settings)?;
        tls::install_provider();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Client(causes(error)))?;
        Ok(Self { client, origin: url.origin().ascii_serialization(), url, headers })
    }

    /// The headers of a task's request, the configured ones among them.
    fn headers(&self, context: &Context) -> HeaderMap {
        let task = context.task();
        let mut headers = self.headers.clone();
        let task_id = HeaderValue::from_str(&task.task_id.to_string()).expect("a UUID's text is hex and dashes");
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("longshore-task-id", task_id.clone());
        headers.insert("longshore-attempt", HeaderValue::from(task.attempt));
        headers.insert("idempotency-key", task_id);
        if let Some(trace) = context.trace() {
            let value = |text: &str| HeaderValue::from_str(text).ok();
            let both = [
                ("traceparent", value(&trace.traceparent)),
                ("tracestate", trace.tracestate.as_deref().and_then(value)),
            ];
            headers.extend(both.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?))));
        }
        headers
    }

    async fn post(&self, context: &Context) -> Outcome {
        let task = match input::json(context).await {
            Ok(task) => task,
            Err(outcome) => return outcome,
        };
        let request = self.client.post(self.url.clone()).headers(self.headers(context)).body(task);
        let response = match request.timeout(context.timeout()).send().await {
            Ok(response) => response,
            Err(error) => return self.broken(context, error),
        };
        let status = response.status();
        match answer::class(status) {
            Class::Done => self.done(context, response).await,
            Class::Retry => {
                let after =
                    response.headers().get(RETRY_AFTER).and_then(|value| answer::retry_after(value, Utc::now()));
                Outcome::Retry { after, message: self.explained(response).await, reason: "http_status" }
            }
            Class::Final => {
                let message = self.explained(response).await;
                // a retry leaves a notice of the attempt in the log, an end by a result none
                context.message(ResultMessage::error(message.clone()));
                Outcome::failure("http_status", message)
            }
        }
    }

    /// The outcome of a 2xx answer: what its body says, else success.
    async fn done(&self, context: &Context, response: Response) -> Outcome {
        if !response.headers().get(CONTENT_TYPE).is_some_and(answer::is_json) {
            if let Some(message) = unread(response).await {
                context.message(message);
            }
            return Outcome::success();
        }
        let body = match read(response, BODY_MAX_BYTES + 1).await {
            Ok(body) if body.len() <= BODY_MAX_BYTES => body,
            Ok(_) => {
                let message = format!("{} answered with more than {BODY_MAX_BYTES} bytes", self.origin);
                return Outcome::retry("output", message);
            }
            Err(error) => return self.broken(context, error),
        };
        let mut said = protocol::read_body(&String::from_utf8_lossy(&body));
        said.ask(context);
        let (outcome, kept) = match said.verdict {
            Some(verdict) => verdict.on_attempt_of(context.task()).settle(),
            None => (Outcome::success(), None),
        };
        for message in said.messages.into_iter().chain(kept) {
            context.message(message);
        }
        outcome
    }

    /// The status and the beginning of the body, as far as it comes soon, without the configured headers' values in it:
    /// an endpoint may answer with what it was sent.
    async fn explained(&self, response: Response) -> String {
        let status = response.status();
        let longest = self.headers.values().map(HeaderValue::len).max().unwrap_or(0);
        // a body that breaks off or does not come explains nothing
        let body = timeout(EXCERPT_TIMEOUT, read(response, EXCERPT_MAX_BYTES + longest)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        answer::explained(status, &self.origin, &body, &self.headers, EXCERPT_MAX_BYTES)
    }

    /// The outcome where no answer came, or not all of it.
    fn broken(&self, context: &Context, error: reqwest::Error) -> Outcome {
        if error.is_timeout() && !error.is_connect() {
            return self.timed_out(context);
        }
        Outcome::retry("transport", format!("no answer from {}: {}", self.origin, causes(error)))
    }

    fn timed_out(&self, context: &Context) -> Outcome {
        let timeout = humantime::format_duration(context.timeout());
        Outcome::retry("timeout", format!("no whole answer from {} within {timeout}", self.origin))
    }
}

impl Executor for Http {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(async move {
            tokio::select! {
                biased;
                outcome = self.post(context) => outcome,
                reason = context.stopped() => match reason {
                    Stop::Terminated => Outcome::failure("terminated", "terminated while waiting for an answer"),
                    Stop::Lost | Stop::Shutdown => Outcome::Release,
                    Stop::Timeout => self.timed_out(context),
                },
            }
        })
    }
}

/// What to say of a body that is not read, since its Content-Type is not JSON: nothing of an empty one. What is not
/// declared as JSON says nothing, so that echoed data can do nothing.
async fn unread(mut response: Response) -> Option<ResultMessage> {
    let content_type = response.headers().get(CONTENT_TYPE).cloned();
    // one that does not come is as good as none
    let first = timeout(EXCERPT_TIMEOUT, response.chunk()).await.ok()?.ok()??;
    answer::unread(content_type.as_ref(), &first)
}

/// The body up to this length; the rest is left unread, which closes the connection.
pub(crate) async fn read(mut response: Response, max_bytes: usize) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    while body.len() < max_bytes {
        let Some(chunk) = response.chunk().await? else { break };
        body.extend_from_slice(&chunk[..chunk.len().min(max_bytes - body.len())]);
    }
    Ok(body)
}

/// An error with its causes, without the URL.
pub(crate) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
