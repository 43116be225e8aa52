//! `longshore schedules`.

use std::process::ExitCode;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use longshore_queue::{Schedule, pause_schedule, run_schedule, schedules};
use serde_json::json;

use super::database::{Database, ask};
use super::exit::Exit;
use super::say::{note, print, print_json, say};
use super::{block_on, table};

/// Shows schedules, pauses them, lets them go on, runs one now; they are written by SQL, as rows of `schedules`.
///
/// Exits 0 done, 1 failed (a run that is skipped as well), 2 wrong usage, 3 when there is no schedule of that name,
/// 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore schedules list
  longshore schedules pause nightly
  longshore schedules run nightly")]
pub(crate) struct Schedules {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints all schedules with their last and next tick
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Stops a schedule's ticks; its open tasks go on
    Pause {
        /// Which schedule
        name: String,
    },
    /// Lets a paused schedule go on; what passed meanwhile is not made up
    Resume {
        /// Which schedule
        name: String,
    },
    /// Inserts a schedule's task now, paused or not, and prints its id
    Run {
        /// Which schedule
        name: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Schedules {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let mut session = self.database.session().await?;
            let exit = match &self.action {
                Action::List { json } => {
                    let found = ask!(session, db => schedules(db));
                    if *json {
                        print_json(&json!(found))?
                    } else {
                        print(&listed(&found))?
                    }
                    Exit::Done
                }
                Action::Pause { name } => done(ask!(session, db => pause_schedule(db, name, true)), name),
                Action::Resume { name } => done(ask!(session, db => pause_schedule(db, name, false)), name),
                Action::Run { name, json } => match ask!(session, db => run_schedule(db, name)) {
                    None => done(false, name),
                    Some(run) => {
                        if *json {
                            say!("{}", json!({ "outcome": run.outcome, "task_id": run.task_id }))?;
                        } else if let Some(task_id) = run.task_id {
                            say!("{task_id}")?;
                        }
                        if run.task_id.is_some() {
                            Exit::Done
                        } else {
                            note!("schedule {name:?}: a task of it is open, and its overlap policy is skip");
                            Exit::Failed
                        }
                    }
                },
            };
            session.close().await;
            Ok(exit.into())
        })
    }
}

fn done(found: bool, name: &str) -> Exit {
    if found {
        return Exit::Done;
    }
    note!("there is no schedule {name:?}: schedules list shows them");
    Exit::NotFound
}

fn listed(schedules: &[Schedule]) -> String {
    let instant =
        |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let rows = schedules.iter().map(|schedule| {
        let when = match (&schedule.cron, schedule.every_seconds) {
            (Some(cron), _) => format!("{cron} {}", schedule.time_zone),
            (None, every) => format!("every {}s", every.unwrap_or_default()),
        };
        let state = match &schedule.error {
            _ if schedule.paused => "paused".to_owned(),
            Some(error) => format!("error: {error}"),
            None => "on".to_owned(),
        };
        let last = [instant(schedule.last_fire_at), schedule.last_outcome.clone().unwrap_or_default()].join(" ");
        let next = if schedule.error.is_some() { String::new() } else { instant(schedule.next_at) };
        [
            schedule.name.clone(),
            when,
            schedule.action.clone(),
            schedule.queue.clone(),
            last.trim().to_owned(),
            next,
            state,
        ]
    });
    table(["NAME", "WHEN", "ACTION", "QUEUE", "LAST", "NEXT", "STATE"], rows)
}
