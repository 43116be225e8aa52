//! Writes what attempts bring: messages as they are said, outcomes in batches, each under its claim's fence.
//!
//! A statement whose answer is lost is sent again: under the fence the second has no effect. What a statement does not
//! report as done is looked up by its token: settled by the first time, held but locked by somebody for the moment, or
//! lost to another claim. So an unknown COMMIT never becomes a second completion or a new attempt.

mod asked;
mod designs;
mod messages;
mod told;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_queue::{
    Change, Completion, Db, Error, Fate, LastOf, Locked, NumberedMessage, Outcome, Requeue, Result, ResultMessage,
    complete, requeue, settle_tree,
};
use metrics::{Counter, counter};
use uuid::Uuid;

use crate::Stop;
use crate::attempt::{Attempt, Settled, by_queue, fates_of};
use crate::fleet::{Fleet, Inbox, Phase};
use crate::lane::BATCH_MAX;
use crate::link::{Link, step};
use crate::metrics::{Finish, StatementMetrics};
use crate::verdict::{Verdict, Way, storable};

/// How long outcomes gather while other attempts run; a lone one is written at once.
const GATHER: Duration = Duration::from_millis(2);

/// A batch of so many is not worth waiting for more.
const GATHERED: usize = 100;

/// When a task is locked by somebody else, the next try comes after this.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// A statement waits for somebody else's lock no longer than this, which is longer than the leader's upkeep holds
/// anybody up; then it goes on without the locked task.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// After one that had to, completions pass over what is locked for so long: waiting then costs one part in fifty.
const LOCK_MEMORY: Duration = Duration::from_secs(10);

/// Messages written by one statement.
const MESSAGES_MAX: usize = 1000;

/// Settles the attempts of one worker.
pub(crate) struct Settler {
    fleet: Arc<Fleet>,
    inbox: Inbox,
    link: Link,
    pending: Vec<Verdict>,
    /// Tasks with messages to record.
    said: HashSet<Uuid>,
    /// Messages that have their number and are not yet known to be recorded, each with its attempt.
    numbered: Vec<(Arc<Attempt>, NumberedMessage)>,
    /// Outcomes of tasks whose messages come first and could not be recorded in this turn.
    held_back: Vec<Verdict>,
    /// When a completion last waited for a lock in vain.
    locked: Option<Instant>,
    /// Whether subtasks or build data wait to be written although they were asked for in an earlier turn.
    asked: bool,
    metrics: StatementMetrics,
    recorded: Counter,
}

impl Settler {
    pub(crate) fn new(fleet: &Arc<Fleet>, inbox: Inbox) -> Self {
        Self {
            fleet: Arc::clone(fleet),
            inbox,
            link: Link::new(&fleet.connect.clone().waiting_for_locks(LOCK_WAIT), &fleet.cell, "settle"),
            pending: Vec::new(),
            said: HashSet::new(),
            numbered: Vec::new(),
            held_back: Vec::new(),
            locked: None,
            asked: false,
            metrics: StatementMetrics::complete(&fleet.cell),
            recorded: counter!("longshore_messages_recorded_total", "cell" => fleet.cell.clone()),
        }
    }

    /// Writes until the worker has ended and everything is written, or cannot be.
    pub(crate) async fn run(mut self) {
        while self.gather().await {
            self.turned();
            // an error has been logged and waited for by the link; what is pending stays so
            if self.write_asked().await.is_ok() && self.record().await.is_ok() && self.record_designs().await.is_ok() {
                self.settle().await.ok();
            }
        }
        self.link.close().await;
    }

    /// The loop goes on. Said before each statement, since a turn has some for each queue: where the database takes
    /// seconds for one, all of them last longer than a lease
    /// (`a_slow_database_costs_a_worker_of_many_queues_no_lease`).
    fn turned(&self) {
        self.fleet.vital.turn(self.fleet.lanes.len());
    }

    /// Takes in what is there, waiting for the first if nothing is; false when the worker has ended.
    async fn gather(&mut self) -> bool {
        let mut settled = Vec::new();
        let waits = self.asked || !self.held_back.is_empty();
        if self.pending.is_empty() && self.said.is_empty() && self.numbered.is_empty() && !waits {
            tokio::select! {
                _ = self.inbox.settled.recv_many(&mut settled, BATCH_MAX) => {}
                Some(task_id) = self.inbox.said.recv() => { self.said.insert(task_id); }
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = self.fleet.reached(Phase::Ended) => return false,
            }
        } else if self.link.is_failing() && self.fleet.phase() == Phase::Ended {
            return false;
        }
        let enough = tokio::time::Instant::now() + GATHER;
        while settled.len() + self.pending.len() < GATHERED && self.fleet.in_hand() > 0 {
            tokio::select! {
                _ = self.inbox.settled.recv_many(&mut settled, BATCH_MAX) => {}
                () = tokio::time::sleep_until(enough) => break,
            }
        }
        while settled.len() + self.pending.len() < BATCH_MAX
            && let Ok(one) = self.inbox.settled.try_recv()
        {
            settled.push(one);
        }
        while let Ok(task_id) = self.inbox.said.try_recv() {
            self.said.insert(task_id);
        }
        for one in settled {
            self.take(one);
        }
        true
    }

