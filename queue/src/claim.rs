//! Claiming: one statement takes a batch of due tasks, and says where the next one shall begin.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use crate::{Result, Task};

/// How many priorities there are: 0, first, to 9.
pub const PRIORITIES: usize = 10;

/// A place in the order of one queue and priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// First by due time.
    pub run_at: DateTime<Utc>,
    /// Then by id.
    pub task_id: Uuid,
}

impl Key {
    /// Before every task.
    pub const START: Self = Self { run_at: DateTime::UNIX_EPOCH, task_id: Uuid::nil() };
}

/// Where to begin, per priority.
pub type Keys = [Key; PRIORITIES];

/// What to claim.
#[derive(Debug)]
pub struct ClaimRequest<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The actions that this worker knows.
    pub actions: &'a [String],
    /// At most so many.
    pub limit: usize,
    /// Who claims.
    pub worker_id: Uuid,
    /// The fresh token of this batch.
    pub claim_token: Uuid,
    /// Only what lies behind these.
    pub keys: &'a Keys,
}

/// A claimed batch.
#[derive(Debug)]
pub struct Claimed {
    /// The database's time at the claim.
    pub claimed_at: DateTime<Utc>,
    /// Stands for what is paused of the queue; `None`: nothing is. Once it changes, what lies before the keys may be
    /// due.
    pub paused: Option<i64>,
    /// The tasks, in the order of the queue: by priority, `run_at`, id.
    pub tasks: Vec<Task>,
}

/// Claims a batch. Once this returns, the tasks are this worker's until it settles them or its lease runs out; if the
/// connection breaks meanwhile, [`forgotten`](crate::forgotten) finds what was claimed.
///
/// # Errors
/// Those of the database.
pub async fn claim(db: impl PgExecutor<'_>, request: &ClaimRequest<'_>) -> Result<Claimed> {
    let priorities: [i16; PRIORITIES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let rows = sqlx::query(include_str!("sql/claim.sql"))
        .bind(request.queue)
        .bind(request.actions)
        .bind(i32::try_from(request.limit).unwrap_or(i32::MAX))
        .bind(request.claim_token)
        .bind(request.worker_id)
        .bind(&priorities[..])
        .bind(request.keys.map(|key| key.run_at))
        .bind(request.keys.map(|key| key.task_id))
        .fetch_all(db)
        .await?;
    let mut claimed = Claimed { claimed_at: DateTime::UNIX_EPOCH, paused: None, tasks: Vec::with_capacity(rows.len()) };
    for row in &rows {
        claimed.claimed_at = row.try_get_unchecked(0)?;
        claimed.paused = row.try_get_unchecked(20)?;
        if let Some(task_id) = row.try_get_unchecked::<Option<Uuid>, _>(1)? {
            claimed.tasks.push(task(row, task_id, request.queue)?);
        }
    }
    // the UPDATE returns them as it met them, which is this order already; a stable sort costs nothing then
    claimed.tasks.sort_by_key(|task| (task.priority, task.run_at, task.task_id));
    Ok(claimed)
}

/// Reads a row by position: the order of columns is that of `claim.sql`.
fn task(row: &PgRow, task_id: Uuid, queue: &str) -> Result<Task> {
    let raw = |index: usize| -> sqlx::Result<Option<Box<RawValue>>> {
        Ok(row.try_get_unchecked::<Option<Json<Box<RawValue>>>, _>(index)?.map(|json| json.0))
    };
    Ok(Task {
        task_id,
        queue: queue.to_owned(),
        action: row.try_get_unchecked(2)?,
        priority: row.try_get_unchecked(3)?,
        payload: row.try_get_unchecked::<Json<Box<RawValue>>, _>(4)?.0,
        run_at: row.try_get_unchecked(5)?,
        created: row.try_get_unchecked(6)?,
        created_by: row.try_get_unchecked(7)?,
        attempt: row.try_get_unchecked(8)?,
        max_attempts: row.try_get_unchecked(9)?,
        retry: row.try_get_unchecked(10)?,
        unique_key: row.try_get_unchecked(11)?,
        parent_task_id: row.try_get_unchecked(12)?,
        design_ref: row.try_get_unchecked(13)?,
        node_filter: raw(14)?,
        request_context: raw(15)?,
        timeout: row
            .try_get_unchecked::<Option<f64>, _>(16)?
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        has_subtasks: row.try_get_unchecked::<Option<bool>, _>(17)?.unwrap_or(false),
        subtasks: None,
        error_count: row.try_get_unchecked(18)?,
        root_task_id: row.try_get_unchecked(19)?,
    })
}

/// Of tasks with a key, just claimed under this token and not yet started, the ones that must not start: they have
/// ended as duplicates of another task with the same key. Waiting duplicates of the others have ended as well.
///
/// # Errors
/// Those of the database.
pub async fn settle_unique(db: impl PgExecutor<'_>, task_ids: &[Uuid], claim_token: Uuid) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(include_str!("sql/settle_unique.sql")).bind(task_ids).bind(claim_token).fetch_all(db).await?)
}
