//! `longshore demo`: what the queue does, shown and checked, in a folder that is gone afterwards.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | the tasks, and what must become of them |
//! | `program` | the command that some of them run |
//! | `endpoint` | the HTTP server that some of them are posted to |
//! | `workers` | the worker processes |
//! | `progress` | the line that counts |
//! | `report` | what happened, as a table |
//! | `checks` | whether that is what should have |

mod checks;
mod endpoint;
mod plan;
mod program;
mod progress;
mod report;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::DateTime;
use clap::Args;
use longshore_postgres::{Options, Server};
use longshore_queue::{Connect, NewTask, create_database, holder, insert_many, messages, migrate, pace, summary};
use sqlx::{Connection, PgConnection};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use uuid::Uuid;

use self::endpoint::Endpoint;
use self::plan::Plan;
pub(crate) use self::program::Program;
use self::progress::Progress;
use self::report::Findings;
use self::workers::Workers;
use super::block_on;
use super::dev::DATABASE;
use super::exit::Exit;
use super::say::{is_reader_gone, say};

/// How long anything here may take to happen: far beyond what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the database is asked whether it has happened.
const POLL: Duration = Duration::from_millis(100);

/// Tasks of one INSERT.
const BATCH: usize = 500;

/// Runs workers on a private Postgres, feeds them, kills one, and checks what becomes of every task.
///
/// Nothing stays. Exits 0 when every task ended as it should.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many tasks
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    tasks: u32,
    /// The folder of Postgres's programs; else they are looked for, and fetched where there are none
    #[arg(long, value_name = "DIR")]
    pg_bin: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut options = Options::default();
        options.search.bin_dir.clone_from(&self.pg_bin);
        say!("starting a private Postgres")?;
        // dropped last: the workers have ended by then, interrupted or not
        let server = Server::temporary(&options)?;
        say!("Postgres {} in {}", server.major(), server.data_dir().display())?;
        let plan = Plan::of(self.tasks as usize);
        let findings = block_on(async {
            tokio::select! {
                findings = show(&server, &plan) => findings,
                interrupted = interrupt() => { interrupted?; bail!("interrupted") }
            }
        })?;
        Ok(if report::print(&plan, &findings)? { Exit::Done } else { Exit::Failed }.into())
    }
}

/// Waits for SIGINT or SIGTERM.
async fn interrupt() -> anyhow::Result<()> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// Starts everything, and shows the end of the workers' logs when it does not come to its end.
async fn show(server: &Server, plan: &Plan) -> anyhow::Result<Findings> {
    create_database(&server.url("postgres"), DATABASE).await?;
    let url = server.url(DATABASE);
    migrate(&Connect::new(&url, "public", false)?).await?;
    let endpoint = Endpoint::start().await?;
    // the server removes its folder when it ends, however it ends
    let folder = server.data_dir().parent().context("the data folder has no parent")?.join("workers");
    let mut workers = Workers::start(&folder, &url, &endpoint)?;
    let findings = play(&url, plan, &mut workers).await;
    let is_well = match &findings {
        Ok(findings) => checks::all_hold(plan, findings),
        Err(error) => is_reader_gone(error),
    };
    if !is_well {
        workers.print_logs();
    }
    findings
}

/// The play itself: insert, kill, wait for the end of every task, end the workers, count.
async fn play(url: &str, plan: &Plan, workers: &mut Workers) -> anyhow::Result<Findings> {
    workers.wait_until_working(PATIENCE).await?;
    say!("{} worker processes: {}", workers.names().len(), workers.names().join(", "))?;
    let mut db = PgConnection::connect(url).await?;
    let hostage = insert(&mut db, plan).await?;
    say!("inserted {} tasks", plan.total())?;
    let killed = kill_holder(&mut db, hostage, workers).await?;
    say!("killed worker {killed} in the middle of task {hostage}")?;
    wait_for_all(&mut db, plan, workers).await?;
    let metrics = workers.scrape().await?;
    let exit_codes = workers.end(PATIENCE).await?;
    Ok(Findings {
        tallies: summary(&mut db, DateTime::UNIX_EPOCH).await?,
        pace: pace(&mut db, DateTime::UNIX_EPOCH).await?,
        hostage: messages(&mut db, hostage, 0, 10).await?.into_iter().map(|said| said.message).collect(),
        killed,
        metrics,
        exit_codes,
    })
}

/// Inserts the plan's tasks; returns the id of the first, whose worker is to be killed.
async fn insert(db: &mut PgConnection, plan: &Plan) -> anyhow::Result<Uuid> {
    let tasks: Vec<NewTask> = plan.tasks();
    let mut first = None;
    for batch in tasks.chunks(BATCH) {
        let ids = insert_many(&mut *db, batch).await?;
        first = first.or(ids.first().copied());
    }
    first.context("no task was inserted")
}

/// Waits until the task's program has spoken, then kills the worker process that holds the task.
async fn kill_holder(db: &mut PgConnection, hostage: Uuid, workers: &mut Workers) -> anyhow::Result<String> {
    let since = Instant::now();
    loop {
        let speaks = !messages(&mut *db, hostage, 0, 1).await?.is_empty();
        if let (true, Some(holder)) = (speaks, holder(&mut *db, hostage).await?) {
            workers.kill(&holder.name)?;
            return Ok(holder.name);
        }
        workers.check()?;
        if since.elapsed() > PATIENCE {
            bail!("nobody has begun task {hostage} within {PATIENCE:?}");
        }
        sleep(POLL).await;
    }
}

async fn wait_for_all(db: &mut PgConnection, plan: &Plan, workers: &Workers) -> anyhow::Result<()> {
    let since = Instant::now();
    let patience = PATIENCE + plan.patience();
    let mut progress = Progress::new(plan.total());
    loop {
        let tallies = summary(&mut *db, DateTime::UNIX_EPOCH).await?;
        let ended: i64 = tallies.iter().filter(|tally| tally.is_ended()).map(|tally| tally.tasks).sum();
        progress.show(usize::try_from(ended).unwrap_or_default())?;
        if progress.is_done() {
            return Ok(());
        }
        workers.check()?;
        if since.elapsed() > patience {
            bail!("{ended} of {} tasks have ended within {patience:?}", plan.total());
        }
        sleep(POLL).await;
    }
}
