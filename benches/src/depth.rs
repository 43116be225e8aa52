//! What a claim costs with few and with many queued tasks.

use anyhow::{Context, Result};
use longshore_queue::{ClaimRequest, Claimed, Key, Keys, PRIORITIES, Session, claim};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::bed::{Bed, Database};
use crate::cpu;
use crate::report::{Report, median, table};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Ten million as well
    #[arg(long)]
    full: bool,
    /// Claims at each depth
    #[arg(long, default_value_t = 90)]
    claims: u32,
}

/// Tasks a claim.
const BATCH: usize = 100;

const CLAIM: &str = include_str!("../../queue/src/sql/claim.sql");

struct Cost {
    cpu_us: f64,
    buffers: f64,
    first_us: f64,
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut depths = vec![10_000_u32, 1_000_000];
    if options.full {
        depths.push(10_000_000);
    }
    let mut rows = Vec::new();
    let mut figures: Vec<Value> = Vec::new();
    for depth in depths {
        let mut database = bed.database().await?;
        for _ in 0..depth / 10_000 {
            database.enqueue(10_000).await?;
        }
        let cost = measure(&mut database, options.claims.min(depth / u32::try_from(BATCH)?)).await?;
        bed.remove(database).await?;
        rows.push(vec![
            depth.to_string(),
            format!("{:.0}", cost.cpu_us),
            format!("{:.0}", cost.first_us),
            format!("{:.0}", cost.buffers),
        ]);
        figures.push(
            json!({ "depth": depth, "cpu_us": cost.cpu_us, "first_cpu_us": cost.first_us, "buffers": cost.buffers }),
        );
    }
    table(&["queued tasks", "CPU us a claim of 100", "of the first", "buffers"], &rows);
    report.add("depth", &json!({ "depths": figures }))
}

async fn measure(database: &mut Database, claims: u32) -> Result<Cost> {
    let mut session = database.connect.session("bench").await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(session.step().await?.db()).await?;
    let pid = u32::try_from(pid)?;
    let mut keys = [Key::START; PRIORITIES];
    let mut costs = Vec::new();
    for _ in 0..claims {
        let before = cpu::of_backend(pid)?;
        let claimed = one(&mut session, &keys).await?;
        costs.push((cpu::of_backend(pid)? - before).as_secs_f64() * 1e6);
        let last = claimed.tasks.last().context("the queue is long enough")?;
        anyhow::ensure!(claimed.tasks.len() == BATCH, "a claim brought {}", claimed.tasks.len());
        keys[5] = Key { run_at: last.run_at, task_id: last.task_id };
    }
    let mut buffers = Vec::new();
    for _ in 0..5 {
        buffers.push(explain(&mut session, &keys).await?);
    }
    session.close().await;
    Ok(Cost { cpu_us: median(&costs[1..]), first_us: costs[0], buffers: median(&buffers) })
}

async fn one(session: &mut Session, keys: &Keys) -> Result<Claimed> {
    let mut step = session.step().await?;
    let request = ClaimRequest {
        queue: "default",
        actions: &["noop".to_owned()],
        limit: BATCH,
        worker_id: Uuid::new_v4(),
        claim_token: Uuid::new_v4(),
        keys,
    };
    let claimed = claim(step.db(), &request).await?;
    step.done().await?;
    Ok(claimed)
}

/// Buffers that a claim touches; it claims, too.
async fn explain(session: &mut Session, keys: &Keys) -> Result<f64> {
    let mut step = session.step().await?;
    let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {CLAIM}")))
        .bind("default")
        .bind(["noop"])
        .bind(i32::try_from(BATCH)?)
        .bind(Uuid::new_v4())
        .bind(Uuid::new_v4())
        .bind((0..PRIORITIES).map(|priority| priority as i16).collect::<Vec<_>>())
        .bind(keys.map(|key| key.run_at))
        .bind(keys.map(|key| key.task_id))
        .fetch_one(step.db())
        .await?;
    step.done().await?;
    let plan: Value = rows.try_get(0)?;
    let plan = &plan[0]["Plan"];
    let of = |key: &str| plan[key].as_f64().unwrap_or_default();
    Ok(of("Shared Hit Blocks") + of("Shared Read Blocks"))
}
