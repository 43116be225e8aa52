//! The claim loop of one lane: as large a batch as there is room for, as soon as something may be there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longshore_queue::{ClaimRequest, Claimed, Keys, Result, Subtasks, claim, settle_unique, subtask_counts, subtasks};
use metrics::{Counter, Histogram, counter, histogram};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::action::Action;
use crate::attempt::Attempt;
use crate::fleet::{Fleet, Phase};
use crate::lane::{BATCH_MAX, Lane};
use crate::link::{Link, step};
use crate::metrics::StatementMetrics;
use crate::resume::{Pass, Resume};
use crate::{Context, Stop};

/// A worker that INSERTs do not notify looks so often while tasks come: what a busy fleet's polling costs.
const BUSY_POLL: Duration = Duration::from_millis(5);

/// While more waits than there is room for, a claim waits this long for a better batch.
const GATHER: Duration = Duration::from_millis(3);

/// What a claim asks for after one that brought nothing, beside other cells.
const APPETITE_MIN: usize = 8;

/// Outcomes that wait to be written, above which nothing more is claimed: the database takes no completions then.
const UNSETTLED_MAX: usize = 4 * BATCH_MAX;

/// Subtasks that a task is shown with, their counts apart: a program reads them as one document.
const SUBTASKS_SHOWN_MAX: usize = 1000;

/// Bytes of their outputs after which no more are shown.
const SUBTASKS_SHOWN_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Subtasks read by one statement.
const SUBTASKS_PAGE: i32 = 100;

/// Claims for one lane.
pub(crate) struct Claimer {
    fleet: Arc<Fleet>,
    lane: Arc<Lane>,
    number: usize,
    actions: HashMap<String, Arc<Action>>,
    executors: Handle,
    link: Link,
    resume: Resume,
    metrics: StatementMetrics,
    notify_to_claim: Histogram,
    wakeups: Wakeups,
    /// What the last claim brought.
    found: usize,
}

struct Wakeups {
    notify: Counter,
    poll: Counter,
    capacity: Counter,
    leader: Counter,
}

impl Claimer {
    pub(crate) fn new(
        fleet: &Arc<Fleet>,
        number: usize,
        actions: HashMap<String, Arc<Action>>,
        executors: Handle,
    ) -> Self {
        let wakeup = |reason: &'static str| counter!("longshore_wakeups_total", "cell" => fleet.cell.clone(), "reason" => reason);
        Self {
            fleet: Arc::clone(fleet),
            lane: Arc::clone(&fleet.lanes[number]),
            number,
            actions,
            executors,
            link: fleet.link("claim"),
            resume: Resume::new(Instant::now()),
            metrics: StatementMetrics::claim(&fleet.cell),
            notify_to_claim: histogram!("longshore_notify_to_claim_seconds", "cell" => fleet.cell.clone()),
            wakeups: Wakeups {
                notify: wakeup("notify"),
                poll: wakeup("poll"),
                capacity: wakeup("capacity"),
                leader: wakeup("leader"),
            },
            found: 0,
        }
    }

    /// Claims until the worker drains. A claim under way is finished, so that nothing is claimed and forgotten.
    pub(crate) async fn run(mut self) {
        let mut backlog = false;
        let mut woken: Option<Instant> = None;
        let mut behind = false;
        while self.fleet.phase() < Phase::Draining {
            self.fleet.vital.turn(self.number);
            if self.link.open().await.is_err() {
                // slots are asked for only where there is a database
                self.lane.rests();
                continue;
            }
            let Some(room) = self.room(backlog).await else { continue };
            let pass = self.resume.next(Instant::now(), behind);
            let Ok((found, full)) = self.claim(pass, room.min(self.appetite())).await else {
                self.found = 0;
                self.fleet.look.notify_one();
                continue;
            };
            self.found = found;
            backlog = full;
            if let Some(heard) = woken.take_if(|_| found > 0) {
                self.notify_to_claim.record(heard.elapsed().as_secs_f64());
            }
            behind = woken.is_some() && pass == Pass::Key;
            if full || behind {
                continue;
            }
            if woken.take().is_some() {
                // what a long transaction inserted lies far behind the key
                self.resume.hurry();
                if self.resume.next(Instant::now(), false) == Pass::Full {
                    continue;
                }
            }
            woken = self.sleep(found > 0 || pass == Pass::Key).await;
        }
        self.fleet.vital.end(self.number);
        self.link.close().await;
    }