    /// Decides what is to be written for an outcome.
    fn take(&mut self, settled: Settled) {
        let Settled { attempt, outcome, execution } = settled;
        if let Some(execution) = execution {
            attempt.action.metrics.execution.record(execution.as_secs_f64());
        }
        if attempt.context.stop_reason() == Some(Stop::Lost) {
            self.lost(&attempt);
            return;
        }
        self.take_outcome(attempt, outcome);
    }

    fn take_outcome(&mut self, attempt: Arc<Attempt>, outcome: Outcome) {
        if let Some(message) = last_failure(&attempt, &outcome) {
            attempt.context.message(message);
        }
        if attempt.context.has_messages() {
            self.said.insert(attempt.held().task_id);
        }
        self.pending.push(Verdict::of(attempt, outcome));
    }

    /// An attempt whose subtasks were refused has not done its work, whatever it ended with. Before its messages are
    /// numbered, since the last attempt leaves one more.
    fn judge_refusals(&mut self) {
        for one in std::mem::take(&mut self.pending) {
            let context = &one.attempt.context;
            // more may be refused while some of what it asked for waits
            let refusal = if context.has_asked() { None } else { context.take_refusal() };
            match refusal {
                Some(problem) if !one.goes_back() => {
                    self.take_outcome(one.attempt, Outcome::retry("subtasks", problem));
                }
                _ => self.pending.push(one),
            }
        }
    }

