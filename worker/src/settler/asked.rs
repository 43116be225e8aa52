//! Writes what attempts ask for, subtasks and build data, before their outcomes are written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_queue::{Error, Fate, Insertion, NewTask, Result, ResultMessage, insert_subtasks, record_build_data};

use super::{LOCKED_PAUSE, Settler};
use crate::attempt::{Attempt, fates_of};
use crate::executor::{Ask, Wanted};
use crate::link::step;

/// After so long the messages and outcomes of other attempts come first again.
const TURN: Duration = Duration::from_millis(50);

/// Why something was not written.
enum Unwritten {
    /// Never will be.
    Refused(String),
    /// Somebody else holds the task under a lock at this moment.
    Locked,
    /// To be sent again.
    Failed(Error),
}

impl Settler {
    /// Writes what attempts have asked for, one statement each, in turns, so that one that asks for much holds nobody
    /// up. What is asked of a task that somebody else holds under a lock waits for the next turn, and its outcome with
    /// it.
    pub(super) async fn write_asked(&mut self) -> Result<()> {
        self.asked = false;
        let began = Instant::now();
        let mut is_locked = false;
        let mut attempts: Vec<Arc<Attempt>> =
            self.fleet.attempts().values().filter(|attempt| attempt.context.has_asked()).cloned().collect();
        while !attempts.is_empty() {
            if began.elapsed() > TURN {
                self.asked = true;
                break;
            }
            let mut more = Vec::new();
            for attempt in attempts {
                let Some(ask) = attempt.context.take_asked() else { continue };
                match self.write_one(&attempt, &ask).await {
                    Ok(()) => {
                        if let Wanted::Subtasks(tasks) = &ask.wanted
                            && let Some(notice) = registered(tasks)
                        {
                            for task in tasks {
                                // as insert_subtasks has it
                                let queue = task.queue.as_deref().unwrap_or(&attempt.context.task().queue);
                                self.fleet.enqueued.count(queue, &task.action);
                            }
                            attempt.context.message(notice);
                            self.said.insert(attempt.held().task_id);
                        }
                        // whoever asked may have ended meanwhile
                        ask.answer(Ok(()));
                    }
                    Err(Unwritten::Refused(problem)) => {
                        attempt.context.refused(ask, problem);
                        self.said.insert(attempt.held().task_id);
                    }
                    Err(Unwritten::Locked) => {
                        attempt.context.ask_again(ask);
                        is_locked = true;
                        continue;
                    }
                    Err(Unwritten::Failed(error)) => {
                        attempt.context.ask_again(ask);
                        self.asked = true;
                        return Err(error);
                    }
                }
                more.push(attempt);
            }
            attempts = more;
        }
        if is_locked {
            self.asked = true;
            tokio::time::sleep(LOCKED_PAUSE).await;
        }
        Ok(())
    }

    async fn write_one(&mut self, attempt: &Arc<Attempt>, ask: &Ask) -> std::result::Result<(), Unwritten> {
        let (queue, held) = (attempt.queue(), attempt.held());
        self.turned();
        let is_held = match &ask.wanted {
            Wanted::Subtasks(tasks) => match step!(self.link, db => insert_subtasks(db, queue, held, tasks))? {
                Insertion::Done => true,
                Insertion::Refused(error) => return Err(Unwritten::Refused(error.to_string())),
                Insertion::NotHeld => false,
            },
            Wanted::BuildData(data) => match step!(self.link, db => record_build_data(db, queue, held, data)) {
                Err(error) if !error.is_passing() => return Err(Unwritten::Refused(error.to_string())),
                is_held => is_held?,
            },
        };
        if is_held {
            return Ok(());
        }
        match fates_of(&mut self.link, [attempt]).await?.get(&held.task_id) {
            Some(Fate::Held) => Err(Unwritten::Locked),
            Some(Fate::Terminating) if matches!(ask.wanted, Wanted::BuildData(_)) => Err(Unwritten::Locked),
            _ => Err(Unwritten::Refused("the task is not held any more, or is being terminated".to_owned())),
        }
    }
}

/// Subtasks that one message names.
const NAMED_MAX: usize = 10;

/// What the log says of a list of subtasks: one message, however long the list.
fn registered(tasks: &[NewTask]) -> Option<ResultMessage> {
    let named = tasks.iter().filter_map(|task| Some(format!("{} {}", task.action, task.task_id?)));
    let named = named.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    let more = match tasks.len() {
        0 => return None,
        count if count > NAMED_MAX => format!(" and {} more", count - NAMED_MAX),
        _ => String::new(),
    };
    let plural = if tasks.len() == 1 { "subtask" } else { "subtasks" };
    let message = format!("registered {} {plural}: {named}{more}", tasks.len());
    Some(ResultMessage { context_type: Some("subtasks".to_owned()), ..ResultMessage::note(message) })
}

impl From<Error> for Unwritten {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_list_of_subtasks_is_one_message_however_long_it_is() {
        let tasks = |count: usize| -> Vec<NewTask> {
            (0..count).map(|_| NewTask { task_id: Some(Uuid::nil()), ..NewTask::new("leaf") }).collect()
        };
        let said = |count| registered(&tasks(count)).map(|message| message.message);
        let one = "leaf 00000000-0000-0000-0000-000000000000";
        assert_eq!(said(0), None);
        assert_eq!(said(1), Some(format!("registered 1 subtask: {one}")));
        assert_eq!(said(2), Some(format!("registered 2 subtasks: {one}, {one}")));
        let many = said(10_000).expect("a message");
        assert!(many.starts_with("registered 10000 subtasks: ") && many.ends_with(" and 9990 more"), "{many}");
    }
}
