//! Doing something to many tasks: those named, or all that a filter finds, once that was confirmed.

use clap::Args;
use longshore_queue::{ResultStatus, Session, Status};
use uuid::Uuid;

use super::filter::Filters;
use crate::cli::confirm::confirmed;
use crate::cli::exit::BadInput;
use crate::cli::say::{count, note};
use crate::cli::values::uuid;

/// The most that one command does something to: their ids are held in memory. Whoever means more runs it again.
const BULK_MAX: i32 = 100_000;

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").args(["tasks"]).conflicts_with("filter"))]
pub(super) struct Bulk {
    /// Which tasks; else all that the filters find
    #[arg(value_name = "TASK", value_parser = uuid)]
    tasks: Vec<Uuid>,
    #[command(flatten)]
    filters: Filters,
    /// Does not ask before it does something to what the filters find
    #[arg(long, short)]
    yes: bool,
}

impl Bulk {
    /// The ids meant, the newest first where a filter found them; none when whoever was asked said no. A filter finds
    /// only tasks in one of these states and with one of these results; a task named is meant whatever its state.
    ///
    /// # Errors
    /// [`BadInput`] when nothing is named, or nobody is there to be asked.
    pub(super) async fn tasks(
        mut self,
        session: &mut Session,
        verb: &str,
        statuses: &[Status],
        results: &[ResultStatus],
    ) -> anyhow::Result<Vec<Uuid>> {
        if !self.tasks.is_empty() {
            return Ok(self.tasks);
        }
        if self.filters.is_empty() {
            return Err(BadInput(format!("name the tasks to {verb}, or say by --queue and the like which")).into());
        }
        let found = match self.filters.narrow(statuses, results) {
            true => self.filters.find(session, Uuid::max(), BULK_MAX).await?,
            false => Vec::new(),
        };
        let more = if found.len() as i32 == BULK_MAX { " (the newest; run it again for the rest)" } else { "" };
        note!("{} to {verb}{more}", count(found.len(), "task"));
        if found.is_empty() || self.yes {
            return Ok(found);
        }
        Ok(if confirmed(verb, found.len())? { found } else { Vec::new() })
    }
}
