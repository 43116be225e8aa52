//! What one look has seen.

use std::collections::BTreeMap;

use longshore_queue::{Depth, Pause, WorkerLine, WorkerQueue};
use serde_json::{Value, json};

use super::COUNT_MAX;
use crate::cli::queues::counted;
use crate::cli::table::{columns, printable};
use crate::cli::values::age;

pub(super) struct View {
    /// Which database.
    pub(super) address: String,
    pub(super) depths: Vec<Depth>,
    /// Tasks inserted a second, by queue.
    pub(super) inserted: BTreeMap<String, f64>,
    pub(super) workers: Vec<WorkerLine>,
    pub(super) pauses: Vec<Pause>,
}

/// What the live workers of a queue say, added up.
#[derive(Default)]
struct Served {
    workers: usize,
    slots: i32,
    free: i32,
    claimed: f32,
    finished: f32,
}

impl Served {
    fn of<'w>(lanes: impl Iterator<Item = &'w WorkerQueue>) -> Self {
        lanes.fold(Self::default(), |sum, lane| Self {
            workers: sum.workers + 1,
            slots: sum.slots + lane.slots,
            free: sum.free + lane.free_slots,
            claimed: sum.claimed + lane.claimed_per_second,
            finished: sum.finished + lane.finished_per_second,
        })
    }
}

impl View {
    fn served(&self, queue: &str) -> Served {
        let alive = self.workers.iter().filter(|worker| worker.state != "silent");
        Served::of(alive.flat_map(|worker| &worker.queues).filter(|lane| lane.queue == queue))
    }

    fn state(&self, queue: &str) -> &'static str {
        let of_queue = |pause: &&Pause| pause.queue.as_deref() == Some(queue);
        if self.pauses.iter().filter(of_queue).any(|pause| pause.action.is_none()) {
            "paused"
        } else if self.pauses.iter().any(|pause| pause.queue.as_deref().is_none_or(|of| of == queue)) {
            "partly paused"
        } else {
            "on"
        }
    }

    fn inserted(&self, queue: &str) -> f64 {
        self.inserted.get(queue).copied().unwrap_or_default()
    }

    /// For people: queues, then workers.
    pub(super) fn text(&self) -> String {
        let count = |state: &str| self.workers.iter().filter(|worker| worker.state == state).count();
        let leader = self.workers.iter().find(|worker| worker.leads).map_or("none", |worker| &worker.name);
        let head = format!(
            "{}   workers: {} working, {} draining, {} silent   leader: {}\n\n",
            self.address,
            count("working"),
            count("draining"),
            count("silent"),
            printable(leader),
        );
        let queues: Vec<[String; 11]> = self.depths.iter().map(|depth| self.queue(depth)).collect();
        let queues = columns(
            [
                "QUEUE",
                "STATE",
                "READY",
                "OLDEST",
                "SCHEDULED",
                "RUNNING",
                "INSERTED/S",
                "CLAIMED/S",
                "ENDED/S",
                "WORKERS",
                "FREE SLOTS",
            ],
            &queues,
        );
        let workers: Vec<[String; 8]> = self.workers.iter().map(worker).collect();
        let workers =
            columns(["WORKER", "STATE", "LEADER", "HEARTBEAT", "RUNNING", "CLAIMED/S", "ENDED/S", "QUEUES"], &workers);
        format!("{head}{queues}\n{workers}")
    }

    fn queue(&self, depth: &Depth) -> [String; 11] {
        let served = self.served(&depth.queue);
        [
            printable(&depth.queue),
            self.state(&depth.queue).to_owned(),
            counted(depth.ready, COUNT_MAX),
            if depth.ready > 0 { age(depth.oldest_ready_age_seconds) } else { String::new() },
            counted(depth.scheduled, COUNT_MAX),
            depth.running.to_string(),
            pace(self.inserted(&depth.queue)),
            pace(served.claimed.into()),
            pace(served.finished.into()),
            served.workers.to_string(),
            format!("{}/{}", served.free, served.slots),
        ]
    }

    /// For programs.
    pub(super) fn document(&self) -> Value {
        let queues: Vec<Value> = self
            .depths
            .iter()
            .map(|depth| {
                let served = self.served(&depth.queue);
                json!({
                    "queue": depth.queue, "state": self.state(&depth.queue), "ready": depth.ready,
                    "scheduled": depth.scheduled, "running": depth.running,
                    "oldest_ready_age_seconds": depth.oldest_ready_age_seconds,
                    "inserted_per_second": self.inserted(&depth.queue), "claimed_per_second": served.claimed,
                    "finished_per_second": served.finished, "workers": served.workers, "slots": served.slots,
                    "free_slots": served.free,
                })
            })
            .collect();
        json!({ "queues": queues, "workers": self.workers, "pauses": self.pauses, "count_max": COUNT_MAX })
    }
}

fn worker(worker: &WorkerLine) -> [String; 8] {
    let served = Served::of(worker.queues.iter());
    let running: i32 = worker.queues.iter().map(|lane| lane.running).sum();
    let queues: Vec<&str> = worker.queues.iter().map(|lane| lane.queue.as_str()).collect();
    [
        printable(&worker.name),
        worker.state.clone(),
        if worker.leads { "leads" } else { "" }.to_owned(),
        age(worker.heartbeat_age_seconds),
        format!("{running}/{}", served.slots),
        pace(served.claimed.into()),
        pace(served.finished.into()),
        printable(&queues.join(",")),
    ]
}

/// A rate with three digits that matter.
fn pace(per_second: f64) -> String {
    if per_second == 0.0 || per_second >= 100.0 {
        format!("{per_second:.0}")
    } else if per_second >= 10.0 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_shows_three_digits() {
        assert_eq!([0.0, 0.016, 3.456, 42.04, 12_345.6].map(pace), ["0", "0.02", "3.46", "42.0", "12346"]);
    }
}
