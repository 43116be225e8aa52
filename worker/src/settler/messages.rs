//! Records what attempts say, before their outcomes are written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use longshore_queue::{Fate, Held, NumberedMessage, Result, last_messages, record};
use uuid::Uuid;

use super::{LOCKED_PAUSE, MESSAGES_MAX, Settler};
use crate::attempt::{Attempt, Log, fates_of};
use crate::link::step;

impl Settler {
    /// Records the messages that wait, in the order of each task's log. Those of a task that somebody else holds under
    /// a lock wait for the next turn, and its outcome with them; all others go on.
    pub(super) async fn record(&mut self) -> Result<()> {
        self.pending.append(&mut self.held_back);
        self.judge_refusals();
        self.number().await?;
        // a statement is about one queue
        self.numbered.sort_by(|(one, _), (other, _)| one.queue().cmp(other.queue()));
        let mut locked: Vec<(Arc<Attempt>, NumberedMessage)> = Vec::new();
        while let Some((first, _)) = self.numbered.first() {
            let of_queue = self.numbered.iter().take_while(|(attempt, _)| attempt.queue() == first.queue());
            let some = of_queue.take(MESSAGES_MAX).count();
            let waiting = match self.record_some(some).await {
                Ok(waiting) => waiting,
                Err(error) => {
                    self.numbered.splice(..0, locked);
                    return Err(error);
                }
            };
            let sent = self.numbered.drain(..some);
            if waiting.is_empty() {
                continue;
            }
            locked.extend(sent.filter(|(attempt, _)| waiting.contains(&attempt.held())));
            // what a task says later comes after what it said before
            let (behind, later): (Vec<_>, Vec<_>) =
                self.numbered.drain(..).partition(|(attempt, _)| waiting.contains(&attempt.held()));
            self.numbered = later;
            locked.extend(behind);
        }
        if !locked.is_empty() {
            self.numbered = locked;
            let unrecorded: HashSet<Held> = self.numbered.iter().map(|(attempt, _)| attempt.held()).collect();
            let pending = std::mem::take(&mut self.pending);
            (self.held_back, self.pending) =
                pending.into_iter().partition(|one| unrecorded.contains(&one.attempt.held()));
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        Ok(())
    }

    /// Sends the first `some` messages, which are of one queue; the tasks whose messages have to wait, since somebody
    /// else holds a lock.
    async fn record_some(&mut self, some: usize) -> Result<HashSet<Held>> {
        let messages: Vec<NumberedMessage> = self.numbered[..some].iter().map(|(_, message)| message.clone()).collect();
        let mut attempts: HashMap<Held, Arc<Attempt>> =
            self.numbered[..some].iter().map(|(attempt, _)| (attempt.held(), Arc::clone(attempt))).collect();
        let held: Vec<Held> = attempts.keys().copied().collect();
        let Some((first, _)) = self.numbered.first() else { return Ok(HashSet::new()) };
        self.turned();
        match step!(self.link, db => record(db, first.queue(), &held, &messages)) {
            Ok(recorded) => {
                let recorded: HashSet<Uuid> = recorded.into_iter().collect();
                attempts.retain(|held, _| !recorded.contains(&held.task_id));
                let rest = |one: &&NumberedMessage| !recorded.contains(&one.task_id);
                let missing = if attempts.is_empty() { 0 } else { messages.iter().filter(rest).count() };
                self.recorded.increment((some - missing) as u64);
            }
            Err(error) if error.is_passing() => return Err(error),
            // sanitized text is never refused; if it is, the rest must not be held up by it
            Err(error) => {
                tracing::error!(%error, messages = some, "messages were refused and are lost");
                attempts.clear();
            }
        }
        let fates = fates_of(&mut self.link, attempts.values()).await?;
        let waits = |held: &Held| matches!(fates.get(&held.task_id), Some(Fate::Held | Fate::Terminating));
        Ok(attempts.into_keys().filter(waits).collect())
    }

    /// Gives the waiting messages their numbers.
    async fn number(&mut self) -> Result<()> {
        let attempts: Vec<Arc<Attempt>> = {
            let known = self.fleet.attempts();
            self.said.iter().filter_map(|task_id| known.get(task_id).cloned()).collect()
        };
        let unread: Vec<&Arc<Attempt>> =
            attempts.iter().filter(|attempt| attempt.log().is_none() && attempt.context.has_messages()).collect();
        if !unread.is_empty() {
            let task_ids: Vec<Uuid> = unread.iter().map(|attempt| attempt.held().task_id).collect();
            let logs = step!(self.link, db => last_messages(db, &task_ids))?;
            let logs: HashMap<Uuid, Log> = logs
                .into_iter()
                .map(|last| (last.task_id, Log { sequence: last.sequence, error_count: last.error_count }))
                .collect();
            for attempt in unread {
                attempt
                    .set_log(logs.get(&attempt.held().task_id).copied().unwrap_or(Log { sequence: 0, error_count: 0 }));
            }
        }
        for attempt in attempts {
            let Some(mut log) = attempt.log() else { continue };
            for message in attempt.context.take_messages() {
                log.sequence += 1;
                log.error_count += i32::from(message.error);
                let task_id = attempt.held().task_id;
                let numbered = NumberedMessage { task_id, sequence: log.sequence, message };
                self.numbered.push((Arc::clone(&attempt), numbered));
            }
            attempt.set_log(log);
        }
        self.said.clear();
        Ok(())
    }
}
