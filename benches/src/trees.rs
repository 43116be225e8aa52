//! Trees: what a subtask costs against a task alone, from its INSERT to the end of its parent, and how long the termination
//! of a whole tree takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::bed::{Bed, Database};
use crate::cpu;
use crate::report::{Report, median, table};
use crate::worker::Worker;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Subtasks of one parent
    #[arg(long, default_value_t = 10_000)]
    tasks: u32,
    /// How often each is measured, in alternation
    #[arg(long, default_value_t = 5)]
    repeat: u32,
    /// Slots of the worker
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
}

/// What one task cost, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Cost {
    insert_cpu: f64,
    insert_wall: f64,
    drain_cpu: f64,
    drain_wall: f64,
}

impl Cost {
    /// From the INSERT to the end, CPU time of the server and by the clock.
    fn whole(self) -> (f64, f64) {
        (self.insert_cpu + self.drain_cpu, self.insert_wall + self.drain_wall)
    }

    fn cells(self) -> Vec<String> {
        let (cpu, wall) = self.whole();
        [self.insert_cpu, self.drain_cpu, cpu, self.insert_wall, self.drain_wall, wall]
            .map(|us| format!("{us:.1}"))
            .into()
    }

    fn figures(self) -> Value {
        json!({
            "insert_cpu_us": self.insert_cpu, "insert_wall_us": self.insert_wall,
            "drain_cpu_us": self.drain_cpu, "drain_wall_us": self.drain_wall,
        })
    }
}

pub(crate) async fn run(bed: &mut Bed, report: &mut Report, options: &Options) -> Result<()> {
    let mut costs: [Vec<Cost>; 2] = [Vec::new(), Vec::new()];
    let mut ends = Vec::new();
    for _ in 0..options.repeat {
        for (of_kind, is_tree) in costs.iter_mut().zip([false, true]) {
            of_kind.push(fan(bed, options, is_tree).await?);
        }
        ends.push(terminate(bed, options).await?);
    }
    let mut rows = Vec::new();
    for (name, of_kind) in ["alone", "of one parent"].iter().zip(&costs) {
        rows.extend(of_kind.iter().map(|cost| [vec![(*name).to_owned()], cost.cells()].concat()));
    }
    table(&["task", "insert CPU us", "drain", "both", "insert wall us", "drain", "both"], &rows);
    // pair by pair, since the machine's speed moves
    let ratio = |of: fn((f64, f64)) -> f64| {
        let ratios: Vec<f64> =
            costs[0].iter().zip(&costs[1]).map(|(alone, tree)| of(tree.whole()) / of(alone.whole())).collect();
        median(&ratios)
    };
    let (cpu, wall) = (ratio(|whole| whole.0), ratio(|whole| whole.1));
    println!("a subtask costs {cpu:.2} x the CPU of a task alone, and {wall:.2} x the time");
    let each = |which: fn(&Ends) -> Duration| ends.iter().map(|one| which(one).as_secs_f64()).collect::<Vec<_>>();
    let (said, told) = (each(|ends| ends.said), each(|ends| ends.told));
    println!(
        "termination of {} tasks, {} of them running: the statement {:.2} s, the last executor {:.2} s after its start",
        options.tasks,
        options.concurrency,
        median(&said),
        median(&told)
    );
    let figures = |of_kind: &[Cost]| of_kind.iter().map(|cost| cost.figures()).collect::<Vec<_>>();
    report.add(
        "trees",
        &json!({
            "tasks": options.tasks, "alone": figures(&costs[0]), "tree": figures(&costs[1]), "cpu_ratio": cpu,
            "wall_ratio": wall, "terminate_statement_seconds": said, "terminate_last_executor_seconds": told,
        }),
    )
}

