//! The slots of one queue, which the cells of a worker share: how many of its tasks run at once, and whose they are.
//!
//! Whoever has work takes what is free. While a task of another cell waits, no cell takes more than an equal part, and
//! what becomes free goes to who was served longest ago. Where there are at least [`KEPT_FROM`] slots for each cell,
//! one is kept for each, which no other ever takes: however long the tasks of the others run, a due task of any cell
//! begins at once while that cell has none in hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Gauge, gauge};
use tokio::sync::{Notify, Semaphore};

use crate::lane::BATCH_MAX;

/// How long completions gather at most, and how much work may be claimed ahead of free slots.
const COMPLETION_INTERVAL: Duration = Duration::from_millis(10);

/// With fewer slots than so many times the cells, none is kept: a lone busy cell would do without half of them.
const KEPT_FROM: usize = 2;

/// The slots of one queue.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) concurrency: usize,
    prefetch: bool,
    /// Those that any cell may take.
    shared: Semaphore,
    /// Moving average of the time an executor takes, in nanoseconds; 0: none has run.
    execution_ns: AtomicU64,
    cells: Mutex<Vec<Share>>,
    /// Counts up with each claim that brought something.
    served: AtomicU64,
    busy: Gauge,
}

/// What one cell has of them.
#[derive(Debug)]
struct Share {
    /// The one that no other cell takes, where one is kept.
    kept: Arc<Semaphore>,
    keeps: usize,
    /// Slots that its attempts hold of those that any cell may take.
    from_shared: usize,
    /// Claimed and not yet ended.
    in_hand: usize,
    /// What a claim under way may bring at most.
    asked: usize,
    /// Whether more waits than there was room for, as far as is known.
    hungry: bool,
    /// When it last got something, in claims.
    served: u64,
    /// Told when there may be room again.
    capacity: Arc<Notify>,
}

impl Share {
    fn held(&self) -> usize {
        self.in_hand + self.asked
    }

    /// Beyond its kept one.
    fn shared(&self) -> usize {
        self.held().saturating_sub(self.keeps)
    }
}

impl Slots {
    /// Those of a queue, for so many cells.
    pub(crate) fn new(queue: &str, concurrency: usize, prefetch: bool, cells: usize) -> Arc<Self> {
        let keeps = usize::from(cells > 1 && concurrency >= KEPT_FROM * cells);
        let share = || Share {
            kept: Arc::new(Semaphore::new(keeps)),
            keeps,
            from_shared: 0,
            in_hand: 0,
            asked: 0,
            hungry: false,
            served: 0,
            capacity: Arc::new(Notify::new()),
        };
        gauge!("longshore_worker_slots", "queue" => queue.to_owned()).set(concurrency as f64);
        Arc::new(Self {
            concurrency,
            prefetch,
            shared: Semaphore::new(concurrency - keeps * cells),
            execution_ns: AtomicU64::new(0),
            cells: Mutex::new((0..cells).map(|_| share()).collect()),
            served: AtomicU64::new(0),
            busy: gauge!("longshore_worker_slots_busy", "queue" => queue.to_owned()),
        })
    }

    fn cells(&self) -> MutexGuard<'_, Vec<Share>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells a cell that there may be room again.
    pub(crate) fn capacity(&self, cell: usize) -> Arc<Notify> {
        Arc::clone(&self.cells()[cell].capacity)
    }

    /// How many more tasks a cell may claim now. One that has less than it wants is hungry: others leave it its part.
    pub(crate) fn room(&self, cell: usize, wanted: usize) -> usize {
        let total = self.concurrency + self.ahead();
        let mut cells = self.cells();
        let room = room(&cells, cell, total).min(BATCH_MAX);
        cells[cell].hungry |= room < wanted;
        room
    }

    /// A claim may bring so many.
    pub(crate) fn ask(&self, cell: usize, tasks: usize) {
        self.cells()[cell].asked += tasks;
    }

    /// A claim that had asked for so many has brought `took`; `hungry` says whether more may wait.
    pub(crate) fn answered(&self, cell: usize, asked: usize, took: usize, hungry: bool) {
        let mut cells = self.cells();
        let one = &mut cells[cell];
        one.asked -= asked;
        one.in_hand += took;
        one.hungry = hungry;
        if took > 0 {
            one.served = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        }
        if took < asked || !hungry {
            tell_hungry(&cells, cell);
        }
    }

    /// A cell takes nothing for the moment, whatever waits in it.
    pub(crate) fn rests(&self, cell: usize) {
        let mut cells = self.cells();
        if std::mem::take(&mut cells[cell].hungry) {
            tell_hungry(&cells, cell);
        }
    }

