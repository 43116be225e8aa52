//! The nouns: a task, its states and the legal steps between them, and how it can end. No I/O, no clock.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Subtasks, Wait};

/// Where a task stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for other tasks.
    Requested,
    /// May be claimed once its `run_at` has come.
    Queued,
    /// A worker holds it.
    Running,
    /// A worker holds it and has been asked to end it.
    Terminating,
    /// Ended because somebody asked for it.
    Terminated,
    /// Ended by its own outcome.
    Complete,
}

impl Status {
    /// All states, in the order of the database's type `task_status`.
    pub const ALL: [Self; 6] =
        [Self::Requested, Self::Queued, Self::Running, Self::Terminating, Self::Terminated, Self::Complete];

    /// The name that SQL knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Terminating => "terminating",
            Self::Terminated => "terminated",
            Self::Complete => "complete",
        }
    }

    /// The state of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// True for a state that is never left.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Terminated | Self::Complete)
    }

    /// True for a state in which a worker holds the task.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Running | Self::Terminating)
    }

    /// The one table of legal steps: what `step` makes of a task in this state, or `None` where it may not be taken.
    /// With open subtasks, what would be complete is requested instead, and what would be terminated is terminating,
    /// until [`Step::Settle`].
    pub fn after(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Requested, Step::Release) | (Self::Running, Step::Requeue) => Some(Self::Queued),
            (Self::Queued, Step::Claim) => Some(Self::Running),
            (Self::Running, Step::Complete) => Some(Self::Complete),
            (Self::Running, Step::Suspend) => Some(Self::Requested),
            (Self::Running, Step::Terminate) => Some(Self::Terminating),
            (Self::Requested, Step::Settle) => Some(Self::Complete),
            (Self::Requested | Self::Queued, Step::Terminate)
            | (Self::Requested | Self::Queued | Self::Running, Step::Deduplicate)
            | (Self::Terminating, Step::Complete | Step::Requeue | Step::Suspend | Step::Settle) => {
                Some(Self::Terminated)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What it waited for has ended.
    Release,
    /// A worker takes it.
    Claim,
    /// Its executor has brought a result.
    Complete,
    /// Retry, snooze, release by its worker, or rescue from a dead one.
    Requeue,
    /// Its executor waits for subtasks.
    Suspend,
    /// Somebody asked to end it.
    Terminate,
    /// Its last subtask has ended, after its executor had, or after somebody asked to end it.
    Settle,
    /// Another task with its unique key runs: it ends before its executor begins.
    Deduplicate,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 8] = [
        Self::Release,
        Self::Claim,
        Self::Complete,
        Self::Requeue,
        Self::Suspend,
        Self::Terminate,
        Self::Settle,
        Self::Deduplicate,
    ];
}

/// How well a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// Not ended, or ended without saying.
    #[default]
    Incomplete,
    /// All of it was done.
    Success,
    /// Some of it was done.
    PartialSuccess,
    /// None of it was done.
    Failure,
}

impl ResultStatus {
    /// All of them, in the order of the database's type `task_result_status`.
    pub const ALL: [Self; 4] = [Self::Incomplete, Self::Success, Self::PartialSuccess, Self::Failure];

    /// The name that SQL knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Success => "success",
            Self::PartialSuccess => "partial_success",
            Self::Failure => "failure",
        }
    }

    /// The result of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == name)
    }
}

impl fmt::Display for ResultStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A task as a worker holds it. The columns are those of the table `tasks`; serialized, it is what `command` reads on
/// stdin and `http` posts.
#[derive(Debug, Clone, Serialize)]
pub struct Task {
    /// Identity, a UUIDv7.
    pub task_id: Uuid,
    /// The task that this one is a part of.
    pub parent_task_id: Option<Uuid>,
    /// The uppermost task of its tree; `None` for one without a parent.
    #[serde(skip)]
    pub root_task_id: Option<Uuid>,
    /// What to do.
    pub action: String,
    /// The lane that it was claimed from.
    pub queue: String,
    /// 0 (first) to 9.
    pub priority: i16,
    /// The producer's JSON, passed through unparsed.
    pub payload: Box<RawValue>,
    /// URI of the input documents.
    pub design_ref: Option<String>,
    /// Which nodes it is about.
    pub node_filter: Option<Box<RawValue>>,
    /// The producer's context, such as a `traceparent`.
    pub request_context: Option<Box<RawValue>>,
    /// When it became due.
    pub run_at: DateTime<Utc>,
    /// When it was inserted: the start of the producer's transaction.
    pub created: DateTime<Utc>,
    /// Who inserted it.
    pub created_by: String,
    /// How long one attempt may take; `None` leaves it to the action's configuration.
    #[serde(rename = "timeout_seconds", serialize_with = "as_seconds")]
    pub timeout: Option<Duration>,
    /// This attempt's number, from 1.
    pub attempt: i16,
    /// After how many attempts a failure is final.
    pub max_attempts: i16,
    /// The retry sequence of a task tree.
    pub retry: i16,
    /// The key that kept duplicates out.
    pub unique_key: Option<String>,
    /// Whether anybody has inserted a subtask of it before this claim.
    #[serde(skip)]
    pub has_subtasks: bool,
    /// Its subtasks, read at the start of the attempt; `None` when it had none.
    pub subtasks: Option<Subtasks>,
    /// How many messages with the error flag it had before this attempt.
    #[serde(skip)]
    pub error_count: i32,
}

