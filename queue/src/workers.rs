//! Who works: the workers with the queues that they serve, and the queues that there are. Only [`drain_worker`] changes
//! anything.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// Workers, and names of queues, read at most: more than one database serves.
pub(crate) const READ_MAX: i32 = 10_000;

/// A worker process.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct WorkerLine {
    /// Random per process.
    pub worker_id: Uuid,
    /// As configured.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// `working`, `draining`, or `silent`: it has not reported within its lease.
    pub state: String,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// Since its last heartbeat.
    pub heartbeat_age_seconds: f64,
    /// After so long without one it is taken for dead.
    pub lease_seconds: f64,
    /// Since when it claims no more.
    pub draining_since: Option<DateTime<Utc>>,
    /// Whether it is the active instance.
    pub leads: bool,
    /// What it serves, as of its last heartbeat; a worker of an earlier version does not say.
    #[sqlx(json)]
    pub queues: Vec<WorkerQueue>,
}

impl WorkerLine {
    /// Whether it claims.
    pub fn works(&self) -> bool {
        self.state == "working"
    }
}

/// A queue as a worker serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerQueue {
    /// Its name.
    pub queue: String,
    /// The actions that are claimed from it.
    pub actions: Vec<String>,
    /// How many of its tasks may run at once.
    pub slots: i32,
    /// Tasks claimed and not yet ended.
    pub running: i32,
    /// Slots without a task.
    pub free_slots: i32,
    /// Tasks claimed a second, between its last two heartbeats.
    pub claimed_per_second: f32,
    /// Attempts ended a second, likewise.
    pub finished_per_second: f32,
}

/// Reads the workers, by name.
///
/// # Errors
/// Those of the database.
pub async fn workers(db: impl PgExecutor<'_>) -> Result<Vec<WorkerLine>> {
    Ok(sqlx::query_as(include_str!("sql/workers.sql")).bind(READ_MAX).fetch_all(db).await?)
}

/// Tells a worker to drain, as SIGTERM does: it claims no more, finishes what it has within its deadline, and ends. It
/// hears of it at once, or by its next heartbeat. False when there is none of that id, or it drains already.
///
/// # Errors
/// Those of the database.
pub async fn drain_worker(db: impl PgExecutor<'_>, worker_id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar(include_str!("sql/drain_worker.sql")).bind(worker_id).fetch_one(db).await?)
}

/// Reads the names of the queues that somebody serves, that are paused, or in which tasks are queued.
///
/// # Errors
/// Those of the database.
pub async fn queue_names(db: impl PgExecutor<'_>) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(include_str!("sql/queue_names.sql")).bind(READ_MAX).fetch_all(db).await?)
}

/// Tasks that are looked at to say how many are inserted a second.
const INSERTED_MAX: i32 = 10_000;

/// Seconds looked back for them, where they are fewer.
const INSERTED_SECONDS: f64 = 5.0;

/// Says how many tasks a second were inserted of late, by queue; none are for those that are missing. Looks at the
/// newest ten thousand tasks of the last five seconds.
///
/// # Errors
/// Those of the database.
pub async fn inserted(db: impl PgExecutor<'_>) -> Result<Vec<(String, f64)>> {
    let statement = sqlx::query_as(include_str!("sql/inserted.sql")).bind(INSERTED_MAX).bind(INSERTED_SECONDS);
    Ok(statement.fetch_all(db).await?)
}
