//! Listening for the notifications of an INSERT, of a termination, of messages and of a drain. They only make things faster: whoever listens
//! polls as well.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};

use uuid::Uuid;

use crate::{Connect, Result};

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
    /// The connection broke and is there again: anything may have been missed.
    Reconnected,
}

/// A connection that listens.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
    inserted: String,
}

impl Listener {
    /// Listens for tasks that are inserted or terminated, and for workers that shall drain. Not possible behind a pooler in transaction mode.
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
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(connect.listen_options())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        let inserted = format!("longshore.{}", connect.schema());
        let channels: Vec<String> = channels.iter().map(|end| format!("{inserted}{end}")).collect();
        listener.listen_all(channels.iter().map(String::as_str)).await?;
        Ok(Self { listener, inserted })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// A broken connection that did not come back by itself; open another one.
    pub async fn next(&mut self) -> Result<Wake> {
        Ok(match self.listener.try_recv().await? {
            Some(notification) => self.wake(&notification),
            None => Wake::Reconnected,
        })
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