fn as_seconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|d| d.as_secs_f64()).serialize(serializer)
}

/// What an ended task leaves behind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// How well it ended.
    pub status: ResultStatus,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A short word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names (of nodes, say) for which it went well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successes: Vec<String>,
    /// Names for which it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// Relation to list of URIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Box<RawValue>>,
    /// Whatever the executor computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// That the results of the subtasks shall be collected into this one: the status is theirs then, unless it is a
    /// failure, and their names are appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bubble: Option<Bubble>,
}

/// Which results of subtasks are collected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bubble {
    /// Status and successes only of subtasks of this action; failures of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

impl TaskResult {
    /// Whether there is anything beside the status.
    pub fn has_details(&self) -> bool {
        self.message.is_some()
            || self.reason.is_some()
            || self.links.is_some()
            || self.output.is_some()
            || !self.successes.is_empty()
            || !self.failures.is_empty()
    }
}

/// What an executor makes of one attempt.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The task has ended.
    Ended(TaskResult),
    /// The attempt failed: run again after `after`, or after the action's backoff; after `max_attempts` the task ends
    /// as a failure with this message.
    Retry {
        /// How long to wait at least.
        after: Option<Duration>,
        /// What went wrong, for people.
        message: String,
        /// What went wrong, a short word for programs: `timeout`, `exit`, `panic`, …
        reason: &'static str,
    },
    /// Not now: run again after this, the attempt given back.
    Snooze {
        /// How long to wait.
        after: Duration,
    },
    /// Not started, or not by this worker: back to the queue at once, the attempt given back.
    Release,
    /// Waits for its subtasks without holding a slot, and runs again then, the attempt given back.
    Suspend {
        /// For all of them, or any.
        wait: Wait,
        /// For so long at most; `None` for as long as it takes.
        timeout: Option<Duration>,
        /// How many ended subtasks the executor knows of: one more counts for [`Wait::Any`]. `None`: those of
        /// [`Task::subtasks`].
        seen: Option<i64>,
    },
    /// Collects the results of its subtasks. With failures among them it runs again, with `retry` one higher and the
    /// attempt given back, to do what failed once more; without, or after `max` times, it ends.
    RetryFailed {
        /// So often at most; `None` for as often as it takes.
        max: Option<u16>,
        /// One line for people.
        message: Option<String>,
    },
}

impl Outcome {
    /// All of it was done.
    pub fn success() -> Self {
        Self::Ended(TaskResult { status: ResultStatus::Success, ..TaskResult::default() })
    }

    /// Done, with an output.
    pub fn success_with(output: Box<RawValue>) -> Self {
        Self::Ended(TaskResult { status: ResultStatus::Success, output: Some(output), ..TaskResult::default() })
    }

    /// Failed for good: no further attempt.
    pub fn failure(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Ended(TaskResult {
            status: ResultStatus::Failure,
            message: Some(message.into()),
            reason: Some(reason.into()),
            ..TaskResult::default()
        })
    }

    /// Failed this time: the action's backoff decides when to try again.
    pub fn retry(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Retry { after: None, message: message.into(), reason }
    }
}

/// One entry of a task's log.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ResultMessage {
    /// What happened.
    pub message: String,
    /// Whether it is an error; counted in `result_error_count`.
    #[serde(default)]
    pub error: bool,
    /// What it is about (a node's name, say).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What kind of thing `context` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_type: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<serde_json::Value>,
}

impl ResultMessage {
    /// An entry that says something.
    pub fn note(message: impl Into<String>) -> Self {
        Self { message: message.into(), error: false, context: None, context_type: None, extra: None }
    }

    /// An entry that says what went wrong.
    pub fn error(message: impl Into<String>) -> Self {
        Self { error: true, ..Self::note(message) }
    }
}
