//! A lane: what one worker knows of one queue. How many tasks it may have in hand, and how many it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::metrics::LaneMetrics;

/// The most that one claim takes: beyond it a task gets hardly cheaper (25 µs at 100, 14 µs at 500) and a batch's
/// claims hold their rows longer.
pub(crate) const BATCH_MAX: usize = 500;

/// How long completions gather at most, and how much work may be claimed ahead of free slots.
pub(crate) const COMPLETION_INTERVAL: Duration = Duration::from_millis(10);

/// One queue as this worker serves it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: String,
    /// The actions that may be claimed from it.
    pub(crate) actions: Vec<String>,
    pub(crate) concurrency: usize,
    pub(crate) poll: Duration,
    prefetch: bool,
    /// Slots: an attempt holds one while its executor runs. Closed at shutdown.
    pub(crate) slots: Arc<Semaphore>,
    /// Told when an executor has ended, and when its outcome is written.
    pub(crate) capacity: Notify,
    /// Told when something was inserted.
    pub(crate) inserted: Notify,
    /// Claimed and not yet ended.
    in_hand: AtomicUsize,
    /// Since the start.
    claimed: AtomicU64,
    finished: AtomicU64,
    /// Moving average of the time an executor takes, in nanoseconds; 0: none has run.
    execution_ns: AtomicU64,
    pub(crate) metrics: LaneMetrics,
}

impl Lane {
    pub(crate) fn new(queue: String, actions: Vec<String>, concurrency: usize, poll: Duration, prefetch: bool) -> Self {
        Self {
            metrics: LaneMetrics::new(&queue, concurrency),
            queue,
            actions,
            concurrency,
            poll,
            prefetch,
            slots: Arc::new(Semaphore::new(concurrency)),
            capacity: Notify::new(),
            inserted: Notify::new(),
            in_hand: AtomicUsize::new(0),
            claimed: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            execution_ns: AtomicU64::new(0),
        }
    }

    /// How many more tasks may be claimed: the free slots, and, where tasks are shorter than a completion interval, one
    /// such interval of work ahead.
    pub(crate) fn room(&self) -> usize {
        (self.concurrency + self.ahead()).saturating_sub(self.in_hand.load(Ordering::Acquire)).min(BATCH_MAX)
    }

    /// As many tasks as the slots can do in one completion interval, at the pace of late.
    fn ahead(&self) -> usize {
        let execution = Duration::from_nanos(self.execution_ns.load(Ordering::Relaxed));
        if !self.prefetch || execution.is_zero() || execution >= COMPLETION_INTERVAL {
            return 0;
        }
        let rounds = COMPLETION_INTERVAL.as_secs_f64() / execution.as_secs_f64();
        ((self.concurrency as f64 * rounds) as usize).min(2 * BATCH_MAX)
    }

    /// Claimed and not yet ended.
    pub(crate) fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Acquire)
    }

    /// How many tasks were claimed, and how many attempts have ended, since the start.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [self.claimed.load(Ordering::Relaxed), self.finished.load(Ordering::Relaxed)]
    }

    pub(crate) fn took(&self, tasks: usize) {
        self.in_hand.fetch_add(tasks, Ordering::AcqRel);
        self.claimed.fetch_add(tasks as u64, Ordering::Relaxed);
    }

    /// An attempt has ended; `execution` is `None` when it was never started.
    pub(crate) fn ended(&self, execution: Option<Duration>) {
        if let Some(execution) = execution {
            let took = u64::try_from(execution.as_nanos()).unwrap_or(u64::MAX).max(1);
            let before = self.execution_ns.load(Ordering::Relaxed);
            // a slow task shows at once, a fast one after some: claiming ahead of slow ones would starve other workers
            let average = if took > before { took } else { before - (before - took) / 8 };
            self.execution_ns.store(average, Ordering::Relaxed);
        }
        self.in_hand.fetch_sub(1, Ordering::AcqRel);
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.capacity.notify_one();
    }

    /// Something claimed ahead has waited for a slot for so long: what runs is slower than was thought.
    pub(crate) fn is_slow(&self, waited: Duration) {
        self.execution_ns.fetch_max(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Shows how many executors run.
    pub(crate) fn show(&self) {
        self.metrics.running.set(self.concurrency.saturating_sub(self.slots.available_permits()) as f64);
    }
}
