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
pub(crate) async fn serve(fleets: Vec<Arc<Fleet>>, listener: TcpListener, metrics: Option<PrometheusHandle>) {
    let Some(ended) = fleets.first().map(Arc::clone) else { return };
    let upkeep = metrics.clone();
    let live = fleets.clone();
    let app = Router::new()
        .route("/livez", get(move || std::future::ready(livez(&live))))
        .route("/readyz", get(move || std::future::ready(readyz(&fleets))))
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

/// A loop that does not turn is mended by a new start alone, whichever cell it works in.
fn livez(fleets: &[Arc<Fleet>]) -> impl IntoResponse + use<> {
    let begun = fleets.iter().filter(|fleet| fleet.vital.has_begun());
    let still = begun.map(|fleet| fleet.vital.slowest()).max().unwrap_or_default();
    if still < LIVE_MAX {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("loops: have not turned for {}s\n", still.as_secs()))
    }
}

/// Names each check, with what is wrong where it fails. Ready is who works in one cell at least.
fn readyz(fleets: &[Arc<Fleet>]) -> impl IntoResponse + use<> {
    let draining = fleets.iter().any(|fleet| fleet.phase() > Phase::Working);
    let working = if draining { "shutting down" } else { "ok" };
    let mut lines = format!("working: {working}\n");
    let mut ready = false;
    for fleet in fleets {
        let of_cell = if fleets.len() > 1 { format!("{} ", fleet.cell) } else { String::new() };
        let checks = checks(fleet);
        ready |= checks.iter().all(|(_, wrong)| wrong.is_none());
        for (name, wrong) in checks {
            lines.push_str(&format!("{of_cell}{name}: {}\n", wrong.as_deref().unwrap_or("ok")));
        }
    }
    (if ready && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines)
}

/// What must hold in a cell, and what is wrong with it.
fn checks(fleet: &Fleet) -> [(&'static str, Option<String>); 2] {
    let (begun, still, silent) = (fleet.vital.has_begun(), fleet.vital.slowest(), fleet.vital.beat_age());
    let loops = (begun && still >= fleet.lease).then(|| format!("have not turned for {}s", still.as_secs()));
    let database = if !begun {
        Some("not reached yet".to_owned())
    } else {
        (silent >= fleet.lease).then(|| format!("no heartbeat for {}s", silent.as_secs()))
    };
    [("loops", loops), ("database", database)]
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
