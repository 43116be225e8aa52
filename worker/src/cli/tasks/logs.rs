//! `longshore tasks logs`.

use std::time::{Duration, Instant};

use chrono::SecondsFormat;
use clap::Args;
use longshore_queue::{
    Connect, Listener, RecordedMessage, Session, Status, TaskState, TreeCursor, TreeMessage, follow_log, messages,
    read, tree_messages,
};
use serde_json::json;
use uuid::Uuid;

use super::not_found;
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{escaped, note, print, printable};
use crate::cli::values::uuid;

/// Messages read by one statement.
const PAGE: i32 = 1000;

/// The longest between two looks: the end of a task is not notified, and notifications may not come.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The shortest between two looks, for a log that grows all the time.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Looks take at most one part in so many of the time: one at a tree looks at all its tasks.
const SHARE: u32 = 10;

/// How often a follower announces itself: twice within the time for which it counts.
const ANNOUNCE: Duration = Duration::from_secs(12);

/// Prints a task's messages, in order, or with --tree those of all tasks below it as well
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks logs -f TASK
  longshore tasks logs --tree TASK
  longshore tasks logs --json --after 100 TASK | jq -r 'select(.error) | .message'")]
pub(super) struct Logs {
    /// Which task
    #[arg(value_parser = uuid)]
    task: Uuid,
    /// Goes on with what comes, until the task has ended
    #[arg(long, short)]
    follow: bool,
    /// Only those after this sequence number
    #[arg(long, default_value_t = 0)]
    after: i32,
    /// Those of all tasks below it as well, as they came; each line names its task by the end of its id, and the action
    #[arg(long, conflicts_with = "after")]
    tree: bool,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
}

impl Logs {
    pub(super) async fn run(self, session: &mut Session, connect: &Connect) -> anyhow::Result<Exit> {
        let mut ears = if self.follow { Some(Ears::open(session, connect).await) } else { None };
        let mut position = Position { after: self.after, tree: TreeCursor::default() };
        loop {
            let began = Instant::now();
            // read first: what an ended task said is there when its end is
            let Some(state) = ask!(session, db => read(db, self.task)) else { return Ok(not_found(self.task)) };
            let has_ended = Status::parse(&state.status).is_none_or(Status::has_ended);
            while self.page(session, &mut position).await? {}
            let Some(ears) = &mut ears else { return Ok(Exit::Done) };
            if has_ended {
                note!("{}", ended(&state));
                return Ok(Exit::Done);
            }
            tokio::time::sleep(PAUSE_MIN.max(began.elapsed() * (SHARE - 1))).await;
            ears.wait(session).await?;
        }
    }

    /// Prints the next page; true when there may be another.
    async fn page(&self, session: &mut Session, position: &mut Position) -> anyhow::Result<bool> {
        let mut text = String::new();
        let count = if self.tree {
            let page = ask!(session, db => tree_messages(db, self.task, &position.tree, PAGE));
            for one in &page {
                text.push_str(&self.line(&one.message, Some(one)));
                position.tree.read(one);
            }
            page.len()
        } else {
            let page = ask!(session, db => messages(db, self.task, position.after, PAGE));
            for one in &page {
                text.push_str(&self.line(one, None));
                position.after = one.sequence;
            }
            page.len()
        };
        print(&text)?;
        Ok(count == PAGE as usize)
    }

    /// One message, with its line's end; in a tree with its task.
    fn line(&self, message: &RecordedMessage, of: Option<&TreeMessage>) -> String {
        let ts = message.ts.to_rfc3339_opts(SecondsFormat::Micros, true);
        if self.json {
            let mut object = json!({
                "sequence": message.sequence, "ts": ts, "error": message.error, "message": message.message,
                "context": message.context, "context_type": message.context_type, "extra": message.extra,
            });
            if let Some(of) = of {
                object["task_id"] = json!(of.task_id);
                object["action"] = json!(of.action);
            }
            return escaped(&object.to_string()) + "\n";
        }
        // ids of one moment begin alike
        let task = of.map_or_else(String::new, |of| format!("{} {}: ", &of.task_id.to_string()[24..], of.action));
        let context = message.context.as_ref().map_or_else(String::new, |context| format!("{context}: "));
        let before = printable(&format!("{ts} {} {task}{context}", if message.error { "ERROR" } else { "     " }));
        // a message of several lines must not look like several messages
        format!("{before}{}\n", message.message.trim_end_matches('\n').replace('\n', "\n    "))
    }
}

/// How a task has ended, for people.
fn ended(task: &TaskState) -> String {
    let reason = task.result_reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let said = task.result_message.as_ref().map_or_else(String::new, |said| format!(": {}", printable(said)));
    format!("task {} ended: {} {}{reason}{said}", task.task_id, task.status, task.result_status)
}

/// Up to where was read.
struct Position {
    after: i32,
    tree: TreeCursor,
}

/// Hears that something was recorded. Never trusted: without it, looks come at their longest pause.
struct Ears {
    listener: Option<Listener>,
    announced: Instant,
}

impl Ears {
    /// Announces a follower and listens; deaf where that is not allowed, or not possible behind a pooler.
    async fn open(session: &mut Session, connect: &Connect) -> Self {
        let announced = Instant::now();
        let listener = match announce(session).await {
            Ok(()) => Listener::of_messages(connect).await.map_err(anyhow::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = &listener {
            tracing::debug!(%error, "polling");
        }
        Self { listener: listener.ok(), announced }
    }

    /// Waits until something may have been recorded.
    async fn wait(&mut self, session: &mut Session) -> anyhow::Result<()> {
        let Some(listener) = &mut self.listener else {
            tokio::time::sleep(PAUSE_MAX).await;
            return Ok(());
        };
        if self.announced.elapsed() > ANNOUNCE {
            self.announced = Instant::now();
            announce(session).await?;
        }
        let mut heard = false;
        while listener.next_at_hand().is_some() {
            heard = true;
        }
        if !heard && let Ok(Err(error)) = tokio::time::timeout(PAUSE_MAX, listener.next()).await {
            tracing::debug!(%error, "polling");
            self.listener = None;
        }
        Ok(())
    }
}

async fn announce(session: &mut Session) -> anyhow::Result<()> {
    ask!(session, db => follow_log(db));
    Ok(())
}
