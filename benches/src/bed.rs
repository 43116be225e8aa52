//! Where a measurement takes place: a private server with default durability, and a fresh database for each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use longshore_postgres::{Options, Server};
use longshore_queue::{Connect, migrate};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::cpu;

/// How long anything may take that a measurement waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A running server.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) longshore: PathBuf,
    databases: u32,
}

impl Bed {
    pub(crate) fn start(longshore: PathBuf) -> Result<Self> {
        let mut options = Options::default();
        // fsync and synchronous_commit stay on; no checkpoint falls into a measurement and logs whole pages
        for (name, value) in [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("shared_buffers", "1GB"),
            ("max_wal_size", "8GB"),
            ("checkpoint_timeout", "1h"),
            ("max_connections", "100"),
        ] {
            options.settings.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { server: Server::temporary(&options)?, longshore, databases: 0 })
    }

    /// An empty database.
    pub(crate) async fn empty(&mut self) -> Result<Database> {
        self.databases += 1;
        let name = format!("bench_{}", self.databases);
        let mut admin = PgConnection::connect(&self.server.url("postgres")).await?;
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        let url = self.server.url(&name);
        let connect = Connect::new(&url, "public", false)?;
        Ok(Database { conn: PgConnection::connect(&url).await?, url, connect, name })
    }

    /// A database with Longshore's schema.
    pub(crate) async fn database(&mut self) -> Result<Database> {
        let database = self.empty().await?;
        migrate(&database.connect).await?;
        Ok(database)
    }

    /// Removes a database, so that its autovacuum does not run into the next measurement.
    pub(crate) async fn remove(&mut self, database: Database) -> Result<()> {
        let mut admin = PgConnection::connect(&self.server.url("postgres")).await?;
        database.conn.close().await?;
        admin.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", database.name))).await?;
        Ok(())
    }

    /// CPU time of the server so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu::of_server(self.server.pid())
    }
}

/// A database and the connection of who watches.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) connect: Connect,
    pub(crate) conn: PgConnection,
    name: String,
}

/// Bytes of WAL written so far, and whole pages among it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wal {
    pub(crate) bytes: i64,
    pub(crate) full_pages: i64,
}

impl Wal {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, full_pages: self.full_pages - before.full_pages }
    }
}

impl Database {
    pub(crate) async fn run(&mut self, sql: &str) -> Result<()> {
        self.conn.execute(AssertSqlSafe(sql.to_owned())).await?;
        Ok(())
    }

    pub(crate) async fn value<T>(&mut self, sql: &str) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.conn).await?)
    }

    pub(crate) async fn wal(&mut self) -> Result<Wal> {
        let bytes = self.value("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").await?;
        let full_pages = self.value("SELECT wal_fpi FROM pg_stat_wal").await?;
        Ok(Wal { bytes, full_pages })
    }

    /// Inserts so many no-op tasks with a payload of about 100 bytes, in one transaction; returns the last one's id.
    pub(crate) async fn enqueue(&mut self, tasks: u32) -> Result<Uuid> {
        self.run(&format!(
            "INSERT INTO tasks (action, payload)
             SELECT 'noop', jsonb_build_object('number', number, 'filler', repeat('x', 70))
             FROM generate_series(1, {tasks}) AS number"
        ))
        .await?;
        self.value("SELECT task_id FROM tasks ORDER BY task_id DESC LIMIT 1").await
    }

    /// Waits until a task has ended, looking by its key alone, then until all have.
    pub(crate) async fn drained(&mut self, last: Uuid) -> Result<()> {
        self.until(&format!("SELECT status = 'complete' FROM tasks WHERE task_id = '{last}'")).await?;
        self.until("SELECT NOT EXISTS (SELECT FROM claims)").await
    }

    /// Waits until a worker has nothing to do.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        self.until("SELECT EXISTS (SELECT FROM workers WHERE idle_until > now())").await
    }

    /// Waits until a query's one boolean is true.
    pub(crate) async fn until(&mut self, condition: &str) -> Result<()> {
        let since = Instant::now();
        while !self.value::<bool>(condition).await? {
            if since.elapsed() > PATIENCE {
                bail!("waited {PATIENCE:?} for: {condition}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
