//! A private Postgres for a test binary, and a migrated database for each test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "shared by several test binaries"
)]

pub mod actor;
pub mod counting;
pub mod explain;
pub mod roles;
pub mod tree_rules;
pub mod trees;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use longshore_postgres::{Options, Server};
use longshore_queue::{Connect, migrate};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// How long a test waits for an event: far beyond what it takes, so that only a fault runs into it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The server of this test binary. Never dropped: it ends with the process, however that ends.
pub static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let mut options = Options::for_tests();
    options.tcp = true;
    options.settings.extend([
        ("max_connections".to_owned(), "300".to_owned()),
        ("shared_buffers".to_owned(), "256MB".to_owned()),
        ("max_wal_size".to_owned(), "4GB".to_owned()),
    ]);
    Server::temporary(&options).expect("a private Postgres starts")
});

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct Database {
    /// Over the unix socket.
    pub url: String,
    /// Over TCP on loopback.
    pub tcp_url: String,
    /// With the tables in `public`.
    pub connect: Connect,
}

/// Makes an empty database.
pub async fn empty_database() -> Database {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    create(&name, "template0").await
}

/// Makes a database with the schema applied.
pub async fn database() -> Database {
    static TEMPLATE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    TEMPLATE
        .get_or_init(|| async {
            let template = create("longshore_template", "template0").await;
            migrate(&template.connect).await.unwrap();
        })
        .await;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("m{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    create(&name, "longshore_template").await
}

async fn create(name: &str, template: &str) -> Database {
    // one at a time: a template must not be in use
    static CREATING: OnceLock<tokio::sync::Mutex<()>> = OnceLock::new();
    let _one = CREATING.get_or_init(Default::default).lock().await;
    let mut admin = PgConnection::connect(&SERVER.url("postgres")).await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
    let url = SERVER.url(name);
    Database { connect: Connect::new(&url, "public", false).unwrap(), tcp_url: SERVER.tcp_url(name).unwrap(), url }
}

impl Database {
    /// A plain connection, as a producer or an onlooker has it.
    pub async fn conn(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Runs SQL that returns nothing.
    pub async fn run(&self, sql: &str) {
        self.conn().await.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// One value of the first row.
    pub async fn value<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.conn().await).await.unwrap()
    }

    /// The values of a query with one column, in its order.
    pub async fn values<T>(&self, sql: &str) -> Vec<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.conn().await).await.unwrap()
    }

    /// Waits until a statement waits for a lock.
    pub async fn until_one_waits(&self) {
        self.until(
            "SELECT EXISTS (
                 SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())",
        )
        .await;
    }

    /// Waits until a query's one boolean is true.
    pub async fn until(&self, condition: &str) {
        let mut conn = self.conn().await;
        let since = Instant::now();
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(condition.to_owned())).fetch_one(&mut conn).await.unwrap() {
            assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {condition}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
