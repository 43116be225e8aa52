//! What is to be written for an outcome: the end of a task, or its way back to the queue.

use std::sync::Arc;
use std::time::Duration;

use longshore_queue::{
    Completion, Held, Outcome, Requeue, ResultStatus, RetryFailed, Suspension, TaskResult, TreeOutcome,
};

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
    /// The version of the design that it worked with, as long as it is not noted on the task.
    design: Option<[u8; 32]>,
    /// Whether its end may concern others.
    in_tree: bool,
    /// Whether a statement for tasks without a tree has left it undone.
    was_left: bool,
}

enum Write {
    Complete(Completion),
    Requeue(Requeue),
    Suspend(Suspension),
    RetryFailed(RetryFailed),
}

/// The statement that writes a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Tasks without a tree end.
    Complete,
    /// Tasks go back.
    Requeue,
    /// Whatever happens to a task of a tree; right for any task, and dearer.
    Tree,
}

impl Verdict {
    /// Decides: a failed attempt goes back until there are no more, what was not done goes back unburnt.
    pub(crate) fn of(attempt: Arc<Attempt>, outcome: Outcome) -> Self {
        let task = attempt.context.task();
        let mut in_tree = task.parent_task_id.is_some() || task.has_subtasks || attempt.context.has_inserted();
        let (write, finish) = match outcome {
            Outcome::Ended(result) => {
                let finish = match result.status {
                    ResultStatus::Success => Finish::Success,
                    ResultStatus::PartialSuccess => Finish::PartialSuccess,
                    ResultStatus::Failure | ResultStatus::Incomplete => Finish::Failure,
                };
                in_tree |= result.bubble.is_some();
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
            Outcome::Suspend { wait, timeout, seen } => {
                let held = attempt.held();
                let known = || task.subtasks.as_ref().map_or(0, |subtasks| subtasks.ended);
                let timeout = timeout.map(|timeout| timeout.min(DELAY_MAX));
                let suspension = Suspension { held, wait, timeout, seen: seen.unwrap_or_else(known), error_count: 0 };
                (Write::Suspend(suspension), Finish::Suspended)
            }
            Outcome::RetryFailed { max, message } => {
                let again = RetryFailed { held: attempt.held(), max, message: message.map(storable), error_count: 0 };
                (Write::RetryFailed(again), Finish::Retried)
            }
        };
        let terminated = attempt.context.stop_reason() == Some(Stop::Terminated);
        let finish = if terminated { Finish::Terminated } else { finish };
        let design = attempt.context.design().map(|design| design.content_hash().0);
        Self { attempt, finish, write, design, in_tree, was_left: false }
    }

    /// The database would not store the result: the task ends as a failure that says so.
    pub(crate) fn refused(self, error: &longshore_queue::Error) -> Self {
        let result = failure("result_refused", format!("the result cannot be stored: {error}"));
        let write = completion(&self.attempt, result);
        Self { write, finish: Finish::Failure, ..self }
    }

    /// The queue that the task was claimed from.
    pub(crate) fn queue(&self) -> &str {
        self.attempt.queue()
    }

    /// Whether the task goes back to the queue.
    pub(crate) fn goes_back(&self) -> bool {
        matches!(self.write, Write::Requeue(_))
    }

    /// What a statement for tasks without a tree left undone may belong to one by now.
    pub(crate) fn may_be_in_tree(mut self) -> Self {
        self.in_tree = true;
        self.was_left = true;
        self
    }

    /// The statement that writes it.
    pub(crate) fn way(&self) -> Way {
        match self.write {
            Write::Complete(_) if !self.in_tree => Way::Complete,
            Write::Requeue(_) if !self.was_left => Way::Requeue,
            _ => Way::Tree,
        }
    }

    /// The version of the design that is to be noted before the outcome is written; what completes a task notes it
    /// itself.
    pub(crate) fn design_to_note(&self) -> Option<(Held, [u8; 32])> {
        self.design.filter(|_| self.way() != Way::Complete).map(|design| (self.attempt.held(), design))
    }

    /// It is noted, or cannot be.
    pub(crate) fn design_is_noted(&mut self) {
        self.design = None;
    }

    /// What ends the task, once its messages are numbered.
    pub(crate) fn completion(&self) -> Option<Completion> {
        match &self.write {
            Write::Complete(completion) => {
                let (error_count, design_hash) = (self.error_count(), self.design);
                Some(Completion { error_count, design_hash, ..completion.clone() })
            }
            _ => None,
        }
    }

    /// What sends it back, once its messages are numbered.
    pub(crate) fn requeue(&self) -> Option<Requeue> {
        match &self.write {
            Write::Requeue(back) => Some(Requeue { error_count: self.error_count(), ..back.clone() }),
            _ => None,
        }
    }

    /// The same for a task of a tree.
    pub(crate) fn tree_outcome(&self) -> TreeOutcome {
        let error_count = self.error_count();
        let outcome: TreeOutcome = match &self.write {
            Write::Complete(completion) => Completion { error_count, ..completion.clone() }.into(),
            Write::Requeue(back) => Requeue { error_count, ..back.clone() }.into(),
            Write::Suspend(suspension) => Suspension { error_count, ..suspension.clone() }.into(),
            Write::RetryFailed(again) => RetryFailed { error_count, ..again.clone() }.into(),
        };
        let task = self.attempt.context.task();
        outcome.below(task.root_task_id.unwrap_or(task.task_id))
    }

    /// A short word for programs.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.write {
            Write::Complete(completion) => completion.result.reason.as_deref(),
            Write::Requeue(back) if self.finish != Finish::Released => back.reason.as_deref(),
            _ => None,
        }
    }

    /// One line for people.
    pub(crate) fn message(&self) -> Option<&str> {
        match &self.write {
            Write::Complete(completion) => completion.result.message.as_deref(),
            Write::Requeue(back) => back.message.as_deref(),
            Write::RetryFailed(again) => again.message.as_deref(),
            Write::Suspend(_) => None,
        }
    }

    /// After how long it is due again, if it is.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match &self.write {
            Write::Requeue(back) if self.finish != Finish::Terminated => Some(back.delay),
            Write::Suspend(suspension) => suspension.timeout,
            _ => None,
        }
    }

    /// Whether the database decides what becomes of the task: it has subtasks, or may have.
    pub(crate) fn has_subtasks(&self) -> bool {
        let is_plain = matches!(&self.write, Write::Complete(completion) if completion.result.bubble.is_none());
        self.attempt.context.task().has_subtasks || self.attempt.context.has_inserted() || self.was_left || !is_plain
    }

    /// Whether the task ends with it, unless it has subtasks.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.write, Write::Complete(_)) || self.finish == Finish::Terminated
    }

    fn error_count(&self) -> i32 {
        self.attempt.log().map_or(self.attempt.context.task().error_count, |log| log.error_count)
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
    Write::Complete(Completion { held: attempt.held(), result, error_count: 0, design_hash: None })
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
pub(crate) fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
