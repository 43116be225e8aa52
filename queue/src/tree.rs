//! Task trees: settling a task that others wait for, and the subtasks of one that runs.

use serde::Serialize;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::complete::{Completion, LastOf, OUTPUT_IN_ROW_MAX_BYTES, Requeue};
use crate::insert::columns;
use crate::rescue::RESCUE_CLAIMS;
use crate::{Error, Held, Leadership, NewTask, Rescued, Result, Subtask, TaskResult, Wait};

/// What is to be written for a held task of a tree, in the form that the function `settle_tree` reads.
#[derive(Debug, Clone, Serialize)]
pub struct TreeOutcome {
    #[serde(skip)]
    held: Held,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Uuid>,
    #[serde(flatten)]
    outcome: Written,
}

impl TreeOutcome {
    /// The same, with the uppermost task of its tree, which is looked up else.
    #[must_use]
    pub fn below(self, root_task_id: Uuid) -> Self {
        Self { root: Some(root_task_id), ..self }
    }
}

/// One of the ways to settle.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Written {
    Complete {
        error_count: i32,
        result: TaskResult,
    },
    Requeue {
        error_count: i32,
        result: Details,
        delay: f64,
        attempt_back: bool,
    },
    Suspend {
        error_count: i32,
        waits_for: Wait,
        seen: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    RetryFailed {
        error_count: i32,
        result: Details,
        max: u16,
    },
}

/// What a requeued task says of itself.
#[derive(Debug, Clone, Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl From<Completion> for TreeOutcome {
    fn from(end: Completion) -> Self {
        Self {
            held: end.held,
            root: None,
            outcome: Written::Complete { error_count: end.error_count, result: end.result },
        }
    }
}

impl From<Requeue> for TreeOutcome {
    fn from(back: Requeue) -> Self {
        let result = Details { reason: back.reason, message: back.message };
        let (error_count, attempt_back) = (back.error_count, back.attempt_back);
        let outcome = Written::Requeue { error_count, result, delay: back.delay.as_secs_f64(), attempt_back };
        Self { held: back.held, root: None, outcome }
    }
}

/// A task that waits for its subtasks.
#[derive(Debug, Clone)]
pub struct Suspension {
    /// The task, as held.
    pub held: Held,
    /// For all of them, or any.
    pub wait: Wait,
    /// For so long at most.
    pub timeout: Option<std::time::Duration>,
    /// How many ended subtasks its executor knows of.
    pub seen: i64,
    /// How many of its messages have the error flag.
    pub error_count: i32,
}

impl From<Suspension> for TreeOutcome {
    fn from(wait: Suspension) -> Self {
        let outcome = Written::Suspend {
            error_count: wait.error_count,
            waits_for: wait.wait,
            seen: wait.seen,
            timeout: wait.timeout.map(|timeout| timeout.as_secs_f64()),
        };
        Self { held: wait.held, root: None, outcome }
    }
}

/// A task that does once more what its subtasks failed to do.
#[derive(Debug, Clone)]
pub struct RetryFailed {
    /// The task, as held.
    pub held: Held,
    /// So often at most.
    pub max: Option<u16>,
    /// One line for people.
    pub message: Option<String>,
    /// How many of its messages have the error flag.
    pub error_count: i32,
}

impl From<RetryFailed> for TreeOutcome {
    fn from(again: RetryFailed) -> Self {
        let result = Details { reason: None, message: again.message };
        let outcome = Written::RetryFailed { error_count: again.error_count, result, max: again.max.unwrap_or(0) };
        Self { held: again.held, root: None, outcome }
    }
}

/// Settles held tasks that belong to trees, or may, with what follows for those around them, in one transaction.
/// Returns the ids that were settled, as [`complete`](crate::complete()) does: one that is missing may be sent again.
///
/// # Errors
/// Those of the database; a result that Postgres cannot store refuses the whole batch.
pub async fn settle_tree(db: impl PgExecutor<'_>, outcomes: &[TreeOutcome], last: &LastOf) -> Result<Vec<Uuid>> {
    let (tokens, open) = last.columns();
    Ok(sqlx::query_scalar(include_str!("sql/settle_tree.sql"))
        .bind(outcomes.iter().map(|one| one.held.task_id).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|one| one.held.claim_token).collect::<Vec<_>>())
        .bind(outcomes.iter().map(Json).collect::<Vec<_>>())
        .bind(OUTPUT_IN_ROW_MAX_BYTES)
        .bind(tokens)
        .bind(open)
        .fetch_all(db)
        .await?)
}

/// What came of subtasks that were asked for.
#[derive(Debug)]
pub enum Insertion {
    /// They are there.
    Done,
    /// None is: the task is not held or does not run, or somebody has it locked at this moment
    /// ([`fates`](crate::fates) tells).
    NotHeld,
    /// None is: one of them was refused.
    Refused(Error),
}

/// Inserts tasks below a held one of this queue, each with an id of the caller's. Sent twice, the second has no effect.
///
/// # Errors
/// Those of the database that may pass.
pub async fn insert_subtasks(db: impl PgExecutor<'_>, queue: &str, held: Held, tasks: &[NewTask]) -> Result<Insertion> {
    let inserted = sqlx::query_scalar_with(include_str!("sql/insert_subtasks.sql"), columns(tasks)?)
        .bind(held.task_id)
        .bind(held.claim_token)
        .bind(queue)
        .fetch_one(db)
        .await;
    match inserted.map_err(Error::from) {
        Ok(true) => Ok(Insertion::Done),
        Ok(false) => Ok(Insertion::NotHeld),
        Err(error) if !error.is_passing() => Ok(Insertion::Refused(error)),
        Err(error) => Err(error),
    }
}

/// How many subtasks a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct SubtaskCounts {
    /// The parent.
    pub task_id: Uuid,
    /// Those that have not ended.
    pub open: i64,
    /// Those that have.
    pub ended: i64,
}

/// Counts the subtasks of tasks; one without any is missing.
///
/// # Errors
/// Those of the database.
pub async fn subtask_counts(db: impl PgExecutor<'_>, task_ids: &[Uuid]) -> Result<Vec<SubtaskCounts>> {
    Ok(sqlx::query_as(include_str!("sql/subtask_counts.sql")).bind(task_ids).fetch_all(db).await?)
}

/// Reads at most `limit` subtasks of a task with ids behind `after`, in the order of ids; begin with the nil id.
///
/// # Errors
/// Those of the database.
pub async fn subtasks(db: impl PgExecutor<'_>, task_id: Uuid, after: Uuid, limit: i32) -> Result<Vec<Subtask>> {
    Ok(sqlx::query_as(include_str!("sql/subtasks.sql")).bind(task_id).bind(after).bind(limit).fetch_all(db).await?)
}

/// Ends the tasks of trees that dead workers held and that do not go back to the queue: what
/// [`rescue`](crate::rescue()) leaves.
///
/// # Errors
/// Those of the database.
pub async fn rescue_trees(db: impl PgExecutor<'_>, leadership: Leadership, witness: Uuid) -> Result<Vec<Rescued>> {
    Ok(sqlx::query_as(include_str!("sql/rescue_trees.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(witness)
        .bind(RESCUE_CLAIMS)
        .fetch_all(db)
        .await?)
}
