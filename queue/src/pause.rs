//! Pauses: rows that say what is not claimed. Every claim looks at them, so one holds from its commit on.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use crate::Result;

/// What a pause is of: a queue, an action of all queues, or an action of a queue. The database refuses one of neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paused {
    /// Of this queue; `None`: of all.
    pub queue: Option<String>,
    /// Of this action; `None`: of all.
    pub action: Option<String>,
}

/// When a pause ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseEnd {
    /// Never.
    Open,
    /// At this instant.
    At(DateTime<Utc>),
    /// So long from now.
    After(Duration),
}

/// A pause that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct Pause {
    /// Of this queue; `None`: of all.
    pub queue: Option<String>,
    /// Of this action; `None`: of all.
    pub action: Option<String>,
    /// Why, where somebody said so.
    pub reason: Option<String>,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// By whom.
    pub paused_by: String,
    /// It ends by itself then.
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// Whether tasks of this action in this queue are not claimed for it.
    pub fn holds(&self, queue: &str, action: &str) -> bool {
        self.queue.as_deref().is_none_or(|of| of == queue) && self.action.as_deref().is_none_or(|of| of == action)
    }
}

/// Pauses; one of the same is written anew. No claim that begins after its commit takes what is paused; what runs goes
/// on.
///
/// # Errors
/// Those of the database.
pub async fn pause(
    db: impl PgExecutor<'_>,
    paused: &Paused,
    reason: Option<&str>,
    by: Option<&str>,
    end: PauseEnd,
) -> Result<()> {
    let (at, after) = match end {
        PauseEnd::Open => (None, None),
        PauseEnd::At(at) => (Some(at), None),
        PauseEnd::After(after) => (None, Some(after)),
    };
    sqlx::query(include_str!("sql/pause.sql"))
        .bind(&paused.queue)
        .bind(&paused.action)
        .bind(reason)
        .bind(by)
        .bind(at)
        .bind(after)
        .execute(db)
        .await?;
    Ok(())
}

/// Ends the pause of exactly this; false when there was none that held. Whatever waits is claimed at once.
///
/// # Errors
/// Those of the database.
pub async fn resume(db: impl PgExecutor<'_>, paused: &Paused) -> Result<bool> {
    let statement = sqlx::query_scalar(include_str!("sql/resume.sql")).bind(&paused.queue).bind(&paused.action);
    Ok(statement.fetch_optional(db).await?.unwrap_or(false))
}

/// Reads the pauses that hold, those of whole queues first.
///
/// # Errors
/// Those of the database.
pub async fn pauses(db: impl PgExecutor<'_>) -> Result<Vec<Pause>> {
    Ok(sqlx::query_as(include_str!("sql/pauses.sql")).fetch_all(db).await?)
}