    /// An attempt has ended; `execution` is `None` when it was never started.
    pub(crate) fn ended(&self, cell: usize, execution: Option<Duration>) {
        if let Some(execution) = execution {
            let took = u64::try_from(execution.as_nanos()).unwrap_or(u64::MAX).max(1);
            let before = self.execution_ns.load(Ordering::Relaxed);
            // a slow task shows at once, a fast one after some: claiming ahead of slow ones would starve other workers
            let average = if took > before { took } else { before - (before - took) / 8 };
            self.execution_ns.store(average, Ordering::Relaxed);
        }
        let mut cells = self.cells();
        cells[cell].in_hand -= 1;
        cells[cell].capacity.notify_one();
        tell_hungry(&cells, cell);
    }

    /// Claimed and not yet ended.
    pub(crate) fn in_hand(&self, cell: usize) -> usize {
        self.cells()[cell].in_hand
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

    /// Something claimed ahead has waited for a slot for so long: what runs is slower than was thought.
    pub(crate) fn are_slow(&self, waited: Duration) {
        self.execution_ns.fetch_max(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A slot for an attempt of this cell, as soon as there is one; `None` when the worker drains.
    pub(crate) async fn take(self: &Arc<Self>, cell: usize) -> Option<Slot> {
        let (kept, keeps) = {
            let cells = self.cells();
            (Arc::clone(&cells[cell].kept), cells[cell].keeps)
        };
        let (from_shared, permit) = if keeps == 0 {
            (true, self.shared.acquire().await)
        } else {
            tokio::select! {
                biased;
                permit = kept.acquire() => (false, permit),
                permit = self.shared.acquire() => (true, permit),
            }
        };
        permit.ok()?.forget();
        self.cells()[cell].from_shared += usize::from(from_shared);
        Some(Slot { slots: Arc::clone(self), cell, is_counted: true })
    }

    /// A slot of this cell is free again, whichever it was: the kept one is the last that is given back.
    fn release(&self, cell: usize) {
        let one = &mut self.cells()[cell];
        match one.from_shared.checked_sub(1) {
            Some(rest) => {
                one.from_shared = rest;
                self.shared.add_permits(1);
            }
            None => one.kept.add_permits(1),
        }
    }

    /// Makes a slot in place of one whose attempt was given up, and blocks a thread.
    pub(crate) fn replace(&self, cell: usize) {
        self.release(cell);
    }

    /// Slots that attempts of this cell could take now.
    pub(crate) fn free(&self, cell: usize) -> usize {
        self.shared.available_permits() + self.cells()[cell].kept.available_permits()
    }

    /// Whether an attempt of this cell would have to wait for a slot.
    pub(crate) fn are_full(&self, cell: usize) -> bool {
        self.free(cell) == 0
    }

    /// No attempt begins any more.
    pub(crate) fn close(&self) {
        self.shared.close();
        for cell in self.cells().iter() {
            cell.kept.close();
        }
    }

    /// Shows how many executors run.
    pub(crate) fn show(&self) {
        let kept: usize = self.cells().iter().map(|cell| cell.kept.available_permits()).sum();
        self.busy.set(self.concurrency.saturating_sub(self.shared.available_permits() + kept) as f64);
    }
}

/// A slot that an attempt holds while its executor runs.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    cell: usize,
    is_counted: bool,
}

impl Slot {
    /// Another one was made in its place.
    pub(crate) fn forget(mut self) {
        self.is_counted = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_counted {
            self.slots.release(self.cell);
        }
    }
}

/// How many of `total` a cell may still take.
fn room(cells: &[Share], of: usize, total: usize) -> usize {
    let keeps: usize = cells.iter().map(|cell| cell.keeps).sum();
    let shared: usize = cells.iter().map(Share::shared).sum();
    let one = &cells[of];
    let free = (total - keeps).saturating_sub(shared);
    let others = || cells.iter().enumerate().filter(|(index, _)| *index != of).map(|(_, cell)| cell);
    let rivals = others().filter(|cell| cell.hungry).count();
    let part = total.div_ceil(rivals + 1);
    // one each for those that have waited longer and have less than their part
    let first = others().filter(|cell| cell.hungry && cell.held() < part && cell.served < one.served).count();
    let room = one.keeps.saturating_sub(one.held()) + free.saturating_sub(first);
    if rivals > 0 { room.min(part.saturating_sub(one.held())) } else { room }
}

/// Tells the others that wait for room that there may be some.
fn tell_hungry(cells: &[Share], but: usize) {
    for (index, cell) in cells.iter().enumerate() {
        if index != but && cell.hungry {
            cell.capacity.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
