//! The active instance: one row says which process does what only one shall do.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::Result;

/// What the row says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lead {
    /// Whether this process leads.
    pub leads: bool,
    /// The epoch: grows with every change of leader.
    pub epoch: i64,
    /// For how long the lease still runs, by the database's clock; negative when it has run out.
    pub remaining: f64,
}

/// Proof of leadership that every singleton write carries; the database checks it in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// Who: random per process.
    pub identity: Uuid,
    /// Since which change.
    pub epoch: i64,
}

/// Takes the lead if it is free or already ours, for one lease; says who leads otherwise.
///
/// # Errors
/// Those of the database.
pub async fn lead(db: impl PgExecutor<'_>, identity: Uuid, lease: Duration) -> Result<Lead> {
    let (leads, epoch, remaining) =
        sqlx::query_as(include_str!("sql/lead.sql")).bind(identity).bind(lease.as_secs_f64()).fetch_one(db).await?;
    Ok(Lead { leads, epoch, remaining })
}

/// Gives the lead up.
///
/// # Errors
/// Those of the database.
pub async fn abdicate(db: impl PgExecutor<'_>, leadership: Leadership) -> Result<()> {
    sqlx::query(include_str!("sql/abdicate.sql")).bind(leadership.identity).bind(leadership.epoch).execute(db).await?;
    Ok(())
}

/// The SQLSTATE by which a function refuses an instance that is not active.
const NOT_ACTIVE: &str = "LS001";

/// What a step of the active instance gives: `nothing` where another has taken over, since nothing was done then.
pub(crate) fn unless_deposed<T>(done: std::result::Result<T, sqlx::Error>, nothing: T) -> Result<T> {
    match done {
        Err(sqlx::Error::Database(refused)) if refused.code().is_some_and(|code| code == NOT_ACTIVE) => Ok(nothing),
        done => Ok(done?),
    }
}
