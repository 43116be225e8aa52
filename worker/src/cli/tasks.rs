//! `longshore tasks`.

mod logs;

use std::io::{self, Write};
use std::num::NonZeroU8;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longshore_queue::{Layers, Session, TreeDocument, documents};
use uuid::Uuid;

use super::database::{Database, ask};
use super::{NOT_FOUND, block_on};

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
    /// Prints a task's messages, in order, or with --tree those of all tasks below it as well
    Logs(logs::Logs),
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
                Action::Logs(logs) => logs.print(&mut session, &self.database.connect()?).await?,
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
