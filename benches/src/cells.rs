//! One worker in several databases, each on a server of its own, against the same tasks in one of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bed::{Bed, Database};
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many cells
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=8))]
    cells: u32,
    /// How many tasks, in all cells together
    #[arg(long, default_value_t = 200_000)]
    tasks: u32,
    /// How often each is measured, in alternation
    #[arg(long, default_value_t = 3)]
    repeat: u32,
}

/// Slots of the worker, which its cells share.
const SLOTS: usize = 64;

/// What a drain took.
struct Drained {
    tasks_a_second: f64,
    worker_us: f64,
    postgres_us: f64,
    /// When the first cell was done, as a part of the whole: 1 where all were served alike.
    first_done: f64,
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut others = Vec::new();
    for _ in 1..options.cells {
        others.push(Bed::start(bed.longshore.clone())?);
    }
    let count = options.cells as usize;
    let shapes = [
        ("one database".to_owned(), 1, 1),
        (format!("{count} cells, tasks in all"), count, count),
        (format!("{count} cells, tasks in one"), count, 1),
    ];
    let mut all: Vec<Vec<Drained>> = shapes.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.repeat {
        for ((_, cells, busy), drains) in shapes.iter().zip(&mut all) {
            let mut beds: Vec<&mut Bed> = std::iter::once(&mut *bed).chain(&mut others).take(*cells).collect();
            drains.push(drain(&mut beds, options.tasks, *busy).await?);
        }
    }
    let mut rows = Vec::new();
    for ((name, ..), drains) in shapes.iter().zip(&all) {
        for one in drains {
            rows.push(vec![
                name.clone(),
                format!("{:.0}", one.tasks_a_second),
                format!("{:.1}", one.worker_us),
                format!("{:.1}", one.postgres_us),
                format!("{:.2}", one.first_done),
            ]);
        }
    }
    table(&["drain", "tasks/s", "worker us", "postgres us", "first cell done"], &rows);
    for ((name, ..), drains) in shapes.iter().zip(&all) {
        let of = |figure: fn(&Drained) -> f64| median(&drains.iter().map(figure).collect::<Vec<_>>());
        let (rate, cpu) = (of(|one| one.tasks_a_second), of(|one| one.worker_us + one.postgres_us));
        println!("{name}: median {rate:.0} tasks/s, {cpu:.1} us of CPU a task");
        report.add(
            "cells",
            &json!({
                "shape": name, "tasks": options.tasks, "tasks_a_second": rate, "cpu_us": cpu,
                "worker_us": of(|one| one.worker_us), "postgres_us": of(|one| one.postgres_us),
                "first_done": of(|one| one.first_done),
            }),
        )?;
    }
    Ok(())
}

/// Enqueues in the first `busy` of the servers, then starts one worker in all of them and waits until all is done.
async fn drain(beds: &mut [&mut Bed], tasks: u32, busy: usize) -> Result<Drained> {
    let (mut databases, mut last) = (Vec::new(), Vec::new());
    let each = tasks / u32::try_from(busy)?;
    for (number, bed) in beds.iter_mut().enumerate() {
        let mut database = bed.database().await?;
        if number < busy {
            last.push(database.enqueue(each).await?);
        }
        databases.push(database);
    }
    let before = cpu(beds)?;
    let worker = Worker::start_in_cells(&beds[0].longshore, &databases, SLOTS)?;
    for (database, last) in databases.iter_mut().zip(&last) {
        database.drained(*last).await?;
    }
    let (server, own) = (cpu(beds)? - before, worker.cpu()?);
    worker.stop().await?;
    let mut spans: Vec<(f64, f64)> = Vec::new();
    for database in databases.iter_mut().take(busy) {
        let complete: i64 =
            database.value("SELECT count(*) FROM tasks WHERE attempt = 1 AND status = 'complete'").await?;
        ensure!(complete == i64::from(each), "{complete} of {each} tasks ended with one attempt");
        spans.push(span(database).await?);
    }
    for (bed, database) in beds.iter_mut().zip(databases) {
        bed.remove(database).await?;
    }
    let began = spans.iter().map(|(began, _)| *began).fold(f64::INFINITY, f64::min);
    let ended = |of: fn(f64, f64) -> f64| spans.iter().map(|(_, ended)| *ended).reduce(of).unwrap_or(began);
    let (first, seconds) = (ended(f64::min) - began, ended(f64::max) - began);
    let tasks = f64::from(each) * busy as f64;
    Ok(Drained {
        tasks_a_second: tasks / seconds,
        worker_us: own.as_secs_f64() * 1e6 / tasks,
        postgres_us: server.as_secs_f64() * 1e6 / tasks,
        first_done: first / seconds,
    })
}

/// When the first task was started and the last one ended; all servers have this machine's clock.
async fn span(database: &mut Database) -> Result<(f64, f64)> {
    let began = database.value("SELECT extract(epoch FROM min(started_at))::float8 FROM tasks").await?;
    let ended = database.value("SELECT extract(epoch FROM max(finished_at))::float8 FROM tasks").await?;
    Ok((began, ended))
}

/// CPU time of the servers so far.
fn cpu(beds: &[&mut Bed]) -> Result<Duration> {
    beds.iter().map(|bed| bed.cpu()).sum()
}
