//! Connections that a worker's loops own: their settings, and what must hold before one is trusted.

use std::str::FromStr;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgSslMode, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{ConnectOptions, Connection, Either, Execute, Executor, SqlStr};
use uuid::Uuid;

use crate::{Error, Result};

/// How to reach the database.
#[derive(Clone)]
pub struct Connect {
    options: PgConnectOptions,
    schema: String,
    pooled: bool,
    lock_timeout: Duration,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect").field("schema", &self.schema).field("pooled", &self.pooled).finish_non_exhaustive()
    }
}

/// The server ends a statement that takes longer, since a client that gives up does not end it there. Longer than any
/// hot statement takes in a bad hour, shorter than a lease.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The client gives a connection up that has not answered for so long: a half-open link never says a word.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// How long a statement waits for a lock, where nothing else is said.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of every session. The planner is left no choice but the index plans: left alone it chose a sequential scan,
/// a hash join or a sort of the backlog in almost every state tried. jit is off because disabled plans look expensive.
const SESSION: [(&str, &str); 14] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_sort", "off"),
    ("enable_material", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

impl Connect {
    /// To the database of this URL, with the tables in `schema`. `pooled` says that a pooler in transaction mode stands
    /// before it.
    ///
    /// # Errors
    /// When the URL cannot be read; it is not shown.
    pub fn new(url: &str, schema: &str, pooled: bool) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
        Ok(Self { options, schema: schema.to_owned(), pooled, lock_timeout: LOCK_TIMEOUT })
    }

    /// The same, with sessions that wait for a lock no longer than this.
    #[must_use]
    pub fn waiting_for_locks(self, lock_timeout: Duration) -> Self {
        Self { lock_timeout, ..self }
    }

    /// The schema of the tables.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether a pooler in transaction mode stands before the database.
    pub fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Opens a session; `name` is what `pg_stat_activity` shows.
    ///
    /// # Errors
    /// [`Error::Pooler`] when the session is not this program's own although it should be.
    pub async fn session(&self, name: &str) -> Result<Session> {
        let options = self.options.clone().application_name(name);
        let lock_timeout = format!("{}ms", self.lock_timeout.as_millis());
        let open = async {
            if self.pooled {
                let options = options.statement_cache_capacity(0);
                let conn = PgConnection::connect_with(&options).await?;
                return Ok(Session { conn, pooled: true, schema: self.schema.clone(), lock_timeout });
            }
            let mark = Uuid::new_v4().to_string();
            let options = options
                .options([("search_path", quoted(&self.schema)), ("longshore.session", mark.clone())])
                .options(SESSION)
                .options([("lock_timeout", &lock_timeout)]);
            let mut conn = PgConnection::connect_with(&options).await?;
            let arrived: Option<String> =
                sqlx::query_scalar("SELECT current_setting('longshore.session', true)").fetch_one(&mut conn).await?;
            if arrived.as_deref() != Some(mark.as_str()) {
                return Err(Error::Pooler);
            }
            Ok(Session { conn, pooled: false, schema: self.schema.clone(), lock_timeout })
        };
        within(ANSWER_TIMEOUT, open).await.map_err(|error| match error {
            Error::Database(error) => self.refused(error),
            other => other,
        })
    }

    /// Why no connection was made, with the database that was meant. PgBouncer refuses start-up options that it does not
    /// know; and a statement of a new session has a name that the server knows already, or does not know any more, only
    /// where others use the connection as well.
    fn refused(&self, error: sqlx::Error) -> Error {
        let is_shared = error.as_database_error().is_some_and(|refused| {
            refused.message().contains("startup parameter")
                || refused.code().is_some_and(|code| ["42P05", "26000"].contains(&&*code))
        });
        if is_shared { Error::Pooler } else { Error::Connection { address: self.address(), error } }
    }

    /// The database and its host, for people: neither user nor password.
    pub fn address(&self) -> String {
        let database = self.options.get_database().unwrap_or_else(|| self.options.get_username());
        match self.options.get_socket() {
            Some(socket) => format!("database {database:?} at {}", socket.display()),
            None => format!("database {database:?} at {}:{}", self.options.get_host(), self.options.get_port()),
        }
    }

    /// How far the way to the server is protected.
    pub fn tls(&self) -> Tls {
        let host = self.options.get_host();
        let own_machine = self.options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        match self.options.get_ssl_mode() {
            _ if own_machine => Tls::NotNeeded,
            PgSslMode::VerifyCa | PgSslMode::VerifyFull => Tls::Verified,
            PgSslMode::Require => Tls::NotVerified,
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Tls::NotSure,
        }
    }

    /// A connection with nothing but the search path set: for migrations, which a pooler would tear apart.
    pub(crate) async fn plain(&self) -> Result<PgConnection> {
        if self.pooled {
            return Err(Error::Pooler);
        }
        self.session("longshore migrate").await?.close().await;
        let mut conn = PgConnection::connect_with(&self.options.clone().application_name("longshore migrate")).await?;
        sqlx::query("SELECT set_config('search_path', quote_ident($1), false)")
            .bind(&self.schema)
            .execute(&mut conn)
            .await?;
        Ok(conn)
    }

    /// Options for a connection that only listens.
    pub(crate) fn listen_options(&self) -> PgConnectOptions {
        self.options.clone().application_name("longshore listen").options([("search_path", quoted(&self.schema))])
    }
}