    /// Writes the pending outcomes, with a statement for each queue: completions, and what goes back; and those of trees,
    /// whose tasks may be of any.
    async fn settle(&mut self) -> Result<()> {
        // statements answer by the task; of two attempts at one, the claimer has marked the first as lost
        let (lost, held): (Vec<Verdict>, Vec<Verdict>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|one| one.attempt.context.stop_reason() == Some(Stop::Lost));
        for one in lost {
            self.lost(&one.attempt);
        }
        let (waiting, held): (Vec<Verdict>, Vec<Verdict>) =
            held.into_iter().partition(|one| one.attempt.context.has_asked());
        self.held_back.extend(waiting);
        let (mut completions, mut requeues, mut of_trees) = (Vec::new(), Vec::new(), Vec::new());
        for one in held {
            match one.way() {
                Way::Complete => completions.push(one),
                Way::Requeue => requeues.push(one),
                Way::Tree => of_trees.push(one),
            }
        }
        let first = self.write_by_queue(completions).await;
        let second = self.write_by_queue(requeues).await;
        let third = self.write(of_trees).await;
        let done = first.and(second).and(third);
        if done.is_ok() && !self.pending.is_empty() {
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        done
    }

    /// Writes outcomes of one kind, a batch for each queue. The first error is the last: what is left stays pending.
    async fn write_by_queue(&mut self, outcomes: Vec<Verdict>) -> Result<()> {
        let mut batches = by_queue(outcomes, Verdict::queue).into_iter();
        while let Some(batch) = batches.next() {
            if let Err(error) = self.write(batch).await {
                self.pending.extend(batches.flatten());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes a batch of one kind, of one queue unless it is of trees; what is not done stays pending.
    async fn write(&mut self, batch: Vec<Verdict>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.turned();
        let began = Instant::now();
        match self.send(&batch).await {
            Ok(done) => {
                self.metrics.done(began.elapsed(), done.len());
                let done = done.into_iter().collect();
                let changes = self.changes(&batch, &done).await;
                self.finish(batch, &done, changes, began).await
            }
            Err(error) => {
                self.metrics.failed(began.elapsed());
                if !error.is_passing() {
                    return self.isolate(batch, &error).await;
                }
                self.pending.extend(batch);
                Err(error)
            }
        }
    }

    /// Sends one statement for a batch of one kind; the ids that it settled.
    async fn send(&mut self, batch: &[Verdict]) -> Result<Vec<Uuid>> {
        let Some(first) = batch.first() else { return Ok(Vec::new()) };
        let queue = first.attempt.queue();
        let last = self.last_of(batch);
        if first.way() == Way::Tree {
            let outcomes: Vec<_> = batch.iter().map(Verdict::tree_outcome).collect();
            return step!(self.link, db => settle_tree(db, &outcomes, &last));
        }
        let mut completions: Vec<Completion> = batch.iter().filter_map(|one| one.completion()).collect();
        completions.sort_unstable_by_key(|one| one.held.task_id);
        if completions.is_empty() {
            let requeues: Vec<Requeue> = batch.iter().filter_map(|one| one.requeue()).collect();
            return step!(self.link, db => requeue(db, queue, &requeues, &last));
        }
        if self.locked.is_none_or(|locked| locked.elapsed() > LOCK_MEMORY) {
            if let Some(done) = step!(self.link, db => complete_unlocked(db, queue, &completions, &last))? {
                return Ok(done);
            }
            self.locked = Some(Instant::now());
        }
        step!(self.link, db => complete(db, queue, &completions, &last, Locked::Skip))
    }

    /// The claims of which this batch is all that is open.
    fn last_of(&self, batch: &[Verdict]) -> LastOf {
        let mut counts: HashMap<Uuid, i32> = HashMap::new();
        for one in batch {
            *counts.entry(one.attempt.claim_token).or_default() += 1;
        }
        let claims = self.fleet.claims();
        let mut last = LastOf::default();
        for (token, count) in counts {
            if claims.get(&token) == Some(&count) {
                last.push(token, count);
            }
        }
        last
    }

    /// Takes note of what was done, and looks up what was not. `sent` is when the statement was.
    async fn finish(
        &mut self,
        batch: Vec<Verdict>,
        done: &HashSet<Uuid>,
        mut changes: HashMap<Uuid, Change>,
        sent: Instant,
    ) -> Result<()> {
        let (settled, rest): (Vec<Verdict>, Vec<Verdict>) =
            batch.into_iter().partition(|one| done.contains(&one.attempt.held().task_id));
        for one in settled {
            let change = changes.remove(&one.attempt.held().task_id);
            self.settled(&one, change.as_ref(), sent);
        }
        for change in changes.values() {
            self.fleet.journal.changed(change);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let fates = match fates_of(&mut self.link, rest.iter().map(|one| &one.attempt)).await {
            Ok(fates) => fates,
            Err(error) => {
                self.pending.extend(rest);
                return Err(error);
            }
        };
        for one in rest {
            match fates.get(&one.attempt.held().task_id) {
                Some(Fate::Held | Fate::Terminating) => self.pending.push(one.may_be_in_tree()),
                Some(Fate::Settled) => self.settled(&one, None, sent),
                Some(Fate::Lost) | None => self.lost(&one.attempt),
            }
        }
        Ok(())
    }

    /// A batch was refused for what it holds: each is tried alone. One that is refused alone ends as a failure that
    /// says so.
    async fn isolate(&mut self, mut batch: Vec<Verdict>, error: &Error) -> Result<()> {
        if batch.len() > 1 {
            let mut done = Ok(());
            for one in batch {
                match done {
                    Ok(()) => done = Box::pin(self.write(vec![one])).await,
                    Err(_) => self.pending.push(one),
                }
            }
            return done;
        }
        if let Some(one) = batch.pop() {
            tracing::error!(task_id = %one.attempt.held().task_id, %error, "the result of a task cannot be stored");
            self.pending.push(one.refused(error));
        }
        Ok(())
    }

    /// The attempt is over: nothing of it is kept.
    fn forget(&self, attempt: &Arc<Attempt>, finish: Finish) {
        attempt.action.metrics.finished(finish);
        if matches!(finish, Finish::Success | Finish::PartialSuccess | Finish::Failure | Finish::Terminated) {
            attempt.lane.metrics.attempts.record(f64::from(attempt.context.task().attempt));
        }
        let mut attempts = self.fleet.attempts();
        // a lost task that this worker has claimed again is another attempt
        if attempts.get(&attempt.held().task_id).is_some_and(|known| Arc::ptr_eq(known, attempt)) {
            attempts.remove(&attempt.held().task_id);
        }
        drop(attempts);
        // a claimer that waits for outcomes to be written, since too many are not, hears of it
        attempt.lane.capacity.notify_one();
        let mut claims = self.fleet.claims();
        if let Some(open) = claims.get_mut(&attempt.claim_token) {
            *open -= 1;
            if *open <= 0 {
                claims.remove(&attempt.claim_token);
            }
        }
    }
}

/// What the log says of the last attempt that a task has, when it failed. Of those before it the statement that sends
/// the task back says so, since it knows when the next one is due.
fn last_failure(attempt: &Attempt, outcome: &Outcome) -> Option<ResultMessage> {
    let Outcome::Retry { message, reason, .. } = outcome else { return None };
    let task = attempt.context.task();
    if task.attempt < task.max_attempts || attempt.context.stop_reason() == Some(Stop::Terminated) {
        return None;
    }
    let (number, max) = (task.attempt, task.max_attempts);
    Some(ResultMessage {
        message: storable(format!("failed ({reason}): {message}; of {max} attempts none is left")),
        error: true,
        context: Some(format!("attempt {number}")),
        context_type: Some("attempt".to_owned()),
        extra: Some(serde_json::json!({ "attempt": number, "reason": reason, "retry_at": null })),
    })
}

/// Completes all, or none when somebody else holds one of them under a lock.
async fn complete_unlocked(
    db: Db<'_>,
    queue: &str,
    completions: &[Completion],
    last: &LastOf,
) -> Result<Option<Vec<Uuid>>> {
    match complete(db, queue, completions, last, Locked::Wait).await {
        Err(error) if error.is_lock_timeout() => Ok(None),
        done => done.map(Some),
    }
}
