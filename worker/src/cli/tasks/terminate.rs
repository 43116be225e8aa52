//! `longshore tasks terminate`.

use clap::Args;
use longshore_queue::{ResultStatus, Session, Status, task_lines, terminate};

use super::bulk::Bulk;
use super::not_found;
use crate::cli::confirm::Bar;
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{note, say};

const OPEN: [Status; 4] = [Status::Requested, Status::Queued, Status::Running, Status::Terminating];

/// Ends tasks with all that is below them: at once while they wait, through their executors while they run
///
/// Prints the ids of those that were open; one that has ended is left alone. Filters find open tasks only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks terminate 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa --by alice
  longshore tasks terminate --queue mail --status queued --yes")]
pub(super) struct Terminate {
    #[command(flatten)]
    bulk: Bulk,
    /// Who asked for it; else the user of the database
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Terminate {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let by = self.by.as_deref();
        let mut exit = Exit::Done;
        let tasks = self.bulk.tasks(session, "terminate", &OPEN, &ResultStatus::ALL).await?;
        let mut bar = Bar::new(tasks.len());
        for task in tasks {
            let was_open = ask!(session, db => terminate(db, task, by));
            bar.wipe();
            if was_open {
                say!("{task}")?;
            } else if ask!(session, db => task_lines(db, &[task])).is_empty() {
                exit = exit.and(not_found(task));
            } else {
                note!("task {task} has ended already");
            }
            bar.step();
        }
        Ok(exit)
    }
}
