//! Applying the schema, which is embedded in the program.

use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, MigrationType, Migrator};
use sqlx::{Connection, Executor, PgConnection, SqlStr};

use crate::connect::quoted;
use crate::{Connect, Error, Result, Session};

/// All migrations, in order.
const MIGRATIONS: [Migration; 15] = [
    Migration { version: 1, description: "tasks", sql: include_str!("../../migrations/0001_tasks.sql") },
    Migration { version: 2, description: "retention", sql: include_str!("../../migrations/0002_retention.sql") },
    Migration { version: 3, description: "trees", sql: include_str!("../../migrations/0003_trees.sql") },
    Migration { version: 4, description: "schedules", sql: include_str!("../../migrations/0004_schedules.sql") },
    Migration { version: 5, description: "build data", sql: include_str!("../../migrations/0005_build_data.sql") },
    Migration {
        version: 6,
        description: "task documents",
        sql: include_str!("../../migrations/0006_task_documents.sql"),
    },
    Migration { version: 7, description: "insert", sql: include_str!("../../migrations/0007_insert.sql") },
    Migration { version: 8, description: "log", sql: include_str!("../../migrations/0008_log.sql") },
    Migration { version: 9, description: "retries", sql: include_str!("../../migrations/0009_retries.sql") },
    Migration { version: 10, description: "design hash", sql: include_str!("../../migrations/0010_design_hash.sql") },
    Migration { version: 11, description: "demand", sql: include_str!("../../migrations/0011_demand.sql") },
    Migration { version: 12, description: "operation", sql: include_str!("../../migrations/0012_operation.sql") },
    Migration { version: 13, description: "subtasks", sql: include_str!("../../migrations/0013_subtasks.sql") },
    Migration { version: 14, description: "trace", sql: include_str!("../../migrations/0014_trace.sql") },
    Migration { version: 15, description: "claim queue", sql: include_str!("../../migrations/0015_claim_queue.sql") },
];

/// The table that says what was applied. Its own name: the tables may live in a user's database, beside their own.
const APPLIED: &str = "longshore_migrations";

/// That table as sqlx makes it (`a_dry_run_is_a_script_that_leaves_nothing_to_apply`).
const APPLIED_DDL: &str = "CREATE TABLE IF NOT EXISTS longshore_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);";

/// How long to wait for another program that migrates, and for whoever uses the tables.
const LOCK_PATIENCE: Duration = Duration::from_secs(120);

/// How long a migration waits for a lock at a time: every claim waits behind it.
const LOCK_WAIT: &str = "2s";

/// The pause before it is tried again, in which claims go on.
const LOCK_PAUSE: Duration = Duration::from_secs(1);

/// A migration.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts up.
    pub version: i64,
    /// What it brings.
    pub description: &'static str,
    /// Its text.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-384 of its text, as the database records it.
    pub fn checksum(&self) -> Vec<u8> {
        self.of_sqlx().checksum.into_owned()
    }

    fn of_sqlx(&self) -> sqlx::migrate::Migration {
        sqlx::migrate::Migration::new(
            self.version,
            self.description.into(),
            MigrationType::Simple,
            SqlStr::from_static(self.sql),
            false,
        )
    }
}

/// All migrations that this program knows, in order.
pub fn migrations() -> &'static [Migration] {
    &MIGRATIONS
}

/// The newest version that this program knows.
pub fn newest_version() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].version
}

/// The migrations that this database lacks, in order.
///
/// # Errors
/// [`Error::SchemaNewer`], and those of the database.
pub async fn pending(connect: &Connect) -> Result<Vec<Migration>> {
    let mut conn = connect.plain().await?;
    let found = applied_version(&mut conn).await?;
    conn.close().await?;
    Ok(MIGRATIONS.into_iter().filter(|migration| migration.version > found).collect())
}

/// What [`migrate`] would do to this database, as a script for `psql` that records it likewise; empty when there is
/// nothing to do.
///
/// # Errors
/// [`Error::SchemaNewer`], and those of the database.
pub async fn pending_sql(connect: &Connect) -> Result<String> {
    let mut conn = connect.plain().await?;
    let schema = quoted(connect.schema());
    let mut script = String::new();
    if !schema_exists(&mut conn, connect.schema()).await? {
        script.push_str(&format!("CREATE SCHEMA {schema};\n\n"));
    }
    let found = applied_version(&mut conn).await?;
    conn.close().await?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let Migration { version, description, sql } = migration;
        let checksum: String = migration.checksum().iter().map(|byte| format!("{byte:02x}")).collect();
        script.push_str(&format!(
            "BEGIN;\nSET LOCAL search_path = {schema};\n{APPLIED_DDL}\n\n{sql}\n\
             INSERT INTO {APPLIED} (version, description, success, checksum, execution_time)\n\
             VALUES ({version}, '{description}', true, '\\x{checksum}', 0);\nCOMMIT;\n"
        ));
    }
    Ok(script)
}

