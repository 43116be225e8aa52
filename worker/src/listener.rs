//! Hears that tasks were inserted or terminated, and wakes who sleeps. Never trusted: everybody polls as well.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_queue::{Listener, Wake};
use metrics::{counter, gauge};

use crate::fleet::{Fleet, Phase};

/// The pause before a new connection.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until the worker drains.
pub(crate) async fn run(fleet: Arc<Fleet>) {
    let connected = gauge!("longshore_listener_connected");
    let reconnects = counter!("longshore_listener_reconnects_total");
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
            hear(&fleet, Wake::Reconnected);
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = listen => {}
        () = fleet.reached(Phase::Ended) => {}
    }
}

fn hear(fleet: &Fleet, wake: Wake) {
    if wake != Wake::Terminate {
        fleet.wakes.fetch_add(1, Ordering::Relaxed);
        for lane in &fleet.lanes {
            lane.inserted.notify_one();
        }
        fleet.edited.notify_one();
    }
    if wake != Wake::Inserted {
        fleet.look.notify_one();
    }
}
