//! `longshore builds`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use longshore_queue::{BuildData, BuildView, builds, builds_of_node, builds_of_task};
use serde_json::json;
use uuid::Uuid;

use super::database::{Database, ask};
use super::exit::Exit;
use super::say::{note, print, print_as_it_is, print_json};
use super::values::uuid;
use super::{block_on, table};

/// Shows build data: what tasks found out about nodes, the newest first.
///
/// Exits 0 done, 1 failed, 2 wrong usage, 3 when there is none to show of that node or task,
/// 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore builds list --latest
  longshore builds show --node node1 --latest")]
pub(crate) struct Builds {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints a summary, without the elements
    List(Which),
    /// Prints the elements as they are, one after the other, or whole documents with --json
    Show(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// Of this node
    #[arg(long)]
    node: Option<String>,
    /// Of this task
    #[arg(long, value_parser = uuid)]
    task: Option<Uuid>,
    /// Only what no later entry of the same node and generator has replaced
    #[arg(long)]
    latest: bool,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    limit: i32,
    /// As a JSON array of documents
    #[arg(long)]
    json: bool,
}

impl Builds {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (which, full) = match &self.action {
            Action::List(which) => (which, false),
            Action::Show(which) => (which, true),
        };
        let view = BuildView { latest: which.latest, full, limit: which.limit };
        let found = block_on(async {
            let mut session = self.database.session().await?;
            let found = match (&which.node, which.task) {
                (Some(node), task) => ask!(session, db => builds_of_node(db, node, task, view)),
                (None, Some(task)) => ask!(session, db => builds_of_task(db, task, view)),
                (None, None) => ask!(session, db => builds(db, view)),
            };
            session.close().await;
            Ok(found)
        })?;
        match full {
            _ if which.json => print_json(&json!(found))?,
            // to the byte for programs
            true if !io::stdout().is_terminal() => print_as_it_is(&shown(&found))?,
            true => print(&shown(&found))?,
            false => print(&listed(&found))?,
        }
        if full && found.is_empty() && (which.node.is_some() || which.task.is_some()) {
            let node = which.node.as_ref().map(|node| format!("node {node:?}"));
            let task = which.task.map(|task| format!("task {task}"));
            let what: Vec<String> = node.into_iter().chain(task).collect();
            note!("there is no build data of {}: builds list shows what there is", what.join(" and "));
            return Ok(Exit::NotFound.into());
        }
        Ok(Exit::Done.into())
    }
}

/// The elements, each ending with a line's end.
fn shown(found: &[BuildData]) -> String {
    let element = |data: &BuildData| {
        let element = data.data_element.clone().unwrap_or_default();
        if element.ends_with('\n') { element } else { element + "\n" }
    };
    found.iter().map(element).collect()
}

fn listed(found: &[BuildData]) -> String {
    let rows = found.iter().map(|data| {
        [
            data.node_name.clone(),
            data.generator.clone(),
            data.collected_date.to_rfc3339_opts(SecondsFormat::Secs, true),
            data.data_format.clone(),
            data.data_bytes.to_string(),
            data.task_id.to_string(),
        ]
    });
    table(["NODE", "GENERATOR", "COLLECTED", "FORMAT", "BYTES", "TASK"], rows)
}
