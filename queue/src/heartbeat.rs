//! One row a worker, and one a queue that it serves: they say that the process is alive, what it has in hand, whether
//! it sleeps, and whether it shall drain.

use std::time::Duration;

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Result;

/// A queue as a worker serves it.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// Its name.
    pub queue: &'a str,
    /// The actions that the worker claims from it.
    pub actions: &'a [String],
    /// How many of its tasks may run at once.
    pub slots: usize,
}

/// What a worker has in hand of a queue, and its pace since its last heartbeat.
#[derive(Debug, Clone, Copy, Default)]
pub struct Load {
    /// Claimed and not yet ended.
    pub running: usize,
    /// Slots without a task.
    pub free_slots: usize,
    /// Tasks claimed a second.
    pub claimed_per_second: f32,
    /// Attempts ended a second, however they ended.
    pub finished_per_second: f32,
}

/// Enters a worker before its first claim, or once more after it was declared dead: it `drains` if it was told to
/// before. Entering it twice changes nothing.
///
/// # Errors
/// Those of the database.
pub async fn register(
    db: impl PgExecutor<'_>,
    worker_id: Uuid,
    name: &str,
    lease: Duration,
    drains: bool,
    queues: &[Served<'_>],
) -> Result<()> {
    sqlx::query(include_str!("sql/register.sql"))
        .bind(worker_id)
        .bind(name)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(lease.as_secs_f64())
        .bind(queues.iter().map(|served| served.queue).collect::<Vec<_>>())
        .bind(queues.iter().map(|served| Json(served.actions)).collect::<Vec<_>>())
        .bind(queues.iter().map(|served| number(served.slots)).collect::<Vec<_>>())
        .bind(drains)
        .execute(db)
        .await?;
    Ok(())
}

/// Reports a worker alive, with its load by queue: whether it shall drain, since somebody asked for that or it `drains`
/// already; `None` when it has been declared dead and must register again.
///
/// # Errors
/// Those of the database.
pub async fn heartbeat(
    db: impl PgExecutor<'_>,
    worker_id: Uuid,
    drains: bool,
    loads: &[(&str, Load)],
) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar(include_str!("sql/heartbeat.sql"))
        .bind(worker_id)
        .bind(drains)
        .bind(loads.iter().map(|(queue, _)| *queue).collect::<Vec<_>>())
        .bind(loads.iter().map(|(_, load)| number(load.running)).collect::<Vec<_>>())
        .bind(loads.iter().map(|(_, load)| number(load.free_slots)).collect::<Vec<_>>())
        .bind(loads.iter().map(|(_, load)| load.claimed_per_second).collect::<Vec<_>>())
        .bind(loads.iter().map(|(_, load)| load.finished_per_second).collect::<Vec<_>>())
        .fetch_optional(db)
        .await?)
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Says for how long an INSERT shall notify this worker; `None`: it polls.
///
/// # Errors
/// Those of the database.
pub async fn idle(db: impl PgExecutor<'_>, worker_id: Uuid, wake: Option<Duration>) -> Result<()> {
    sqlx::query(include_str!("sql/idle.sql"))
        .bind(worker_id)
        .bind(wake.map(|wake| wake.as_secs_f64()))
        .execute(db)
        .await?;
    Ok(())
}

/// Takes a worker out that holds nothing any more.
///
/// # Errors
/// Those of the database.
pub async fn leave(db: impl PgExecutor<'_>, worker_id: Uuid) -> Result<()> {
    sqlx::query(include_str!("sql/leave.sql")).bind(worker_id).execute(db).await?;
    Ok(())
}
