//! Rounds of tasks through one worker, while another session holds what keeps vacuum from its work.

use anyhow::Result;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::bed::{Bed, Database};
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds of each kind
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Tasks a round
    #[arg(long, default_value_t = 50_000)]
    tasks: u32,
}

/// What another session holds open.
const PINS: [(&str, &str); 3] = [
    ("none", "SELECT 1"),
    ("old snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks"),
    ("uncommitted insert", "BEGIN; INSERT INTO tasks (action) VALUES ('noop')"),
];

/// One round: tasks a second, and CPU a task of worker and server in microseconds.
struct Round {
    rate: f64,
    worker_us: f64,
    postgres_us: f64,
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    for (pin, hold) in PINS {
        let mut database = bed.database().await?;
        let worker = Worker::start_idle(&bed.longshore.clone(), &mut database, "default", 64).await?;
        let mut holder = PgConnection::connect(&database.url).await?;
        holder.execute(hold).await?;
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            rounds.push(round(bed, &mut database, &worker, options.tasks).await?);
        }
        holder.close().await?;
        worker.stop().await?;
        bed.remove(database).await?;
        let rates: Vec<f64> = rounds.iter().map(|round| round.rate).collect();
        let cost: Vec<f64> = rounds.iter().map(|round| round.worker_us + round.postgres_us).collect();
        let (flat, dearer) = (last_by_first(&rates), last_by_first(&cost));
        println!("held: {pin}");
        let line = |name: &str, of: &dyn Fn(&Round) -> String| {
            std::iter::once(name.to_owned()).chain(rounds.iter().map(of)).collect::<Vec<_>>()
        };
        let numbers: Vec<String> = (1..=rounds.len()).map(|number| number.to_string()).collect();
        let head: Vec<&str> = std::iter::once("round").chain(numbers.iter().map(String::as_str)).collect();
        table(
            &head,
            &[
                line("tasks/s", &|round| format!("{:.0}", round.rate)),
                line("worker us", &|round| format!("{:.1}", round.worker_us)),
                line("postgres us", &|round| format!("{:.1}", round.postgres_us)),
            ],
        );
        println!("last two by first two rounds: {flat:.2} of the rate, {dearer:.2} of the CPU");
        let costs: Vec<f64> = rounds.iter().map(|round| round.postgres_us).collect();
        report.add(
            "rounds",
            &json!({ "held": pin, "tasks": options.tasks, "rates": rates, "postgres_us": costs,
                "rate_last_by_first": flat, "cpu_last_by_first": dearer }),
        )?;
    }
    Ok(())
}

/// The last two rounds against the first two, so that one disturbed round does not decide.
fn last_by_first(figures: &[f64]) -> f64 {
    let two = figures.len().min(2);
    median(&figures[figures.len() - two..]) / median(&figures[..two])
}

async fn round(bed: &Bed, database: &mut Database, worker: &Worker, tasks: u32) -> Result<Round> {
    let before: Option<uuid::Uuid> = database
        .value("SELECT (SELECT task_id FROM tasks WHERE queue = 'default' ORDER BY task_id DESC LIMIT 1)")
        .await?;
    let last = database.enqueue(tasks).await?;
    let (cpu, server) = (worker.cpu()?, bed.cpu()?);
    database.drained(last).await?;
    let (cpu, server) = (worker.cpu()? - cpu, bed.cpu()? - server);
    let seconds: f64 = database
        .value(&format!(
            "SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM tasks WHERE task_id > '{}'",
            before.unwrap_or_default()
        ))
        .await?;
    let tasks = f64::from(tasks);
    Ok(Round {
        rate: tasks / seconds,
        worker_us: cpu.as_secs_f64() * 1e6 / tasks,
        postgres_us: server.as_secs_f64() * 1e6 / tasks,
    })
}
