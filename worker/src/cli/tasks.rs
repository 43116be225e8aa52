//! `longshore tasks`.

use std::io::{self, Write};
use std::num::NonZeroU8;
use std::process::ExitCode;
use std::time::Duration;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use longshore_queue::{Layers, RecordedMessage, Session, Status, TreeDocument, documents, messages, read};
use serde_json::json;
use uuid::Uuid;

use super::database::{Database, ask};
use super::{NOT_FOUND, block_on};

/// Messages read by one statement.
const PAGE: i32 = 1000;

/// The pause after new messages, and the longest between two looks while none come.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Shows a task, or what it said.
///
/// Exits 0 done, 1 failed, 2 wrong usage, 3 when there is no such task.
#[derive(Debug, Args)]
pub(crate) struct Tasks {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints a task's document, or with --layers or --tree those of the tasks below it as well, by their ids
    Show {
        /// Which task
        task: Uuid,
        /// So many layers, the task itself is the first
        #[arg(long)]
        layers: Option<NonZeroU8>,
        /// All layers
        #[arg(long, conflicts_with = "layers")]
        tree: bool,
        /// The last so many messages of each task
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
        messages: u16,
    },
    /// Prints a task's messages, in order
    Logs {
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
    },
}

impl Tasks {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let mut session = self.database.session().await?;
            let found = match self.action {
                Action::Show { task, layers, tree, messages } => {
                    let one = layers.is_none() && !tree;
                    let layers = if tree { Layers::All } else { layers.map_or(Layers::ONE, Layers::Upto) };
                    show(&mut session, task, layers, one, messages).await?
                }
                Action::Logs { task, follow, after, json } => logs(&mut session, task, follow, after, json).await?,
            };
            session.close().await;
            if found {
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("longshore: there is no such task");
            Ok(ExitCode::from(NOT_FOUND))
        })
    }
}

/// Prints the document, or those of the tree by their ids; false when there is no such task.
async fn show(session: &mut Session, task: Uuid, layers: Layers, one: bool, messages: u16) -> anyhow::Result<bool> {
    let found = ask!(session, db => documents(db, task, layers, messages));
    let text = match found.first() {
        None => return Ok(false),
        Some(task) if one => serde_json::to_string_pretty(task)?,
        Some(_) => serde_json::to_string_pretty(&TreeDocument(found))?,
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(true)
}

/// Prints messages; false when there is no such task.
async fn logs(session: &mut Session, task: Uuid, follow: bool, mut after: i32, json: bool) -> anyhow::Result<bool> {
    let mut pause = PAUSE_MIN;
    loop {
        // read first: what an ended task said is there when its end is
        let Some(state) = ask!(session, db => read(db, task)) else { return Ok(false) };
        let has_ended = Status::parse(&state.status).is_none_or(Status::has_ended);
        let page = ask!(session, db => messages(db, task, after, PAGE));
        let text: String = page.iter().map(|message| line(message, json)).collect();
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()?;
        if let Some(last) = page.last() {
            after = last.sequence;
            pause = PAUSE_MIN;
            if page.len() == PAGE as usize {
                continue;
            }
        }
        if has_ended || !follow {
            return Ok(true);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
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
