//! Giving back what dead workers held.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Leadership, Result};

/// A rescued task.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Rescued {
    /// Which task.
    pub task_id: Uuid,
    /// Its queue.
    pub queue: String,
    /// `queued`, `terminated`, or `complete` when its attempts are used up.
    pub status: String,
}

/// Claims looked at in one call: bounds how long the statement runs.
pub(crate) const RESCUE_CLAIMS: i32 = 20;

/// The queues of which dead workers hold tasks, for [`rescue`]. Forgets dead workers that hold none.
///
/// # Errors
/// Those of the database.
pub async fn orphaned_queues(db: impl PgExecutor<'_>, leadership: Leadership, witness: Uuid) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(include_str!("sql/orphaned_queues.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(witness)
        .fetch_all(db)
        .await?)
}

/// Gives the tasks of one queue back that dead workers held, of a few claims at a time; call again until nothing comes.
/// A worker is dead when it has not reported for its lease, while `witness`, the caller's own worker, has reported
/// without a gap for at least that long: after an outage everybody has one lease to report.
///
/// # Errors
/// Those of the database.
pub async fn rescue(
    db: impl PgExecutor<'_>,
    leadership: Leadership,
    witness: Uuid,
    queue: &str,
) -> Result<Vec<Rescued>> {
    Ok(sqlx::query_as(include_str!("sql/rescue.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(witness)
        .bind(RESCUE_CLAIMS)
        .bind(queue)
        .fetch_all(db)
        .await?)
}
