//! Inserts with and without the triggers, one row at a time from many connections and in bulk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::bed::{Bed, Database};
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connections that insert single rows
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// How long each slice lasts
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Slices of each kind, in alternation
    #[arg(long, default_value_t = 5)]
    repeat: u32,
    /// Rows of a bulk insert
    #[arg(long, default_value_t = 100_000)]
    bulk: u32,
}

const ROW: &str = "INSERT INTO tasks (action, payload) VALUES ('noop', $1)";

/// What is measured: whether triggers fire, and which queue a worker serves meanwhile. One of another queue is notified
/// and has nothing to claim, so that it takes no CPU time from the inserts.
const KINDS: [(&str, bool, Option<&str>); 4] = [
    ("no trigger", false, None),
    ("triggers, no worker", true, None),
    ("triggers, idle worker", true, Some("other")),
    ("triggers, worker that runs them", true, Some("default")),
];

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); KINDS.len()];
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); KINDS.len()];
    for _ in 0..options.repeat {
        for (number, (_, triggers, queue)) in KINDS.iter().enumerate() {
            let mut database = bed.database().await?;
            set_triggers(&mut database, *triggers).await?;
            let worker = match queue {
                Some(queue) => Some(Worker::start_idle(&bed.longshore.clone(), &mut database, queue, 64).await?),
                None => None,
            };
            let (rate, cost) = slice(bed, &database, options).await?;
            rates[number].push(rate);
            costs[number].push(cost);
            if let Some(worker) = worker {
                worker.stop().await?;
            }
            bed.remove(database).await?;
        }
    }
    let control = median(&rates[0]);
    let mut rows = Vec::new();
    let mut figures = Vec::new();
    for (number, (name, _, _)) in KINDS.iter().enumerate() {
        let (rate, cost) = (median(&rates[number]), median(&costs[number]));
        // slice by slice against the control beside it, since the machine's load moves
        let ratios: Vec<f64> = rates[number].iter().zip(&rates[0]).map(|(rate, control)| rate / control).collect();
        let ratio = median(&ratios);
        rows.push(vec![(*name).to_owned(), format!("{rate:.0}"), format!("{ratio:.2}"), format!("{cost:.0}")]);
        figures
            .push(json!({ "kind": name, "median": rate, "ratio": ratio, "postgres_us": cost, "rates": rates[number] }));
    }
    let head = format!("one row, {} connections", options.connections);
    table(&[head.as_str(), "rows/s", "of the control", "postgres us"], &rows);
    let bulk = bulk(bed, options.bulk).await?;
    report.add(
        "insert",
        &json!({ "connections": options.connections, "one_row": figures, "control": control, "bulk": bulk }),
    )
}

async fn set_triggers(database: &mut Database, on: bool) -> Result<()> {
    if on {
        return Ok(());
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class WHERE relname ~ '^tasks' AND relkind IN ('r', 'p') ORDER BY relkind",
    )
    .fetch_all(&mut database.conn)
    .await?;
    for table in tables {
        database.run(&format!("ALTER TABLE {table} DISABLE TRIGGER USER")).await?;
    }
    Ok(())
}

/// Rows a second, and the server's CPU time a row in microseconds.
async fn slice(bed: &Bed, database: &Database, options: &Options) -> Result<(f64, f64)> {
    let inserted = Arc::new(AtomicU64::new(0));
    let mut producers = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(PgConnection::connect(&database.url).await?);
    }
    let (began, before) = (Instant::now(), bed.cpu()?);
    let until = began + Duration::from_secs(options.seconds.into());
    for mut connection in connections {
        let inserted = Arc::clone(&inserted);
        producers.spawn(async move {
            let payload = json!({ "number": 1, "filler": "x".repeat(70) });
            while Instant::now() < until {
                sqlx::query(ROW).bind(&payload).execute(&mut connection).await?;
                inserted.fetch_add(1, Ordering::Relaxed);
            }
            connection.close().await
        });
    }
    while let Some(done) = producers.join_next().await {
        done??;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), bed.cpu()? - before);
    let rows = inserted.load(Ordering::Relaxed) as f64;
    Ok((rows / took, cpu.as_secs_f64() * 1e6 / rows))
}

/// Rows a second of one large INSERT, of INSERTs of a thousand rows, and of COPY, with and without triggers.
async fn bulk(bed: &mut Bed, rows: u32) -> Result<serde_json::Value> {
    let mut lines = Vec::new();
    let mut figures = Vec::new();
    for triggers in [false, true, false, true] {
        let mut database = bed.database().await?;
        set_triggers(&mut database, triggers).await?;
        let began = Instant::now();
        database.enqueue(rows).await?;
        let one = f64::from(rows) / began.elapsed().as_secs_f64();
        let began = Instant::now();
        for _ in 0..rows / 1000 {
            database.enqueue(1000).await?;
        }
        let thousands = f64::from(rows / 1000 * 1000) / began.elapsed().as_secs_f64();
        let line = format!("noop\t{{\"number\": 1, \"filler\": \"{}\"}}\n", "x".repeat(70));
        let began = Instant::now();
        let mut copy = database.conn.copy_in_raw("COPY tasks (action, payload) FROM STDIN").await?;
        for _ in 0..rows / 1000 {
            copy.send(line.repeat(1000).as_bytes()).await?;
        }
        copy.finish().await?;
        let copied = f64::from(rows / 1000 * 1000) / began.elapsed().as_secs_f64();
        bed.remove(database).await?;
        let name = if triggers { "triggers" } else { "no trigger" };
        lines.push(vec![name.to_owned(), format!("{one:.0}"), format!("{thousands:.0}"), format!("{copied:.0}")]);
        figures.push(json!({ "triggers": triggers, "one_insert": one, "thousands": thousands, "copy": copied }));
    }
    table(&["bulk, rows/s", "one INSERT", "1,000 rows each", "COPY"], &lines);
    Ok(json!(figures))
}
