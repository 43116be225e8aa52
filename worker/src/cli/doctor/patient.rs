//! The installation that is looked at.

use longshore_queue::{Connect, Session};

/// How to reach it, and a session while one goes well.
pub(super) struct Patient {
    pub(super) connect: Connect,
    pub(super) session: Option<Session>,
}

impl Patient {
    pub(super) fn new(connect: Connect) -> Self {
        Self { connect, session: None }
    }

    /// The session of the look before, or a new one.
    pub(super) async fn session(&mut self) -> longshore_queue::Result<&mut Session> {
        if self.session.is_none() {
            self.session = Some(self.connect.session("longshore doctor").await?);
        }
        Ok(self.session.as_mut().expect("invariant: it was opened above"))
    }
}

/// One look: `look!(patient, db => examine_lead(db))`. After an error the next look has a session of its own.
macro_rules! look {
    ($patient:expr, $db:ident => $call:expr) => {{
        let looked = longshore_queue::within(longshore_queue::ANSWER_TIMEOUT, async {
            let mut step = $patient.session().await?.step().await?;
            let $db = step.db();
            let seen = $call.await?;
            step.done().await?;
            Ok(seen)
        })
        .await;
        if looked.is_err() {
            $patient.session = None;
        }
        looked
    }};
}
pub(super) use look;
