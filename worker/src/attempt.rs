//! One claimed task on its way through an executor.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use longshore_queue::{Fate, Held, Outcome, Result, fates};
use tokio::sync::mpsc::UnboundedSender;
use tracing::Instrument;
use uuid::Uuid;

use crate::action::Action;
use crate::delivery::deliver;
use crate::lane::Lane;
use crate::link::{Link, step};
use crate::trace::{Trace, TraceId};
use crate::{Context, Stop};

/// How long an executor that was asked to stop may take to clean up before it is dropped: longer than a command is
/// given between TERM and KILL.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A claimed task, its executor's context and its claim.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) context: Context,
    pub(crate) claim_token: Uuid,
    pub(crate) action: Arc<Action>,
    pub(crate) lane: Arc<Lane>,
    /// Where its task stands in its trace, where spans are exported.
    pub(crate) trace: Option<Box<Trace>>,
    /// When it was claimed, by the database's clock, and when this worker heard of that.
    pub(crate) claimed_at: DateTime<Utc>,
    claimed: Instant,
    started: OnceLock<Instant>,
    ended: OnceLock<Instant>,
    stage: AtomicU8,
    /// Where the task's log stands; `None` until the first message.
    pub(crate) log: Mutex<Option<Log>>,
}

/// Stages of an attempt: it waits for a slot and a thread, its executor runs, its outcome is sent on.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const DECIDED: u8 = 2;

/// Where a task's log stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) sequence: i32,
    pub(crate) error_count: i32,
}

/// An attempt with its outcome.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) outcome: Outcome,
    /// How long its executor took; `None` when it was not started.
    pub(crate) execution: Option<Duration>,
}

impl Attempt {
    /// `claimed` is when it was claimed, by the database's clock, and when this worker heard of that.
    pub(crate) fn new(
        context: Context,
        claim_token: Uuid,
        action: Arc<Action>,
        lane: Arc<Lane>,
        trace: Option<Box<Trace>>,
        claimed: (DateTime<Utc>, Instant),
    ) -> Self {
        let (claimed_at, claimed) = claimed;
        Self {
            context,
            claim_token,
            action,
            lane,
            trace,
            claimed_at,
            claimed,
            started: OnceLock::new(),
            ended: OnceLock::new(),
            stage: AtomicU8::new(WAITING),
            log: Mutex::new(None),
        }
    }

    pub(crate) fn held(&self) -> Held {
        Held { task_id: self.context.task().task_id, claim_token: self.claim_token }
    }

    /// The queue that it was claimed from: every statement about it names that.
    pub(crate) fn queue(&self) -> &str {
        &self.lane.queue
    }

    /// How long its executor may take to clean up after it was asked to stop.
    pub(crate) fn grace(&self) -> Duration {
        STOP_GRACE.max(self.action.executor.grace())
    }

    /// How long this worker has had it.
    pub(crate) fn age(&self) -> Duration {
        self.claimed.elapsed()
    }