    /// The most that a claim asks for: beside other cells twice what the last one brought, since what it asks for is
    /// not theirs until it is answered.
    fn appetite(&self) -> usize {
        if self.fleet.has_siblings { (2 * self.found).max(APPETITE_MIN) } else { BATCH_MAX }
    }

    /// How many may be claimed; `None` when none after a while.
    async fn room(&self, backlog: bool) -> Option<usize> {
        let wanted = if backlog { (self.lane.slots.concurrency / 4).clamp(1, BATCH_MAX / 2) } else { 1 };
        let since = Instant::now();
        loop {
            let full = self.fleet.attempts().len() > self.lane.slots.concurrency + UNSETTLED_MAX;
            // what a worker claims whose lease has run out is taken from it at once, and the attempt counts
            let expired = self.fleet.vital.beat_age() > self.fleet.lease;
            let blocked = self.fleet.blocked.load(Ordering::Acquire);
            let room = if full || expired || blocked {
                self.lane.rests();
                0
            } else {
                self.lane.room(wanted)
            };
            if room >= wanted || room > 0 && since.elapsed() >= GATHER {
                return Some(room);
            }
            let patience = if room > 0 { GATHER } else { Duration::from_secs(1) };
            tokio::select! {
                () = self.lane.capacity.notified() => self.wakeups.capacity.increment(1),
                () = self.fleet.reached(Phase::Draining) => return None,
                () = tokio::time::sleep(patience) => if room == 0 { return None },
            }
        }
    }

