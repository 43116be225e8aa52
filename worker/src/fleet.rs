//! What the loops share that work in one cell.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_queue::{Connect, Served};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, watch};
use tracing::Span;
use uuid::Uuid;

use crate::attempt::{Attempt, Settled};
use crate::journal::Journal;
use crate::lane::Lane;
use crate::link::Link;
use crate::metrics::Enqueued;

/// Where a worker stands on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Claims and works.
    Working,
    /// Claims nothing more; what runs may end.
    Draining,
    /// Gives back what is left.
    Releasing,
    /// Everything is settled: the loops end.
    Ended,
}

/// One worker process in one cell, seen by its loops.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// The cell's name: a label of the metrics.
    pub(crate) cell: Arc<str>,
    /// Whether there are others, so that logs have to say which one is meant.
    pub(crate) has_siblings: bool,
    pub(crate) connect: Connect,
    pub(crate) worker_id: Uuid,
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) notify: bool,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) journal: Journal,
    /// What this process inserts itself.
    pub(crate) enqueued: Enqueued,
    /// Attempts claimed and not yet settled, by task.
    attempts: Mutex<HashMap<Uuid, Arc<Attempt>>>,
    /// Tasks not yet settled, by claim.
    claims: Mutex<HashMap<Uuid, i32>>,
    /// Claims that were sent and whose answer did not come, with the time of the failure.
    unanswered: Mutex<Vec<(Uuid, Instant)>>,
    pub(crate) settled: UnboundedSender<Settled>,
    /// Tasks with messages that wait.
    pub(crate) said: UnboundedSender<Uuid>,
    /// Told when a termination was asked for, or a claim's answer was lost.
    pub(crate) look: Notify,
    /// Told when this worker was asked to drain.
    pub(crate) drain: Notify,
    /// Whether a notification has said so since the last heartbeat.
    pub(crate) drain_heard: AtomicBool,
    /// Told when schedules may have been edited.
    pub(crate) edited: Notify,
    /// Whether INSERTs notify this worker.
    pub(crate) notified: AtomicBool,
    /// Whether executors block all their threads.
    pub(crate) blocked: AtomicBool,
    /// Wake-ups by notification since they were last counted.
    pub(crate) wakes: AtomicU64,
    phase: watch::Sender<Phase>,
    pub(crate) vital: Vital,
}

/// Signs of life of the loops: a process whose loops do not turn must not keep its lease.
#[derive(Debug)]
pub(crate) struct Vital {
    since: Instant,
    /// Milliseconds after `since` at which each loop last turned: one a lane, then the settler. The greatest: it has
    /// ended.
    turned: Vec<AtomicU64>,
    /// The same for the last heartbeat that went through.
    beat: AtomicU64,
    /// Whether the loops have begun to turn: before, they wait for the database, which is no fault of theirs.
    begun: AtomicBool,
}

impl Vital {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            since: Instant::now(),
            turned: (0..=lanes).map(|_| AtomicU64::new(0)).collect(),
            beat: AtomicU64::new(0),
            begun: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The database has been entered: the loops begin to turn.
    pub(crate) fn begin(&self) {
        for number in 0..self.turned.len() {
            self.turn(number);
        }
        self.beat();
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// The loop of this number has turned.
    pub(crate) fn turn(&self, number: usize) {
        self.turned[number].store(self.now(), Ordering::Relaxed);
    }

    /// The loop of this number has ended, as it should: nobody waits for it any more. A drain may take hours, in which
    /// the claim loops are gone and heartbeats go on: `a_drain_that_outlasts_the_lease_loses_no_claim`.
    pub(crate) fn end(&self, number: usize) {
        self.turned[number].store(u64::MAX, Ordering::Relaxed);
    }

    /// How long ago the slowest loop has turned.
    pub(crate) fn slowest(&self) -> Duration {
        let oldest = self.turned.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(0);
        Duration::from_millis(self.now().saturating_sub(oldest))
    }

    /// A heartbeat went through.
    pub(crate) fn beat(&self) {
        self.beat.store(self.now(), Ordering::Relaxed);
    }

    /// How long ago.
    pub(crate) fn beat_age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.beat.load(Ordering::Relaxed)))
    }
}

/// What the settler receives.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) settled: UnboundedReceiver<Settled>,
    pub(crate) said: UnboundedReceiver<Uuid>,
}

/// Who a worker is and how it reports.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cell: Arc<str>,
    pub(crate) has_siblings: bool,
    pub(crate) connect: Connect,
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) notify: bool,
}

impl Fleet {
    pub(crate) fn new(identity: Identity, lanes: Vec<Arc<Lane>>, journal: Journal) -> (Arc<Self>, Inbox) {
        let (settled, settled_in) = unbounded_channel();
        let (said, said_in) = unbounded_channel();
        let fleet = Self {
            has_siblings: identity.has_siblings,
            notify: identity.notify && !identity.connect.is_pooled(),
            connect: identity.connect,
            worker_id: Uuid::new_v4(),
            name: identity.name,
            lease: identity.lease,
            heartbeat: identity.heartbeat,
            vital: Vital::new(lanes.len()),
            enqueued: {
                let names = |lane: &Arc<Lane>| {
                    let queue = lane.queue.clone();
                    lane.actions.iter().map(move |action| (queue.clone(), action.clone())).collect::<Vec<_>>()
                };
                Enqueued::new(&identity.cell, lanes.iter().flat_map(names))
            },
            cell: identity.cell,
            lanes,
            journal,
            attempts: Mutex::default(),
            claims: Mutex::default(),
            unanswered: Mutex::default(),
            settled,
            said,
            look: Notify::new(),
            drain: Notify::new(),
            drain_heard: AtomicBool::new(false),
            edited: Notify::new(),
            notified: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            wakes: AtomicU64::new(0),
            phase: watch::Sender::new(Phase::Working),
        };
        (Arc::new(fleet), Inbox { settled: settled_in, said: said_in })
    }

    /// A connection of a loop's own.
    pub(crate) fn link(&self, name: &'static str) -> Link {
        Link::new(&self.connect, &self.cell, name)
    }

    /// What its loops log in, where that must say which cell is meant.
    pub(crate) fn span(&self) -> Span {
        if self.has_siblings { tracing::error_span!("cell", name = &*self.cell) } else { Span::none() }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a later phase; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|at| {
            let later = phase > *at;
            if later {
                *at = phase;
            }
            later
        });
    }

    /// Waits until this phase, or a later one, is entered.
    pub(crate) async fn reached(&self, phase: Phase) {
        // the sender lives as long as self
        self.phase.subscribe().wait_for(|at| *at >= phase).await.ok();
    }

    pub(crate) fn attempts(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Open tasks by claim.
    pub(crate) fn claims(&self) -> MutexGuard<'_, HashMap<Uuid, i32>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims whose answer did not come.
    pub(crate) fn unanswered(&self) -> MutexGuard<'_, Vec<(Uuid, Instant)>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queues that this worker serves.
    pub(crate) fn served(&self) -> Vec<Served<'_>> {
        self.lanes
            .iter()
            .map(|lane| Served { queue: &lane.queue, actions: &lane.actions, slots: lane.slots.concurrency })
            .collect()
    }

    /// Claimed and not yet ended, in all lanes.
    pub(crate) fn in_hand(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_hand()).sum()
    }
}