/// How far the way to the server is protected, by the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// It does not leave this machine.
    NotNeeded,
    /// The server proves who it is.
    Verified,
    /// Encrypted, for whoever answers.
    NotVerified,
    /// Not even encrypted, or only if the server offers it.
    NotSure,
}

/// A name as an identifier in SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs a step with a limit on the client's side, since a link that is half open never answers.
///
/// # Errors
/// Those of the step; a time-out is an I/O error, and the connection must not be used again.
pub async fn within<T>(limit: Duration, step: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, step).await {
        Ok(done) => done,
        Err(_) => Err(Error::Database(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("the database has not answered for {limit:?}"),
        )))),
    }
}

/// A connection that one loop owns.
#[derive(Debug)]
pub struct Session {
    conn: PgConnection,
    pooled: bool,
    schema: String,
    lock_timeout: String,
}

impl Session {
    /// Begins a step: one or a few statements that belong together. Behind a pooler it is an explicit transaction,
    /// since only within one is the next statement sure to meet the same server.
    pub async fn step(&mut self) -> Result<SessionStep<'_>> {
        if self.pooled {
            let settings: String = SESSION.iter().filter(|(name, _)| !name.starts_with("tcp")).fold(
                String::new(),
                |mut all, (name, to)| {
                    all.push_str(&format!("SET LOCAL {name} = '{to}'; "));
                    all
                },
            );
            let begin = format!(
                "BEGIN; SET LOCAL search_path = {}; {settings}SET LOCAL lock_timeout = '{}'",
                quoted(&self.schema),
                self.lock_timeout
            );
            (&mut self.conn).execute(sqlx::AssertSqlSafe(begin)).await?;
        }
        Ok(SessionStep { session: self })
    }

    /// The schema of the tables.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Closes the connection in good order.
    pub async fn close(self) {
        if let Err(error) = self.conn.close().await {
            tracing::debug!(%error, "connection closed with an error");
        }
    }
}

/// A step under way. Dropped without [`SessionStep::done`], a pooled one leaves its transaction to be rolled back with
/// the connection: the session must not be used again then.
#[derive(Debug)]
pub struct SessionStep<'s> {
    session: &'s mut Session,
}

impl SessionStep<'_> {
    /// What the functions of this crate take.
    pub fn db(&mut self) -> Db<'_> {
        Db { conn: &mut self.session.conn, persistent: !self.session.pooled }
    }

    /// Ends the step.
    pub async fn done(self) -> Result<()> {
        if self.session.pooled {
            (&mut self.session.conn).execute("COMMIT").await?;
        }
        Ok(())
    }
}

/// A connection as an executor of statements; behind a pooler every statement is unnamed, since a named one may meet
/// another server's statement of the same name and return its rows.
#[derive(Debug)]
pub struct Db<'c> {
    conn: &'c mut PgConnection,
    persistent: bool,
}

/// A query that says itself whether it may be prepared by name.
struct Query<E> {
    query: E,
    persistent: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Query<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> std::result::Result<Option<sqlx::postgres::PgArguments>, sqlx::error::BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.persistent && self.query.persistent()
    }
}

impl<'c> Executor<'c> for Db<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, std::result::Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.conn.fetch_many(Query { query, persistent: self.persistent })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, std::result::Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.conn.fetch_optional(Query { query, persistent: self.persistent })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, std::result::Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }
}
