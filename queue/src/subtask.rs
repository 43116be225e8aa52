//! The nouns of a tree: what a task knows of its subtasks, and what it says about them. No I/O, no clock.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The subtasks of a task as they stood when they were read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Subtasks {
    /// How many had not ended.
    pub open: i64,
    /// How many had.
    pub ended: i64,
    /// The first of them, in the order of their ids.
    pub list: Vec<Subtask>,
}

/// A subtask, with what it left behind.
#[derive(Debug, Clone, Serialize, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns of the table tasks, under their own names")]
pub struct Subtask {
    pub task_id: Uuid,
    pub action: String,
    pub status: String,
    pub retry: i16,
    pub result_status: String,
    pub result_message: Option<String>,
    pub result_reason: Option<String>,
    pub result_successes: Vec<String>,
    pub result_failures: Vec<String>,
    #[sqlx(json(nullable))]
    pub output: Option<Box<RawValue>>,
}

/// What a suspended task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// That the last subtask ends.
    All,
    /// That one more subtask ends.
    Any,
}

/// What the failure of a subtask means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubtaskPolicy {
    /// Nothing: who waited for it runs all the same.
    Continue,
    /// None that still waits for another is released any more; they are terminated.
    Stop,
    /// Those that waited for it are terminated, and those that waited for these.
    TerminateDependants,
    /// All others are terminated.
    TerminateRest,
}

impl SubtaskPolicy {
    /// All of them, in the order of the database's type `task_subtask_policy`.
    pub const ALL: [Self; 4] = [Self::Continue, Self::Stop, Self::TerminateDependants, Self::TerminateRest];

    /// The name that SQL knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Stop => "stop",
            Self::TerminateDependants => "terminate_dependants",
            Self::TerminateRest => "terminate_rest",
        }
    }

    /// The policy of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }
}
