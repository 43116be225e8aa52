//! Listening for the notifications of an INSERT and of a termination. They only make things faster: whoever listens
//! polls as well.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use crate::{Connect, Result};

/// Why a listener woke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Tasks of this queue were inserted.
    Inserted {
        /// Its name.
        queue: String,
    },
    /// Tasks of any queue were released, or a schedule was edited.
    Changed,
    /// The end of some task was asked for.
    Terminate,
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
    /// Listens on the channels of the schema. Not possible behind a pooler in transaction mode.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn open(connect: &Connect) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(connect.listen_options())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        let inserted = format!("longshore.{}", connect.schema());
        listener.listen_all([inserted.as_str(), format!("{inserted}.terminate").as_str()]).await?;
        Ok(Self { listener, inserted })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// A broken connection that did not come back by itself; open another one.
    pub async fn next(&mut self) -> Result<Wake> {
        Ok(match self.listener.try_recv().await? {
            Some(notification) if notification.channel() == self.inserted => match notification.payload() {
                "" => Wake::Changed,
                queue => Wake::Inserted { queue: queue.to_owned() },
            },
            Some(_) => Wake::Terminate,
            None => Wake::Reconnected,
        })
    }
}