/// Inserts with one statement what an idle worker then runs, below a parent that ends with the last of them, or alone.
async fn fan(bed: &mut Bed, options: &Options, is_tree: bool) -> Result<Cost> {
    let mut database = bed.database().await?;
    let longshore = bed.longshore.clone();
    let worker = Worker::start_idle(&longshore, &mut database, "default", options.concurrency).await?;
    let pid = u32::try_from(database.value::<i32>("SELECT pg_backend_pid()").await?)?;
    database.run("BEGIN").await?;
    let root = insert(&mut database, "noop", 1, None).await?;
    let (backend, server, since) = (cpu::of_backend(pid)?, bed.cpu()?, Instant::now());
    let last = insert(&mut database, "noop", options.tasks, is_tree.then_some(root)).await?;
    database.run("COMMIT").await?;
    let (insert_cpu, insert_wall) = (cpu::of_backend(pid)? - backend, since.elapsed());
    for task in [last, root] {
        database.until(&format!("SELECT status = 'complete' FROM tasks WHERE task_id = '{task}'")).await?;
    }
    database.until("SELECT NOT EXISTS (SELECT FROM claims)").await?;
    let (drain_cpu, drain_wall) = ((bed.cpu()? - server).saturating_sub(insert_cpu), since.elapsed() - insert_wall);
    worker.stop().await?;
    let ended: i64 = database.value("SELECT count(*) FROM tasks WHERE status = 'complete' AND attempt = 1").await?;
    anyhow::ensure!(ended == i64::from(options.tasks) + 1, "{ended} tasks ended with one attempt");
    bed.remove(database).await?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(options.tasks);
    Ok(Cost {
        insert_cpu: each(insert_cpu),
        insert_wall: each(insert_wall),
        drain_cpu: each(drain_cpu),
        drain_wall: each(drain_wall),
    })
}

/// Inserts tasks with one statement; returns the last one's id.
async fn insert(database: &mut Database, action: &str, tasks: u32, parent: Option<Uuid>) -> Result<Uuid> {
    let parent = parent.map_or_else(|| "NULL".to_owned(), |parent| format!("'{parent}'"));
    let insert = format!(
        "INSERT INTO tasks (action, parent_task_id, payload)
         SELECT '{action}', {parent}::uuid, jsonb_build_object('number', number, 'filler', repeat('x', 70))
         FROM generate_series(1, {tasks}) AS number"
    );
    (&mut database.conn).execute(AssertSqlSafe(insert)).await?;
    database.value("SELECT task_id FROM tasks ORDER BY task_id DESC LIMIT 1").await
}

/// How long after its beginning the statement had ended, and the last executor of the tree.
struct Ends {
    said: Duration,
    told: Duration,
}

/// Terminates a tree of which as many tasks run as there are slots, each a program of its own that would run on.
async fn terminate(bed: &mut Bed, options: &Options) -> Result<Ends> {
    let mut database = bed.database().await?;
    let sections = "[actions.sleep]\nexecutor = \"command\"\nargv = [\"sleep\", \"600\"]\n";
    let worker = Worker::start_with(&bed.longshore.clone(), &database, "default", options.concurrency, sections)?;
    database.run("BEGIN").await?;
    let root = insert(&mut database, "noop", 1, None).await?;
    insert(&mut database, "sleep", options.tasks, Some(root)).await?;
    database.run("COMMIT").await?;
    // the root is done, and waits for the others
    database.until(&format!("SELECT count(*) >= {} FROM tasks WHERE status = 'running'", options.concurrency)).await?;
    let since = Instant::now();
    database.run(&format!("SELECT terminate_task('{root}')")).await?;
    let said = since.elapsed();
    // it ends with the last of them
    database.until(&format!("SELECT status = 'terminated' FROM tasks WHERE task_id = '{root}'")).await?;
    let told = since.elapsed();
    let left: i64 = database.value("SELECT count(*) FROM tasks WHERE status <> 'terminated'").await?;
    anyhow::ensure!(left == 0, "{left} tasks are not terminated");
    worker.stop().await?;
    bed.remove(database).await?;
    Ok(Ends { said, told })
}
