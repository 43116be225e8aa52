//! `longshore tasks explain`.

mod reasons;
#[cfg(test)]
mod tests;

use clap::Args;
use longshore_queue::{
    Filter, Session, Status, TaskLine, Within, ahead, find_in_tree, pauses, standing, task_lines, workers,
};
use serde_json::json;
use uuid::Uuid;

use self::reasons::{Facts, reasons};
use super::not_found;
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{print, print_json, printable};
use crate::cli::values::uuid;

/// Tasks waited for that are named at most; the rest is a number.
const NAMED_MAX: i32 = 20;

/// Tasks ahead in the queue that are counted at most.
const AHEAD_MAX: i32 = 10_000;

/// Says why a task does not run, or what it does, and what to do about that
///
/// Each reason is a sentence; with --json each has a code that stays: ended, running, held_by_silent_worker,
/// held_by_lost_worker, terminating, waits_for_predecessors, waits_for_subtasks, scheduled, retry_due, paused_queue,
/// paused_action, no_worker, no_worker_of_queue, unknown_action, slots_full, behind_others, due.
///
/// Exits 0 whatever it says, and 3 when there is no such task.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks explain TASK
  longshore tasks explain TASK --json | jq -r '.reasons[].code'")]
pub(in crate::cli) struct Explain {
    /// Which task
    #[arg(value_parser = uuid)]
    task: Uuid,
    /// As a JSON object: task_id, status, reasons
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let Some(task) = ask!(session, db => standing(db, self.task)) else { return Ok(not_found(self.task)) };
        let mut facts = Facts::of(task);
        match facts.task.status.as_str() {
            "queued" | "requested" => {
                facts.pauses = ask!(session, db => pauses(db));
                facts.workers = ask!(session, db => workers(db));
                facts.predecessors = self.predecessors(session, &facts.task.predecessors).await?;
                if facts.task.waits_for.is_some() {
                    facts.subtasks = self.subtasks(session).await?;
                }
                if facts.task.status == "queued" && facts.task.due_in_seconds <= 0.0 {
                    facts.ahead = ask!(session, db => ahead(db, self.task, AHEAD_MAX));
                }
            }
            "terminating" => facts.subtasks = self.subtasks(session).await?,
            _ => {}
        }
        let reasons = reasons(&facts);
        if self.json {
            print_json(&json!({ "task_id": self.task, "status": facts.task.status, "reasons": reasons }))?;
        } else {
            print(&reasons.iter().map(|reason| printable(&reason.message) + "\n").collect::<String>())?;
        }
        Ok(Exit::Done)
    }

    /// The predecessors that have not ended.
    async fn predecessors(&self, session: &mut Session, ids: &[Uuid]) -> anyhow::Result<Vec<TaskLine>> {
        let mut lines = ask!(session, db => task_lines(db, ids));
        lines.retain(|line| !line.has_ended());
        Ok(lines)
    }

    /// The newest subtasks that have not ended, one more than are named.
    async fn subtasks(&self, session: &mut Session) -> anyhow::Result<Vec<TaskLine>> {
        let open = Status::ALL.into_iter().filter(|status| !status.has_ended()).collect();
        let open = Filter { statuses: open, ..Filter::default() };
        let within = Within::Subtasks(self.task);
        let ids = ask!(session, db => find_in_tree(db, &open, within, Uuid::max(), NAMED_MAX + 1));
        Ok(ask!(session, db => task_lines(db, &ids)))
    }
}
