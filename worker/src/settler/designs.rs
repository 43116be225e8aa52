//! Notes on tasks which version of its design each worked with, where the outcome's own statement does not.

use std::collections::{HashMap, HashSet};

use longshore_queue::{Fate, Held, Result, fates, record_designs};
use uuid::Uuid;

use super::{LOCKED_PAUSE, MESSAGES_MAX, Settler};
use crate::link::step;
use crate::verdict::Verdict;

impl Settler {
    /// Notes them with one statement, before the outcomes are written. An outcome of a task that somebody else holds under a
    /// lock waits for the next turn.
    pub(super) async fn record_designs(&mut self) -> Result<()> {
        let designs: Vec<_> = self.pending.iter().filter_map(Verdict::design_to_note).take(MESSAGES_MAX).collect();
        if designs.is_empty() {
            return Ok(());
        }
        match step!(self.link, db => record_designs(db, &designs)) {
            Ok(noted) => {
                let noted: HashSet<Uuid> = noted.into_iter().collect();
                self.take_note(|held| noted.contains(&held.task_id));
            }
            Err(error) if error.is_passing() => return Err(error),
            // a role without the right to this column, say: the work itself must not be held up by it
            Err(error) => {
                tracing::error!(%error, designs = designs.len(), "versions of designs were refused and are not noted");
                self.take_note(|_| true);
            }
        }
        let held: Vec<Held> = self.pending.iter().filter_map(Verdict::design_to_note).map(|(held, _)| held).collect();
        if held.is_empty() {
            return Ok(());
        }
        let fates: HashMap<Uuid, Fate> = step!(self.link, db => fates(db, &held))?.into_iter().collect();
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
