//! Somebody ends a task that runs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Process, Rig, Setup};

/// What DESIGN promises.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

async fn tell(setup: Setup, text: &str) {
    let rig = Rig::new().await;
    let worker = rig.start(setup);
    worker.works().await;
    let tasks = rig.insert_work(1, 600_000).await;
    rig.until_tallied("begin", 1).await;
    let asked = Instant::now();
    rig.database.run(&format!("SELECT terminate_task('{}', 'somebody')", tasks[0])).await;
    rig.until_tallied("stop:Terminated", 1).await;
    println!("figure: termination to executor, {text}: {:?}", asked.elapsed());
    assert!(asked.elapsed() < TOLD_WITHIN, "{:?}", asked.elapsed());
    rig.judge(&tasks).await;
    let end: String = rig
        .database
        .value("SELECT format('%s %s %s %s', status, result_status, result_reason, terminated_by) FROM tasks")
        .await;
    // the executor returned success
    assert_eq!(end, "terminated failure terminated somebody");
}

pub(crate) async fn a_running_tasks_executor_is_told_by_notification() {
    tell(Setup::default(), "notified").await;
}

pub(crate) async fn a_running_tasks_executor_is_told_within_two_seconds_by_polling() {
    tell(Setup { top: "notify = false".to_owned(), ..Setup::default() }, "polling").await;
}

pub(crate) async fn a_terminated_task_whose_executor_fails_or_dies_is_not_run_again() {
    let rig = Rig::new().await;
    let mut victim = rig.start(Setup { name: "victim", ..Setup::default() });
    victim.works().await;
    // one would be retried, one goes on and is dropped
    let payloads = [json!({"ms": 600_000, "good_attempt": 9}), json!({"ms": 600_000, "deaf_ms": 600_000})];
    let tasks = rig.insert("work", payloads).await;
    rig.until_tallied("begin", 2).await;
    for task_id in &tasks {
        rig.database.run(&format!("SELECT terminate_task('{task_id}')")).await;
    }
    rig.until_tallied("stop:Terminated", 2).await;
    rig.database.until("SELECT count(*) = 1 FROM tasks WHERE status = 'terminated'").await;
    let _other = rig.start(Setup { name: "other", ..Setup::default() });
    victim.kill();
    rig.judge(&tasks).await;
    let ended: bool = rig.database.value("SELECT bool_and(status = 'terminated' AND attempt = 1) FROM tasks").await;
    assert!(ended);
    assert_eq!(rig.tallied("begin").len(), 2);
}

/// A worker of four slots that has seen only quick tasks, and so has claimed ahead when these, which go on, came.
async fn with_some_ahead(rig: &Rig) -> Process {
    let worker = rig.start(Setup { concurrency: 4, ..Setup::default() });
    worker.works().await;
    rig.insert("noop", (0..500).map(|number| json!(number))).await;
    rig.all_end().await;
    rig.database
        .run(
            "WITH parent AS (INSERT INTO tasks (action) VALUES ('work') RETURNING task_id)
             INSERT INTO build_data (node_name, task_id, generator, data_format, data_element)
             SELECT 'n', task_id, 'g', 'f', 'e' FROM parent;
             INSERT INTO tasks (action, payload, parent_task_id)
             SELECT 'work', '{\"ms\": 600000}', task_id FROM build_data CROSS JOIN generate_series(1, 200)",
        )
        .await;
    // one more than the slots
    rig.database.until("SELECT count(*) > 4 FROM tasks WHERE status = 'running'").await;
    worker
}

pub(crate) async fn what_was_claimed_ahead_is_never_begun_once_it_is_terminated() {
    let rig = Rig::new().await;
    let _worker = with_some_ahead(&rig).await;
    let asked = Instant::now();
    rig.database.run("SELECT terminate_task(task_id) FROM build_data").await;
    rig.all_end().await;
    println!("figure: termination of a tree, some of it claimed ahead: {:?}", asked.elapsed());
    assert!(asked.elapsed() < TOLD_WITHIN * 2, "{:?}", asked.elapsed());
    // the parent, and one a slot
    assert!(rig.tallied("begin").len() <= 5, "{:?}", rig.tallied("begin").len());
    rig.judge(&[]).await;
}

pub(crate) async fn what_was_claimed_ahead_of_slow_tasks_goes_back_for_other_workers() {
    let rig = Rig::new().await;
    let _worker = with_some_ahead(&rig).await;
    rig.database.until("SELECT count(*) = 4 FROM tasks WHERE status = 'running'").await;
    let _other = rig.start(Setup { name: "other", ..Setup::default() });
    rig.until_tallied("begin", 5 + 16).await;
    assert_eq!(
        rig.database.value::<i64>("SELECT count(*) FROM tasks WHERE attempt > 1").await,
        0,
        "given back unburnt"
    );
    rig.database.run("SELECT terminate_task(task_id) FROM build_data").await;
    rig.judge(&[]).await;
}
