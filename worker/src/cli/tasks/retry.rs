//! `longshore tasks retry`.

use clap::Args;
use longshore_queue::{ResultStatus, Session, Status, retry_task, task_lines};
use uuid::Uuid;

use super::bulk::Bulk;
use super::not_found;
use crate::cli::confirm::Bar;
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{note, say};

/// Runs ended tasks once more, each as a new task, and prints the new ids
///
/// What has ended never changes: the new task is the same but for its id, and names the old one in
/// request_context.retry_of. Its executor inserts the subtasks that it needs again; those that a producer inserted are
/// not inserted with it. Filters find tasks that ended in failure or partial_success only; a task named runs again
/// however it ended.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks retry 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa
  longshore tasks retry --failed-only 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa
  longshore tasks retry --action send_email --result failure --yes")]
pub(super) struct Retry {
    #[command(flatten)]
    bulk: Bulk,
    /// Only for the names in result_failures: as the new task's node filter
    #[arg(long)]
    failed_only: bool,
}

impl Retry {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let ended = [Status::Complete, Status::Terminated];
        let failed = [ResultStatus::Failure, ResultStatus::PartialSuccess];
        let mut exit = Exit::Done;
        let tasks = self.bulk.tasks(session, "retry", &ended, &failed).await?;
        let mut bar = Bar::new(tasks.len());
        for task in tasks {
            exit = exit.and(retry(session, task, self.failed_only, &mut bar).await?);
            bar.step();
        }
        Ok(exit)
    }
}

async fn retry(session: &mut Session, task: Uuid, failed_only: bool, bar: &mut Bar) -> anyhow::Result<Exit> {
    let old = ask!(session, db => task_lines(db, &[task])).pop();
    let Some(old) = old else {
        bar.wipe();
        return Ok(not_found(task));
    };
    let mut step = session.step().await?;
    let inserted = match retry_task(step.db(), task, failed_only).await {
        // refused for what it is: the others may be better
        Err(error) if !error.is_passing() => {
            bar.wipe();
            note!("{error}");
            return Ok(Exit::Failed);
        }
        inserted => inserted?,
    };
    step.done().await?;
    bar.wipe();
    match inserted {
        Some(new) => say!("{new}")?,
        None => note!("task {task} is not inserted again: one with its unique key waits already"),
    }
    if old.has_subtasks {
        note!("task {task} had subtasks: they run again where its executor inserts them");
    }
    Ok(Exit::Done)
}
