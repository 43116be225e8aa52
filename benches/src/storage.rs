//! The table of DESIGN 3, its rows that decided: bare claim and complete on one unpartitioned table, as the usual shape
//! and with an own generated ready flag and a resume key, at two fillfactors.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::bed::{Bed, Database};
use crate::cpu;
use crate::report::{Report, table};

/// Tasks that two connections drain.
const TASKS: u32 = 200_000;

/// Tasks a claim.
const BATCH: i32 = 500;

/// Rounds with a snapshot held, and tasks a round.
const ROUNDS: u32 = 5;
const ROUND: u32 = 50_000;

/// A design of the table.
struct Design {
    name: &'static str,
    /// What the index is limited to.
    predicate: &'static str,
    fillfactor: u32,
    /// Whether a claim begins behind the last one.
    resumes: bool,
}

const DESIGNS: [Design; 3] = [
    Design { name: "status in the predicate", predicate: "status = 'queued'", fillfactor: 100, resumes: false },
    Design { name: "ready flag, fillfactor 100", predicate: "ready", fillfactor: 100, resumes: true },
    Design { name: "ready flag, fillfactor 30", predicate: "ready", fillfactor: 30, resumes: true },
];

impl Design {
    fn schema(&self) -> String {
        format!(
            "CREATE TABLE tasks (
                 task_id uuid NOT NULL PRIMARY KEY,
                 created timestamptz NOT NULL DEFAULT now(),
                 run_at timestamptz NOT NULL DEFAULT now(),
                 priority smallint NOT NULL DEFAULT 5,
                 attempt smallint NOT NULL DEFAULT 0,
                 status text NOT NULL DEFAULT 'queued',
                 ready boolean GENERATED ALWAYS AS (status = 'queued') STORED,
                 claim_token uuid,
                 started_at timestamptz,
                 finished_at timestamptz,
                 result_status text,
                 queue text NOT NULL DEFAULT 'default',
                 action text NOT NULL,
                 payload jsonb NOT NULL
             ) WITH (fillfactor = {});
             CREATE INDEX tasks_ready ON tasks (queue, priority, run_at, task_id) WHERE {};",
            self.fillfactor, self.predicate
        )
    }

    fn claim(&self) -> String {
        format!(
            "WITH next AS MATERIALIZED (
                 SELECT task_id FROM tasks
                 WHERE queue = 'default' AND priority = 5 AND {} AND (run_at, task_id) > ($1, $2) AND run_at <= now()
                 ORDER BY run_at, task_id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
             )
             UPDATE tasks SET status = 'running', attempt = attempt + 1, claim_token = $4, started_at = now()
             FROM next WHERE tasks.task_id = next.task_id
             RETURNING tasks.task_id, tasks.run_at, tasks.action, tasks.payload, tasks.attempt",
            self.predicate
        )
    }
}

const COMPLETE: &str = "UPDATE tasks SET status = 'complete', result_status = 'success', finished_at = now()
    FROM unnest($1::uuid[]) AS done (task_id)
    WHERE tasks.task_id = done.task_id AND tasks.claim_token = $2 AND tasks.status = 'running'";

const PLAN: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET enable_sort = off; SET jit = off; SET plan_cache_mode = force_generic_plan";

