//! Looks after what runs: tells executors that their task was terminated or their claim lost, ends attempts whose
//! executor blocks its thread, and gives back claims whose answer never arrived. Also says whether INSERTs shall
//! notify.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_queue::{Fate, Held, LastOf, Requeue, Result, TreeOutcome, fates, forgotten, idle, requeue, settle_tree};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::Stop;
use crate::attempt::{Attempt, fates_of};
use crate::fleet::{Fleet, Phase};
use crate::link::{Link, step};

/// How often running attempts are looked up: a termination is told within this and [`YOUNG`].
const LOOK: Duration = Duration::from_secs(1);

/// An attempt that is younger is not looked up: most end before anybody could want to end them.
const YOUNG: Duration = Duration::from_millis(500);

/// So long a claim whose answer failed is looked for: after it the server has ended the statement, and whatever it
/// claimed is found by its age.
const UNANSWERED_MAX: Duration = Duration::from_secs(15);

/// What was claimed ahead and has waited for a slot for so long goes back: other workers may have one free.
const WAITED_MAX: Duration = Duration::from_secs(1);

/// Threads of executors that did nothing small for so long are blocked, all of them.
const BLOCKED: Duration = Duration::from_secs(5);

/// Attempts looked up by one statement.
const LOOK_MAX: usize = 1000;

/// Notifications a second above which polling is cheaper than being notified, for the producers as well.
pub(crate) const NOTIFIED_MAX: u64 = 300;

/// After it had to be taken back, a request to be notified is not made again for so long at first, doubled up to the
/// second: a queue that is never calm, of another worker perhaps, keeps producers from notifying nearly all the time.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// For how long an INSERT shall notify; said again at half of it.
const NOTIFY_FOR: Duration = Duration::from_secs(60);

/// Watches over the attempts of one worker.
pub(crate) struct Watcher {
    fleet: Arc<Fleet>,
    link: Link,
    /// When INSERTs were last asked to notify.
    asked: Option<Instant>,
    /// When that was last taken back, and for how long it is not asked again.
    declined: Option<Instant>,
    pause: Duration,
    /// Notifications a second, of late.
    rate: u64,
    /// When forgotten claims were last looked for, and whether some are still to be given back.
    reconciled: Instant,
    unfinished: bool,
    executors: Handle,
    /// When the threads of executors have last done something small.
    turned: Arc<Mutex<Instant>>,
}

impl Watcher {
    pub(crate) fn new(fleet: &Arc<Fleet>, executors: Handle) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            link: fleet.link("watch"),
            asked: None,
            declined: None,
            pause: PAUSE.0,
            rate: 0,
            reconciled: Instant::now(),
            unfinished: false,
            executors,
            turned: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Watches until the worker has ended. An error has been logged and waited for by the link.
    pub(crate) async fn run(mut self) {
        let mut counted = Instant::now();
        while self.fleet.phase() < Phase::Ended {
            let told = tokio::select! {
                () = self.fleet.look.notified() => true,
                () = tokio::time::sleep(LOOK) => false,
                () = self.fleet.reached(Phase::Ended) => false,
            };
            self.show();
            self.watch_threads();
            let wakes = self.fleet.wakes.load(Ordering::Relaxed);
            if let Some(measured) = rate(wakes, counted.elapsed()) {
                self.fleet.wakes.fetch_sub(wakes, Ordering::Relaxed);
                (self.rate, counted) = (measured, Instant::now());
            }
            self.turn(told).await.ok();
        }
        self.link.close().await;
    }

    /// Shows how many executors run.
    fn show(&self) {
        let attempts = self.fleet.attempts();
        for lane in &self.fleet.lanes {
            let running = attempts.values().filter(|one| one.is_running() && Arc::ptr_eq(&one.lane, lane)).count();
            lane.metrics.running.set(running as f64);
            lane.slots.show();
        }
    }

    /// Notices that executors block all their threads: what has not begun goes back, and nothing is claimed meanwhile.
    fn watch_threads(&self) {
        let still = self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        let blocked = still > BLOCKED;
        if self.fleet.blocked.swap(blocked, Ordering::AcqRel) != blocked {
            if blocked {
                tracing::error!("executors block all their threads: nothing is claimed until one is free");
            } else {
                tracing::info!("executors have a thread again");
            }
        }
        if blocked {
            let waiting: Vec<_> = self.fleet.attempts().values().cloned().collect();
            for attempt in waiting {
                attempt.release_if_waiting(&self.fleet.settled);
            }
        }
        let turned = Arc::clone(&self.turned);
        self.executors.spawn(async move { *turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() });
    }

    /// One round. The first error ends it: in a read-only database some of it would work, and the log would say in turn
    /// that the database answers and that it does not.
    async fn turn(&mut self, told: bool) -> Result<()> {
        self.ask_to_be_notified().await?;
        self.look(told).await?;
        self.reconcile().await
    }

