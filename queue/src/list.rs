//! Tasks at a glance: finding those that pass a filter, page by page. Nothing here locks.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use crate::{Result, ResultStatus, Status};

/// Tasks that one statement of [`find_tasks`] looks at: bounds how long it runs.
const WALKED: i32 = 10_000;

/// Deeper than any tree.
const ALL_LAYERS: i32 = 64;

/// Which tasks are meant; what is `None` or empty asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this action.
    pub action: Option<String>,
    /// In one of these states.
    pub statuses: Vec<Status>,
    /// With one of these results.
    pub results: Vec<ResultStatus>,
    /// Inserted by this schedule.
    pub schedule: Option<String>,
}

impl Filter {
    /// A statement with the parameters that `find_tasks.sql` and `find_in_tree.sql` have in common.
    fn bind<R: for<'r> FromRow<'r, sqlx::postgres::PgRow>>(
        &self,
        sql: &'static str,
        before: Uuid,
        limit: i32,
    ) -> QueryAs<'static, Postgres, R, PgArguments> {
        let names = |names: Vec<&'static str>| (!names.is_empty()).then_some(names);
        sqlx::query_as(sql)
            .bind(before)
            .bind(limit)
            .bind(self.queue.clone())
            .bind(self.action.clone())
            .bind(names(self.statuses.iter().map(|status| status.as_str()).collect()))
            .bind(names(self.results.iter().map(|result| result.as_str()).collect()))
            .bind(self.schedule.clone())
    }
}

/// A page of what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Found {
    /// The newest first.
    pub task_ids: Vec<Uuid>,
    /// All tasks down to this one were looked at, unless the page is full; `None` at the end.
    pub walked_to: Option<Uuid>,
}

/// Looks for the newest tasks with ids before one; begin with the largest id. Looks at 10,000 tasks at most: go on from
/// the last id where the page is full, else from `walked_to`.
///
/// # Errors
/// Those of the database.
pub async fn find_tasks(db: impl PgExecutor<'_>, filter: &Filter, before: Uuid, limit: i32) -> Result<Found> {
    Ok(filter.bind(include_str!("sql/find_tasks.sql"), before, limit).bind(WALKED).fetch_one(db).await?)
}

/// Which tasks of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The task's subtasks, and not theirs.
    Subtasks(Uuid),
    /// The task and all below it.
    Tree(Uuid),
}

/// Looks for the newest tasks of a tree with ids before one, of which it reads the whole tree.
///
/// # Errors
/// Those of the database.
pub async fn find_in_tree(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    within: Within,
    before: Uuid,
    limit: i32,
) -> Result<Vec<Uuid>> {
    let (task_id, first, last) = match within {
        Within::Subtasks(task_id) => (task_id, 2, 2),
        Within::Tree(task_id) => (task_id, 1, ALL_LAYERS),
    };
    let statement = filter.bind::<(Uuid,)>(include_str!("sql/find_in_tree.sql"), before, limit);
    let found = statement.bind(task_id).bind(first).bind(last).fetch_all(db).await?;
    Ok(found.into_iter().map(|(task_id,)| task_id).collect())
}

/// A task at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns of the table tasks, under their own names")]
pub struct TaskLine {
    pub task_id: Uuid,
    pub parent_task_id: Option<Uuid>,
    pub queue: String,
    pub action: String,
    pub status: String,
    pub result_status: String,
    pub result_reason: Option<String>,
    pub result_message: Option<String>,
    pub attempt: i16,
    pub max_attempts: i16,
    pub created: DateTime<Utc>,
    pub run_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// From the start of its last attempt to its end, or to now; `None` while it is queued, or where it never ran.
    pub took_seconds: Option<f64>,
    pub has_subtasks: bool,
}

impl TaskLine {
    /// Whether it has ended; a state of a later version is none that this one could wait for.
    pub fn has_ended(&self) -> bool {
        Status::parse(&self.status).is_none_or(Status::has_ended)
    }
}

/// Reads tasks at a glance, in the order of these ids; one that is not there is missing.
///
/// # Errors
/// Those of the database.
pub async fn task_lines(db: impl PgExecutor<'_>, task_ids: &[Uuid]) -> Result<Vec<TaskLine>> {
    Ok(sqlx::query_as(include_str!("sql/task_lines.sql")).bind(task_ids).fetch_all(db).await?)
}

/// Reads at most `limit` subtasks of each of these tasks, by parent and then by id.
///
/// # Errors
/// Those of the database.
pub async fn subtask_lines(db: impl PgExecutor<'_>, parents: &[Uuid], limit: i32) -> Result<Vec<TaskLine>> {
    Ok(sqlx::query_as(include_str!("sql/subtask_lines.sql")).bind(parents).bind(limit).fetch_all(db).await?)
}
