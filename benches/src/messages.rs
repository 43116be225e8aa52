//! Programs that print as fast as they can: how many of their lines a worker records a second, and what a line costs.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many tasks print at once
    #[arg(long, default_value_t = 8)]
    tasks: u32,
    /// How many lines each prints
    #[arg(long, default_value_t = 50_000)]
    lines: u32,
    /// How often it is measured
    #[arg(long, default_value_t = 3)]
    repeat: u32,
}

/// A line's length: that of a log's.
const LINE: &str = "node-17: 128 of 4096 blocks written to the disk, about 3 minutes are left, none of them failed";

/// What the messages took.
struct Recorded {
    /// Of those printed; what came faster than it could be recorded was dropped, and the log says so.
    messages: i64,
    messages_a_second: f64,
    worker_us: f64,
    postgres_us: f64,
    wal_bytes: f64,
}

impl Recorded {
    fn figures(&self) -> Value {
        json!({
            "messages": self.messages, "messages_a_second": self.messages_a_second, "worker_us": self.worker_us,
            "postgres_us": self.postgres_us, "wal_bytes": self.wal_bytes,
        })
    }
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut runs = Vec::new();
    for _ in 0..options.repeat {
        runs.push(record(bed, options).await?);
    }
    let printed = i64::from(options.tasks) * i64::from(options.lines);
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                format!("{} of {printed}", run.messages),
                format!("{:.0}", run.messages_a_second),
                format!("{:.1}", run.worker_us),
                format!("{:.1}", run.postgres_us),
                format!("{:.0}", run.wal_bytes),
            ]
        })
        .collect();
    table(&["messages", "a second", "worker us", "postgres us", "WAL B"], &rows);
    let rates: Vec<f64> = runs.iter().map(|run| run.messages_a_second).collect();
    println!("median {:.0} messages/s", median(&rates));
    let each: Vec<Value> = runs.iter().map(Recorded::figures).collect();
    let shape = json!({
        "tasks": options.tasks, "lines": options.lines, "median": median(&rates), "runs": each,
    });
    report.add("messages", &shape)
}

/// Runs the programs on one worker. Its CPU time includes its start, and not that of the programs.
async fn record(bed: &mut Bed, options: &Options) -> Result<Recorded> {
    let mut database = bed.database().await?;
    let print = format!("yes '{LINE}' | head -n {}", options.lines);
    let argv = serde_json::to_string(&["sh", "-c", &print])?;
    let action = format!("[actions.print]\nexecutor = \"command\"\nmax_output_bytes = 67108864\nargv = {argv}\n");
    let slots = usize::try_from(options.tasks)?;
    let worker = Worker::start_with(&bed.longshore, &database, "default", slots, &action)?;
    // what it does at its start is no part of the figures
    database.idle().await?;
    let (wal, server, before) = (database.wal().await?, bed.cpu()?, worker.cpu()?);
    database
        .run(&format!("INSERT INTO tasks (action) SELECT 'print' FROM generate_series(1, {})", options.tasks))
        .await?;
    database.until("SELECT bool_and(status = 'complete') FROM tasks").await?;
    let (server, cpu) = (bed.cpu()? - server, worker.cpu()? - before);
    let wal = database.wal().await?.since(wal);
    worker.stop().await?;
    let good: i64 =
        database.value("SELECT count(*) FROM tasks WHERE result_status = 'success' AND attempt = 1").await?;
    anyhow::ensure!(good == i64::from(options.tasks), "{good} of {} tasks succeeded", options.tasks);
    let messages: i64 = database.value("SELECT count(*) FROM result_message WHERE NOT error").await?;
    let seconds: f64 =
        database.value("SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM tasks").await?;
    bed.remove(database).await?;
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / messages as f64;
    Ok(Recorded {
        messages,
        messages_a_second: messages as f64 / seconds,
        worker_us: each(cpu),
        postgres_us: each(server),
        wal_bytes: wal.bytes as f64 / messages as f64,
    })
}
