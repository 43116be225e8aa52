//! The life of a worker: built from a configuration, runs until it is told to end, drains with a deadline.

mod build;

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use longshore_queue::{Connect, Error};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use crate::cell::Cell;
use crate::config::{Config, ConfigError, Connection};
use crate::fleet::{Fleet, Phase};
use crate::metrics::shutdown_tasks;
use crate::{Executor, Stop, health};

/// A cell whose database refuses the worker is tried again after so long: somebody may migrate it.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// A worker about to run.
pub struct Worker {
    config: Config,
    executors: HashMap<String, Arc<dyn Executor>>,
    metrics: Option<PrometheusHandle>,
    listener: Option<std::net::TcpListener>,
}

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration says something that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database refused, in a way that waiting does not mend.
    #[error(transparent)]
    Database(#[from] Error),
    /// The address of the HTTP server cannot be had.
    #[error("http.listen = {listen}: {source}")]
    Listen {
        /// As configured.
        listen: std::net::SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A thread could not be made.
    #[error("starting threads")]
    Threads(#[from] std::io::Error),
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All that it had claimed was finished.
    Drained,
    /// The deadline, or a second request, came first: what was left went back with its attempt unburnt.
    Released,
    /// Not everything could be given back: its lease will run out.
    Abandoned,
}

impl Ended {
    /// What the process says to its parent: 0, 10 or 11.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Released => 10,
            Self::Abandoned => 11,
        }
    }
}

/// Tells a running worker to end.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: watch::Sender<u8>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { asked: watch::Sender::new(0) }
    }
}

impl Shutdown {
    /// The first request drains, a second one gives back at once.
    pub fn request(&self) {
        self.asked.send_modify(|times| *times = times.saturating_add(1));
    }

    /// The first request, unless it was made already: what was asked twice in this way gives nothing back.
    pub(crate) fn request_drain(&self) {
        self.asked.send_modify(|times| *times = (*times).max(1));
    }

    async fn requested(&self, times: u8) {
        // the sender lives as long as self
        self.asked.subscribe().wait_for(|asked| *asked >= times).await.ok();
    }

    /// Requests at each SIGTERM and SIGINT, which end the process no more. Runs until it is dropped.
    ///
    /// # Errors
    /// When the system refuses to say when a signal comes.
    pub async fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            self.request();
        }
    }
}

impl Worker {
    /// A worker as configured.
    pub fn new(config: Config) -> Self {
        Self { config, executors: HashMap::new(), metrics: None, listener: None }
    }

    /// Registers the executor of an action that the configuration has as `executor = "rust"`.
    #[must_use]
    pub fn executor(mut self, action: impl Into<String>, executor: impl Executor) -> Self {
        self.executors.insert(action.into(), Arc::new(executor));
        self
    }

    /// Serves these metrics under `/metrics`: the handle of [`metrics::install`](crate::metrics::install).
    #[must_use]
    pub fn metrics(mut self, handle: PrometheusHandle) -> Self {
        self.metrics = Some(handle);
        self
    }

    /// Serves metrics and health on a listener that is bound already, instead of the configured address.
    #[must_use]
    pub fn listener(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Runs until SIGTERM or SIGINT. Blocks; makes its own runtimes.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run(self) -> Result<Ended, StartError> {
        let shutdown = Shutdown::default();
        let signals = shutdown.clone();
        self.run_with(&shutdown, async move { signals.on_signals().await })
    }

    /// Runs until `shutdown` is requested, without a look at signals.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn run_until(self, shutdown: &Shutdown) -> Result<Ended, StartError> {
        self.run_with(shutdown, std::future::pending())
    }

    fn run_with(
        self,
        shutdown: &Shutdown,
        signals: impl Future<Output = std::io::Result<()>>,
    ) -> Result<Ended, StartError> {
        let mut cells = Vec::new();
        for (name, url) in self.config.databases()? {
            let pooled = self.config.connection == Connection::TransactionPooler;
            cells.push((Arc::from(name), Connect::new(url.expose(), &self.config.schema, pooled)?));
        }
        // executors have threads of their own: one that blocks must not keep the loops from turning
        let executors = Builder::new_multi_thread()
            .worker_threads(self.config.worker.executor_threads)
            .thread_name("executor")
            .enable_all()
            .build()?;
        let control = Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        let handle = executors.handle().clone();
        let ended = local.block_on(&control, async {
            tokio::select! {
                ended = self.live(cells, handle, shutdown) => ended,
                Err(error) = signals => Err(StartError::Threads(error)),
            }
        });
        // an executor that blocks its thread would be waited for
        executors.shutdown_background();
        ended
    }

