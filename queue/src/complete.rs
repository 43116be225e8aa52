//! Settling held tasks: completing them, or giving them back.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{Result, TaskResult};

/// Outputs up to this many bytes (with message and names) stay in the task's own row, so that its completion stays on
/// its page; wider ones go to `task_output`.
pub const OUTPUT_IN_ROW_MAX_BYTES: i32 = 256;

/// A task and the claim under which it is held: the fence of every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which task.
    pub task_id: Uuid,
    /// Under which claim.
    pub claim_token: Uuid,
}

/// The end of a task.
#[derive(Debug, Clone)]
pub struct Completion {
    /// The task, as held.
    pub held: Held,
    /// What it leaves behind.
    pub result: TaskResult,
    /// How many of its messages have the error flag.
    pub error_count: i32,
    /// SHA-256 of the design that it worked with; `None` leaves the column as it is. Of a task of a tree it is passed
    /// over: [`record_designs`](crate::record_designs) notes it before.
    pub design_hash: Option<[u8; 32]>,
}

/// What `complete.sql` calls the details: NULL for the completion of a task that leaves nothing but its status.
#[derive(Serialize)]
struct Details<'a> {
    #[serde(flatten)]
    result: &'a TaskResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    design_hash: Option<String>,
}

impl<'a> Details<'a> {
    fn of(completion: &'a Completion) -> Option<Self> {
        let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let details = Self { result: &completion.result, design_hash: completion.design_hash.map(hex) };
        (details.result.has_details() || details.design_hash.is_some()).then_some(details)
    }
}

/// A task that goes back to the queue.
#[derive(Debug, Clone)]
pub struct Requeue {
    /// The task, as held.
    pub held: Held,
    /// When it is due again, from now.
    pub delay: Duration,
    /// Whether this attempt shall not count.
    pub attempt_back: bool,
    /// A short word for programs.
    pub reason: Option<String>,
    /// One line for people.
    pub message: Option<String>,
    /// How many of its messages have the error flag.
    pub error_count: i32,
}

/// Claims of which a statement settles the last open tasks, with their number: their rows go with it.
#[derive(Debug, Clone, Default)]
pub struct LastOf {
    tokens: Vec<Uuid>,
    open: Vec<i32>,
}

impl LastOf {
    /// The statement settles the last `open` tasks of this claim.
    pub fn push(&mut self, claim_token: Uuid, open: i32) {
        self.tokens.push(claim_token);
        self.open.push(open);
    }

    /// Tokens and numbers, as arguments.
    pub(crate) fn columns(&self) -> (&[Uuid], &[i32]) {
        (&self.tokens, &self.open)
    }

    /// True when there is nothing to close.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// What a completion does with a task that somebody else has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// Waits for it, as long as the session's `lock_timeout` allows: the cheaper statement.
    Wait,
    /// Passes it over.
    Skip,
}

/// Ends tasks of one queue, given by ascending id; returns the ids of those that were ended. One that is missing is
/// lost, or with [`Locked::Skip`] was locked by somebody else at this moment ([`fates`] tells; send it again). All or
/// nothing is committed; sent twice, the second has no effect.
///
/// # Errors
/// Those of the database; a result that Postgres cannot store refuses the whole batch. With [`Locked::Wait`] one that
/// [`Error::is_lock_timeout`](crate::Error::is_lock_timeout).
pub async fn complete(
    db: impl PgExecutor<'_>,
    queue: &str,
    completions: &[Completion],
    last: &LastOf,
    locked: Locked,
) -> Result<Vec<Uuid>> {
    let mut task_ids = Vec::with_capacity(completions.len());
    let mut tokens = Vec::with_capacity(completions.len());
    let mut statuses = Vec::with_capacity(completions.len());
    let mut error_counts = Vec::with_capacity(completions.len());
    let mut details = Vec::with_capacity(completions.len());
    for completion in completions {
        task_ids.push(completion.held.task_id);
        tokens.push(completion.held.claim_token);
        statuses.push(completion.result.status.as_str());
        error_counts.push(completion.error_count);
        details.push(Details::of(completion).map(Json));
    }
    Ok(sqlx::query_scalar(include_str!("sql/complete.sql"))
        .bind(task_ids)
        .bind(tokens)
        .bind(statuses)
        .bind(error_counts)
        .bind(details)
        .bind(&last.tokens)
        .bind(&last.open)
        .bind(OUTPUT_IN_ROW_MAX_BYTES)
        .bind(locked == Locked::Skip)
        .bind(queue)
        .fetch_all(db)
        .await?)
}

/// Gives tasks of one queue back; returns the ids of those that were, as [`complete`] does with [`Locked::Skip`].
///
/// # Errors
/// Those of the database.
pub async fn requeue(db: impl PgExecutor<'_>, queue: &str, requeues: &[Requeue], last: &LastOf) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(include_str!("sql/requeue.sql"))
        .bind(requeues.iter().map(|back| back.held.task_id).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.held.claim_token).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.delay.as_secs_f64()).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.attempt_back).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.reason.as_deref()).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.message.as_deref()).collect::<Vec<_>>())
        .bind(requeues.iter().map(|back| back.error_count).collect::<Vec<_>>())
        .bind(&last.tokens)
        .bind(&last.open)
        .bind(queue)
        .fetch_all(db)
        .await?)
}

/// What became of a task under a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Still held and running.
    Held,
    /// Still held, and somebody asked to end it.
    Terminating,
    /// This claim has ended it or given it back.
    Settled,
    /// Another claim has it, or it is gone.
    Lost,
}

/// Says of each task of one queue what became of it, by reading: how an unknown COMMIT is resolved, how a termination
/// is noticed.
///
/// # Errors
/// Those of the database.
pub async fn fates(db: impl PgExecutor<'_>, queue: &str, held: &[Held]) -> Result<Vec<(Uuid, Fate)>> {
    let rows: Vec<(Uuid, String)> = sqlx::query_as(include_str!("sql/fates.sql"))
        .bind(held.iter().map(|held| held.task_id).collect::<Vec<_>>())
        .bind(held.iter().map(|held| held.claim_token).collect::<Vec<_>>())
        .bind(queue)
        .fetch_all(db)
        .await?;
    let fate = |name: &str| match name {
        "held" => Fate::Held,
        "terminating" => Fate::Terminating,
        "settled" => Fate::Settled,
        _ => Fate::Lost,
    };
    Ok(rows.into_iter().map(|(task_id, name)| (task_id, fate(&name))).collect())
}

/// A claim of this worker that it does not know of: its answer was lost.
#[derive(Debug, sqlx::FromRow)]
pub struct Forgotten {
    /// Which claim.
    pub claim_token: Uuid,
    /// Of which queue.
    pub queue: String,
    /// Its tasks.
    pub task_ids: Vec<Uuid>,
}

/// The claims of this worker that are not among `known` and older than any statement can still be under way; those
/// whose answer is known to have failed, `unanswered`, at any age.
///
/// # Errors
/// Those of the database.
pub async fn forgotten(
    db: impl PgExecutor<'_>,
    worker_id: Uuid,
    known: &[Uuid],
    unanswered: &[Uuid],
) -> Result<Vec<Forgotten>> {
    Ok(sqlx::query_as(include_str!("sql/forgotten.sql"))
        .bind(worker_id)
        .bind(known)
        .bind(unanswered)
        .fetch_all(db)
        .await?)
}
