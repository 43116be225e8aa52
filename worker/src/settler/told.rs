//! Tells what became of attempts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use longshore_queue::{Change, changes};
use uuid::Uuid;

use super::Settler;
use crate::attempt::Attempt;
use crate::link::step;
use crate::metrics::Finish;
use crate::verdict::{Verdict, Way};

impl Settler {
    /// Reads, where somebody wants to know, what the database made of tasks with subtasks, and what followed for the
    /// tasks above those that ended. One subtask stands for all of its parent's that ended with one statement.
    pub(super) async fn changes(&mut self, batch: &[Verdict], done: &HashSet<Uuid>) -> HashMap<Uuid, Change> {
        if batch.first().is_none_or(|one| one.way() != Way::Tree) || !self.fleet.journal.asks() {
            return HashMap::new();
        }
        let (mut parents, mut asked) = (HashSet::new(), Vec::new());
        for one in batch.iter().filter(|one| done.contains(&one.attempt.held().task_id)) {
            let task = one.attempt.context.task();
            let is_first = one.ends() && task.parent_task_id.is_some_and(|parent| parents.insert(parent));
            if one.has_subtasks() || is_first {
                asked.push(task.task_id);
            }
        }
        if asked.is_empty() {
            return HashMap::new();
        }
        // what cannot be read is not told; the link has said so
        let read = step!(self.link, db => changes(db, &asked)).unwrap_or_default();
        read.into_iter().map(|change| (change.task_id, change)).collect()
    }

    /// An outcome is written.
    pub(super) fn settled(&self, one: &Verdict, change: Option<&Change>, sent: Instant) {
        self.fleet.journal.settled(one, change, sent);
        self.forget(&one.attempt, one.finish);
    }

    /// Another claim has the task, or it is gone.
    pub(super) fn lost(&self, attempt: &Arc<Attempt>) {
        self.fleet.journal.lost(attempt);
        self.forget(attempt, Finish::Lost);
    }
}
