//! The server, and what its settings are for this session.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use crate::Result;

/// What the server is.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Server {
    /// 15 for 15.18.
    pub major: i32,
    /// As the server tells it.
    pub version: String,
    /// A standby, or being restored.
    pub in_recovery: bool,
    /// This session's transactions may not write.
    pub read_only: bool,
    /// The database's clock.
    pub clock: DateTime<Utc>,
    /// How full the queue of notifications is, 0 to 1.
    pub notification_queue_usage: f64,
    /// Sessions of all databases.
    pub connections: i64,
    /// How many there can be, without what is kept for superusers.
    pub connections_max: i64,
    /// Where it keeps its data; `None`: this session may not see it.
    pub data_directory: Option<String>,
    /// What the database weighs, the tables of others included.
    pub database_bytes: i64,
    /// Whether every role may create objects in the schema of the tables; `None`: there is no such schema.
    pub everybody_creates: Option<bool>,
}

/// Looks at the server.
///
/// # Errors
/// Those of the database.
pub async fn examine_server(db: impl PgExecutor<'_>) -> Result<Server> {
    Ok(sqlx::query_as(include_str!("../sql/examine_server.sql")).fetch_one(db).await?)
}

/// A setting as it is for this session.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
#[expect(missing_docs, reason = "the columns of pg_settings, under their own names")]
pub struct Setting {
    pub name: String,
    pub setting: String,
}

/// Reads settings, in the order of their names; one that the server does not know, or does not show, is left out.
///
/// # Errors
/// Those of the database.
pub async fn examine_settings(db: impl PgExecutor<'_>, names: &[&str]) -> Result<Vec<Setting>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_settings.sql")).bind(names).fetch_all(db).await?)
}
