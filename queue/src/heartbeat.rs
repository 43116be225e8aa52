//! One row a worker: it says that the process is alive, and whether it sleeps.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// Enters a worker before its first claim; entering it twice changes nothing.
///
/// # Errors
/// Those of the database.
pub async fn register(db: impl PgExecutor<'_>, worker_id: Uuid, name: &str, lease: Duration) -> Result<()> {
    sqlx::query(include_str!("sql/register.sql"))
        .bind(worker_id)
        .bind(name)
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(lease.as_secs_f64())
        .execute(db)
        .await?;
    Ok(())
}

/// Reports a worker alive; false when it has been declared dead and must register again.
///
/// # Errors
/// Those of the database.
pub async fn heartbeat(db: impl PgExecutor<'_>, worker_id: Uuid) -> Result<bool> {
    Ok(sqlx::query(include_str!("sql/heartbeat.sql")).bind(worker_id).fetch_optional(db).await?.is_some())
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
