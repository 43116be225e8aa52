//! Notes on tasks which version of its design each worked with, where the outcome's own statement does not.

use std::collections::HashSet;
use std::sync::Arc;

use longshore_queue::{Fate, Held, Result, record_designs};
use uuid::Uuid;

use super::{LOCKED_PAUSE, MESSAGES_MAX, Settler};
use crate::attempt::{Attempt, by_queue, fates_of};
use crate::link::step;

impl Settler {
    /// Notes them with one statement a queue, before the outcomes are written. An outcome of a task that somebody else
    /// holds under a lock waits for the next turn.
    pub(super) async fn record_designs(&mut self) -> Result<()> {
        let with_designs = self.pending.iter().filter(|one| one.design_to_note().is_some()).take(MESSAGES_MAX);
        let mut noted: HashSet<Uuid> = HashSet::new();
        for some in by_queue(with_designs.collect(), |one| one.queue()) {
            let designs: Vec<_> = some.iter().filter_map(|one| one.design_to_note()).collect();
            self.turned();
            match step!(self.link, db => record_designs(db, some[0].queue(), &designs)) {
                Ok(done) => noted.extend(done),
                Err(error) if error.is_passing() => return Err(error),
                // a role without the right to this column, say: the work itself must not be held up by it
                Err(error) => {
                    let count = designs.len();
                    tracing::error!(%error, designs = count, "versions of designs were refused and are not noted");
                    noted.extend(designs.iter().map(|(held, _)| held.task_id));
                }
            }
        }
        self.take_note(|held| noted.contains(&held.task_id));
        let left = self.pending.iter().filter(|one| one.design_to_note().is_some()).map(|one| &one.attempt);
        let left: Vec<Arc<Attempt>> = left.cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        let fates = fates_of(&mut self.link, &left).await?;
        // of one that is lost there is nothing to note
        self.take_note(|held| !matches!(fates.get(&held.task_id), Some(Fate::Held | Fate::Terminating)));
        let pending = std::mem::take(&mut self.pending);
        let (waiting, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(|one| one.design_to_note().is_some());
        self.pending = pending;
        self.held_back.extend(waiting);
        tokio::time::sleep(LOCKED_PAUSE).await;
        Ok(())
    }

    /// Leaves nothing to note of those that are `done`.
    fn take_note(&mut self, done: impl Fn(&Held) -> bool) {
        for one in self.pending.iter_mut().filter(|one| one.design_to_note().is_some_and(|(held, _)| done(&held))) {
            one.design_is_noted();
        }
    }
}
