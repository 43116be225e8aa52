//! The heartbeat: a thread of its own with a connection of its own, so that nothing an executor does can stop it. It
//! stops by itself when the worker's loops no longer turn.

use std::sync::Arc;
use std::time::Duration;

use longshore_queue::{heartbeat, leave, register};
use metrics::{counter, gauge};
use tracing::Instrument;

use crate::fleet::{Fleet, Phase};
use crate::link::step;

/// Starts the thread; it ends with the worker.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn start(fleet: &Arc<Fleet>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let fleet = Arc::clone(fleet);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        let span = fleet.span();
        runtime.block_on(beat(&fleet).instrument(span));
    })
}

async fn beat(fleet: &Fleet) {
    // a link that is half open is replaced while the lease still runs
    let mut link = fleet.link("heartbeat").answering_within(fleet.lease / 3);
    let age = gauge!("longshore_heartbeat_age_seconds", "cell" => fleet.cell.clone());
    let failures = counter!("longshore_heartbeat_failures_total", "cell" => fleet.cell.clone());
    let mut stuck = false;
    while fleet.phase() < Phase::Ended {
        age.set(fleet.vital.beat_age().as_secs_f64());
        let still = fleet.vital.slowest();
        if still > fleet.lease {
            if !stuck {
                tracing::error!(?still, "the worker's loops do not turn: heartbeats stop");
            }
            stuck = true;
        } else {
            stuck = false;
            match step!(link, db => heartbeat(db, fleet.worker_id)) {
                Ok(true) => fleet.vital.beat(),
                Ok(false) => {
                    tracing::warn!("this worker was declared dead, and registers again");
                    fleet.look.notify_one();
                    step!(link, db => register(db, fleet.worker_id, &fleet.name, fleet.lease)).ok();
                    continue;
                }
                Err(_) => {
                    failures.increment(1);
                    continue;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(if stuck { Duration::from_secs(1) } else { fleet.heartbeat }) => {}
            () = fleet.reached(Phase::Ended) => {}
        }
    }
    if step!(link, db => leave(db, fleet.worker_id)).is_err() {
        tracing::warn!("the worker's row stays: it will be declared dead");
    }
    link.close().await;
}
