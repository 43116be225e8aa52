//! A loop's own connection: opened when it is needed, dropped when it fails, and one log line per change between.

use std::sync::Arc;
use std::time::Duration;

use longshore_queue::{ANSWER_TIMEOUT, Connect, Error, Result, Session};

use crate::metrics;

/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause: a database that is back is found within it.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The step of opening a session, where that is one of its own.
const CONNECT: &str = "connect";

#[derive(Debug)]
pub(crate) struct Link {
    connect: Connect,
    cell: Arc<str>,
    name: &'static str,
    session: Option<Session>,
    pause: Duration,
    failing: bool,
    /// Steps that the database refuses, whatever it does with others.
    refused: Vec<&'static str>,
    /// An open session that has not answered for so long is given up.
    limit: Duration,
}

impl Link {
    pub(crate) fn new(connect: &Connect, cell: &Arc<str>, name: &'static str) -> Self {
        metrics::no_database_errors_yet(cell, name);
        Self {
            connect: connect.clone(),
            cell: Arc::clone(cell),
            name,
            session: None,
            pause: PAUSE_MIN,
            failing: false,
            refused: Vec::new(),
            limit: ANSWER_TIMEOUT,
        }
    }

    /// With a shorter limit than [`ANSWER_TIMEOUT`] on an open session's answer.
    pub(crate) fn answering_within(self, limit: Duration) -> Self {
        Self { limit: limit.min(ANSWER_TIMEOUT), ..self }
    }

    /// How long the next step may take.
    pub(crate) fn limit(&self) -> Duration {
        if self.session.is_some() { self.limit } else { ANSWER_TIMEOUT }
    }

    /// The session, opened if there is none, or another link has found that the database is on another host.
    pub(crate) async fn session(&mut self) -> Result<&mut Session> {
        let session = match self.session.take().filter(|session| self.connect.is_current(session)) {
            Some(session) => session,
            None => self.connect.session(&format!("longshore {}", self.name)).await?,
        };
        Ok(self.session.insert(session))
    }

    /// Opens the session where there is none.
    ///
    /// # Errors
    /// It cannot be had; that has been logged and waited for.
    pub(crate) async fn open(&mut self) -> Result<()> {
        if self.session.is_some() {
            return Ok(());
        }
        let opened = longshore_queue::within(self.limit(), async { self.session().await.map(|_| ()) }).await;
        match &opened {
            Ok(()) => self.refused.retain(|refused| *refused != CONNECT),
            Err(error) => self.failed(error, CONNECT).await,
        }
        opened
    }

    /// Whether the last step went through.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing
    }

    /// A step went through.
    pub(crate) fn worked(&mut self, step: &'static str) {
        self.refused.retain(|refused| *refused != step);
        if self.failing {
            tracing::info!(connection = self.name, "the database answers again");
            self.failing = false;
        }
        self.pause = PAUSE_MIN;
    }

    /// A step failed: drops the session, whose state is unknown, and waits a little.
    pub(crate) async fn failed(&mut self, error: &Error, step: &'static str) {
        self.session = None;
        metrics::database_error(&self.cell, self.name, error);
        if !error.is_passing() {
            if !self.refused.contains(&step) {
                tracing::error!(connection = self.name, step, %error, "the database refuses a step");
                self.refused.push(step);
            }
        } else if !self.failing {
            tracing::warn!(connection = self.name, %error, "the database does not do what it is asked");
            self.failing = true;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Closes the session in good order.
    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }
}

/// Runs one step on a link: `step!(link, db => complete(db, …))`. One statement, or behind a pooler one transaction;
/// the link learns how it went.
macro_rules! step {
    ($link:expr, $db:ident => $call:expr) => {{
        let link: &mut $crate::link::Link = &mut $link;
        let done = longshore_queue::within(link.limit(), async {
            let mut step = link.session().await?.step().await?;
            let $db = step.db();
            let done = $call.await?;
            step.done().await?;
            Ok(done)
        })
        .await;
        match &done {
            Ok(_) => link.worked(stringify!($call)),
            Err(error) => link.failed(error, stringify!($call)).await,
        }
        done
    }};
}
pub(crate) use step;
