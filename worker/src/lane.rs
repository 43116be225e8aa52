//! A lane: what one worker knows of one queue of one cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::metrics::LaneMetrics;
use crate::slots::{Slot, Slots};

/// The most that one claim takes: beyond it a task gets hardly cheaper, and a batch holds its rows longer.
pub(crate) const BATCH_MAX: usize = 500;

/// One queue of a cell, as this worker serves it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: String,
    /// The actions that may be claimed from it.
    pub(crate) actions: Vec<String>,
    pub(crate) poll: Duration,
    /// Those of the queue, which the cells share.
    pub(crate) slots: Arc<Slots>,
    /// Which of the cells.
    cell: usize,
    /// Told when an executor has ended, when its outcome is written, and when another cell has left room.
    pub(crate) capacity: Arc<Notify>,
    /// Told when something was inserted.
    pub(crate) inserted: Notify,
    /// Told when the active instance gave tasks of dead workers back.
    pub(crate) rescued: Notify,
    /// Since the start.
    claimed: AtomicU64,
    finished: AtomicU64,
    pub(crate) metrics: LaneMetrics,
}

impl Lane {
    pub(crate) fn new(
        queue: &str,
        actions: Vec<String>,
        poll: Duration,
        (slots, cell): (&Arc<Slots>, usize),
        metrics: LaneMetrics,
    ) -> Self {
        Self {
            queue: queue.to_owned(),
            actions,
            poll,
            slots: Arc::clone(slots),
            cell,
            capacity: slots.capacity(cell),
            inserted: Notify::new(),
            rescued: Notify::new(),
            claimed: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            metrics,
        }
    }

    /// How many more tasks may be claimed: the free slots, and, where tasks are shorter than a completion interval, one
    /// such interval of work ahead.
    pub(crate) fn room(&self, wanted: usize) -> usize {
        self.slots.room(self.cell, wanted)
    }

    /// Nothing is claimed for the moment.
    pub(crate) fn rests(&self) {
        self.slots.rests(self.cell);
    }

    /// A claim is about to ask for so many.
    pub(crate) fn ask(&self, tasks: usize) {
        self.slots.ask(self.cell, tasks);
    }

    /// It has brought `took` of them, and `hungry` says whether more may wait.
    pub(crate) fn answered(&self, asked: usize, took: usize, hungry: bool) {
        self.claimed.fetch_add(took as u64, Ordering::Relaxed);
        self.slots.answered(self.cell, asked, took, hungry);
    }

    /// Claimed and not yet ended.
    pub(crate) fn in_hand(&self) -> usize {
        self.slots.in_hand(self.cell)
    }

    /// Slots that it could take now.
    pub(crate) fn free_slots(&self) -> usize {
        self.slots.free(self.cell)
    }

    /// How many tasks were claimed, and how many attempts have ended, since the start.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.claimed.load(Ordering::Relaxed), self.finished.load(Ordering::Relaxed)]
    }

    /// An attempt has ended; `execution` is `None` when it was never started.
    pub(crate) fn ended(&self, execution: Option<Duration>) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.slots.ended(self.cell, execution);
    }

    /// A slot, as soon as there is one; `None` when the worker drains.
    pub(crate) async fn take_slot(&self) -> Option<Slot> {
        self.slots.take(self.cell).await
    }

    /// Makes a slot in place of one whose attempt was given up.
    pub(crate) fn replace_slot(&self) {
        self.slots.replace(self.cell);
    }

    /// Whether an attempt would have to wait for a slot.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.are_full(self.cell)
    }
}
