//! From commit to start on an idle worker, and what a worker costs that has nothing to do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use longshore_queue::Outcome;
use longshore_worker::config::Config;
use longshore_worker::{Context, Execution, Executor, Shutdown};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::bed::{Bed, Database};
use crate::report::{Report, percentile, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Inserts a second
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// For how long the idle worker is watched
    #[arg(long, default_value_t = 20)]
    idle_seconds: u32,
}

/// Notes when each task starts.
#[derive(Clone, Default)]
struct Mark(Arc<Mutex<HashMap<Uuid, Instant>>>);

impl Executor for Mark {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        let now = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(context.task().task_id, now);
        Box::pin(std::future::ready(Outcome::success()))
    }
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut database = bed.database().await?;
    let (nobody, with_nobody) = watch(bed, &mut database, None, options.idle_seconds).await?;
    let worker = Worker::start_idle(&bed.longshore.clone(), &mut database, "default", 64).await?;
    let (idle, with_idle) = watch(bed, &mut database, Some(&worker), options.idle_seconds).await?;
    worker.stop().await?;
    let delays = delays(&mut database, options).await?;
    bed.remove(database).await?;
    let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|part| percentile(&delays, part));
    table(
        &["commit to start", "p50 ms", "p95 ms", "p99 ms", "max ms"],
        &[[p50, p95, p99, max].iter().fold(vec![format!("{} inserts", delays.len())], |mut row, figure| {
            row.push(format!("{figure:.2}"));
            row
        })],
    );
    let (statements, share) = (idle - nobody, with_idle - with_nobody);
    println!(
        "idle worker: {statements:.2} statements/s, {:.2}% of a core with its server (without: {nobody:.2}/s, {:.2}%)",
        share * 100.0,
        with_nobody * 100.0
    );
    report.add(
        "latency",
        &json!({ "rate": options.rate, "inserts": delays.len(), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
            "max_ms": max, "idle_statements_a_second": statements, "idle_share_of_a_core": share }),
    )
}

/// Transactions a second in this database, and the share of a core that the worker and the server take.
async fn watch(bed: &Bed, database: &mut Database, worker: Option<&Worker>, seconds: u32) -> Result<(f64, f64)> {
    const COMMITS: &str = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let cpu = || -> Result<Duration> { Ok(bed.cpu()? + worker.map(Worker::cpu).transpose()?.unwrap_or_default()) };
    // an idle session reports what it did before within ten seconds
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (commits, before, since) = (database.value::<i64>(COMMITS).await?, cpu()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let (after, took) = (cpu()?, since.elapsed().as_secs_f64());
    let commits = database.value::<i64>(COMMITS).await? - commits;
    Ok((commits as f64 / took, (after - before).as_secs_f64() / took))
}

/// Inserts at an even pace, one commit each; milliseconds from the commit's answer to the executor's start. The worker
/// runs in this process, so that one clock measures both.
async fn delays(database: &mut Database, options: &Options) -> Result<Vec<f64>> {
    let mark = Mark::default();
    let config = format!(
        "database_url = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[actions.mark]\nexecutor = \"rust\"\n",
        database.url
    );
    let path = std::env::temp_dir().join(format!("longshore-bench-latency-{}.toml", std::process::id()));
    std::fs::write(&path, config)?;
    let config = Config::load(Some(&path));
    std::fs::remove_file(&path)?;
    let shutdown = Shutdown::default();
    let (worker, asked) = (longshore_worker::Worker::new(config?).executor("mark", mark.clone()), shutdown.clone());
    let thread = thread::spawn(move || worker.run_until(&asked));
    database.until("SELECT EXISTS (SELECT FROM workers WHERE idle_until > now())").await?;
    let mut producer = PgConnection::connect(&database.url).await?;
    let mut committed = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / options.rate);
    for _ in 0..options.rate * options.seconds {
        pace.tick().await;
        let task_id: Uuid =
            sqlx::query_scalar("INSERT INTO tasks (action, payload) VALUES ('mark', '{\"n\": 1}') RETURNING task_id")
                .fetch_one(&mut producer)
                .await?;
        committed.push((task_id, Instant::now()));
    }
    database.until("SELECT NOT EXISTS (SELECT FROM tasks WHERE status <> 'complete')").await?;
    shutdown.request();
    thread.join().ok().context("the worker panicked")??;
    let started = mark.0.lock().unwrap_or_else(PoisonError::into_inner);
    let delays: Vec<f64> = committed
        .iter()
        .filter_map(|(task_id, at)| Some(started.get(task_id)?.saturating_duration_since(*at).as_secs_f64() * 1e3))
        .collect();
    ensure!(delays.len() == committed.len(), "every task has started");
    Ok(delays)
}
