//! `longshore queues`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use longshore_queue::{
    Depth, Pause, PauseEnd, Paused, Session, WorkerLine, depths, pause, pauses, queue_names, resume, workers,
};
use serde_json::{Value, json};

use super::database::{Database, ask};
use super::exit::{BadInput, Exit};
use super::say::{note, print, print_json};
use super::values::{age, instant};
use super::{block_on, table};

/// Tasks counted a queue, priority and state at most: what is more is shown as so many and a +.
const COUNT_MAX: i32 = 10_000;

/// Shows queues; pauses queues and actions, and lets them go on.
///
/// A pause is durable, holds for all workers from the moment it is made, and stops claims alone: what runs goes on, and
/// INSERT works as always. It is a row of the table `pauses`: SQL can write it as well.
///
/// Exits 0 done, 1 failed, 2 wrong usage, 3 when there is no such pause, 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore queues list
  longshore queues pause mail --reason 'the relay is down' --for 2h
  longshore queues pause --action send_email          # in every queue
  longshore queues pause mail --action send_email     # in this one
  longshore queues resume mail")]
pub(crate) struct Queues {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prints the queues that are served, paused or not empty: depths, workers, pauses
    List {
        /// As a JSON object: queues, pauses
        #[arg(long)]
        json: bool,
    },
    /// Keeps a queue, an action, or an action of a queue from being claimed
    Pause(PauseWhat),
    /// Ends exactly this pause: what waits is claimed at once
    Resume(What),
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true)]
struct What {
    /// Which queue; with --action alone: every queue
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    /// Which action; else all of the queue
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    action: Option<String>,
}

#[derive(Debug, Args)]
struct PauseWhat {
    #[command(flatten)]
    what: What,
    /// Why, for whoever wonders
    #[arg(long)]
    reason: Option<String>,
    /// Until this instant, such as 2030-01-01T02:00:00Z; else until it is resumed
    #[arg(long, value_name = "INSTANT", value_parser = instant, conflicts_with = "lasts")]
    until: Option<DateTime<Utc>>,
    /// For so long, such as 90s or 2h
    #[arg(long = "for", id = "lasts", value_name = "DURATION", value_parser = super::values::duration)]
    lasts: Option<Duration>,
    /// Who pauses; else the user of the database
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Queues {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let mut session = self.database.session().await?;
            let exit = match self.action {
                Action::List { json } => list(&mut session, json).await?,
                Action::Pause(pause) => pause.run(&mut session).await?,
                Action::Resume(what) => what.resume(&mut session).await?,
            };
            session.close().await;
            Ok(exit.into())
        })
    }
}

impl What {
    fn paused(&self) -> Paused {
        Paused { queue: self.queue.clone(), action: self.action.clone() }
    }

    /// For people.
    fn told(&self) -> String {
        match (&self.queue, &self.action) {
            (Some(queue), Some(action)) => format!("action {action:?} of queue {queue:?}"),
            (Some(queue), None) => format!("queue {queue:?}"),
            (None, action) => format!("action {:?} of every queue", action.as_deref().unwrap_or_default()),
        }
    }

    async fn resume(&self, session: &mut Session) -> anyhow::Result<Exit> {
        let paused = self.paused();
        if ask!(session, db => resume(db, &paused)) {
            return Ok(Exit::Done);
        }
        note!("there is no pause of {}: queues list shows them", self.told());
        Ok(Exit::NotFound)
    }
}

impl PauseWhat {
    async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let end = match (self.until, self.lasts) {
            (Some(at), _) => PauseEnd::At(at),
            (None, Some(Duration::ZERO)) => return Err(BadInput("--for must be more than 0s".to_owned()).into()),
            (None, Some(lasts)) => PauseEnd::After(lasts),
            (None, None) => PauseEnd::Open,
        };
        let paused = self.what.paused();
        ask!(session, db => pause(db, &paused, self.reason.as_deref(), self.by.as_deref(), end));
        // a slip of the pen would pause nothing, and nobody would notice
        let workers = ask!(session, db => workers(db));
        let known = workers.iter().flat_map(|worker| &worker.queues).any(|served| {
            paused.queue.as_ref().is_none_or(|queue| *queue == served.queue)
                && paused.action.as_ref().is_none_or(|action| served.actions.contains(action))
        });
        if !known {
            note!("no worker knows {}: the pause holds all the same", self.what.told());
        }
        Ok(Exit::Done)
    }
}

