//! Somebody ends a task that runs.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Rig, Setup};

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
