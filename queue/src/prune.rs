//! Upkeep of the partitions, done by the active instance: ranges ahead of time, and retention of what has ended.
//!
//! The steps are functions of the database (`migrations/0002_retention.sql`), since a worker's role owns no table. Each
//! call is one transaction and takes a moment; whoever dies between two of them leaves the rest to the next.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::leader::unless_deposed;
use crate::{Leadership, Result};

/// How long a task is kept after it has ended. One that has not ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For `success`. In whole microseconds, as every duration here.
    pub success: Duration,
    /// For all other ends: partial success, failure, terminated.
    pub other: Duration,
}

/// What a call of [`upkeep_step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum UpkeepAction {
    /// Went one of three steps towards a new range ahead.
    Extend,
    /// Closed a past range to new tasks.
    Seal,
    /// Looked at the next batch of a sealed range.
    Count,
    /// Deleted what has expired from the next batch.
    Thin,
    /// Copied what has not expired from the next batch.
    Copy,
    /// Put a finished copy in its range's place.
    Swap,
    /// Dropped a range.
    Drop,
    /// Nothing: only swaps are left, and a snapshot is open that is older than their copies.
    Wait,
    /// Nothing: somebody held a lock for too long.
    Blocked,
    /// Nothing: this process is not the active instance.
    NotActive,
    /// Nothing: all is done.
    Nothing,
}

impl UpkeepAction {
    /// True if another call may find more to do at once; else it is time for a pause.
    pub fn goes_on(self) -> bool {
        !matches!(self, Self::Wait | Self::Blocked | Self::NotActive | Self::Nothing)
    }
}

/// One step of upkeep.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UpkeepStep {
    /// The range, by the name that its partitions carry; `None` where there was nothing to do.
    pub partition: Option<String>,
    /// What was done.
    pub action: UpkeepAction,
    /// How many tasks were counted, deleted, copied, swapped or dropped.
    pub tasks: i64,
}

/// Takes the next step of upkeep, at most one, for the active instance.
///
/// Each step waits for a lock 100 ms at most, and claims wait behind it for as long: on [`UpkeepAction::Blocked`] pause
/// for seconds. Call it outside of a transaction: its locks last as long as that.
pub async fn upkeep_step(db: impl PgExecutor<'_>, leadership: Leadership, retention: Retention) -> Result<UpkeepStep> {
    let step = sqlx::query_as(include_str!("sql/upkeep_step.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(retention.success)
        .bind(retention.other)
        .fetch_one(db)
        .await;
    unless_deposed(step, UpkeepStep { partition: None, action: UpkeepAction::NotActive, tasks: 0 })
}

/// Gathers the statistics of the partitioned tables as a whole; false if the caller is not the active instance.
pub async fn analyze_tables(db: impl PgExecutor<'_>, leadership: Leadership) -> Result<bool> {
    let analyzed = sqlx::query(include_str!("sql/analyze_tables.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .execute(db)
        .await;
    unless_deposed(analyzed.map(|_| true), false)
}

/// The bytes that one range takes on disk, with its indexes and wide values.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct PartitionBytes {
    /// The range, by the name that its partitions carry.
    pub partition: String,
    /// How many tasks it held at its last ANALYZE or VACUUM; `None` before the first.
    pub tasks: Option<i64>,
    /// Its part of `tasks`.
    pub tasks_bytes: i64,
    /// Its part of `result_message`.
    pub result_message_bytes: i64,
    /// Its part of `task_output`.
    pub task_output_bytes: i64,
}

/// Reads the bytes on disk of every partition, oldest first.
pub async fn table_bytes(db: impl PgExecutor<'_>) -> Result<Vec<PartitionBytes>> {
    Ok(sqlx::query_as(include_str!("sql/table_bytes.sql")).fetch_all(db).await?)
}