/// All that is said of one queue.
struct Line {
    depth: Depth,
    workers: usize,
    slots: i32,
    pauses: Vec<Pause>,
}

async fn list(session: &mut Session, as_json: bool) -> anyhow::Result<Exit> {
    let names = ask!(session, db => queue_names(db));
    let pauses = ask!(session, db => pauses(db));
    let workers = ask!(session, db => workers(db));
    let mut found: BTreeMap<String, Depth> = BTreeMap::new();
    // a few at a time, so that each statement is short
    for some in names.chunks(20) {
        let counted = ask!(session, db => depths(db, some, COUNT_MAX));
        found.extend(counted.into_iter().map(|depth| (depth.queue.clone(), depth)));
    }
    let lines: Vec<Line> = found.into_values().map(|depth| line(depth, &workers, &pauses)).collect();
    if as_json {
        let queues: Vec<Value> = lines.iter().map(document).collect();
        print_json(&json!({ "queues": queues, "pauses": pauses }))?;
    } else {
        let rows = lines.iter().map(row);
        let everywhere = pauses.iter().filter(|pause| pause.queue.is_none()).map(everywhere);
        print(&table(
            ["QUEUE", "STATE", "READY", "SCHEDULED", "RUNNING", "OLDEST", "WORKERS", "SLOTS", "PAUSED"],
            rows.chain(everywhere),
        ))?;
    }
    Ok(Exit::Done)
}

fn line(depth: Depth, workers: &[WorkerLine], pauses: &[Pause]) -> Line {
    let lanes: Vec<_> = workers
        .iter()
        .filter(|worker| worker.works())
        .flat_map(|worker| &worker.queues)
        .filter(|served| served.queue == depth.queue)
        .collect();
    let pauses = pauses.iter().filter(|pause| pause.queue.as_ref() == Some(&depth.queue)).cloned().collect();
    Line { workers: lanes.len(), slots: lanes.iter().map(|lane| lane.slots).sum(), pauses, depth }
}

fn document(line: &Line) -> Value {
    json!({
        "queue": line.depth.queue, "paused": line.pauses.iter().any(|pause| pause.action.is_none()),
        "ready": line.depth.ready, "scheduled": line.depth.scheduled, "running": line.depth.running,
        "oldest_ready_age_seconds": line.depth.oldest_ready_age_seconds, "workers": line.workers, "slots": line.slots,
        "count_max": COUNT_MAX,
    })
}

fn row(line: &Line) -> [String; 9] {
    let state = match &line.pauses[..] {
        [] => "on",
        pauses if pauses.iter().any(|pause| pause.action.is_none()) => "paused",
        _ => "partly paused",
    };
    let oldest = line.depth.oldest_ready_age_seconds;
    [
        line.depth.queue.clone(),
        state.to_owned(),
        counted(line.depth.ready, COUNT_MAX),
        counted(line.depth.scheduled, COUNT_MAX),
        line.depth.running.to_string(),
        if line.depth.ready > 0 { age(oldest) } else { String::new() },
        line.workers.to_string(),
        line.slots.to_string(),
        line.pauses.iter().map(told).collect::<Vec<_>>().join("; "),
    ]
}

/// A pause of an action in all queues, as a row of its own.
fn everywhere(pause: &Pause) -> [String; 9] {
    let mut row = [const { String::new() }; 9];
    row[0] = "*".to_owned();
    row[1] = "partly paused".to_owned();
    row[8] = told(pause);
    row
}

/// A count that went no further than a bound of at most ten priorities.
pub(super) fn counted(count: i64, max: i32) -> String {
    if count >= i64::from(max) { format!("{count}+") } else { count.to_string() }
}

fn told(pause: &Pause) -> String {
    let at = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut told = pause.action.clone().unwrap_or_default();
    if !told.is_empty() {
        told.push(' ');
    }
    told.push_str(&format!("since {} by {}", at(pause.paused_at), pause.paused_by));
    if let Some(until) = pause.until {
        told.push_str(&format!(" until {}", at(until)));
    }
    if let Some(reason) = &pause.reason {
        told.push_str(&format!(": {reason}"));
    }
    told
}
