//! Hears that tasks were inserted or terminated, or that this worker shall drain, and wakes who sleeps. Never trusted:
//! everybody polls as well.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_queue::{Listener, Wake};
use metrics::{counter, gauge};

use crate::fleet::{Fleet, Phase};
use crate::watcher::NOTIFIED_MAX;

/// The pause before a new connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the worker drains.
pub(crate) async fn run(fleet: Arc<Fleet>) {
    let connected = gauge!("longshore_listener_connected", "cell" => fleet.cell.clone());
    let reconnects = counter!("longshore_listener_reconnects_total", "cell" => fleet.cell.clone());
    let listen = async {
        loop {
            match Listener::open(&fleet.connect).await {
                Ok(mut listener) => {
                    connected.set(1.0);
                    while let Ok(wake) = listener.next().await {
                        hear(&fleet, wake);
                    }
                }
                Err(error) => tracing::debug!(%error, "listening"),
            }
            connected.set(0.0);
            reconnects.increment(1);
            // whatever was missed meanwhile is found by looking
            wake_all(&fleet);
            fleet.look.notify_one();
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = fleet.reached(Phase::Ended) => {}
    }
}

fn hear(fleet: &Fleet, wake: Wake) {
    if matches!(wake, Wake::Inserted { .. } | Wake::Changed)
        && fleet.wakes.fetch_add(1, Ordering::Relaxed) == NOTIFIED_MAX
    {
        // so many at once: whether to go on being notified is decided now
        fleet.look.notify_one();
    }
    match wake {
        Wake::Inserted { queue } => {
            if let Some(lane) = fleet.lanes.iter().find(|lane| lane.queue == queue) {
                lane.inserted.notify_one();
            }
        }
        Wake::Changed => wake_all(fleet),
        Wake::Terminate => fleet.look.notify_one(),
        Wake::Drain { worker_id } if worker_id == fleet.worker_id => {
            fleet.drain_heard.store(true, Ordering::Relaxed);
            fleet.drain.notify_one();
        }
        Wake::Drain { .. } => {}
        // another channel's
        Wake::Recorded => {}
    }
}

fn wake_all(fleet: &Fleet) {
    for lane in &fleet.lanes {
        lane.inserted.notify_one();
    }
    fleet.edited.notify_one();
}
