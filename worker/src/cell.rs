//! A worker in one cell: enters its database, and runs the loops that work there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use longshore_queue::{Error, Retention as OfTasks, check_schema, register};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::action::Action;
use crate::claimer::Claimer;
use crate::config::Retention;
use crate::fleet::{Fleet, Inbox};
use crate::scheduler::Scheduler;
use crate::settler::Settler;
use crate::watcher::Watcher;
use crate::{Shutdown, listener, metrics, pulse};

/// The pause before another try to reach the database.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// A cell that is not entered yet.
pub(crate) struct Cell {
    fleet: Arc<Fleet>,
    inbox: Inbox,
    /// By lane, and by name.
    actions: Vec<HashMap<String, Arc<Action>>>,
    executors: Handle,
    retention: Retention,
}

impl Cell {
    pub(crate) fn new(
        fleet: Arc<Fleet>,
        inbox: Inbox,
        actions: Vec<HashMap<String, Arc<Action>>>,
        executors: Handle,
        retention: Retention,
    ) -> Self {
        Self { fleet, inbox, actions, executors, retention }
    }

    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet)
    }

    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.fleet.cell)
    }

    /// Enters the worker after a pause, however long the database is away; what waiting does not mend is an error.
    pub(crate) async fn enter(self, pause: Duration) -> (Self, Result<(), Error>) {
        tokio::time::sleep(pause).await;
        let entered = wait_for_database(&self.fleet).instrument(self.fleet.span()).await;
        (self, entered)
    }

    /// Starts the loops, and the thread of the heartbeat, which hears whether to drain.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(crate) fn start(
        self,
        metrics: SocketAddr,
        shutdown: &Shutdown,
        loops: &mut JoinSet<()>,
    ) -> std::io::Result<JoinHandle<()>> {
        let Self { fleet, inbox, actions, executors, retention } = self;
        let span = fleet.span();
        span.in_scope(|| {
            tracing::info!(
                worker = fleet.name, worker_id = %fleet.worker_id, schema = fleet.connect.schema(),
                metrics = %format_args!("http://{metrics}/metrics"), "working"
            );
        });
        metrics::shutdown_tasks_are_known(&fleet.cell);
        fleet.vital.begin();
        let heartbeat = pulse::start(&fleet, shutdown)?;
        for (number, actions) in actions.into_iter().enumerate() {
            loops.spawn_local(Claimer::new(&fleet, number, actions, executors.clone()).run().instrument(span.clone()));
        }
        let of_tasks = OfTasks { success: retention.success, other: retention.other };
        loops.spawn_local(Settler::new(&fleet, inbox).run().instrument(span.clone()));
        loops.spawn_local(Watcher::new(&fleet, executors).run().instrument(span.clone()));
        loops.spawn_local(Scheduler::new(&fleet, of_tasks, retention.build_data).run().instrument(span.clone()));
        if fleet.notify {
            loops.spawn_local(listener::run(fleet).instrument(span));
        }
        Ok(heartbeat)
    }
}

/// Enters the worker, however long the database is away; what waiting does not mend is an error.
async fn wait_for_database(fleet: &Fleet) -> Result<(), Error> {
    let mut said = false;
    loop {
        let entered = async {
            let mut session = fleet.connect.session("longshore start").await?;
            check_schema(&mut session).await?;
            let mut step = session.step().await?;
            register(step.db(), fleet.worker_id, &fleet.name, fleet.lease, false, &fleet.served()).await?;
            step.done().await?;
            session.close().await;
            Ok(())
        };
        match longshore_queue::within(longshore_queue::ANSWER_TIMEOUT, entered).await {
            Ok(()) => return Ok(()),
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                if !said {
                    tracing::warn!(%error, "waiting for the database");
                }
                said = true;
                tokio::time::sleep(AWAY_PAUSE).await;
            }
        }
    }
}
