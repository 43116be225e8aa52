//! Connections that a worker's loops own: their settings, and what must hold before one is trusted.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Connection, Either, Execute, Executor, Row, SqlStr};
use tokio::sync::watch;
use uuid::Uuid;

use crate::address::{Address, Tls};
use crate::{Error, Result};

/// How to reach the database. Clones share which of its hosts is in use.
#[derive(Clone)]
pub struct Connect {
    address: Arc<Address>,
    /// The host that was last found to be the one that is wanted, by its number.
    host: Arc<watch::Sender<usize>>,
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
    /// before it. Of several hosts the first is used that is what `target_session_attrs` asks for.
    ///
    /// # Errors
    /// [`Error::Address`]; what may be secret is not shown.
    pub fn new(url: &str, schema: &str, pooled: bool) -> Result<Self> {
        let address = Arc::new(Address::parse(url)?);
        let host = Arc::new(watch::Sender::new(0));
        Ok(Self { address, host, schema: schema.to_owned(), pooled, lock_timeout: LOCK_TIMEOUT })
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

    /// Opens a session; `name` is what `pg_stat_activity` shows. The host in use is tried first, then the others in the
    /// URL's order; all within [`ANSWER_TIMEOUT`].
    ///
    /// # Errors
    /// [`Error::Pooler`] when the session is not this program's own although it should be; of several hosts
    /// [`Error::NoHost`], or at once what a host refuses for good.
    pub async fn session(&self, name: &str) -> Result<Session> {
        self.open(name, true).await
    }

    /// With the settings of [`SESSION`] where it is `pinned`, else with the search path alone.
    async fn open(&self, name: &str, pinned: bool) -> Result<Session> {
        let in_use = *self.host.borrow();
        let others = (0..self.address.hosts.len()).filter(|host| *host != in_use);
        let mut errors = Vec::new();
        for host in std::iter::once(in_use).chain(others) {
            match self.session_on(host, name, pinned).await {
                Ok(session) => {
                    if self.host.send_if_modified(|in_use| std::mem::replace(in_use, host) != host) {
                        tracing::info!(address = self.address_of(host), "another host is the one in use");
                    }
                    return Ok(session);
                }
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        Err(if errors.len() == 1 { errors.swap_remove(0) } else { Error::NoHost(errors) })
    }

    async fn session_on(&self, host: usize, name: &str, pinned: bool) -> Result<Session> {
        let options = self.address.hosts[host].clone().application_name(name);
        let lock_timeout = format!("{}ms", self.lock_timeout.as_millis());
        let mark = Uuid::new_v4().to_string();
        let options = if self.pooled {
            options.statement_cache_capacity(0)
        } else {
            let own = options.options([("search_path", quoted(&self.schema)), ("longshore.session", mark.clone())]);
            if pinned { own.options(SESSION).options([("lock_timeout", &lock_timeout)]) } else { own }
        };
        let open = async {
            let mut conn = PgConnection::connect_with(&options).await?;
            // one simple query: it is right behind a pooler as well
            let (arrived, in_recovery, read_only): (Option<String>, bool, bool) = sqlx::raw_sql(STATE)
                .fetch_one(&mut conn)
                .await
                .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))?;
            if !self.pooled && arrived.as_deref() != Some(mark.as_str()) {
                return Err(Error::Pooler);
            }
            let target = self.address.target;
            target.check(in_recovery, read_only).map_err(|found| Error::Unfit {
                address: self.address_of(host),
                found,
                wanted: target.name(),
            })?;
            Ok(Session { conn, host, pooled: self.pooled, schema: self.schema.clone(), lock_timeout })
        };
        within(self.address.patience, open).await.map_err(|error| match error {
            Error::Database(error) => self.refused(host, error),
            other => other,
        })
    }

    /// Whether a session has the host that is in use: another one may have found that its own is no longer fit.
    pub fn is_current(&self, session: &Session) -> bool {
        session.host == *self.host.borrow()
    }

    /// Why no connection was made, with the database that was meant. PgBouncer refuses start-up options that it does
    /// not know; and a statement of a new session has a name that the server knows already, or does not know any more,
    /// only where others use the connection as well.
    fn refused(&self, host: usize, error: sqlx::Error) -> Error {
        let is_shared = error.as_database_error().is_some_and(|refused| {
            refused.message().contains("startup parameter")
                || refused.code().is_some_and(|code| ["42P05", "26000"].contains(&&*code))
        });
        if is_shared { Error::Pooler } else { Error::Connection { address: self.address_of(host), error } }
    }

    /// The database and its hosts, for people: neither user nor password.
    pub fn address(&self) -> String {
        let places: Vec<String> = self.address.hosts.iter().map(place).collect();
        format!("database {:?} at {}", self.database(), places.join(", "))
    }

    fn address_of(&self, host: usize) -> String {
        format!("database {:?} at {}", self.database(), place(&self.address.hosts[host]))
    }

    fn database(&self) -> &str {
        let options = &self.address.hosts[0];
        options.get_database().unwrap_or_else(|| options.get_username())
    }

    /// How far the way to the server is protected; of several hosts, the one that is the least.
    pub fn tls(&self) -> Tls {
        self.address.tls()
    }

    /// A connection with nothing but the search path set: for migrations, which a pooler would tear apart.
    pub(crate) async fn plain(&self) -> Result<PgConnection> {
        if self.pooled {
            return Err(Error::Pooler);
        }
        Ok(self.open("longshore migrate", false).await?.conn)
    }

    /// Options for a connection that only listens, to the host that is fit, and what says that another one is. Options,
    /// since a `PgListener` takes a connection from a pool alone.
    pub(crate) async fn to_listen(&self) -> Result<(PgConnectOptions, Moved)> {
        let session = self.session("longshore listen").await?;
        let moved = Moved { from: session.host, host: self.host.subscribe() };
        let options = self.address.hosts[session.host].clone().application_name("longshore listen");
        session.close().await;
        Ok((options.options([("search_path", quoted(&self.schema))]), moved))
    }
}

/// Whether the mark of this session arrived, and what kind of server it is on.
const STATE: &str = "SELECT current_setting('longshore.session', true), pg_is_in_recovery(), \
                     current_setting('transaction_read_only') = 'on'";

/// Where a host listens, for people.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None if options.get_host().contains(':') => format!("[{}]:{}", options.get_host(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Says that a host is no longer the one in use.
#[derive(Debug)]
pub(crate) struct Moved {
    from: usize,
    host: watch::Receiver<usize>,
}

impl Moved {
    /// Waits for it.
    pub(crate) async fn wait(&mut self) {
        let from = self.from;
        if self.host.wait_for(|host| *host != from).await.is_err() {
            // nobody opens sessions any more
            std::future::pending::<()>().await;
        }
    }
}

/// A name as an identifier in SQL.
pub(crate) fn quoted(name: &str) -> String {
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
    host: usize,
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
