//! Notes on tasks which version of its design each works with, before their outcomes are written.

use std::collections::{HashMap, HashSet};

use longshore_queue::{Fate, Held, Result, fates, record_designs};
use uuid::Uuid;

use super::{LOCKED_PAUSE, MESSAGES_MAX, Settler};
use crate::link::step;
use crate::verdict::Verdict;

impl Settler {
    /// Notes what there is, with one statement. What belongs to a task that somebody else holds under a lock waits for the
    /// next turn, and its outcome with it.
    pub(super) async fn record_designs(&mut self) -> Result<()> {
        if self.designs.is_empty() {
            return Ok(());
        }
        let some: Vec<(Held, [u8; 32])> = self.designs.iter().take(MESSAGES_MAX).copied().collect();
        match step!(self.link, db => record_designs(db, &some)) {
            Ok(recorded) => {
                let recorded: HashSet<Uuid> = recorded.into_iter().collect();
                self.designs.retain(|(held, _)| !recorded.contains(&held.task_id));
            }
            Err(error) if error.is_passing() => return Err(error),
            // a role without the right to this column, say: the work itself must not be held up by it
            Err(error) => {
                tracing::error!(%error, designs = some.len(), "versions of designs were refused and are not recorded");
                self.designs.drain(..some.len());
            }
        }
        if self.designs.is_empty() {
            return Ok(());
        }
        let held: Vec<Held> = self.designs.iter().map(|(held, _)| *held).collect();
        let fates: HashMap<Uuid, Fate> = step!(self.link, db => fates(db, &held))?.into_iter().collect();
        let waits = |held: &Held| matches!(fates.get(&held.task_id), Some(Fate::Held | Fate::Terminating));
        self.designs.retain(|(held, _)| waits(held));
        let unrecorded: HashSet<Held> = self.designs.iter().map(|(held, _)| *held).collect();
        let (waiting, pending): (Vec<Verdict>, Vec<Verdict>) =
            std::mem::take(&mut self.pending).into_iter().partition(|one| unrecorded.contains(&one.attempt.held()));
        self.held_back.extend(waiting);
        self.pending = pending;
        tokio::time::sleep(LOCKED_PAUSE).await;
        Ok(())
    }
}
