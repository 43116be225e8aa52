//! Schedules: rows that say when which task is inserted, and the ticks that came of them.
//!
//! The leader reads the rows that are [due](due_schedules), computes which of their instants have come, and hands these
//! to [`tick`], which inserts ticks and tasks in one transaction. What a cron expression means is not known here.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::leader::unless_deposed;
use crate::{Leadership, Result};

/// What becomes of ticks that came too late to be on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// One task stands in for all of them.
    Once,
    /// Each gets its task, up to a bound; the newest are kept.
    All,
    /// They are passed over.
    None,
}

/// A schedule to be looked at, as its row stands.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct DueSchedule {
    /// Its name.
    pub name: String,
    /// The queue of its tasks.
    pub queue: String,
    /// Their action.
    pub action: String,
    /// Counts edits; [`tick`] does nothing after another one.
    pub revision: i64,
    /// A cron expression; `None` where `every_us` counts.
    pub cron: Option<String>,
    /// Where the cron expression's clock hangs.
    pub time_zone: String,
    /// Microseconds between ticks.
    pub every_us: Option<i64>,
    /// Nothing fires before; intervals count from here.
    pub starts_at: DateTime<Utc>,
    /// All ticks up to here, included, are decided.
    pub ticked_to: DateTime<Utc>,
    /// What becomes of late ticks.
    pub missed: Missed,
    /// How many of them may fire at once.
    pub missed_max: i16,
    /// From when on a tick is late, in microseconds after its time.
    pub missed_after_us: i64,
    /// The database's clock.
    pub now: DateTime<Utc>,
    /// How far off its next tick is, in seconds; `None`: not known yet.
    pub due_in_seconds: Option<f64>,
}

/// Reads at most `limit` schedules that are due, or will be within `ahead`, those that wait longest first.
///
/// # Errors
/// Those of the database.
pub async fn due_schedules(db: impl PgExecutor<'_>, limit: i32, ahead: Duration) -> Result<Vec<DueSchedule>> {
    let statement = sqlx::query_as(include_str!("sql/due_schedules.sql"));
    Ok(statement.bind(limit).bind(ahead.as_secs_f64()).fetch_all(db).await?)
}

/// What the leader has made of a due schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The instants that fire, in order.
    pub fire_ats: Vec<DateTime<Utc>>,
    /// The last of those that are passed over because they came too late.
    pub missed_at: Option<DateTime<Utc>>,
    /// The last instant that has come; the schedule's own `ticked_to` where none has.
    pub ticked_to: DateTime<Utc>,
    /// The next instant.
    pub next_at: DateTime<Utc>,
}

/// A decided tick.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Tick {
    /// Its instant.
    pub fire_at: DateTime<Utc>,
    /// `fired`, `skipped` (a task of the schedule was open) or `missed`.
    pub outcome: String,
    /// The task of one that fired.
    pub task_id: Option<Uuid>,
    /// From its instant to now.
    pub lag_seconds: Option<f64>,
}

/// Decides ticks: each gets its row and, where it fires, its task, all in one transaction, or none of them. Returns
/// what was decided: nothing for a tick that had been decided before, when the row was edited since it was read, or
/// when the caller is not the active instance. Sent twice, the second has no effect.
///
/// # Errors
/// Those of the database.
pub async fn tick(
    db: impl PgExecutor<'_>,
    leadership: Leadership,
    schedule: &DueSchedule,
    plan: &Plan,
) -> Result<Vec<Tick>> {
    let decided = sqlx::query_as(include_str!("sql/tick.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(&schedule.name)
        .bind(schedule.revision)
        .bind(schedule.ticked_to)
        .bind(&plan.fire_ats)
        .bind(plan.missed_at)
        .bind(plan.ticked_to)
        .bind(plan.next_at)
        .fetch_all(db)
        .await;
    unless_deposed(decided, Vec::new())
}

/// Writes into a schedule's row why it does not fire, and when to try again; an edit of the row takes it back. False
/// when the row was edited since, or when the caller is not the active instance.
///
/// # Errors
/// Those of the database.
pub async fn refuse_schedule(
    db: impl PgExecutor<'_>,
    leadership: Leadership,
    schedule: &DueSchedule,
    error: &str,
    retry_after: Duration,
) -> Result<bool> {
    let refused = sqlx::query_scalar(include_str!("sql/refuse_schedule.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(&schedule.name)
        .bind(schedule.revision)
        .bind(error)
        .bind(retry_after)
        .fetch_one(db)
        .await;
    unless_deposed(refused, false)
}

/// Ticks deleted in one call: bounds how long the statement runs.
const PRUNE_BATCH: i32 = 1000;

/// Deletes ticks older than `retention` whose task has ended or is gone, some at a time; call again while it deletes.
/// Deletes nothing when the caller is not the active instance.
///
/// # Errors
/// Those of the database.
pub async fn prune_ticks(db: impl PgExecutor<'_>, leadership: Leadership, retention: Duration) -> Result<u64> {
    let deleted = sqlx::query_scalar(include_str!("sql/prune_ticks.sql"))
        .bind(leadership.identity)
        .bind(leadership.epoch)
        .bind(retention)
        .bind(PRUNE_BATCH)
        .fetch_one(db)
        .await;
    Ok(u64::try_from(unless_deposed::<i64>(deleted, 0)?).unwrap_or(0))
}

/// A schedule for people.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// A cron expression, or `None`.
    pub cron: Option<String>,
    /// Where that one's clock hangs.
    pub time_zone: String,
    /// The interval in seconds, or `None`.
    pub every_seconds: Option<f64>,
    /// What it inserts.
    pub action: String,
    /// Into which lane.
    pub queue: String,
    /// `skip`, `queue` or `replace`.
    pub overlap: String,
    /// What becomes of late ticks.
    pub missed: Missed,
    /// Whether it fires.
    pub paused: bool,
    /// The next tick, where it is known; with an error, the next try.
    pub next_at: Option<DateTime<Utc>>,
    /// Why it does not fire.
    pub error: Option<String>,
    /// Its last tick's instant, as long as that is kept.
    pub last_fire_at: Option<DateTime<Utc>>,
    /// What became of that tick.
    pub last_outcome: Option<String>,
    /// Its task.
    pub last_task_id: Option<Uuid>,
}

/// Reads all schedules, by name, each with its last tick.
///
/// # Errors
/// Those of the database.
pub async fn schedules(db: impl PgExecutor<'_>) -> Result<Vec<Schedule>> {
    Ok(sqlx::query_as(include_str!("sql/schedules.sql")).fetch_all(db).await?)
}

/// Pauses a schedule, or lets it go on; what passed meanwhile is not made up. False when there is none of that name.
///
/// # Errors
/// Those of the database.
pub async fn pause_schedule(db: impl PgExecutor<'_>, name: &str, paused: bool) -> Result<bool> {
    let sent = sqlx::query(include_str!("sql/pause_schedule.sql")).bind(name).bind(paused);
    Ok(sent.execute(db).await?.rows_affected() > 0)
}

/// A run that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Run {
    /// `fired`, or `skipped` when a task of the schedule is open and it shall not have two.
    pub outcome: String,
    /// The task.
    pub task_id: Option<Uuid>,
}

/// Inserts a schedule's task now, paused or not; `None` when there is no schedule of that name.
///
/// # Errors
/// Those of the database.
pub async fn run_schedule(db: impl PgExecutor<'_>, name: &str) -> Result<Option<Run>> {
    Ok(sqlx::query_as(include_str!("sql/run_schedule.sql")).bind(name).fetch_optional(db).await?)
}
