//! Pre-enqueued no-op tasks through real worker processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 200_000)]
    tasks: u32,
    /// How often each is measured, in alternation
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Another binary longshore, measured in alternation
    #[arg(long)]
    against: Option<PathBuf>,
    /// Only one process with 64 slots
    #[arg(long)]
    one: bool,
}

/// What a drain took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    pub(crate) tasks_a_second: f64,
    pub(crate) worker_us: f64,
    pub(crate) postgres_us: f64,
    pub(crate) wal_bytes: f64,
    pub(crate) full_pages: i64,
    pub(crate) rss_mib: f64,
    pub(crate) hot: f64,
}

impl Drained {
    pub(crate) fn figures(&self) -> Value {
        json!({
            "tasks_a_second": self.tasks_a_second, "worker_us": self.worker_us, "postgres_us": self.postgres_us,
            "wal_bytes": self.wal_bytes, "full_pages": self.full_pages, "rss_mib": self.rss_mib, "hot": self.hot,
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{:.0}", self.tasks_a_second),
            format!("{:.1}", self.worker_us),
            format!("{:.1}", self.postgres_us),
            format!("{:.0}", self.wal_bytes),
            self.full_pages.to_string(),
            format!("{:.1}", self.rss_mib),
            format!("{:.3}", self.hot),
        ]
    }
}

/// Head of a table of drains.
const HEAD: [&str; 8] =
    ["drain", "tasks/s", "worker us", "postgres us", "WAL B", "full pages", "RSS MiB", "HOT a completion"];

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut binaries = vec![("", bed.longshore.clone())];
    binaries.extend(options.against.clone().map(|path| ("against, ", path)));
    let shapes: &[(usize, usize)] = if options.one { &[(1, 64)] } else { &[(1, 64), (2, 64), (1, 1000)] };
    let mut all: Vec<(String, Vec<Drained>)> = Vec::new();
    for _ in 0..options.repeat {
        for (processes, concurrency) in shapes {
            for (which, binary) in &binaries {
                let name = format!("{which}{processes} x {concurrency} slots");
                let drained = drain(bed, binary, options.tasks, *processes, *concurrency).await?;
                match all.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, drains)) => drains.push(drained),
                    None => all.push((name, vec![drained])),
                }
            }
        }
    }
    let mut rows = Vec::new();
    for (name, drains) in &all {
        for drained in drains {
            rows.push([vec![name.clone()], drained.cells()].concat());
        }
    }
    table(&HEAD, &rows);
    for (name, drains) in &all {
        let rates: Vec<f64> = drains.iter().map(|drained| drained.tasks_a_second).collect();
        println!("{name}: median {:.0} tasks/s", median(&rates));
        let each: Vec<Value> = drains.iter().map(Drained::figures).collect();
        report
            .add("drain", &json!({ "shape": name, "tasks": options.tasks, "median": median(&rates), "runs": each }))?;
    }
    Ok(())
}

/// Enqueues, then starts the processes and waits until all is done. The workers' CPU time includes their start.
pub(crate) async fn drain(
    bed: &mut Bed,
    longshore: &Path,
    tasks: u32,
    processes: usize,
    concurrency: usize,
) -> Result<Drained> {
    let mut database = bed.database().await?;
    let last = database.enqueue(tasks).await?;
    let wal = database.wal().await?;
    let server = bed.cpu()?;
    let mut workers = Vec::new();
    for _ in 0..processes {
        workers.push(Worker::start(longshore, &database, "default", concurrency)?);
    }
    database.drained(last).await?;
    let server = bed.cpu()? - server;
    let mut cpu = Duration::ZERO;
    let mut rss_mib = 0.0_f64;
    for worker in &workers {
        cpu += worker.cpu()?;
        rss_mib = rss_mib.max(worker.peak_rss_mib()?);
    }
    let wal = database.wal().await?.since(wal);
    for worker in workers {
        worker.stop().await?;
    }
    let seconds: f64 = database
        .value("SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM tasks WHERE attempt = 1 AND status = 'complete'")
        .await?;
    let complete: i64 = database.value("SELECT count(*) FROM tasks WHERE attempt = 1 AND status = 'complete'").await?;
    anyhow::ensure!(complete == i64::from(tasks), "{complete} of {tasks} tasks ended with one attempt");
    let hot: i64 = database
        .value("SELECT coalesce(sum(n_tup_hot_upd), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'tasks%'")
        .await?;
    bed.remove(database).await?;
    let tasks = f64::from(tasks);
    Ok(Drained {
        tasks_a_second: tasks / seconds,
        worker_us: cpu.as_secs_f64() * 1e6 / tasks,
        postgres_us: server.as_secs_f64() * 1e6 / tasks,
        wal_bytes: wal.bytes as f64 / tasks,
        full_pages: wal.full_pages,
        rss_mib,
        hot: hot as f64 / tasks,
    })
}
