//! What keeps dead rows, how tables are kept, and their partitions.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::schema::tables;
use crate::Result;

/// What kind of thing keeps vacuum from dead rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum HolderKind {
    /// A session's transaction, or that of a standby's.
    Session,
    /// A prepared transaction.
    Prepared,
}

/// What keeps vacuum from dead rows.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Holder {
    /// What kind of thing.
    pub kind: HolderKind,
    /// Who, in words.
    pub holder: String,
    /// For how long; `None`: not known, or not for this session to see.
    pub seconds: Option<f64>,
    /// How many transactions ago it began.
    pub xids: i64,
    /// Whether only a member of `pg_read_all_stats` would see for how long.
    pub hidden: bool,
    /// The statement that ends it.
    pub remedy: String,
}

/// Finds what keeps vacuum from dead rows of this database, the oldest first.
///
/// # Errors
/// Those of the database.
pub async fn examine_holders(db: impl PgExecutor<'_>) -> Result<Vec<Holder>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_holders.sql")).fetch_all(db).await?)
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody reads from it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: String,
    /// The log that is kept for it.
    pub kept_bytes: i64,
    /// Whether the server lets go of its log at some size.
    pub bounded: bool,
    /// The statement that removes it.
    pub remedy: String,
}

/// Reads the replication slots, by name.
///
/// # Errors
/// Those of the database.
pub async fn examine_slots(db: impl PgExecutor<'_>) -> Result<Vec<Slot>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_slots.sql")).fetch_all(db).await?)
}

/// How far back the oldest row of a database may be.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Age {
    /// Which database.
    pub database: String,
    /// Transaction ids since.
    pub xids: i64,
    /// From when on autovacuum is forced to look.
    pub xids_due: i64,
    /// The same for multixacts.
    pub multixacts: i64,
    /// The same for multixacts.
    pub multixacts_due: i64,
}

/// Reads the ages of all databases of the server, the oldest first.
///
/// # Errors
/// Those of the database.
pub async fn examine_ages(db: impl PgExecutor<'_>) -> Result<Vec<Age>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_ages.sql")).fetch_all(db).await?)
}

/// How a table, or a partition of one, is kept.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct TableUpkeep {
    /// Its name.
    pub name: String,
    /// Whose partition it is; its own name if nobody's.
    pub root: String,
    /// Its storage parameters, as `name=value`.
    pub options: Vec<String>,
    /// Whether it takes no new tasks: upkeep rewrites such a partition, full.
    pub sealed: bool,
    /// Its rows, indexes and wide values, on disk.
    pub bytes: i64,
    /// Rows, as the server estimates them.
    pub live_rows: i64,
    /// Rows that were changed or deleted and not yet vacuumed away, likewise.
    pub dead_rows: i64,
    /// From how many on autovacuum vacuums it.
    pub dead_rows_due: f64,
    /// Since the last vacuum; `None`: there was none.
    pub vacuumed_seconds_ago: Option<f64>,
    /// Since its statistics were last gathered, likewise.
    pub analyzed_seconds_ago: Option<f64>,
    /// Its name in SQL.
    pub identifier: String,
}

/// Looks at how our tables and their partitions are kept, by name.
///
/// # Errors
/// Those of the database.
pub async fn examine_tables(db: impl PgExecutor<'_>) -> Result<Vec<TableUpkeep>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_tables.sql")).bind(tables()).fetch_all(db).await?)
}

/// A partition of one of the three tables that go along.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Partition {
    /// Whose.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its tasks' ids are of this instant or later; `None`: open.
    pub lower_at: Option<DateTime<Utc>>,
    /// Its tasks' ids are of an instant before this; `None`: open.
    pub upper_at: Option<DateTime<Utc>>,
    /// The database's clock.
    pub clock: DateTime<Utc>,
    /// Whether it is being detached, or that was interrupted.
    pub detaching: bool,
    /// The statement that ends an interrupted detach.
    pub finalize: String,
    /// Tasks in one that is open to an end, up to 1000.
    pub tasks: i64,
}

/// Reads the partitions, by parent, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn examine_partitions(db: impl PgExecutor<'_>) -> Result<Vec<Partition>> {
    Ok(sqlx::query_as(include_str!("../sql/examine_partitions.sql")).fetch_all(db).await?)
}
