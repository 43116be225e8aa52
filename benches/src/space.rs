//! Disk bytes per finished task, before and after retention has compacted its partition.

use anyhow::Result;
use longshore_queue::{Leadership, lead};
use serde_json::json;
use sqlx::AssertSqlSafe;
use std::time::Duration;
use uuid::Uuid;

use crate::bed::{Bed, Database};
use crate::report::{Report, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 200_000)]
    tasks: u32,
}

/// Only a partition that is over is compacted: one of two weeks ago, below the current one.
const OLD_PARTITION: [&str; 5] = [
    "DROP TABLE tasks_past, result_message_past, task_output_past",
    "SELECT add_partition('past', NULL, date_trunc('week', now(), 'UTC') - interval '14 days')",
    "SELECT add_partition('old', date_trunc('week', now(), 'UTC') - interval '14 days', date_trunc('week', now(), 'UTC') - interval '7 days')",
    "SELECT add_partition('gap', date_trunc('week', now(), 'UTC') - interval '7 days', date_trunc('week', now(), 'UTC'))",
    "SELECT guard_partition(name) FROM unnest('{past,old,gap}'::text[]) AS name",
];

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut database = bed.database().await?;
    let compacts: bool = database.value("SELECT EXISTS (SELECT FROM pg_proc WHERE proname = 'upkeep_step')").await?;
    if compacts {
        for statement in OLD_PARTITION {
            database.run(statement).await?;
        }
    }
    enqueue(&mut database, options.tasks, if compacts { "10 days" } else { "0" }).await?;
    let worker = Worker::start(&bed.longshore, &database, "default", 64)?;
    database.until("SELECT NOT EXISTS (SELECT FROM tasks WHERE status <> 'complete')").await?;
    worker.stop().await?;
    let bare: f64 = database.value("SELECT avg(pg_column_size(tasks.*) + 4)::float8 FROM tasks").await?;
    let (heap, all) = size(&mut database).await?;
    let per = |bytes: i64| bytes as f64 / f64::from(options.tasks);
    let mut rows = vec![cells("before", per(heap), per(all), bare)];
    let mut figures = json!({ "tasks": options.tasks, "bare_row": bare,
        "before": { "heap": per(heap), "with_indexes": per(all) } });
    if compacts {
        compact(&mut database).await?;
        let (heap, all) = size(&mut database).await?;
        rows.push(cells("compacted", per(heap), per(all), bare));
        figures["compacted"] = json!({ "heap": per(heap), "with_indexes": per(all) });
    } else {
        println!("skipped: this schema does not compact");
        figures["skipped"] = json!("this schema does not compact");
    }
    bed.remove(database).await?;
    table(&["bytes a finished task", "heap", "with indexes", "bare row", "heap by bare", "all by bare"], &rows);
    report.add("space", &figures)
}

fn cells(name: &str, heap: f64, all: f64, bare: f64) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{heap:.0}"),
        format!("{all:.0}"),
        format!("{bare:.0}"),
        format!("{:.2}", heap / bare),
        format!("{:.2}", all / bare),
    ]
}

/// Inserts tasks whose ids were made so long ago.
async fn enqueue(database: &mut Database, tasks: u32, ago: &str) -> Result<()> {
    database
        .run(&format!(
            "INSERT INTO tasks (task_id, action, payload)
             SELECT (lpad(to_hex((date_part('epoch', now() - interval '{ago}') * 1000)::bigint), 12, '0')
                     || substr(replace(task_uuidv7()::text, '-', ''), 13))::uuid,
                 'noop', jsonb_build_object('number', number, 'filler', repeat('x', 70))
             FROM generate_series(1, {tasks}) AS number"
        ))
        .await
}

/// Bytes on disk of all tasks: rows alone, and with their indexes.
async fn size(database: &mut Database) -> Result<(i64, i64)> {
    let of =
        |function: &str| format!("SELECT sum({function}(relid))::bigint FROM pg_partition_tree('tasks') WHERE isleaf");
    Ok((database.value(&of("pg_table_size")).await?, database.value(&of("pg_total_relation_size")).await?))
}

/// Takes the lead and does all upkeep that is due.
async fn compact(database: &mut Database) -> Result<()> {
    let identity = Uuid::new_v4();
    let seen = lead(&mut database.conn, identity, Duration::from_secs(600)).await?;
    let leadership = Leadership { identity, epoch: seen.epoch };
    loop {
        let (action,): (String,) = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT action FROM upkeep_step('{}', {}, '30 days', '30 days')",
            leadership.identity, leadership.epoch
        )))
        .fetch_one(&mut database.conn)
        .await?;
        match action.as_str() {
            "nothing" => return Ok(()),
            "wait" | "blocked" => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => {}
        }
    }
}
