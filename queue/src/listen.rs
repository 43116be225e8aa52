//! Listening for the notifications of an INSERT, of a termination, of messages and of a drain. They only make things
//! faster: whoever listens polls as well.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};
use sqlx::{Executor, PgExecutor};
use uuid::Uuid;

use crate::connect::{ANSWER_TIMEOUT, Moved, within};
use crate::{Connect, Result};

/// Whether a notification that one session sends reaches another one within the deadline.
///
/// # Errors
/// Those of the database: it refuses to listen, or to notify.
pub async fn notify_arrives(connect: &Connect, db: impl PgExecutor<'_>, deadline: Duration) -> Result<bool> {
    let mut listener = Listener::on(connect, &[".doctor"]).await?;
    let mark = Uuid::new_v4().to_string();
    let channel = format!("longshore.{}.doctor", connect.schema());
    sqlx::query(include_str!("sql/notify_arrives.sql")).bind(channel).bind(&mark).execute(db).await?;
    let heard = async {
        loop {
            if listener.listener.try_recv().await?.is_some_and(|notification| notification.payload() == mark) {
                return Ok(true);
            }
        }
    };
    tokio::time::timeout(deadline, heard).await.unwrap_or(Ok(false))
}

/// Why a listener woke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Tasks of this queue were inserted.
    Inserted {
        /// Its name.
        queue: String,
    },
    /// Tasks of any queue were released, a pause or a schedule was edited.
    Changed,
    /// The end of some task was asked for.
    Terminate,
    /// Messages were recorded.
    Recorded,
    /// A worker shall drain.
    Drain {
        /// Which one.
        worker_id: Uuid,
    },
}

/// How often a connection on which nothing is heard is asked whether it still is one: a half-open link says nothing.
const ASK: Duration = Duration::from_secs(30);

/// A connection that listens.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
    moved: Moved,
    inserted: String,
}

impl Listener {
    /// Listens for tasks that are inserted or terminated, and for workers that shall drain. Not possible behind a
    /// pooler in transaction mode.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn open(connect: &Connect) -> Result<Self> {
        Self::on(connect, &["", ".terminate", ".drain"]).await
    }

    /// Listens for messages that are recorded while somebody [follows](crate::follow_log) logs.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn of_messages(connect: &Connect) -> Result<Self> {
        Self::on(connect, &[".messages"]).await
    }

    /// Listens on the channels of the schema that end so.
    async fn on(connect: &Connect, channels: &[&str]) -> Result<Self> {
        let (options, moved) = connect.to_listen().await?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // it would come back to the same host, whatever that is by then
        listener.eager_reconnect(false);
        let inserted = format!("longshore.{}", connect.schema());
        let channels: Vec<String> = channels.iter().map(|end| format!("{inserted}{end}")).collect();
        listener.listen_all(channels.iter().map(String::as_str)).await?;
        Ok(Self { listener, moved, inserted })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The connection is lost, or its host is no longer the one in use: open another one; anything may be missed until
    /// then.
    pub async fn next(&mut self) -> Result<Wake> {
        loop {
            tokio::select! {
                heard = self.listener.try_recv() => {
                    let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
                    return Ok(self.wake(&heard?.ok_or_else(lost)?));
                }
                () = self.moved.wait() => return Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()).into()),
                () = tokio::time::sleep(ASK) => {}
            }
            within(ANSWER_TIMEOUT, async { Ok((&mut self.listener).execute("").await?) }).await?;
        }
    }

    /// What else has come already, without waiting.
    pub fn next_at_hand(&mut self) -> Option<Wake> {
        self.listener.next_buffered().map(|notification| self.wake(&notification))
    }

    fn wake(&self, notification: &PgNotification) -> Wake {
        match notification.channel().strip_prefix(&self.inserted) {
            Some("") => match notification.payload() {
                "" => Wake::Changed,
                queue => Wake::Inserted { queue: queue.to_owned() },
            },
            Some(".messages") => Wake::Recorded,
            Some(".drain") => Wake::Drain { worker_id: notification.payload().parse().unwrap_or_default() },
            _ => Wake::Terminate,
        }
    }
}
