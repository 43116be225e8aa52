//! What one look has seen.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use longshore_queue::{Depth, Pause, WorkerLine, WorkerQueue};
use serde_json::{Value, json};

use super::COUNT_MAX;
use crate::cli::queues::counted;
use crate::cli::say::printable;
use crate::cli::table::{columns, fitted};
use crate::cli::values::age;

/// The heads of the tables, and what of them a narrow terminal does without, in this order.
const QUEUES: [&str; 11] = [
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
];
const QUEUES_SPARE: [usize; 8] = [4, 7, 10, 9, 1, 6, 8, 5];
const WORKERS: [&str; 8] = ["WORKER", "STATE", "LEADER", "HEARTBEAT", "RUNNING", "CLAIMED/S", "ENDED/S", "QUEUES"];
const WORKERS_SPARE: [usize; 5] = [7, 5, 6, 2, 3];

/// Lines besides the rows of the tables: two of a head, two empty ones, and the heads of the tables.
const HEADS: usize = 6;

/// What is on the terminal.
pub(super) enum Shown {
    View(View),
    /// Words instead of it.
    Said(String),
}

impl Shown {
    /// For a terminal of this size.
    pub(super) fn text(&self, height: usize, width: usize) -> String {
        match self {
            Self::View(view) => view.fitted(height, width),
            Self::Said(said) => said.lines().flat_map(|line| wrapped(line, width)).collect(),
        }
    }
}

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
        let queues: Vec<[String; 11]> = self.depths.iter().map(|depth| self.queue(depth)).collect();
        let workers: Vec<[String; 8]> = self.workers.iter().map(worker).collect();
        format!("{}\n{}\n{}", self.head(), columns(QUEUES, &queues), columns(WORKERS, &workers))
    }

    /// The same for a terminal of this size.
    fn fitted(&self, height: usize, width: usize) -> String {
        let room = height.saturating_sub(HEADS);
        let (of_queues, of_workers) = shares(room, self.depths.len(), self.workers.len());
        let by_age = |depth: &Depth| Reverse((depth.oldest_ready_age_seconds * 1e3) as i64);
        let (depths, more) = first(&self.depths, of_queues, by_age);
        let queues: Vec<[String; 11]> = depths.into_iter().map(|depth| self.queue(depth)).collect();
        let queues = fitted(QUEUES, &queues, width, &QUEUES_SPARE) + &more;
        let (workers, more) = first(&self.workers, of_workers, WorkerLine::works);
        let workers: Vec<[String; 8]> = workers.into_iter().map(worker).collect();
        let workers = fitted(WORKERS, &workers, width, &WORKERS_SPARE) + &more;
        format!("{}\n{queues}\n{workers}", self.head())
    }

    fn head(&self) -> String {
        let count = |state: &str| self.workers.iter().filter(|worker| worker.state == state).count();
        let leader = self.workers.iter().find(|worker| worker.leads).map_or("none", |worker| &worker.name);
        format!(
            "{}\nworkers: {} working, {} draining, {} silent   leader: {}\n",
            printable(&self.address),
            count("working"),
            count("draining"),
            count("silent"),
            printable(leader),
        )
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

/// How many of the rows each of two tables may take.
fn shares(room: usize, queues: usize, workers: usize) -> (usize, usize) {
    let least = workers.min((room / 3).max(1));
    let of_queues = queues.min(room.saturating_sub(least));
    (of_queues, workers.min(room.saturating_sub(of_queues)))
}

/// Those that fit into so many lines, in their order; where not all do, those that come first `by` something, and a
/// line that says how many there are besides.
fn first<T, K: Ord>(all: &[T], lines: usize, by: impl Fn(&T) -> K) -> (Vec<&T>, String) {
    if all.len() <= lines {
        return (all.iter().collect(), String::new());
    }
    let mut numbers: Vec<usize> = (0..all.len()).collect();
    numbers.sort_by_key(|number| by(&all[*number]));
    numbers.truncate(lines.saturating_sub(1));
    numbers.sort_unstable();
    let more = format!("… and {} more: longshore top --once prints all\n", all.len() - numbers.len());
    (numbers.into_iter().map(|number| &all[number]).collect(), more)
}

/// A line as lines of at most this width.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = printable(line).chars().collect();
    letters.chunks(width.max(1)).map(|some| some.iter().collect::<String>() + "\n").collect()
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
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn a_rate_shows_three_digits() {
        assert_eq!([0.0, 0.016, 3.456, 42.04, 12_345.6].map(pace), ["0", "0.02", "3.46", "42.0", "12346"]);
    }
    fn depth(queue: &str, oldest_ready_age_seconds: f64) -> Depth {
        Depth { queue: queue.to_owned(), ready: 1, scheduled: 0, running: 0, oldest_ready_age_seconds }
    }

    fn view(queues: usize, workers: usize) -> View {
        let line = |number: usize| WorkerLine {
            worker_id: uuid::Uuid::nil(),
            name: format!("worker-{number}"),
            version: String::new(),
            state: if number == 3 { "silent" } else { "working" }.to_owned(),
            started_at: chrono::DateTime::UNIX_EPOCH,
            heartbeat_age_seconds: 1.0,
            lease_seconds: 30.0,
            draining_since: None,
            leads: number == 0,
            queues: Vec::new(),
        };
        View {
            address: "database \"longshore\" at localhost:5432".to_owned(),
            depths: (0..queues).map(|number| depth(&format!("queue{number}"), number as f64)).collect(),
            inserted: BTreeMap::new(),
            workers: (0..workers).map(line).collect(),
            pauses: Vec::new(),
        }
    }

    #[test]
    fn a_small_terminal_shows_what_waits_the_longest_and_who_does_not_work_and_says_how_much_it_leaves_out() {
        let shown = Shown::View(view(30, 5)).text(14, 80);
        assert_eq!(
            shown,
            "database \"longshore\" at localhost:5432\n\
             workers: 4 working, 0 draining, 1 silent   leader: worker-0\n\
             \n\
             QUEUE    STATE  READY  OLDEST  RUNNING  INSERTED/S  ENDED/S  WORKERS  FREE SLOTS\n\
             queue25  on     1      25s     0        0           0        0        0/0\n\
             queue26  on     1      26s     0        0           0        0        0/0\n\
             queue27  on     1      27s     0        0           0        0        0/0\n\
             queue28  on     1      28s     0        0           0        0        0/0\n\
             queue29  on     1      29s     0        0           0        0        0/0\n\
             … and 25 more: longshore top --once prints all\n\
             \n\
             WORKER    STATE   LEADER  HEARTBEAT  RUNNING  CLAIMED/S  ENDED/S  QUEUES\n\
             worker-3  silent          1s         0/0      0          0\n\
             … and 4 more: longshore top --once prints all\n"
        );
    }

    #[test]
    fn nothing_is_wider_or_higher_than_the_terminal_however_small_and_a_large_one_shows_all() {
        let mut view = view(9, 4);
        view.depths[3].queue = "x".repeat(64);
        view.depths[4].queue = "队列".repeat(10);
        assert_eq!(view.fitted(19, 200), view.text());
        let shown = Shown::View(view);
        for (height, width) in [(24, 80), (10, 40), (8, 20), (1, 1), (200, 5)] {
            let text = shown.text(height, width);
            assert!(text.lines().count() <= height.max(HEADS + 2), "{height}: {text}");
            let tables = text.split("\n\n").nth(1).into_iter().flat_map(str::lines);
            let wide: Vec<&str> = tables.filter(|line| !line.starts_with("… ") && line.width() > width).collect();
            assert!(wide.is_empty(), "{width}: {wide:?}");
        }
        assert_eq!(Shown::Said("abcdefg\n".to_owned()).text(9, 3), "abc\ndef\ng\n");
    }
}