    /// Since when its executor runs.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.started.get().copied()
    }

    /// From when to when its executor ran; `None` while it does, and when it never did.
    pub(crate) fn execution(&self) -> Option<(Instant, Instant)> {
        self.started().zip(self.ended.get().copied())
    }

    /// A moment of this worker's by the database's clock, or a little less: never later than what is recorded then.
    pub(crate) fn instant(&self, moment: Instant) -> DateTime<Utc> {
        self.claimed_at + moment.saturating_duration_since(self.claimed)
    }

    /// The trace that its task belongs to, as far as that is known.
    pub(crate) fn trace_id(&self) -> Option<TraceId> {
        let exported = self.trace.as_ref().map(|trace| trace.trace_id);
        exported.or_else(|| self.context.carried().parent.map(|parent| parent.trace_id))
    }

    /// Whether its executor runs.
    pub(crate) fn is_running(&self) -> bool {
        self.stage.load(Ordering::Acquire) == BEGUN
    }

    pub(crate) fn log(&self) -> Option<Log> {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_log(&self, log: Log) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
    }

    /// Runs the executor once a slot is free, and sends the outcome on.
    pub(crate) async fn run(self: Arc<Self>, settled: UnboundedSender<Settled>) {
        // at shutdown, what has not begun goes back
        let Some(slot) = self.lane.take_slot().await else {
            self.release_if_waiting(&settled);
            return;
        };
        if let Some(reason) = self.context.stop_reason() {
            self.decide_if(WAITING, stopped(reason), &settled);
            return;
        }
        if self.stage.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        self.started.get_or_init(Instant::now);
        // whatever panics: the executor before it has a future, that future, or its drop
        let outcome = AssertUnwindSafe(self.execute().instrument(self.span()))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| Outcome::retry("panic", format!("the executor panicked: {}", panic_text(&*panic))));
        if !self.decide_if(BEGUN, outcome, &settled) {
            // it was given up, and another slot made in place of this one
            slot.forget();
        }
    }

    /// What an executor logs says by this which task it is about.
    fn span(&self) -> tracing::Span {
        let task = self.context.task();
        tracing::info_span!(
            target: "longshore::attempt",
            "attempt",
            task_id = %task.task_id,
            action = task.action,
            attempt = task.attempt,
            trace_id = self.trace_id().map(tracing::field::display)
        )
    }

    /// Gives an attempt back that has not begun.
    pub(crate) fn release_if_waiting(self: &Arc<Self>, settled: &UnboundedSender<Settled>) -> bool {
        self.decide_if(WAITING, Outcome::Release, settled)
    }

    /// Asks the executor to stop; one that has not begun never does.
    pub(crate) fn stop(self: &Arc<Self>, reason: Stop, settled: &UnboundedSender<Settled>) {
        self.context.stop(reason);
        self.decide_if(WAITING, stopped(reason), settled);
    }

    /// Runs the executor to its outcome, or until it has been asked to stop and its grace is over.
    async fn execute(&self) -> Outcome {
        if let Some(wanted) = &self.action.design
            && let Err(outcome) = deliver(&self.context, wanted).await
        {
            return outcome;
        }
        let limit = async {
            tokio::select! {
                () = tokio::time::sleep(self.context.timeout()) => self.context.stop(Stop::Timeout),
                _ = self.context.stopped() => {}
            }
            tokio::time::sleep(self.grace()).await;
        };
        let ended = tokio::select! {
            biased;
            outcome = self.action.executor.execute(&self.context) => Some(outcome),
            () = limit => None,
        };
        match (ended, self.context.stop_reason()) {
            // what it brings within its grace says more than that it was late
            (
                Some(
                    outcome @ (Outcome::Ended(_)
                    | Outcome::Retry { .. }
                    | Outcome::Suspend { .. }
                    | Outcome::RetryFailed { .. }),
                ),
                _,
            )
            | (Some(outcome), None) => outcome,
            (_, Some(Stop::Timeout) | None) => timed_out(self.context.timeout()),
            (_, Some(reason)) => stopped(reason),
        }
    }

    /// Ends an attempt from outside whose executor blocks its thread, so that no timer inside it is ever looked at.
    pub(crate) fn give_up_if_blocked(self: &Arc<Self>, settled: &UnboundedSender<Settled>) {
        let design = self.action.design.as_ref().map_or(Duration::ZERO, |design| design.timeout);
        let limit = self
            .context
            .timeout()
            .saturating_add(design)
            .saturating_add(self.grace())
            .saturating_add(Duration::from_secs(2));
        if self.started().is_some_and(|started| started.elapsed() > limit)
            && self.decide_if(BEGUN, timed_out(self.context.timeout()), settled)
        {
            // or a lane of which every slot is blocked would claim, and never begin, what nobody takes from it
            self.lane.replace_slot();
        }
    }

    /// Sends the outcome on, once, from this stage only; false when the attempt has left it.
    fn decide_if(self: &Arc<Self>, stage: u8, outcome: Outcome, settled: &UnboundedSender<Settled>) -> bool {
        if self.stage.compare_exchange(stage, DECIDED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        self.ended.get_or_init(Instant::now);
        let execution = self.execution().map(|(started, ended)| ended - started);
        self.lane.ended(execution);
        // nobody receives only after the worker has given everything back
        settled.send(Settled { attempt: Arc::clone(self), outcome, execution }).ok();
        true
    }
}

/// Parts of what is given, each of one queue and in the order given: a statement is about one queue.
pub(crate) fn by_queue<T>(mut all: Vec<T>, queue: impl Fn(&T) -> &str) -> Vec<Vec<T>> {
    all.sort_by(|one, other| queue(one).cmp(queue(other)));
    let mut parts = Vec::new();
    while let Some(last) = all.last() {
        let begin = all.partition_point(|one| queue(one) < queue(last));
        parts.push(all.split_off(begin));
    }
    parts
}

/// What became of the tasks of these attempts.
///
/// # Errors
/// Those of the database.
pub(crate) async fn fates_of<'a>(
    link: &mut Link,
    attempts: impl IntoIterator<Item = &'a Arc<Attempt>>,
) -> Result<HashMap<Uuid, Fate>> {
    let mut all = HashMap::new();
    for attempts in by_queue(attempts.into_iter().collect(), |attempt| attempt.queue()) {
        let held: Vec<Held> = attempts.iter().map(|attempt| attempt.held()).collect();
        all.extend(step!(*link, db => fates(db, attempts[0].queue(), &held))?);
    }
    Ok(all)
}

/// What comes of an attempt that was asked to stop and says nothing itself.
pub(crate) fn stopped(reason: Stop) -> Outcome {
    match reason {
        Stop::Shutdown => Outcome::Release,
        Stop::Terminated => Outcome::failure("terminated", "terminated while it ran"),
        Stop::Lost => Outcome::retry("lost", "the claim was lost"),
        Stop::Timeout => Outcome::retry("timeout", "the time was up"),
    }
}

fn timed_out(limit: Duration) -> Outcome {
    Outcome::retry("timeout", format!("the attempt took longer than {}", humantime::format_duration(limit)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::by_queue;

    #[test]
    fn parts_are_of_one_queue_each_and_keep_the_order_given() {
        let parts = |all: &[&'static str]| by_queue(all.to_vec(), |one| &one[..1]);
        assert_eq!(parts(&[]), Vec::<Vec<&str>>::new());
        assert_eq!(parts(&["a2", "a1"]), [["a2", "a1"]]);
        let mut mixed = parts(&["b1", "a2", "c1", "b0", "a1", "b2"]);
        mixed.sort();
        assert_eq!(mixed, [vec!["a2", "a1"], vec!["b1", "b0", "b2"], vec!["c1"]]);
    }
}
