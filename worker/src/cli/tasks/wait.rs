//! `longshore tasks wait`.

use std::time::{Duration, Instant};

use clap::Args;
use longshore_queue::{Session, task_lines};
use uuid::Uuid;

use super::{not_found, result};
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{count, note, printable, say};
use crate::cli::values::{duration, uuid};

/// The pause after the first look, and the longest between two.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Waits until tasks have ended, and prints how each did
///
/// Exits 0 when all ended in success, 1 when one did not, 3 when one is not there, 124 when the time was over before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks wait --timeout 5m $(longshore tasks insert resize --payload '{\"width\": 80}')")]
pub(super) struct Wait {
    /// Which tasks
    #[arg(value_name = "TASK", required = true, value_parser = uuid)]
    tasks: Vec<Uuid>,
    /// So long at most, such as 90s or 5m; else as long as it takes
    #[arg(long, value_parser = duration)]
    timeout: Option<Duration>,
}

impl Wait {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let since = Instant::now();
        let mut open = self.tasks;
        let mut exit = Exit::Done;
        let mut pause = PAUSE_MIN;
        loop {
            let lines = ask!(session, db => task_lines(db, &open));
            for missing in open.iter().filter(|id| !lines.iter().any(|line| line.task_id == **id)) {
                exit = exit.and(not_found(*missing));
            }
            for line in lines.iter().filter(|line| line.has_ended()) {
                let said =
                    line.result_message.as_deref().map_or_else(String::new, |said| format!(": {}", printable(said)));
                say!("{} {} {}{said}", line.task_id, line.status, result(line))?;
                exit = exit.and(if line.result_status == "success" { Exit::Done } else { Exit::Failed });
            }
            open = lines.iter().filter(|line| !line.has_ended()).map(|line| line.task_id).collect();
            if open.is_empty() {
                return Ok(exit);
            }
            let left = self.timeout.map(|timeout| timeout.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                note!(
                    "{} of those named {} not ended",
                    count(open.len(), "task"),
                    if open.len() == 1 { "has" } else { "have" }
                );
                return Ok(Exit::TimedOut);
            }
            tokio::time::sleep(left.map_or(pause, |left| pause.min(left))).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