    async fn live(
        mut self,
        cells: Vec<(Arc<str>, Connect)>,
        executors: Handle,
        shutdown: &Shutdown,
    ) -> Result<Ended, StartError> {
        let (exporter, tracer) = self.tracer()?.unzip();
        let cells = self.build(cells, &executors, tracer.as_ref())?;
        let fleets: Vec<Arc<Fleet>> = cells.iter().map(Cell::fleet).collect();
        let listen = self.config.http.listen;
        let http = match self.listener.take() {
            Some(bound) => health::take(bound),
            None => health::bind(listen).await,
        };
        let http = http.map_err(|source| StartError::Listen { listen, source })?;
        let address = http.local_addr()?;
        let mut loops = JoinSet::new();
        loops.spawn_local(health::serve(fleets.clone(), http, self.metrics));
        let mut heartbeats = Vec::new();
        let ended = tokio::select! {
            ended = drain(&fleets, shutdown, self.config.worker.shutdown_deadline) => ended,
            ended = inhabit(cells, address, shutdown, &mut loops, &mut heartbeats) => ended?,
        };
        for fleet in &fleets {
            fleet.enter(Phase::Ended);
        }
        let goodbye = async {
            while loops.join_next().await.is_some() {}
            let join = move || heartbeats.into_iter().for_each(|heartbeat| drop(heartbeat.join()));
            tokio::task::spawn_blocking(join).await.ok();
        };
        if tokio::time::timeout(Duration::from_secs(5), goodbye).await.is_err() {
            tracing::warn!("the database did not hear that this worker left");
        }
        if let Some(exporter) = exporter {
            exporter.finish().await;
        }
        tracing::info!(?ended, "ended");
        Ok(ended)
    }
}

/// Enters every cell and runs its loops. A cell that is away, or refuses, keeps no other waiting. Ends when the worker
/// cannot live on: all cells refuse it, or a loop has panicked.
async fn inhabit(
    cells: Vec<Cell>,
    metrics: SocketAddr,
    shutdown: &Shutdown,
    loops: &mut JoinSet<()>,
    heartbeats: &mut Vec<JoinHandle<()>>,
) -> Result<Ended, StartError> {
    let mut outside: HashMap<Arc<str>, bool> = cells.iter().map(|cell| (cell.name(), false)).collect();
    let mut entering: FuturesUnordered<_> = cells.into_iter().map(|cell| cell.enter(Duration::ZERO)).collect();
    loop {
        tokio::select! {
            Some((cell, entered)) = entering.next(), if !entering.is_empty() => match entered {
                Ok(()) => {
                    outside.remove(&cell.name());
                    heartbeats.push(cell.start(metrics, shutdown, loops)?);
                }
                Err(error) => {
                    let refused = outside.insert(cell.name(), true) == Some(true);
                    // what waiting does not mend is for people to mend: they see that a worker with nothing to do ends
                    if heartbeats.is_empty() && outside.values().all(|refused| *refused) {
                        return Err(error.into());
                    }
                    if !refused {
                        cell.fleet().span().in_scope(|| tracing::error!(%error, "the cell refuses this worker"));
                    }
                    entering.push(cell.enter(REFUSED_PAUSE));
                }
            },
            // a loop that ends before the worker has panicked: nothing is sure any more
            Some(ended) = loops.join_next(), if !loops.is_empty() => if let Err(panic) = ended {
                tracing::error!(%panic, "a loop of the worker ended");
                return Ok(Ended::Abandoned);
            },
            else => std::future::pending().await,
        }
    }
}

/// Waits for the request to end, then for what runs; gives back what is left at the deadline.
async fn drain(fleets: &[Arc<Fleet>], shutdown: &Shutdown, deadline: Duration) -> Ended {
    shutdown.requested(1).await;
    let began: Vec<usize> = fleets.iter().map(|fleet| fleet.attempts().len()).collect();
    tracing::info!(running = began.iter().sum::<usize>(), ?deadline, "draining");
    for fleet in fleets {
        fleet.enter(Phase::Draining);
        for lane in &fleet.lanes {
            // what has not begun goes back
            lane.slots.close();
        }
    }
    tokio::select! {
        () = settled(fleets) => {
            fleets.iter().zip(began).for_each(|(fleet, began)| shutdown_tasks(&fleet.cell, "drained", began));
            return Ended::Drained;
        }
        () = tokio::time::sleep(deadline) => {}
        () = shutdown.requested(2) => {}
    }
    let mut grace = Duration::ZERO;
    for fleet in fleets {
        fleet.enter(Phase::Releasing);
        let left: Vec<_> = fleet.attempts().values().cloned().collect();
        if !left.is_empty() {
            fleet.span().in_scope(|| tracing::warn!(tasks = left.len(), "giving back what still runs"));
        }
        shutdown_tasks(&fleet.cell, "released", left.len());
        for attempt in &left {
            attempt.context.stop(Stop::Shutdown);
            grace = grace.max(attempt.grace());
        }
    }
    match tokio::time::timeout(grace + Duration::from_secs(2), settled(fleets)).await {
        Ok(()) => Ended::Released,
        Err(_) => {
            fleets.iter().for_each(|fleet| shutdown_tasks(&fleet.cell, "abandoned", fleet.attempts().len()));
            Ended::Abandoned
        }
    }
}

/// Waits until nothing is claimed any more and everything is written.
async fn settled(fleets: &[Arc<Fleet>]) {
    let mut quiet = Instant::now();
    // a claim under way when the drain began has begun its tasks within a statement's time, or is given back later
    loop {
        if fleets.iter().any(|fleet| !fleet.attempts().is_empty() || !fleet.claims().is_empty()) {
            quiet = Instant::now();
        } else if quiet.elapsed() > Duration::from_millis(50) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
