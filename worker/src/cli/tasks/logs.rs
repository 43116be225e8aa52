//! `longshore tasks logs`.

use std::io::{self, Write};
use std::time::Duration;

use chrono::SecondsFormat;
use clap::Args;
use longshore_queue::{RecordedMessage, Session, Status, messages, read};
use serde_json::json;
use uuid::Uuid;

use super::not_found;
use crate::cli::database::ask;
use crate::cli::exit::Exit;

/// Messages read by one statement.
const PAGE: i32 = 1000;

/// The pause after new messages, and the longest between two looks while none come.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Prints a task's messages, in order
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Which task
    task: Uuid,
    /// Goes on with what comes, until the task has ended
    #[arg(long, short)]
    follow: bool,
    /// Only those after this sequence number
    #[arg(long, default_value_t = 0)]
    after: i32,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(super) async fn run(mut self, session: &mut Session) -> anyhow::Result<Exit> {
        let mut pause = PAUSE_MIN;
        loop {
            // read first: what an ended task said is there when its end is
            let Some(state) = ask!(session, db => read(db, self.task)) else { return Ok(not_found(self.task)) };
            let has_ended = Status::parse(&state.status).is_none_or(Status::has_ended);
            let page = ask!(session, db => messages(db, self.task, self.after, PAGE));
            let text: String = page.iter().map(|message| line(message, self.json)).collect();
            io::stdout().write_all(text.as_bytes())?;
            io::stdout().flush()?;
            if let Some(last) = page.last() {
                self.after = last.sequence;
                pause = PAUSE_MIN;
                if page.len() == PAGE as usize {
                    continue;
                }
            }
            if has_ended || !self.follow {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// One message, with its line's end.
fn line(message: &RecordedMessage, json: bool) -> String {
    let ts = message.ts.to_rfc3339_opts(SecondsFormat::Micros, true);
    if json {
        let object = json!({
            "sequence": message.sequence, "ts": ts, "error": message.error, "message": message.message,
            "context": message.context, "context_type": message.context_type, "extra": message.extra,
        });
        return format!("{object}\n");
    }
    let context = message.context.as_ref().map_or_else(String::new, |context| format!("{context}: "));
    format!("{ts} {} {context}{}\n", if message.error { "ERROR" } else { "     " }, message.message)
}
