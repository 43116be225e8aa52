//! Recording what held tasks say of themselves while they run: messages, the version of a design.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Held, Result, ResultMessage};

/// A message with its place in the task's log.
#[derive(Debug, Clone)]
pub struct NumberedMessage {
    /// Which task.
    pub task_id: Uuid,
    /// Its number: from 1, without gaps, given by the claim's holder.
    pub sequence: i32,
    /// What it says.
    pub message: ResultMessage,
}

/// Appends messages to held tasks of one queue; returns the ids of those whose messages are recorded. One that is
/// missing was locked by somebody else at this moment (send its messages again, before later ones) or is lost
/// ([`fates`](crate::fates) tells). Sent twice, the second has no effect.
///
/// # Errors
/// Those of the database; text that Postgres cannot store (U+0000) refuses the whole batch.
pub async fn record(
    db: impl PgExecutor<'_>,
    queue: &str,
    held: &[Held],
    messages: &[NumberedMessage],
) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(include_str!("sql/record.sql"))
        .bind(held.iter().map(|held| held.task_id).collect::<Vec<_>>())
        .bind(held.iter().map(|held| held.claim_token).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.task_id).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.sequence).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message.error).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message.message.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message.context.as_deref()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message.context_type.as_deref()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message.extra.as_ref()).collect::<Vec<_>>())
        .bind(queue)
        .fetch_all(db)
        .await?)
}

/// Notes on held tasks of one queue which version of its design each works with, by SHA-256; returns the ids of those
/// that say so. For tasks that go back or belong to trees: [`complete`](crate::complete()) notes it itself. One that is
/// missing was locked by somebody else at this moment (send it again) or is lost. Sent twice, the second has no effect.
///
/// # Errors
/// Those of the database.
pub async fn record_designs(db: impl PgExecutor<'_>, queue: &str, designs: &[(Held, [u8; 32])]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(include_str!("sql/record_designs.sql"))
        .bind(designs.iter().map(|(held, _)| held.task_id).collect::<Vec<_>>())
        .bind(designs.iter().map(|(held, _)| held.claim_token).collect::<Vec<_>>())
        .bind(designs.iter().map(|(_, hash)| hash.as_slice()).collect::<Vec<_>>())
        .bind(queue)
        .fetch_all(db)
        .await?)
}

/// Where the log of a task stands.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct LastMessage {
    /// Which task.
    pub task_id: Uuid,
    /// The last number given; 0 for none.
    pub sequence: i32,
    /// How many messages have the error flag.
    pub error_count: i32,
}

/// Reads where the logs of tasks stand. A holder does so once, before its first message.
///
/// # Errors
/// Those of the database.
pub async fn last_messages(db: impl PgExecutor<'_>, task_ids: &[Uuid]) -> Result<Vec<LastMessage>> {
    Ok(sqlx::query_as(include_str!("sql/last_messages.sql")).bind(task_ids).fetch_all(db).await?)
}