    /// One claim: how many it brought, and whether more may wait.
    async fn claim(&mut self, pass: Pass, limit: usize) -> Result<(usize, bool)> {
        let keys: Keys = self.resume.keys(pass);
        let claim_token = Uuid::new_v4();
        let request = ClaimRequest {
            queue: &self.lane.queue,
            actions: &self.lane.actions,
            limit,
            worker_id: self.fleet.worker_id,
            claim_token,
            keys: &keys,
        };
        self.lane.ask(limit);
        // known before it is sent, so that it is not taken for forgotten while it is under way
        self.fleet.claims().insert(claim_token, 0);
        let began = Instant::now();
        let claimed = step!(self.link, db => claim(db, &request));
        let (took, heard) = (began.elapsed(), Instant::now());
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(error) => {
                self.lane.answered(limit, 0, false);
                self.fleet.claims().remove(&claim_token);
                self.fleet.unanswered().push((claim_token, Instant::now()));
                self.metrics.failed(took);
                return Err(error);
            }
        };
        let found = claimed.tasks.len();
        self.metrics.done(took, found);
        let full = self.resume.claimed(pass, keys, &claimed, limit, took, Instant::now());
        let begun = self.begin(claimed, claim_token, heard).await;
        self.lane.answered(limit, begun.len(), full);
        if begun.is_empty() {
            // where the claim has a row, for duplicates alone, it is found as forgotten, and goes then
            self.fleet.claims().remove(&claim_token);
        }
        for attempt in begun {
            let task = attempt.context.task();
            if task.has_subtasks && task.subtasks.is_none() {
                attempt.release_if_waiting(&self.fleet.settled);
            } else {
                self.executors.spawn(attempt.run(self.fleet.settled.clone()));
            }
        }
        Ok((found, full))
    }

    /// Makes attempts of a claimed batch.
    async fn begin(&mut self, mut claimed: Claimed, claim_token: Uuid, heard: Instant) -> Vec<Arc<Attempt>> {
        self.lane.metrics.claimed.increment(claimed.tasks.len() as u64);
        for task in &claimed.tasks {
            self.lane.metrics.wait.record((claimed.claimed_at - task.run_at).as_seconds_f64().max(0.0));
        }
        self.drop_duplicates(&mut claimed, claim_token).await;
        if claimed.tasks.is_empty() {
            return Vec::new();
        }
        self.read_subtasks(&mut claimed).await;
        self.fleet.claims().insert(claim_token, i32::try_from(claimed.tasks.len()).unwrap_or(i32::MAX));
        let mut batch = Vec::with_capacity(claimed.tasks.len());
        for task in claimed.tasks {
            let action = Arc::clone(&self.actions[task.action.as_str()]);
            let timeout = task.timeout.unwrap_or(action.timeout);
            let mut context = Context::new(task, timeout, self.fleet.said.clone());
            let trace = self.fleet.journal.trace(&mut context, claim_token);
            let (lane, claimed) = (Arc::clone(&self.lane), (claimed.claimed_at, heard));
            let attempt = Attempt::new(context, claim_token, action, lane, trace, claimed);
            self.fleet.journal.claimed(&attempt);
            batch.push(Arc::new(attempt));
        }
        for attempt in &batch {
            let before = self.fleet.attempts().insert(attempt.held().task_id, Arc::clone(attempt));
            if let Some(before) = before {
                // lost while this process was stopped, and claimed again by itself before it has noticed
                before.context.stop(Stop::Lost);
            }
        }
        batch
    }

    /// Reads what became of the subtasks of those that have any. One of which this fails goes back.
    async fn read_subtasks(&mut self, claimed: &mut Claimed) {
        let parents: Vec<Uuid> =
            claimed.tasks.iter().filter(|task| task.has_subtasks).map(|task| task.task_id).collect();
        if parents.is_empty() {
            return;
        }
        let Ok(counts) = step!(self.link, db => subtask_counts(db, &parents)) else { return };
        for task in claimed.tasks.iter_mut().filter(|task| task.has_subtasks) {
            let count = counts.iter().find(|count| count.task_id == task.task_id);
            let mut known =
                Subtasks { open: count.map_or(0, |c| c.open), ended: count.map_or(0, |c| c.ended), list: Vec::new() };
            let (mut behind, mut bytes) = (Uuid::nil(), 0);
            while known.list.len() < SUBTASKS_SHOWN_MAX && bytes < SUBTASKS_SHOWN_MAX_BYTES {
                // each page of each parent is a statement: where they are slow, all of them outlast a lease
                self.fleet.vital.turn(self.number);
                let Ok(page) = step!(self.link, db => subtasks(db, task.task_id, behind, SUBTASKS_PAGE)) else {
                    return;
                };
                let Some(last) = page.last() else { break };
                behind = last.task_id;
                bytes += page.iter().filter_map(|one| one.output.as_ref()).map(|json| json.get().len()).sum::<usize>();
                known.list.extend(page);
            }
            task.subtasks = Some(known);
        }
    }

    /// Takes out the tasks that ended as duplicates of another one with their key.
    async fn drop_duplicates(&mut self, claimed: &mut Claimed, claim_token: Uuid) {
        let keyed: Vec<Uuid> =
            claimed.tasks.iter().filter(|task| task.unique_key.is_some()).map(|task| task.task_id).collect();
        if keyed.is_empty() {
            return;
        }
        // where the database cannot say, the tasks run: twice is allowed, never is not
        if let Ok(duplicates) = step!(self.link, db => settle_unique(db, &keyed, claim_token)) {
            for task in claimed.tasks.extract_if(.., |task| duplicates.contains(&task.task_id)) {
                self.fleet.journal.deduplicated(&task);
            }
            self.lane.metrics.deduplicated.increment(duplicates.len() as u64);
        }
    }

    /// Sleeps until something is inserted (when that was heard), or it is time to look anyway: what `may` lie behind
    /// the key is looked for before a long sleep.
    async fn sleep(&self, may: bool) -> Option<Instant> {
        let notified = self.fleet.notified.load(Ordering::Acquire);
        let mut patience = if notified || !self.fleet.notify { self.lane.poll } else { BUSY_POLL.min(self.lane.poll) };
        if may {
            patience = patience.min(self.resume.recent_in(Instant::now()));
        }
        tokio::select! {
            () = self.lane.inserted.notified() => {
                self.wakeups.notify.increment(1);
                Some(Instant::now())
            }
            () = self.lane.rescued.notified() => {
                self.wakeups.leader.increment(1);
                Some(Instant::now())
            }
            () = tokio::time::sleep(patience) => {
                self.wakeups.poll.increment(1);
                None
            }
            () = self.fleet.reached(Phase::Draining) => None,
        }
    }
}
