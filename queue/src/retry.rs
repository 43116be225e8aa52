//! Doing an ended task once more.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// Inserts an ended task once more, as a new one: the same but for its id, its place in a tree, which it keeps while
/// its parent is open, and `request_context.retry_of`, which names the old one. With `failed_only` its node filter is
/// made from the failures of the old one. Returns the new id, or `None` when a task with its key waits already.
///
/// # Errors
/// Those of the database; P0002 when there is no such task, 23514 when it has not ended, or named no failures.
pub async fn retry_task(db: impl PgExecutor<'_>, task_id: Uuid, failed_only: bool) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar(include_str!("sql/retry_task.sql")).bind(task_id).bind(failed_only).fetch_one(db).await?)
}
