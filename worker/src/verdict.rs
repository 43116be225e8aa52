//! What is to be written for an outcome: the end of a task, or its way back to the queue.

use std::sync::Arc;
use std::time::Duration;

use longshore_queue::{Completion, Outcome, Requeue, ResultStatus, TaskResult};

use crate::Stop;
use crate::attempt::Attempt;
use crate::metrics::Finish;

/// The longest delay of a requeue: `run_at` has an end.
const DELAY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// An attempt, and what is to be written for it.
pub(crate) struct Verdict {
    pub(crate) attempt: Arc<Attempt>,
    pub(crate) finish: Finish,
    write: Write,
}

enum Write {
    Complete(Completion),
    Requeue(Requeue),
}

impl Verdict {
    /// Decides: a failed attempt goes back until there are no more, what was not done goes back unburnt.
    pub(crate) fn of(attempt: Arc<Attempt>, outcome: Outcome) -> Self {
        let task = attempt.context.task();
        let (write, finish) = match outcome {
            Outcome::Ended(result) => {
                let finish = match result.status {
                    ResultStatus::Success => Finish::Success,
                    ResultStatus::PartialSuccess => Finish::PartialSuccess,
                    ResultStatus::Failure | ResultStatus::Incomplete => Finish::Failure,
                };
                (completion(&attempt, result), finish)
            }
            Outcome::Retry { message, reason, .. } if task.attempt >= task.max_attempts => {
                (completion(&attempt, failure(reason, message)), Finish::Failure)
            }
            Outcome::Retry { after, message, reason } => {
                let number = u16::try_from(task.attempt).unwrap_or(1);
                let delay = after.unwrap_or_else(|| attempt.action.backoff.delay(number, fastrand::f64()));
                (requeue(&attempt, delay, false, reason, Some(message)), Finish::Retried)
            }
            Outcome::Snooze { after } => (requeue(&attempt, after, true, "snoozed", None), Finish::Snoozed),
            Outcome::Release => (requeue(&attempt, Duration::ZERO, true, "released", None), Finish::Released),
        };
        let terminated = attempt.context.stop_reason() == Some(Stop::Terminated);
        Self { finish: if terminated { Finish::Terminated } else { finish }, write, attempt }
    }

    /// The database would not store the result: the task ends as a failure that says so.
    pub(crate) fn refused(self, error: &longshore_queue::Error) -> Self {
        let result = failure("result_refused", format!("the result cannot be stored: {error}"));
        Self { write: completion(&self.attempt, result), finish: Finish::Failure, attempt: self.attempt }
    }

    /// Whether the task ends.
    pub(crate) fn is_completion(&self) -> bool {
        matches!(self.write, Write::Complete(_))
    }

    /// What ends the task, once its messages are numbered.
    pub(crate) fn completion(&self) -> Option<Completion> {
        match &self.write {
            Write::Complete(completion) => Some(Completion { error_count: self.error_count(), ..completion.clone() }),
            Write::Requeue(_) => None,
        }
    }

    /// What sends it back, once its messages are numbered.
    pub(crate) fn requeue(&self) -> Option<Requeue> {
        match &self.write {
            Write::Requeue(back) => Some(Requeue { error_count: self.error_count(), ..back.clone() }),
            Write::Complete(_) => None,
        }
    }

    fn error_count(&self) -> i32 {
        self.attempt.log().map_or(0, |log| log.error_count)
    }
}

fn failure(reason: &str, message: String) -> TaskResult {
    TaskResult {
        status: ResultStatus::Failure,
        reason: Some(reason.to_owned()),
        message: Some(storable(message)),
        ..TaskResult::default()
    }
}

fn completion(attempt: &Attempt, result: TaskResult) -> Write {
    Write::Complete(Completion { held: attempt.held(), result, error_count: 0 })
}

fn requeue(attempt: &Attempt, delay: Duration, attempt_back: bool, reason: &str, message: Option<String>) -> Write {
    Write::Requeue(Requeue {
        held: attempt.held(),
        delay: delay.min(DELAY_MAX),
        attempt_back,
        reason: Some(reason.to_owned()),
        message: message.map(storable),
        error_count: 0,
    })
}

/// Postgres stores no U+0000.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
