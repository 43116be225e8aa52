//! Workers, what they hold, who leads, and what nobody takes.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;
use crate::workers::READ_MAX;

/// A worker that has stopped reporting and was not declared dead.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct SilentWorker {
    /// Random per process.
    pub worker_id: Uuid,
    /// As configured.
    pub name: String,
    /// Since its last heartbeat.
    pub silent_seconds: f64,
    /// After how long its tasks are to be given back.
    pub lease_seconds: f64,
    /// Tasks in its claims.
    pub tasks: i64,
}

/// Finds workers whose lease has run out for longer than `grace`, the longest silent first.
///
/// # Errors
/// Those of the database.
pub async fn examine_workers(db: impl PgExecutor<'_>, grace: Duration) -> Result<Vec<SilentWorker>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_workers.sql")).bind(grace.as_secs_f64()).fetch_all(db).await?)
}

/// Claims of workers that are not there.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct OrphanedClaims {
    /// How many there are.
    pub claims: i64,
    /// Tasks in them.
    pub tasks: i64,
    /// The age of the oldest; 0 when there is none.
    pub oldest_seconds: f64,
}

/// Counts claims without a worker that are older than `grace`.
///
/// # Errors
/// Those of the database.
pub async fn examine_claims(db: impl PgExecutor<'_>, grace: Duration) -> Result<OrphanedClaims> {
    Ok(sqlx::query_as(include_str!("../sql/examine_claims.sql")).bind(grace.as_secs_f64()).fetch_one(db).await?)
}

/// Who leads, and who could.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Lead {
    /// For how long nobody has led; `None`: somebody does.
    pub vacant_seconds: Option<f64>,
    /// Workers that have reported within their lease.
    pub alive: i64,
    /// For how long the one of them that began first has been there; 0 when there is none.
    pub oldest_alive_seconds: f64,
}

/// Looks at the lead.
///
/// # Errors
/// Those of the database.
pub async fn examine_lead(db: impl PgExecutor<'_>) -> Result<Lead> {
    Ok(sqlx::query_as(include_str!("../sql/examine_lead.sql")).fetch_one(db).await?)
}

/// Tasks of one queue and action that have been due for long.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct OverdueTasks {
    /// Which queue.
    pub queue: String,
    /// Which action.
    pub action: String,
    /// How many, of the 1000 longest due of each priority of the queue.
    pub tasks: i64,
    /// Whether a pause holds them.
    pub paused: bool,
    /// Whether a worker that is alive serves this queue and knows this action, or does not say what it does.
    pub served: bool,
    /// For how long the oldest has been due.
    pub oldest_seconds: f64,
}

/// Finds tasks that have been due for longer than `wait`, the longest due first, in as many queues as
/// [`queue_names`](crate::queue_names) reads.
///
/// # Errors
/// Those of the database.
pub async fn examine_waiting(db: impl PgExecutor<'_>, wait: Duration) -> Result<Vec<OverdueTasks>> {
    let statement = sqlx::query_as(include_str!("../sql/examine_waiting.sql")).bind(wait.as_secs_f64());
    Ok(statement.bind(READ_MAX).fetch_all(db).await?)
}
