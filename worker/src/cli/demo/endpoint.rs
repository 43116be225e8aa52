//! The HTTP server that some of the demo's tasks are posted to.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An answer in the words of the executor `http`.
const DONE: &str = r#"{"result": {"status": "success", "output": {"said": "hello"}}}"#;

/// A server on a free port of loopback; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Endpoint {
    /// Starts to serve `/ok`, and `/busy`, which does each task only when it is asked again.
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(HashSet::new()));
        let app = Router::new()
            .route("/ok", post(|| std::future::ready(done())))
            .route("/busy", post(move |headers: HeaderMap| std::future::ready(busy(&seen, &headers))));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the demo's HTTP server ended");
            }
        });
        Ok(Self { address, serving })
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn done() -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "application/json")], DONE)
}

fn busy(seen: &Mutex<HashSet<Vec<u8>>>, headers: &HeaderMap) -> impl IntoResponse + use<> {
    let task_id = headers.get("longshore-task-id").map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    if seen.lock().unwrap_or_else(PoisonError::into_inner).insert(task_id) {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response();
    }
    done().into_response()
}