    /// Looks up what is in hand: all of it when something was told, else what has been for a while.
    async fn look(&mut self, told: bool) -> Result<()> {
        let mut attempts: Vec<Arc<Attempt>> = self
            .fleet
            .attempts()
            .values()
            .filter(|attempt| told || attempt.age() >= YOUNG)
            .filter(|attempt| attempt.context.stop_reason() != Some(Stop::Lost))
            .cloned()
            .collect();
        // first those that wait: none of them begins in a slot that one of the others leaves
        attempts.sort_by_key(|attempt| attempt.started().is_some());
        for some in attempts.chunks(LOOK_MAX) {
            let fates = fates_of(&mut self.link, some).await?;
            for attempt in some {
                match fates.get(&attempt.held().task_id) {
                    Some(Fate::Terminating) => attempt.stop(Stop::Terminated, &self.fleet.settled),
                    Some(Fate::Lost) => attempt.stop(Stop::Lost, &self.fleet.settled),
                    _ => {}
                }
            }
        }
        for attempt in attempts {
            attempt.give_up_if_blocked(&self.fleet.settled);
            // one that waits for a thread is another matter
            let waits_for_a_slot = attempt.age() >= WAITED_MAX && attempt.lane.is_full();
            if waits_for_a_slot && attempt.release_if_waiting(&self.fleet.settled) {
                attempt.lane.slots.are_slow(WAITED_MAX);
            }
        }
        Ok(())
    }

    /// Gives back claims of this worker that it does not know of: once a lease, and at once those whose answer failed.
    async fn reconcile(&mut self) -> Result<()> {
        let unanswered: Vec<Uuid> = {
            let mut unanswered = self.fleet.unanswered();
            unanswered.retain(|(_, since)| since.elapsed() < UNANSWERED_MAX);
            unanswered.iter().map(|(claim_token, _)| *claim_token).collect()
        };
        if unanswered.is_empty() && !self.unfinished && self.reconciled.elapsed() < self.fleet.lease {
            return Ok(());
        }
        let known: Vec<Uuid> = self.fleet.claims().keys().copied().collect();
        let lost = step!(self.link, db => forgotten(db, self.fleet.worker_id, &known, &unanswered))?;
        self.reconciled = Instant::now();
        // one may be locked by somebody for the moment
        self.unfinished = !lost.is_empty();
        for claim in &lost {
            let back: Vec<Requeue> = claim
                .task_ids
                .iter()
                .map(|task_id| Requeue {
                    held: Held { task_id: *task_id, claim_token: claim.claim_token },
                    delay: Duration::ZERO,
                    attempt_back: true,
                    reason: Some("released".to_owned()),
                    message: None,
                    error_count: 0,
                })
                .collect();
            let done = step!(self.link, db => requeue(db, &claim.queue, &back, &LastOf::default()))?;
            if !done.is_empty() {
                tracing::info!(claim_token = %claim.claim_token, tasks = done.len(), "a claim whose answer was lost is given back");
            }
            let held: Vec<Held> = back.iter().map(|back| back.held).collect();
            let mut fates_now = step!(self.link, db => fates(db, &claim.queue, &held))?;
            if fates_now.iter().any(|(_, fate)| *fate == Fate::Terminating) {
                // what would end and belongs to a tree was passed over
                let left: Vec<TreeOutcome> = back.into_iter().map(TreeOutcome::from).collect();
                step!(self.link, db => settle_tree(db, &left, &LastOf::default()))?;
                fates_now = step!(self.link, db => fates(db, &claim.queue, &held))?;
            }
            if !fates_now.iter().any(|(_, fate)| matches!(fate, Fate::Held | Fate::Terminating)) {
                let mut last = LastOf::default();
                last.push(claim.claim_token, 0);
                step!(self.link, db => requeue(db, &claim.queue, &[], &last))?;
            }
        }
        Ok(())
    }

    /// Asks INSERTs to notify while that is cheaper than polling.
    async fn ask_to_be_notified(&mut self) -> Result<()> {
        if !self.fleet.notify || self.fleet.phase() > Phase::Working {
            return Ok(());
        }
        let notified = self.fleet.notified.load(Ordering::Acquire);
        let paused = self.declined.is_some_and(|declined| declined.elapsed() < self.pause);
        if notified && self.rate > NOTIFIED_MAX {
            step!(self.link, db => idle(db, self.fleet.worker_id, None))?;
            self.pause = if self.declined.is_none() { PAUSE.0 } else { PAUSE.1.min(self.pause * 2) };
            self.declined = Some(Instant::now());
            self.asked = None;
            self.fleet.notified.store(false, Ordering::Release);
        } else if self.asked.is_none_or(|asked| asked.elapsed() > NOTIFY_FOR / 2)
            && (notified || self.rate <= NOTIFIED_MAX && !paused)
        {
            if notified {
                // it has been calm for as long as a request is made ahead
                self.declined = None;
            }
            step!(self.link, db => idle(db, self.fleet.worker_id, Some(NOTIFY_FOR)))?;
            self.asked = Some(Instant::now());
            self.fleet.notified.store(true, Ordering::Release);
            for lane in &self.fleet.lanes {
                // what was inserted before the request was seen
                lane.inserted.notify_one();
            }
        }
        Ok(())
    }
}

/// So many notifications in this time, a second; `None` while neither says anything yet: a round that comes a moment
/// after another, since a termination was told, would make a flood of a single one.
fn rate(wakes: u64, since: Duration) -> Option<u64> {
    (since >= LOOK || wakes > NOTIFIED_MAX).then(|| (wakes as f64 / since.as_secs_f64()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_a_moment_after_a_round_is_no_flood() {
        let seen = |wakes, ms| rate(wakes, Duration::from_millis(ms));
        assert_eq!((seen(1, 1), seen(NOTIFIED_MAX, 999)), (None, None));
        assert_eq!((seen(1, 1000), seen(0, 2000)), (Some(1), Some(0)));
        assert_eq!(seen(NOTIFIED_MAX + 1, 100), Some(3010));
    }
}
