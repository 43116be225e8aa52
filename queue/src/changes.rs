//! What a settlement made of tasks in trees: the database decides that, and whoever tells of it has to ask.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::Result;

/// A task as a settlement left it.
#[derive(Debug, sqlx::FromRow)]
pub struct Change {
    /// Which task.
    pub task_id: Uuid,
    /// The task that it is a part of.
    pub parent_task_id: Option<Uuid>,
    /// The uppermost task of its tree; `None` for one without a parent.
    pub root_task_id: Option<Uuid>,
    /// The claim under which it was settled; `None` where nobody held it since, or it waits for its subtasks.
    pub claim_token: Option<Uuid>,
    /// Its queue.
    pub queue: String,
    /// What it does.
    pub action: String,
    /// `complete`, `terminated`, `queued` when it runs again, or of those that were asked for any other.
    pub status: String,
    /// Attempts that count.
    pub attempt: i16,
    /// How well it ended.
    pub result_status: String,
    /// A short word for programs.
    pub result_reason: Option<String>,
    /// One line for people.
    pub result_message: Option<String>,
    /// The producer's context.
    pub request_context: Option<Json<Box<RawValue>>>,
    /// When it was inserted.
    pub created: DateTime<Utc>,
    /// When it ended; `None` where it has not.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Reads tasks that one statement settled, and those above them that it ended, or let run again, by that.
///
/// # Errors
/// Those of the database.
pub async fn changes(db: impl PgExecutor<'_>, task_ids: &[Uuid]) -> Result<Vec<Change>> {
    Ok(sqlx::query_as(include_str!("sql/changes.sql")).bind(task_ids).fetch_all(db).await?)
}
