//! Inserts what attempts ask for as subtasks, before their outcomes are written.

use std::sync::Arc;

use longshore_queue::{Error, Fate, Held, Insertion, Result, fates, insert_subtasks};

use super::{LOCKED_PAUSE, Settler};
use crate::attempt::Attempt;
use crate::executor::Ask;
use crate::link::step;

impl Settler {
    /// Inserts the subtasks that attempts have asked for, each list with one statement. Those of a task that somebody else
    /// holds under a lock wait for the next turn, and its outcome with them.
    pub(super) async fn insert(&mut self) -> Result<()> {
        self.asked = false;
        let attempts: Vec<Arc<Attempt>> =
            self.fleet.attempts().values().filter(|attempt| attempt.context.has_asked()).cloned().collect();
        for attempt in attempts {
            while let Some(ask) = attempt.context.take_asked() {
                match self.insert_one(attempt.held(), &ask).await {
                    Ok(None) => drop(ask.answer(Ok(()))),
                    Ok(Some(problem)) => {
                        attempt.context.refused(ask, problem);
                        self.said.insert(attempt.held().task_id);
                    }
                    Err(error) => {
                        attempt.context.ask_again(ask);
                        self.asked = true;
                        match error {
                            Some(error) => return Err(error),
                            None => break,
                        }
                    }
                }
            }
        }
        if self.asked {
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        Ok(())
    }

    /// Inserts one list: why it was refused, if it was; an error, or none while somebody holds a lock, when it may be sent
    /// again.
    async fn insert_one(&mut self, held: Held, ask: &Ask) -> std::result::Result<Option<String>, Option<Error>> {
        match step!(self.link, db => insert_subtasks(db, held, ask.tasks()))? {
            Insertion::Done => return Ok(None),
            Insertion::Refused(error) => return Ok(Some(error.to_string())),
            Insertion::NotHeld => {}
        }
        match step!(self.link, db => fates(db, &[held]))?.first() {
            Some((_, Fate::Held)) => Err(None),
            _ => Ok(Some("the task is not held any more, or is being terminated".to_owned())),
        }
    }
}
