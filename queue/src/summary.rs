//! What became of the tasks since an instant: for reports. Nothing here locks.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::Result;

/// How many tasks of an action stand at, or ended with, one status and result.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Tally {
    /// Which action.
    pub action: String,
    /// Where the tasks stand.
    pub status: String,
    /// Their result; `incomplete` while they have none.
    pub result_status: String,
    /// How many there are.
    pub tasks: i64,
    /// Attempts begun, of all of them together.
    pub attempts: i64,
    /// Those among them with more than one attempt.
    pub repeated: i64,
}

impl Tally {
    /// Whether these tasks have ended.
    pub fn is_ended(&self) -> bool {
        matches!(self.status.as_str(), "complete" | "terminated")
    }
}

/// Counts the tasks created since an instant, by action and outcome, in the order of their names.
///
/// # Errors
/// Those of the database.
pub async fn summary(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<Vec<Tally>> {
    Ok(sqlx::query_as(include_str!("sql/summary.sql")).bind(since).fetch_all(db).await?)
}

/// How fast tasks were done. Times are in seconds, and `None` when no task has ended.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Pace {
    /// Tasks that have run and ended.
    pub ended: i64,
    /// From the first insert until the last of them had ended.
    pub last_seconds: Option<f64>,
    /// From the first insert until 95 of 100 of them had ended.
    pub p95_seconds: Option<f64>,
    /// Half of them waited at most so long, from due to claimed; counted for the last attempt.
    pub wait_p50_seconds: Option<f64>,
    /// The same for 95 of 100.
    pub wait_p95_seconds: Option<f64>,
    /// The same for 99 of 100.
    pub wait_p99_seconds: Option<f64>,
}

/// Measures how fast the tasks created since an instant were done.
///
/// # Errors
/// Those of the database.
pub async fn pace(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<Pace> {
    Ok(sqlx::query_as(include_str!("sql/pace.sql")).bind(since).fetch_one(db).await?)
}
