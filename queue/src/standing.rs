//! What stands between a task and its run: facts, for whoever explains them.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// How a task stands, and who holds it.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
#[expect(missing_docs, reason = "most are the columns of the table tasks, under their own names")]
pub struct Standing {
    pub queue: String,
    pub action: String,
    pub status: String,
    pub result_status: String,
    pub result_reason: Option<String>,
    pub result_message: Option<String>,
    pub attempt: i16,
    pub max_attempts: i16,
    pub priority: i16,
    pub run_at: DateTime<Utc>,
    /// From now to `run_at`, by the database's clock; negative when it is due.
    pub due_in_seconds: f64,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub terminated_at: Option<DateTime<Utc>>,
    pub terminated_by: Option<String>,
    /// What a suspended task waits for: `any`, `all` or `end`; `None`: it is not suspended.
    pub waits_for: Option<String>,
    /// Those named by `after`, ended or not.
    pub predecessors: Vec<Uuid>,
    /// The worker that holds it, where it is known.
    pub holder_id: Option<Uuid>,
    /// Its name.
    pub holder_name: Option<String>,
    /// Since its last heartbeat.
    pub holder_silent_seconds: Option<f64>,
    /// After so long without one its tasks are given to others.
    pub holder_lease_seconds: Option<f64>,
    /// Whether it is claimed; without a holder its worker is gone.
    pub is_held: bool,
}

/// Reads how a task stands; `None` when there is none of that id.
///
/// # Errors
/// Those of the database.
pub async fn standing(db: impl PgExecutor<'_>, task_id: Uuid) -> Result<Option<Standing>> {
    Ok(sqlx::query_as(include_str!("sql/standing.sql")).bind(task_id).fetch_optional(db).await?)
}

/// Counts the due tasks that come before a queued one, up to `bound`.
///
/// # Errors
/// Those of the database.
pub async fn ahead(db: impl PgExecutor<'_>, task_id: Uuid, bound: i32) -> Result<i64> {
    Ok(sqlx::query_scalar(include_str!("sql/ahead.sql")).bind(task_id).bind(bound).fetch_one(db).await?)
}
