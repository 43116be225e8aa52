//! The heartbeat: a thread of its own with a connection of its own, so that nothing an executor does can stop it. It
//! stops by itself when the worker's loops no longer turn. It reports what is in hand, and hears whether to drain.
//!
//! Whether to drain is in the worker's row, and gone with it when the worker is declared dead. So who was told to drain
//! says so when it enters again; and who was not, since it was still, believes a notification that it hears meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longshore_queue::{Load, heartbeat, leave, register};
use metrics::{counter, gauge};
use tracing::Instrument;

use crate::Shutdown;
use crate::fleet::{Fleet, Phase};
use crate::link::step;

/// Starts the thread; it ends with the worker.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub(crate) fn start(fleet: &Arc<Fleet>, shutdown: &Shutdown) -> std::io::Result<std::thread::JoinHandle<()>> {
    let (fleet, shutdown) = (Arc::clone(fleet), shutdown.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("heartbeat".to_owned()).spawn(move || {
        let span = fleet.span();
        runtime.block_on(beat(&fleet, &shutdown).instrument(span));
    })
}

async fn beat(fleet: &Fleet, shutdown: &Shutdown) {
    // a link that is half open is replaced while the lease still runs
    let mut link = fleet.link("heartbeat").answering_within(fleet.lease / 3);
    let age = gauge!("longshore_heartbeat_age_seconds", "cell" => fleet.cell.clone());
    let failures = counter!("longshore_heartbeat_failures_total", "cell" => fleet.cell.clone());
    let mut stuck = false;
    let (mut told, mut heard, mut lost) = (false, false, None::<Instant>);
    let mut counted = (Instant::now(), counts(fleet));
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
            let drains = told || fleet.phase() >= Phase::Draining;
            heard |= fleet.drain_heard.swap(false, Ordering::Relaxed);
            let now = (Instant::now(), counts(fleet));
            let loads = loads(fleet, &counted, &now);
            match step!(link, db => heartbeat(db, fleet.worker_id, drains, &loads)) {
                Ok(Some(shall_drain)) => {
                    counted = now;
                    fleet.vital.beat();
                    // `a_drain_that_its_worker_slept_through_is_heard_after_its_burial`: the listener may be the later
                    // one
                    let missed = heard && lost.is_some_and(|at| at.elapsed() < fleet.lease);
                    heard = false;
                    if (shall_drain || missed) && !drains {
                        tracing::info!("this worker was asked to drain");
                        told = true;
                        shutdown.request_drain();
                        continue;
                    }
                }
                Ok(None) => {
                    tracing::warn!("this worker was declared dead, and registers again");
                    lost = Some(Instant::now());
                    fleet.look.notify_one();
                    let served = fleet.served();
                    step!(link, db => register(db, fleet.worker_id, &fleet.name, fleet.lease, drains, &served)).ok();
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
            () = fleet.drain.notified() => {}
            () = fleet.reached(Phase::Ended) => {}
        }
    }
    if step!(link, db => leave(db, fleet.worker_id)).is_err() {
        tracing::warn!("the worker's row stays: it will be declared dead");
    }
    link.close().await;
}

/// What each lane has counted.
fn counts(fleet: &Fleet) -> Vec<[u64; 2]> {
    fleet.lanes.iter().map(|lane| lane.counts()).collect()
}

/// What is in hand of each queue, and the pace between two counts.
fn loads<'f>(
    fleet: &'f Fleet,
    before: &(Instant, Vec<[u64; 2]>),
    now: &(Instant, Vec<[u64; 2]>),
) -> Vec<(&'f str, Load)> {
    let seconds = (now.0 - before.0).as_secs_f32().max(0.001);
    let pace = |before: u64, now: u64| now.saturating_sub(before) as f32 / seconds;
    let load = |((lane, before), now): ((&'f Arc<crate::lane::Lane>, &[u64; 2]), &[u64; 2])| {
        let load = Load {
            running: lane.in_hand(),
            free_slots: lane.free_slots(),
            claimed_per_second: pace(before[0], now[0]),
            finished_per_second: pace(before[1], now[1]),
        };
        (lane.queue.as_str(), load)
    };
    fleet.lanes.iter().zip(&before.1).zip(&now.1).map(load).collect()
}
