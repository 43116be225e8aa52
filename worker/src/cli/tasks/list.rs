//! `longshore tasks list`.

use chrono::SecondsFormat;
use clap::Args;
use longshore_queue::{Session, TaskLine, task_lines};
use serde_json::json;
use uuid::Uuid;

use super::filter::Filters;
use super::{result, took};
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{note, print, print_json};
use crate::cli::table;
use crate::cli::values::uuid;

/// Prints tasks, the newest first
///
/// Without --parent or --root it looks through all tasks, from the newest on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks list --queue mail --status queued,running
  longshore tasks list --result failure --json --limit 1000 | jq -r '.[].task_id'
  longshore tasks list --before 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa")]
pub(super) struct List {
    #[command(flatten)]
    filters: Filters,
    /// Only older ones than this task: the last one of the page before
    #[arg(
        long,
        value_name = "TASK",
        value_parser = uuid,
        default_value = "ffffffff-ffff-ffff-ffff-ffffffffffff",
        hide_default_value = true
    )]
    before: Uuid,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    limit: i32,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let mut found = self.filters.find(session, self.before, self.limit + 1).await?;
        let more = found.len() as i32 > self.limit;
        found.truncate(self.limit as usize);
        let lines = ask!(session, db => task_lines(db, &found));
        if self.json {
            print_json(&json!(lines))?
        } else {
            print(&listed(&lines))?
        }
        if let (true, Some(last)) = (more, found.last()) {
            note!("there are more: --before {last}");
        }
        Ok(Exit::Done)
    }
}

fn listed(lines: &[TaskLine]) -> String {
    let rows = lines.iter().map(|task| {
        [
            task.task_id.to_string(),
            task.queue.clone(),
            task.action.clone(),
            task.status.clone(),
            result(task),
            format!("{}/{}", task.attempt, task.max_attempts),
            task.created.to_rfc3339_opts(SecondsFormat::Secs, true),
            took(task),
        ]
    });
    table(["TASK", "QUEUE", "ACTION", "STATUS", "RESULT", "ATTEMPT", "CREATED", "TOOK"], rows)
}
