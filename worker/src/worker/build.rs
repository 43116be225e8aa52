//! From the configuration to what a worker is made of.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use longshore_queue::Connect;
use tokio::runtime::Handle;

use super::{StartError, Worker};
use crate::action::{Action, WantedDesign};
use crate::cell::Cell;
use crate::config::{self, ConfigError};
use crate::design::Resolver;
use crate::design::readings::Readings;
use crate::fleet::{Fleet, Identity};
use crate::journal::Journal;
use crate::lane::Lane;
use crate::metrics::{ActionMetrics, LaneMetrics};
use crate::slots::Slots;
use crate::trace::{Exporter, Sample, Tracer};
use crate::{Executor, executors};

impl Worker {
    /// What resolves designs, where an action wants them: nobody else needs the files that its configuration names.
    fn resolver(&self) -> Result<Option<Arc<Resolver>>, ConfigError> {
        let wanted = self.config.actions.values().any(|action| action.design.is_some());
        Ok(if wanted { Some(Arc::new(Resolver::new(&self.config.design)?)) } else { None })
    }

    /// What makes spans, and the thread that exports them, where the configuration says where to.
    pub(super) fn tracer(&self) -> Result<Option<(Exporter, Arc<Tracer>)>, ConfigError> {
        let Some(settings) = &self.config.otlp else { return Ok(None) };
        let (exporter, outlet) = Exporter::start(settings, &self.config.source, &self.config.worker.name)?;
        Ok(Some((exporter, Arc::new(Tracer::new(Sample::share(settings.sample), outlet)))))
    }

    /// Makes the cells of these names and databases: the executors and the slots of a queue are shared by all.
    pub(super) fn build(
        &self,
        cells: Vec<(Arc<str>, Connect)>,
        executors: &Handle,
        tracer: Option<&Arc<Tracer>>,
    ) -> Result<Vec<Cell>, StartError> {
        self.config.check_start()?;
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
        let slots: Vec<Arc<Slots>> = self
            .config
            .queues
            .iter()
            .map(|(queue, settings)| Slots::new(queue, settings.concurrency, settings.prefetch, cells.len()))
            .collect();
        let count = cells.len();
        let cells = cells.into_iter().enumerate().map(|(number, (cell, connect))| {
            let (mut lanes, mut actions) = (Vec::new(), Vec::new());
            for ((queue, settings), slots) in self.config.queues.iter().zip(&slots) {
                let of_lane = self.actions_of(&cell, queue, &made, resolver.as_ref(), &readings);
                let (names, metrics) = (of_lane.keys().cloned().collect(), LaneMetrics::new(&cell, queue));
                lanes.push(Arc::new(Lane::new(queue, names, settings.poll, (slots, number), metrics)));
                actions.push(of_lane);
            }
            let name = self.config.worker.name.clone();
            let journal = Journal::new(name, (count > 1).then(|| Arc::clone(&cell)), tracer.cloned());
            let identity = Identity {
                cell,
                has_siblings: count > 1,
                connect,
                name: self.config.worker.name.clone(),
                lease: self.config.worker.lease,
                heartbeat: self.config.worker.heartbeat,
                notify: self.config.notify,
            };
            let (fleet, inbox) = Fleet::new(identity, lanes, journal);
            Cell::new(fleet, inbox, actions, executors.clone(), self.config.retention)
        });
        Ok(cells.collect())
    }

    /// What is claimed from a queue of a cell, by name.
    fn actions_of(
        &self,
        cell: &Arc<str>,
        queue: &str,
        made: &BTreeMap<&str, Arc<dyn Executor>>,
        resolver: Option<&Arc<Resolver>>,
        readings: &Arc<Readings>,
    ) -> HashMap<String, Arc<Action>> {
        let of_queue = self.config.actions.iter().enumerate().filter(|(_, (_, action))| action.queues.contains(queue));
        let action = |(index, (name, action)): (usize, (&String, &config::Action))| {
            let design = resolver.zip(action.design).map(|(resolver, wanted)| WantedDesign {
                resolver: Arc::clone(resolver),
                readings: Arc::clone(readings),
                form: wanted.form,
                applies_filter: wanted.applies_filter,
                json_max_bytes: self.config.design.max_bytes,
                timeout: wanted.timeout,
            });
            let action = Action {
                name: name.clone(),
                executor: Arc::clone(&made[name.as_str()]),
                timeout: action.timeout,
                backoff: action.retry,
                design,
                metrics: ActionMetrics::new(cell, queue, name, index),
            };
            (name.clone(), Arc::new(action))
        };
        of_queue.map(action).collect()
    }
}
