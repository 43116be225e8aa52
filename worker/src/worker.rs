//! The life of a worker: built from a configuration, runs until it is told to end, drains with a deadline.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_queue::{Connect, Error, Retention, check_schema, register};
use metrics::counter;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use crate::action::{Action, WantedDesign};
use crate::claimer::Claimer;
use crate::config::{Config, ConfigError, Connection};
use crate::design::Resolver;
use crate::design::readings::Readings;
use crate::executors;
use crate::fleet::{Fleet, Identity, Phase};
use crate::journal::Journal;
use crate::lane::Lane;
use crate::metrics::ActionMetrics;
use crate::scheduler::Scheduler;
use crate::settler::Settler;
use crate::trace::{Exporter, Sample, Tracer};
use crate::watcher::Watcher;
use crate::{Executor, Stop, health, listener, pulse};

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
        let url = self.config.require_database_url()?.expose().to_owned();
        let pooled = self.config.connection == Connection::TransactionPooler;
        let connect = Connect::new(&url, &self.config.schema, pooled)?;
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
                ended = self.live(connect, handle, shutdown) => ended,
                Err(error) = signals => Err(StartError::Threads(error)),
            }
        });
        // an executor that blocks its thread would be waited for
        executors.shutdown_background();
        ended
    }

    async fn live(mut self, connect: Connect, executors: Handle, shutdown: &Shutdown) -> Result<Ended, StartError> {
        let worker_id = Uuid::new_v4();
        let (exporter, journal) = self.journal(worker_id)?;
        let (fleet, inbox, actions) = self.build(connect, worker_id, journal)?;
        let listen = self.config.http.listen;
        let http = match self.listener.take() {
            Some(bound) => health::take(bound),
            None => health::bind(listen).await,
        };
        let http = http.map_err(|source| StartError::Listen { listen, source })?;
        let address = http.local_addr()?;
        tokio::select! {
            ready = wait_for_database(&fleet) => ready?,
            () = shutdown.requested(1) => return Ok(Ended::Drained),
        }
        tracing::info!(
            worker = fleet.name, worker_id = %fleet.worker_id, schema = fleet.connect.schema(),
            metrics = %format_args!("http://{address}/metrics"), "working"
        );
        let heartbeat = pulse::start(&fleet)?;
        let mut loops = JoinSet::new();
        for (number, actions) in actions.into_iter().enumerate() {
            loops.spawn_local(Claimer::new(&fleet, number, actions, executors.clone()).run());
        }
        let retention = Retention { success: self.config.retention.success, other: self.config.retention.other };
        loops.spawn_local(Settler::new(&fleet, inbox).run());
        loops.spawn_local(Watcher::new(&fleet, executors.clone()).run());
        loops.spawn_local(Scheduler::new(&fleet, retention, self.config.retention.build_data).run());
        loops.spawn_local(health::serve(Arc::clone(&fleet), http, self.metrics));
        if fleet.notify {
            loops.spawn_local(listener::run(Arc::clone(&fleet)));
        }
        let ended = tokio::select! {
            ended = drain(&fleet, shutdown, self.config.worker.shutdown_deadline) => ended,
            // a loop that ends before the worker has panicked: nothing is sure any more
            Some(Err(panic)) = loops.join_next() => {
                tracing::error!(%panic, "a loop of the worker ended");
                Ended::Abandoned
            }
        };
        fleet.enter(Phase::Ended);
        let goodbye = async {
            while loops.join_next().await.is_some() {}
            tokio::task::spawn_blocking(move || heartbeat.join()).await.ok();
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

    /// What tells of tasks, and the thread that exports spans where the configuration says where to.
    fn journal(&self, worker_id: Uuid) -> Result<(Option<Exporter>, Journal), ConfigError> {
        let name = &self.config.worker.name;
        let Some(settings) = &self.config.otlp else { return Ok((None, Journal::new(name.clone(), None))) };
        let (exporter, outlet) = Exporter::start(settings, &self.config.source, worker_id, name)?;
        let tracer = Tracer::new(Sample::share(settings.sample), outlet);
        Ok((Some(exporter), Journal::new(name.clone(), Some(tracer))))
    }

    /// What resolves designs, where an action wants them: nobody else needs the files that its configuration names.
    fn resolver(&self) -> Result<Option<Arc<Resolver>>, ConfigError> {
        let wanted = self.config.actions.values().any(|action| action.design.is_some());
        Ok(if wanted { Some(Arc::new(Resolver::new(&self.config.design)?)) } else { None })
    }

    /// Makes the lanes, and per lane the actions that are claimed from it.
    #[allow(clippy::type_complexity, reason = "named by its one use")]
    fn build(
        &self,
        connect: Connect,
        worker_id: Uuid,
        journal: Journal,
    ) -> Result<(Arc<Fleet>, crate::fleet::Inbox, Vec<HashMap<String, Arc<Action>>>), StartError> {
        let readings = Arc::new(Readings::default());
        let mut made: BTreeMap<&str, Arc<dyn Executor>> = BTreeMap::new();
        for (name, action) in &self.config.actions {
            let executor = match executors::from_config(name, &action.executor, &readings)? {
                Some(executor) => executor,
                None => Arc::clone(self.executors.get(name).ok_or_else(|| {
                    ConfigError::new(
                        &self.config.source,
                        format!("actions.{name}.executor = \"rust\", and this program registers no executor for it"),
                    )
                })?),
            };
            made.insert(name, executor);
        }
        let resolver = self.resolver()?;
        let mut lanes = Vec::new();
        let mut actions = Vec::new();
        for (queue, settings) in &self.config.queues {
            let mut of_lane = HashMap::new();
            for (index, (name, action)) in self.config.actions.iter().enumerate() {
                if action.queues.contains(queue) {
                    let action = Action {
                        name: name.clone(),
                        executor: Arc::clone(&made[name.as_str()]),
                        timeout: action.timeout,
                        backoff: action.retry,
                        design: resolver.as_ref().zip(action.design).map(|(resolver, wanted)| WantedDesign {
                            resolver: Arc::clone(resolver),
                            readings: Arc::clone(&readings),
                            form: wanted.form,
                            applies_filter: wanted.applies_filter,
                            json_max_bytes: self.config.design.max_bytes,
                            timeout: wanted.timeout,
                        }),
                        metrics: ActionMetrics::new(queue, name, index),
                    };
                    of_lane.insert(name.clone(), Arc::new(action));
                }
            }
            let names = of_lane.keys().cloned().collect();
            let lane = Lane::new(queue.clone(), names, settings.concurrency, settings.poll, settings.prefetch);
            lanes.push(Arc::new(lane));
            actions.push(of_lane);
        }
        let identity = Identity {
            connect,
            worker_id,
            name: self.config.worker.name.clone(),
            lease: self.config.worker.lease,
            heartbeat: self.config.worker.heartbeat,
            notify: self.config.notify,
        };
        let (fleet, inbox) = Fleet::new(identity, lanes, journal);
        Ok((fleet, inbox, actions))
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
            register(step.db(), fleet.worker_id, &fleet.name, fleet.lease).await?;
            step.done().await?;
            session.close().await;
            Ok(())
        };
        match longshore_queue::within(longshore_queue::ANSWER_TIMEOUT, entered).await {
            Ok(()) => {
                fleet.vital.beat();
                return Ok(());
            }
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                if !said {
                    tracing::warn!(%error, "waiting for the database");
                }
                said = true;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits for the request to end, then for what runs; gives back what is left at the deadline.
async fn drain(fleet: &Fleet, shutdown: &Shutdown, deadline: Duration) -> Ended {
    shutdown.requested(1).await;
    tracing::info!(running = fleet.attempts().len(), deadline = ?deadline, "draining");
    fleet.enter(Phase::Draining);
    let began = fleet.attempts().len() as u64;
    for lane in &fleet.lanes {
        // what has not begun goes back
        lane.slots.close();
    }
    tokio::select! {
        () = settled(fleet) => {
            counter!("longshore_shutdown_tasks_total", "result" => "drained").increment(began);
            return Ended::Drained;
        }
        () = tokio::time::sleep(deadline) => {}
        () = shutdown.requested(2) => {}
    }
    fleet.enter(Phase::Releasing);
    let left: Vec<_> = fleet.attempts().values().cloned().collect();
    tracing::warn!(tasks = left.len(), "giving back what still runs");
    counter!("longshore_shutdown_tasks_total", "result" => "released").increment(left.len() as u64);
    for attempt in &left {
        attempt.context.stop(Stop::Shutdown);
    }
    let grace = left.iter().map(|attempt| attempt.grace()).max().unwrap_or_default();
    match tokio::time::timeout(grace + Duration::from_secs(2), settled(fleet)).await {
        Ok(()) => Ended::Released,
        Err(_) => Ended::Abandoned,
    }
}

/// Waits until nothing is claimed any more and everything is written.
async fn settled(fleet: &Fleet) {
    let mut quiet = Instant::now();
    // a claim under way when the drain began has begun its tasks within a statement's time, or is given back later
    loop {
        if !fleet.attempts().is_empty() || !fleet.claims().is_empty() {
            quiet = Instant::now();
        } else if quiet.elapsed() > Duration::from_millis(50) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
