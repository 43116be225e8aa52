//! What the active instance shows of its cell. A worker that does not lead it knows nothing of this: NaN, not 0.

use std::collections::HashMap;
use std::sync::Arc;

use longshore_queue::{Depth, Pause};
use metrics::{Counter, Gauge, counter, gauge};

use crate::fleet::Fleet;

/// States in which tasks are counted. Those that are requested stand in no index that a count could be bounded by.
const STATES: [&str; 3] = ["ready", "scheduled", "running"];

/// Queues of rescued tasks that this worker does not serve.
const OTHER: &str = "other";

pub(super) struct Gauges {
    cell: Arc<str>,
    pub(super) leader: Gauge,
    pub(super) changes: Counter,
    pub(super) pruned: Counter,
    pub(super) build_data_pruned: Counter,
    /// By queue: of those that run again, and of those that had no attempt left.
    rescued: HashMap<String, [Counter; 2]>,
    pub(super) alive: Gauge,
    pub(super) oldest_xmin_age: Gauge,
    queues: HashMap<String, OfQueue>,
    /// Bytes and ratio of dead rows of each table that was ever weighed.
    tables: HashMap<String, [Gauge; 2]>,
}

/// What waits in one queue.
struct OfQueue {
    states: [Gauge; STATES.len()],
    oldest_ready_age: Gauge,
    paused: Gauge,
}

impl Gauges {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let cell = &fleet.cell;
        let queues = || fleet.lanes.iter().map(|lane| lane.queue.clone());
        let rescued = |queue: String| {
            let counters = ["worker_dead", "attempts_used_up"].map(|reason| {
                counter!("longshore_tasks_rescued_total", "cell" => cell.clone(), "queue" => queue.clone(),
                    "reason" => reason)
            });
            (queue, counters)
        };
        let of_queue = |queue: String| {
            let states = STATES.map(|state| {
                gauge!("longshore_queue_tasks", "cell" => cell.clone(), "queue" => queue.clone(), "state" => state)
            });
            let oldest_ready_age = gauge!("longshore_queue_oldest_ready_age_seconds", "cell" => cell.clone(),
                "queue" => queue.clone());
            let paused = gauge!("longshore_queue_paused", "cell" => cell.clone(), "queue" => queue.clone());
            (queue, OfQueue { states, oldest_ready_age, paused })
        };
        let gauges = Self {
            leader: gauge!("longshore_leader", "cell" => cell.clone()),
            changes: counter!("longshore_leader_changes_total", "cell" => cell.clone()),
            pruned: counter!("longshore_tasks_pruned_total", "cell" => cell.clone()),
            build_data_pruned: counter!("longshore_build_data_pruned_total", "cell" => cell.clone()),
            rescued: queues().chain([OTHER.to_owned()]).map(rescued).collect(),
            alive: gauge!("longshore_workers_alive", "cell" => cell.clone()),
            oldest_xmin_age: gauge!("longshore_db_oldest_xmin_age_seconds", "cell" => cell.clone()),
            queues: queues().map(of_queue).collect(),
            tables: HashMap::new(),
            cell: Arc::clone(cell),
        };
        gauges.say_nothing();
        gauges
    }

    /// All that only the active instance knows is unknown.
    pub(super) fn say_nothing(&self) {
        let of_queues =
            self.queues.values().flat_map(|one| one.states.iter().chain([&one.oldest_ready_age, &one.paused]));
        let all = [&self.alive, &self.oldest_xmin_age].into_iter().chain(of_queues);
        for gauge in all.chain(self.tables.values().flatten()) {
            gauge.set(f64::NAN);
        }
    }

    pub(super) fn depth(&self, depth: &Depth) {
        let Some(of_queue) = self.queues.get(&depth.queue) else { return };
        for (gauge, count) in of_queue.states.iter().zip([depth.ready, depth.scheduled, depth.running]) {
            gauge.set(count as f64);
        }
        of_queue.oldest_ready_age.set(depth.oldest_ready_age_seconds);
    }

    /// The pauses that hold; one of an action alone does not make a queue a paused one.
    pub(super) fn paused(&self, pauses: &[Pause]) {
        for (queue, gauges) in &self.queues {
            let is_paused = pauses.iter().any(|pause| pause.action.is_none() && pause.queue.as_ref() == Some(queue));
            gauges.paused.set(f64::from(u8::from(is_paused)));
        }
    }

    /// A task of a dead worker runs again, or has no attempt left.
    pub(super) fn rescued(&self, queue: &str, runs_again: bool) {
        let known = self.rescued.get(queue).or_else(|| self.rescued.get(OTHER));
        known.inspect(|counters| counters[usize::from(!runs_again)].increment(1));
    }

    pub(super) fn of_table(&mut self, name: &str) -> &[Gauge; 2] {
        let cell = &self.cell;
        self.tables.entry(name.to_owned()).or_insert_with_key(|name| {
            [
                gauge!("longshore_db_table_bytes", "cell" => cell.clone(), "table" => name.clone()),
                gauge!("longshore_db_dead_tuple_ratio", "cell" => cell.clone(), "table" => name.clone()),
            ]
        })
    }
}
