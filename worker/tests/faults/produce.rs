//! What comes in during a run at random: tasks of many kinds, trees, terminations, and schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use longshore_queue::{NewTask, SubtaskPolicy, insert_many};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::Database;

/// The queue beside `default`.
pub(crate) const ASIDE: &str = "aside";

/// One for each policy, every second. The tasks of `skip` and `replace` outlast a tick, so that both have something to do.
pub(crate) const SCHEDULES: &str = "INSERT INTO schedules
        (name, cron, time_zone, action, payload, max_attempts, overlap, missed, missed_max, missed_after)
    VALUES
        ('all', '* * * * * *', 'Asia/Kathmandu', 'work', '{}', 1000, 'queue', 'all', 1000, '2 s'),
        ('skip', '* * * * * *', 'UTC', 'work', '{\"ms\": 1300}', 1000, 'skip', 'once', 100, '2 s'),
        ('replace', '* * * * * *', 'UTC', 'work', '{\"ms\": 1300}', 1000, 'replace', 'none', 100, '2 s')";

/// Inserts tasks and trees, adds to trees that are there, and now and then ends one. Returns what was acknowledged.
pub(crate) async fn produce(database: Database, mut random: Rng, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let mut acknowledged: Vec<Uuid> = Vec::new();
    let mut session: Option<PgConnection> = None;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(random.u64(20..120))).await;
        let Some(mut open) = (match session.take() {
            Some(open) => Some(open),
            None => PgConnection::connect(&database.url).await.ok(),
        }) else {
            continue;
        };
        let some = match random.u8(..10) {
            0..3 => tree(&mut random, None),
            3 if !acknowledged.is_empty() => {
                // refused where it has ended or is ending
                let parent = acknowledged[acknowledged.len() - 1 - random.usize(..acknowledged.len().min(20))];
                tree(&mut random, Some(parent))
            }
            _ => (0..random.usize(1..8)).map(|_| task(&mut random)).collect(),
        };
        // an error leaves it open whether the tasks are there: such ones are not acknowledged
        let Ok(ids) = insert_many(&mut open, &some).await else { continue };
        acknowledged.extend(ids);
        if random.u8(..10) == 0 {
            let victim = acknowledged[acknowledged.len() - 1 - random.usize(..acknowledged.len().min(50))];
            if longshore_queue::terminate(&mut open, victim, None).await.is_err() {
                continue;
            }
        }
        session = Some(open);
    }
    acknowledged
}

fn task(random: &mut Rng) -> NewTask {
    if random.u8(..12) == 0 {
        // inserts so many subtasks itself, and waits for them without a slot
        return NewTask { max_attempts: Some(1000), ..NewTask::new("tree").payload(json!(random.u8(1..6))) };
    }
    let action = ["noop", "work", "work", "work", "shell"][random.usize(..5)];
    // mostly short, some long enough to outlive their worker; some fail first, some are slow to stop
    let ms = if random.u8(..40) == 0 { random.u64(1000..6000) } else { random.u64(..150) };
    let payload = json!({
        "ms": ms,
        "say": random.u32(..4),
        "good_attempt": if random.u8(..5) == 0 { 2 } else { 1 },
        "deaf_ms": if random.u8(..10) == 0 { 1500 } else { 0 },
        "echo": random.bool(),
    });
    NewTask {
        queue: queue(random),
        priority: Some(random.i16(0..10)),
        max_attempts: Some(1000),
        ..NewTask::new(action).payload(payload)
    }
}

/// Every third task is of the other queue: batches, and trees, are of both.
fn queue(random: &mut Rng) -> Option<String> {
    (random.u8(..3) == 0).then(|| ASIDE.to_owned())
}

/// A few tasks of one statement: below a task if it may be, and below and after each other.
fn tree(random: &mut Rng, below: Option<Uuid>) -> Vec<NewTask> {
    let mut tasks: Vec<NewTask> = Vec::new();
    for _ in 0..random.usize(2..9) {
        let parents: Vec<Option<Uuid>> = match (below, tasks.first()) {
            (None, None) => vec![None],
            (None, Some(_)) => tasks.iter().map(|task| task.task_id).collect(),
            _ => std::iter::once(below).chain(tasks.iter().map(|task| task.task_id)).collect(),
        };
        let parent = parents[random.usize(..parents.len())];
        let siblings = tasks.iter().filter(|task| parent.is_some() && task.parent_task_id == parent);
        let after = siblings.filter_map(|task| task.task_id).filter(|_| random.u8(..3) == 0).collect();
        tasks.push(NewTask {
            task_id: Some(Uuid::now_v7()),
            queue: queue(random),
            parent_task_id: parent,
            after,
            on_subtask_failure: SubtaskPolicy::ALL.get(random.usize(..6)).copied(),
            max_attempts: Some(1000),
            ..NewTask::new("work").payload(part(random))
        });
    }
    tasks
}

/// What a part of a tree ends with: names of nodes, and whether it collects those of its own subtasks.
fn part(random: &mut Rng) -> Value {
    let result = ["success", "success", "success", "success", "partial_success", "failure"][random.usize(..6)];
    let names = |random: &mut Rng, count: u8| (0..count).map(|_| format!("n{}", random.u8(..8))).collect::<Vec<_>>();
    json!({
        "ms": random.u64(..60),
        "say": random.u32(..3),
        "good_attempt": if random.u8(..8) == 0 { 2 } else { 1 },
        "result": result,
        "successes": if result == "failure" { Vec::new() } else { names(random, 1) },
        "failures": if result == "success" { Vec::new() } else { names(random, 1) },
        "bubble": random.bool(),
    })
}
