//! Ending a task from outside.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// Ends a task: at once while it waits; one that runs is told, and ends terminated whatever it then returns. False when
/// it had ended already or does not exist.
///
/// # Errors
/// Those of the database.
pub async fn terminate(db: impl PgExecutor<'_>, task_id: Uuid, by: Option<&str>) -> Result<bool> {
    Ok(sqlx::query_scalar(include_str!("sql/terminate.sql")).bind(task_id).bind(by).fetch_one(db).await?)
}
