//! `longshore workers`.

use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use longshore_queue::{Session, WorkerLine, drain_worker, workers};
use serde_json::json;

use super::confirm::confirmed;
use super::database::{Database, ask};
use super::exit::{BadInput, Exit};
use super::say::{count, note, print, print_json, say};
use super::values::age;
use super::{block_on, table};

/// Shows the workers, and tells them to drain.
///
/// A worker that drains claims no more, finishes what it has within its shutdown_deadline, and ends with the exit code
/// that it has after SIGTERM: whoever starts it anew, starts it anew.
///
/// Exits 0 done, 1 failed, 2 wrong usage, 3 when there is no such worker, 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore workers list
  longshore workers list --json | jq '.[] | select(.state != \"working\")'
  longshore workers drain worker-7
  longshore workers drain --all --yes")]
pub(crate) struct Workers {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the workers with what they serve and have in hand, as of their last heartbeats
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Tells workers to drain, and prints their ids; one that drains already is left alone
    Drain {
        /// Which worker, by name or id
        #[arg(value_name = "WORKER", required_unless_present = "all")]
        workers: Vec<String>,
        /// Every worker; asks first
        #[arg(long, conflicts_with = "workers")]
        all: bool,
        /// Does not ask
        #[arg(long, short, requires = "all")]
        yes: bool,
    },
}

impl Workers {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let mut session = self.database.session().await?;
            let known = ask!(session, db => workers(db));
            let exit = match self.action {
                Action::List { json } => {
                    if json {
                        print_json(&json!(known))?
                    } else {
                        print(&listed(&known))?
                    }
                    Exit::Done
                }
                Action::Drain { workers, all: false, .. } => {
                    let meant = workers.iter().map(|named| one(&known, named)).collect::<Result<Vec<_>, _>>()?;
                    let missing = workers.iter().zip(&meant).filter(|(_, found)| found.is_none());
                    let exit = missing.fold(Exit::Done, |exit, (named, _)| {
                        note!("there is no worker {named:?}: workers list shows them");
                        exit.and(Exit::NotFound)
                    });
                    drain(&mut session, meant.into_iter().flatten()).await?;
                    exit
                }
                Action::Drain { yes, .. } => {
                    note!("{} to drain", count(known.len(), "worker"));
                    if !known.is_empty() && (yes || confirmed("drain", known.len())?) {
                        drain(&mut session, known.iter()).await?;
                    }
                    Exit::Done
                }
            };
            session.close().await;
            Ok(exit.into())
        })
    }
}

async fn drain(session: &mut Session, meant: impl Iterator<Item = &WorkerLine>) -> anyhow::Result<()> {
    for worker in meant {
        if ask!(session, db => drain_worker(db, worker.worker_id)) {
            say!("{}", worker.worker_id)?;
            if worker.state == "silent" {
                note!("worker {:?} is silent, and may never hear of that", worker.name);
            }
        } else {
            note!("worker {:?} drains already, or has left", worker.name);
        }
    }
    Ok(())
}

/// The worker of this name or id.
///
/// # Errors
/// [`BadInput`] when several have this name.
fn one<'w>(known: &'w [WorkerLine], named: &str) -> Result<Option<&'w WorkerLine>, BadInput> {
    let of_id = known.iter().find(|worker| worker.worker_id.to_string() == named.to_ascii_lowercase());
    let of_name: Vec<&WorkerLine> = known.iter().filter(|worker| worker.name == named).collect();
    if of_id.is_none() && of_name.len() > 1 {
        let ids: Vec<String> = of_name.iter().map(|worker| worker.worker_id.to_string()).collect();
        let what = format!("{} workers are called {named:?}: name one by its id, {}", ids.len(), ids.join(" or "));
        return Err(BadInput(what));
    }
    Ok(of_id.or(of_name.first().copied()))
}

fn listed(workers: &[WorkerLine]) -> String {
    let rows = workers.iter().map(|worker| {
        let of = |what: fn(&longshore_queue::WorkerQueue) -> i32| worker.queues.iter().map(what).sum::<i32>();
        let mut actions: Vec<&str> =
            worker.queues.iter().flat_map(|served| &served.actions).map(String::as_str).collect();
        actions.sort_unstable();
        actions.dedup();
        [
            worker.name.clone(),
            worker.worker_id.to_string(),
            worker.state.clone(),
            if worker.leads { "leads" } else { "" }.to_owned(),
            worker.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            age(worker.heartbeat_age_seconds),
            format!("{}/{}", of(|served| served.running), of(|served| served.slots)),
            worker.queues.iter().map(|served| served.queue.as_str()).collect::<Vec<_>>().join(","),
            actions.join(","),
            worker.version.clone(),
        ]
    });
    table(["NAME", "ID", "STATE", "LEADER", "SINCE", "HEARTBEAT", "RUNNING", "QUEUES", "ACTIONS", "VERSION"], rows)
}