pub(crate) async fn run(bed: &mut Bed, report: &mut Report) -> Result<()> {
    let mut rows = Vec::new();
    let mut figures = Vec::new();
    for design in &DESIGNS {
        let mut database = bed.empty().await?;
        database.run(&design.schema()).await?;
        enqueue(&mut database, TASKS).await?;
        let wal = database.wal().await?;
        let free = drain(&database, design, TASKS).await?;
        let wal = database.wal().await?.since(wal).bytes as f64 / f64::from(TASKS);
        let pinned = rounds(&mut database, design).await?;
        bed.remove(database).await?;
        let by_round: Vec<String> = pinned.iter().map(|round| format!("{:.0}k", round.rate / 1e3)).collect();
        let costs: Vec<String> = pinned.iter().map(|round| format!("{:.0}", round.cpu_us)).collect();
        rows.push(vec![
            design.name.to_owned(),
            format!("{:.1}", free.cpu_us),
            format!("{wal:.0}"),
            format!("{:.0}", free.rate),
            by_round.join(" "),
            costs.join(" "),
        ]);
        figures.push(json!({ "design": design.name, "cpu_us": free.cpu_us, "wal_bytes": wal, "rate": free.rate,
            "pinned_rates": pinned.iter().map(|round| round.rate).collect::<Vec<_>>(),
            "pinned_cpu_us": pinned.iter().map(|round| round.cpu_us).collect::<Vec<_>>() }));
    }
    table(&["claim + complete", "CPU us", "WAL B", "tasks/s", "pinned, tasks/s", "pinned, CPU us"], &rows);
    report.add("storage", &json!({ "batch": BATCH, "tasks": TASKS, "round": ROUND, "designs": figures }))
}

async fn enqueue(database: &mut Database, tasks: u32) -> Result<()> {
    // ids that grow, as UUIDv7 do
    database
        .run(&format!(
            "INSERT INTO tasks (task_id, action, payload)
             SELECT (lpad(to_hex((date_part('epoch', clock_timestamp()) * 1000000)::bigint), 16, '0')
                     || lpad(to_hex(number), 16, '0'))::uuid,
                 'noop', jsonb_build_object('number', number, 'filler', repeat('x', 70))
             FROM generate_series(1, {tasks}) AS number"
        ))
        .await
}

struct Drained {
    rate: f64,
    cpu_us: f64,
}

/// Two connections claim and complete until nothing is left.
async fn drain(database: &Database, design: &Design, tasks: u32) -> Result<Drained> {
    let began = Instant::now();
    let (first, second) = tokio::try_join!(drain_one(&database.url, design), drain_one(&database.url, design))?;
    let rate = f64::from(tasks) / began.elapsed().as_secs_f64();
    ensure!(first.0 + second.0 == tasks, "{} and {} of {tasks} tasks were claimed", first.0, second.0);
    Ok(Drained { rate, cpu_us: (first.1 + second.1) * 1e6 / f64::from(tasks) })
}

/// How many tasks one connection has done, and the seconds of its backend's CPU.
async fn drain_one(url: &str, design: &Design) -> Result<(u32, f64)> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(PLAN).await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
    let pid = u32::try_from(pid)?;
    let claim = design.claim();
    let (mut key, mut done): ((DateTime<Utc>, Uuid), usize) = ((DateTime::UNIX_EPOCH, Uuid::nil()), 0);
    let before = cpu::of_backend(pid)?;
    loop {
        let token = Uuid::new_v4();
        let rows: Vec<PgRow> = sqlx::query(AssertSqlSafe(claim.clone()))
            .bind(key.0)
            .bind(key.1)
            .bind(BATCH)
            .bind(token)
            .fetch_all(&mut connection)
            .await?;
        let keys: Vec<(DateTime<Utc>, Uuid)> =
            rows.iter().map(|row| Ok((row.try_get(1)?, row.try_get(0)?))).collect::<sqlx::Result<_>>()?;
        let Some(last) = keys.iter().max() else { break };
        if design.resumes {
            key = *last;
        }
        done += keys.len();
        let task_ids: Vec<Uuid> = keys.iter().map(|(_, task_id)| *task_id).collect();
        sqlx::query(COMPLETE).bind(task_ids).bind(token).execute(&mut connection).await?;
    }
    let cpu = cpu::of_backend(pid)? - before;
    connection.close().await?;
    Ok((u32::try_from(done)?, cpu.as_secs_f64()))
}

/// Rounds while another session holds a snapshot. A round's connections know no key: as after a restart, their first
/// claim walks what is dead.
async fn rounds(database: &mut Database, design: &Design) -> Result<Vec<Drained>> {
    let mut holder = PgConnection::connect(&database.url).await?;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks").await?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        enqueue(database, ROUND).await?;
        rounds.push(drain(database, design, ROUND).await?);
    }
    holder.close().await?;
    Ok(rounds)
}