/// Makes a database of this name on the server of `admin_url`, unless there is one; true when it was made.
///
/// # Errors
/// Those of the database.
pub async fn create_database(admin_url: &str, name: &str) -> Result<bool> {
    let mut conn = PgConnection::connect(admin_url).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut conn)
        .await?;
    let create = format!("CREATE DATABASE {}", quoted(name));
    let made = if exists { Ok(()) } else { conn.execute(sqlx::AssertSqlSafe(create)).await.map(drop) };
    conn.close().await?;
    match made {
        // duplicate_database, or unique_violation: another program was faster
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P04" | "23505")) => Ok(false),
        made => Ok(made.map(|()| !exists)?),
    }
}

/// Applies what is missing, each migration in a transaction of its own, and returns the versions applied. Any number of
/// programs may call it at once: one works, the others wait and find nothing left. The schema is made when it is not
/// there.
///
/// # Errors
/// [`Error::SchemaNewer`], [`Error::MigrationBusy`], and those of the database, such as a lock that somebody does not
/// let go of; what was applied before stays.
pub async fn migrate(connect: &Connect) -> Result<Vec<i64>> {
    let mut conn = connect.plain().await?;
    lock(&mut conn, connect.schema()).await?;
    if !schema_exists(&mut conn, connect.schema()).await? {
        conn.execute(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {}", quoted(connect.schema())))).await?;
    }
    let before = applied_version(&mut conn).await?;
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().map(Migration::of_sqlx).collect());
    // sqlx waits for its lock inside a statement, whose snapshot a concurrent index build would wait for in turn
    migrator.set_locking(false);
    migrator.dangerous_set_table_name(APPLIED);
    sqlx::query("SELECT set_config('lock_timeout', $1, false)").bind(LOCK_WAIT).execute(&mut conn).await?;
    let since = Instant::now();
    while let Err(error) = migrator.run_direct(None, &mut conn, false).await {
        if !waited_for_lock(&error) || since.elapsed() > LOCK_PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    conn.close().await?;
    Ok(MIGRATIONS.iter().map(|migration| migration.version).filter(|version| *version > before).collect())
}

/// Whether somebody's lock was in the way, or a deadlock with somebody: all of that migration is undone.
fn waited_for_lock(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}

/// Says whether the schema is the one that this program was written for.
///
/// # Errors
/// [`Error::SchemaOlder`]; a newer schema is accepted, since a migration works with the previous version's workers.
pub async fn check_schema(session: &mut Session) -> Result<()> {
    let schema = session.schema().to_owned();
    let mut step = session.step().await?;
    let there: bool = sqlx::query_scalar(THERE).bind(APPLIED).fetch_one(step.db()).await?;
    let found: i64 = if there { sqlx::query_scalar(NEWEST).fetch_one(step.db()).await? } else { 0 };
    step.done().await?;
    if found < newest_version() {
        return Err(Error::SchemaOlder { schema, found, wanted: newest_version() });
    }
    Ok(())
}

async fn schema_exists(conn: &mut PgConnection, schema: &str) -> Result<bool> {
    let exists = sqlx::query_scalar("SELECT to_regnamespace(quote_ident($1)) IS NOT NULL").bind(schema);
    Ok(exists.fetch_one(conn).await?)
}

const THERE: &str = "SELECT to_regclass($1) IS NOT NULL";
const NEWEST: &str = "SELECT coalesce(max(version), 0) FROM longshore_migrations WHERE success";

/// The newest version applied; 0 for none.
async fn applied_version(conn: &mut PgConnection) -> Result<i64> {
    let there: bool = sqlx::query_scalar(THERE).bind(APPLIED).fetch_one(&mut *conn).await?;
    let found: i64 = if there { sqlx::query_scalar(NEWEST).fetch_one(conn).await? } else { 0 };
    if found > newest_version() {
        return Err(Error::SchemaNewer { found, known: newest_version() });
    }
    Ok(found)
}

/// Takes the migration lock of a schema, by asking again and again: a session that waits inside a statement holds a
/// snapshot.
pub(crate) async fn lock(conn: &mut PgConnection, schema: &str) -> Result<()> {
    let since = Instant::now();
    loop {
        let locked: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended('longshore migrate ' || $1, 0))")
                .bind(schema)
                .fetch_one(&mut *conn)
                .await?;
        if locked {
            return Ok(());
        }
        if since.elapsed() > LOCK_PATIENCE {
            return Err(Error::MigrationBusy(LOCK_PATIENCE));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
