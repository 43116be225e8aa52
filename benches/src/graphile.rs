//! The control of the drain: Graphile Worker in its own fastest configuration, in alternation with ours.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::bed::{Bed, PATIENCE};
use crate::drain::{Drained, drain};
use crate::report::{Report, median, table};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 200_000)]
    tasks: u32,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// A folder in which Graphile Worker is installed; by default it is installed anew
    #[arg(long)]
    installed: Option<PathBuf>,
}

const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../graphile/package.json")),
    ("drain.js", include_str!("../graphile/drain.js")),
    ("migrate.js", include_str!("../graphile/migrate.js")),
];

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let Some(folder) = install(options.installed.as_deref()).await? else {
        println!("skipped: npm did not bring Graphile Worker");
        return report.add("graphile", &json!({ "skipped": "npm did not bring Graphile Worker" }));
    };
    let mut ours: Vec<Drained> = Vec::new();
    let mut theirs: Vec<Drained> = Vec::new();
    let binary = bed.longshore.clone();
    for _ in 0..options.repeat {
        theirs.push(drain_graphile(bed, &folder, options.tasks).await?);
        ours.push(drain(bed, &binary, options.tasks, 1, 64).await?);
    }
    if options.installed.is_none() {
        std::fs::remove_dir_all(&folder)?;
    }
    let mut rows = Vec::new();
    for (name, drains) in [("graphile worker", &theirs), ("longshore", &ours)] {
        for one in drains {
            rows.push(vec![
                name.to_owned(),
                format!("{:.0}", one.tasks_a_second),
                format!("{:.1}", one.worker_us),
                format!("{:.1}", one.postgres_us),
                format!("{:.0}", one.wal_bytes),
                format!("{:.1}", one.rss_mib),
            ]);
        }
    }
    table(&["drain", "tasks/s", "worker us", "postgres us", "WAL B", "RSS MiB"], &rows);
    let rate = |drains: &[Drained]| median(&drains.iter().map(|one| one.tasks_a_second).collect::<Vec<_>>());
    let cpu =
        |drains: &[Drained]| median(&drains.iter().map(|one| one.worker_us + one.postgres_us).collect::<Vec<_>>());
    let ratio = rate(&ours) / rate(&theirs);
    println!("ratio of medians: {ratio:.2} times the rate, {:.2} of the CPU a task", cpu(&ours) / cpu(&theirs));
    let figures = |drains: &[Drained]| drains.iter().map(Drained::figures).collect::<Vec<Value>>();
    report.add(
        "graphile",
        &json!({ "tasks": options.tasks, "ratio": ratio, "cpu_ratio": cpu(&ours) / cpu(&theirs),
            "median": rate(&ours), "graphile_median": rate(&theirs),
            "longshore": figures(&ours), "graphile": figures(&theirs) }),
    )
}

/// Installs Graphile Worker into a temporary folder, or lays our files beside an installed one; `None` where npm fails.
async fn install(installed: Option<&Path>) -> Result<Option<PathBuf>> {
    let fresh = std::env::temp_dir().join(format!("longshore-bench-graphile-{}", std::process::id()));
    let folder = installed.map_or(fresh, Path::to_owned);
    std::fs::create_dir_all(&folder)?;
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text)?;
    }
    if installed.is_some() {
        return Ok(Some(folder));
    }
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status();
    let done = timeout(PATIENCE, npm).await.ok().and_then(Result::ok);
    Ok(done.filter(std::process::ExitStatus::success).map(|_| folder))
}

async fn drain_graphile(bed: &mut Bed, folder: &Path, tasks: u32) -> Result<Drained> {
    let mut database = bed.empty().await?;
    let node = |script: &str| {
        let mut command = Command::new("node");
        command
            .arg(script)
            .current_dir(folder)
            .env("DATABASE_URL", &database.url)
            .env("COUNT", tasks.to_string())
            .kill_on_drop(true);
        command
    };
    let migrated = node("migrate.js").stdin(Stdio::null()).stdout(Stdio::null()).status().await?;
    ensure!(migrated.success(), "Graphile Worker's migrations ended with {migrated}");
    let mut process = node("drain.js");
    database
        .run(&format!(
            "SELECT graphile_worker.add_jobs(array_agg(json_populate_record(NULL::graphile_worker.job_spec,
                json_build_object('identifier', 'noop', 'payload',
                    json_build_object('number', number, 'filler', repeat('x', 70))))))
             FROM generate_series(1, {tasks}) AS number"
        ))
        .await?;
    let wal = database.wal().await?;
    let server = bed.cpu()?;
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a piped standard output")?).lines();
    let executed = line(&mut lines).await?;
    database.until("SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs)").await?;
    let ended = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let server = bed.cpu()? - server;
    let wal = database.wal().await?.since(wal);
    drop(child.stdin.take());
    let used = line(&mut lines).await?;
    timeout(PATIENCE, child.wait()).await??;
    bed.remove(database).await?;
    let number = |of: &Value, key: &str| of[key].as_f64().with_context(|| format!("drain.js says {key}"));
    let seconds = ended - number(&executed, "began_ms")? / 1e3;
    let tasks = f64::from(tasks);
    Ok(Drained {
        tasks_a_second: tasks / seconds,
        worker_us: number(&used, "cpu_us")? / tasks,
        postgres_us: server.as_secs_f64() * 1e6 / tasks,
        wal_bytes: wal.bytes as f64 / tasks,
        full_pages: wal.full_pages,
        rss_mib: number(&used, "rss_kib")? / 1024.0,
        hot: 0.0,
    })
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Value> {
    let line = timeout(PATIENCE, lines.next_line()).await??.context("drain.js has ended")?;
    Ok(serde_json::from_str(&line)?)
}
