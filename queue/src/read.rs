//! Reading: a task, its log, and how much waits. Nothing here locks.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Result;

/// A task as it stands.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns of the table tasks, under their own names")]
pub struct TaskState {
    pub task_id: Uuid,
    pub action: String,
    pub queue: String,
    pub status: String,
    pub attempt: i16,
    pub max_attempts: i16,
    pub run_at: DateTime<Utc>,
    pub created: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub result_status: String,
    pub result_message: Option<String>,
    pub result_reason: Option<String>,
    pub result_error_count: i32,
    pub result_successes: Vec<String>,
    pub result_failures: Vec<String>,
    pub output: Option<Value>,
    pub design_hash: Option<Vec<u8>>,
    pub terminated_at: Option<DateTime<Utc>>,
    pub terminated_by: Option<String>,
}

/// Reads a task; `None` when there is none of that id.
///
/// # Errors
/// Those of the database.
pub async fn read(db: impl PgExecutor<'_>, task_id: Uuid) -> Result<Option<TaskState>> {
    Ok(sqlx::query_as(include_str!("sql/read.sql")).bind(task_id).fetch_optional(db).await?)
}

/// A worker that holds a task.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Holder {
    /// Random per process.
    pub worker_id: Uuid,
    /// As configured.
    pub name: String,
}

/// Says who holds a task; `None` when nobody does.
///
/// # Errors
/// Those of the database.
pub async fn holder(db: impl PgExecutor<'_>, task_id: Uuid) -> Result<Option<Holder>> {
    Ok(sqlx::query_as(include_str!("sql/holder.sql")).bind(task_id).fetch_optional(db).await?)
}

/// A message as recorded.
#[derive(Debug, Clone, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns of the table result_message, under their own names")]
pub struct RecordedMessage {
    pub sequence: i32,
    pub ts: DateTime<Utc>,
    pub error: bool,
    pub message: String,
    pub context: Option<String>,
    pub context_type: Option<String>,
    pub extra: Option<Value>,
}

/// Reads at most `limit` messages of a task after a sequence number, in order.
///
/// # Errors
/// Those of the database.
pub async fn messages(db: impl PgExecutor<'_>, task_id: Uuid, after: i32, limit: i32) -> Result<Vec<RecordedMessage>> {
    Ok(sqlx::query_as(include_str!("sql/messages.sql")).bind(task_id).bind(after).bind(limit).fetch_all(db).await?)
}

/// A message of one of the tasks of a tree.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TreeMessage {
    /// Which task.
    pub task_id: Uuid,
    /// What the task is to do.
    pub action: String,
    /// What it said.
    #[sqlx(flatten)]
    pub message: RecordedMessage,
}

/// Up to where the logs of the tasks of a tree were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeCursor(HashMap<Uuid, i32>);

impl TreeCursor {
    /// Notes that this message was read.
    pub fn read(&mut self, message: &TreeMessage) {
        self.0.insert(message.task_id, message.message.sequence);
    }
}

/// Reads at most `limit` messages of a task and of all below it that were not read yet, in the order of their times.
/// None is missed, in whatever order they are committed; one that is committed late may come after younger ones.
///
/// Looks at every task of the tree, however little was said.
///
/// # Errors
/// Those of the database.
pub async fn tree_messages(
    db: impl PgExecutor<'_>,
    task_id: Uuid,
    cursor: &TreeCursor,
    limit: i32,
) -> Result<Vec<TreeMessage>> {
    Ok(sqlx::query_as(include_str!("sql/tree_messages.sql"))
        .bind(task_id)
        .bind(Json(&cursor.0))
        .bind(limit)
        .fetch_all(db)
        .await?)
}

/// Announces a follower of logs for the next 30 seconds: meanwhile a [`Listener`](crate::Listener) that listens for
/// messages hears of each that is recorded. Announce first, then read.
///
/// # Errors
/// Those of the database.
pub async fn follow_log(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query(include_str!("sql/follow_log.sql")).execute(db).await?;
    Ok(())
}

/// How much waits in a queue.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Depth {
    /// Which queue.
    pub queue: String,
    /// Due tasks, counted up to the bound per priority.
    pub ready: i64,
    /// Tasks due later, counted likewise.
    pub scheduled: i64,
    /// Tasks that a worker holds, counted up to the bound over all queues.
    pub running: i64,
    /// How long the oldest due task has waited; 0 when none does.
    pub oldest_ready_age_seconds: f64,
}

/// Counts what waits, up to `bound` rows a queue, priority and state.
///
/// # Errors
/// Those of the database.
pub async fn depths(db: impl PgExecutor<'_>, queues: &[String], bound: i32) -> Result<Vec<Depth>> {
    Ok(sqlx::query_as(include_str!("sql/depths.sql")).bind(bound).bind(queues).fetch_all(db).await?)
}

/// The fleet at a glance.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Fleet {
    /// Workers that have reported within their lease.
    pub alive: i64,
    /// Tasks in open claims: an upper bound of what runs.
    pub claimed: i64,
}

/// Counts workers and claimed tasks.
///
/// # Errors
/// Those of the database.
pub async fn fleet(db: impl PgExecutor<'_>) -> Result<Fleet> {
    Ok(sqlx::query_as(include_str!("sql/fleet.sql")).fetch_one(db).await?)
}

/// What a table weighs, with its partitions.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct TableHealth {
    /// Which table.
    pub table_name: String,
    /// Its rows, indexes and wide values, on disk.
    pub bytes: i64,
    /// Rows, as the server estimates them.
    pub live_rows: i64,
    /// Rows that were changed or deleted and not yet vacuumed away, likewise.
    pub dead_rows: i64,
}

/// The tables that [`table_health`] looks at: those that grow or change with every task.
const TABLES: [&str; 5] = ["tasks", "result_message", "task_output", "claims", "workers"];

/// Weighs the tables that grow or change with every task.
///
/// # Errors
/// Those of the database.
pub async fn table_health(db: impl PgExecutor<'_>) -> Result<Vec<TableHealth>> {
    Ok(sqlx::query_as(include_str!("sql/table_health.sql")).bind(&TABLES[..]).fetch_all(db).await?)
}

/// For how many seconds the oldest transaction has been open that keeps vacuum from dead rows; 0 when none does.
///
/// # Errors
/// Those of the database.
pub async fn oldest_snapshot(db: impl PgExecutor<'_>) -> Result<f64> {
    Ok(sqlx::query_scalar(include_str!("sql/oldest_snapshot.sql")).fetch_one(db).await?)
}
