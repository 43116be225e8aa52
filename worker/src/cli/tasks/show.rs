//! `longshore tasks show`.

use std::num::NonZeroU8;

use clap::Args;
use longshore_queue::{BuildView, Layers, Session, TreeDocument, builds_of_task, documents, subtask_errors};
use uuid::Uuid;

use super::not_found;
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::print_json;
use crate::cli::values::uuid;

/// The entries of build data that a document has, as the function `task_document` has them.
const BUILD_DATA: BuildView = BuildView { latest: false, full: true, limit: 1000 };

/// Prints a task's document, or with --layers or --tree those of the tasks below it as well, by their ids
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks show TASK
  longshore tasks show TASK --tree --messages 0
  longshore tasks show TASK --subtask-errors | jq .subtask_errors")]
pub(super) struct Show {
    /// Which task
    #[arg(value_parser = uuid)]
    task: Uuid,
    /// So many layers, the task itself is the first
    #[arg(long)]
    layers: Option<NonZeroU8>,
    /// All layers
    #[arg(long, conflicts_with = "layers")]
    tree: bool,
    /// With its build data, the newest first
    #[arg(long, conflicts_with_all = ["layers", "tree"])]
    build_data: bool,
    /// With the results of those tasks below it whose log has errors
    #[arg(long, conflicts_with_all = ["layers", "tree"])]
    subtask_errors: bool,
    /// The last so many messages of each task
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    messages: u16,
}

impl Show {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let alone = self.layers.is_none() && !self.tree;
        let layers = if self.tree { Layers::All } else { self.layers.map_or(Layers::ONE, Layers::Upto) };
        let mut found = ask!(session, db => documents(db, self.task, layers, self.messages));
        let Some(first) = found.first_mut() else { return Ok(not_found(self.task)) };
        if self.build_data {
            first.build_data = Some(ask!(session, db => builds_of_task(db, self.task, BUILD_DATA)));
        }
        if self.subtask_errors {
            first.subtask_errors = Some(ask!(session, db => subtask_errors(db, self.task, self.messages)));
        }
        if alone {
            print_json(first)?
        } else {
            print_json(&TreeDocument(found))?
        }
        Ok(Exit::Done)
    }
}
