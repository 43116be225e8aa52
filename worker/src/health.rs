//! `/livez`, `/readyz` and `/metrics` on one address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use crate::fleet::{Fleet, Phase};

/// A process whose loops have not turned for so long is beyond help: longer than any statement may take.
const LIVE_MAX: Duration = Duration::from_secs(60);

/// Serves until the worker has ended.
pub(crate) async fn serve(fleet: Arc<Fleet>, listener: TcpListener, metrics: Option<PrometheusHandle>) {
    let ended = Arc::clone(&fleet);
    let upkeep = metrics.clone();
    let live = Arc::clone(&fleet);
    let app = Router::new()
        .route("/livez", get(move || std::future::ready(livez(&live))))
        .route("/readyz", get(move || std::future::ready(readyz(&fleet))))
        .route("/metrics", get(move || std::future::ready(scrape(metrics.as_ref()))));
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { ended.reached(Phase::Ended).await });
    let drained = async {
        let Some(handle) = upkeep else { return std::future::pending().await };
        loop {
            // histograms gather until they are drained
            tokio::time::sleep(Duration::from_secs(5)).await;
            handle.run_upkeep();
        }
    };
    tokio::select! {
        done = served.into_future() => if let Err(error) = done {
            tracing::error!(%error, "the HTTP server ended");
        },
        () = drained => {}
    }
}

/// Binds the configured address.
///
/// # Errors
/// When it is taken or not this machine's.
pub(crate) async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Takes a listener over that was bound outside of the runtime.
///
/// # Errors
/// When the system does not let it be used without blocking.
pub(crate) fn take(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn livez(fleet: &Fleet) -> impl IntoResponse + use<> {
    let still = fleet.vital.slowest();
    if still < LIVE_MAX {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("loops: have not turned for {}s\n", still.as_secs()))
    }
}

/// Names each check, with what is wrong where it fails.
fn readyz(fleet: &Fleet) -> impl IntoResponse + use<> {
    let draining = fleet.phase() > Phase::Working;
    let still = fleet.vital.slowest();
    let silent = fleet.vital.beat_age();
    let checks = [
        ("working", (!draining).then_some(()).ok_or_else(|| "shutting down".to_owned())),
        (
            "loops",
            (still < fleet.lease).then_some(()).ok_or_else(|| format!("have not turned for {}s", still.as_secs())),
        ),
        (
            "database",
            (silent < fleet.lease).then_some(()).ok_or_else(|| format!("no heartbeat for {}s", silent.as_secs())),
        ),
    ];
    let ready = checks.iter().all(|(_, check)| check.is_ok());
    let lines: String = checks
        .iter()
        .map(|(name, check)| match check {
            Ok(()) => format!("{name}: ok\n"),
            Err(what) => format!("{name}: {what}\n"),
        })
        .collect();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines)
}

fn scrape(metrics: Option<&PrometheusHandle>) -> impl IntoResponse + use<> {
    match metrics {
        Some(handle) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        }
        None => (
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            "this program exports its metrics elsewhere\n".to_owned(),
        ),
    }
}
