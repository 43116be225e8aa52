//! A worker is told to end.

use std::time::{Duration, Instant};

use longshore_postgres::Signal;
use serde_json::json;

use crate::proxy::{Proxy, Weather};
use crate::rig::{Process, Rig, Setup, eventually};

/// Tasks that run when it is told.
const RUNNING: usize = 4;

async fn busy(setup: Setup, ms: u64) -> (Rig, Process, Vec<uuid::Uuid>) {
    let rig = Rig::new().await;
    let worker = rig.start(Setup { concurrency: 4, ..setup });
    worker.works().await;
    let tasks = rig.insert_work(RUNNING, ms).await;
    rig.until_tallied("begin", RUNNING).await;
    (rig, worker, tasks)
}

/// What a worker gave back when it ended: due again, unburnt, and nothing of the worker is left.
async fn given_back(rig: &Rig) {
    let back: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'queued' AND attempt = 0").await;
    assert_eq!(back, RUNNING as i64);
    let left: bool = rig.database.value("SELECT EXISTS (SELECT FROM claims) OR EXISTS (SELECT FROM workers)").await;
    assert!(!left, "a claim or the worker's row is left");
    let after = rig.start(Setup { name: "after", ..Setup::default() });
    rig.until_tallied("begin", 2 * RUNNING).await;
    assert!(rig.tallied("begin").iter().all(|event| event.attempt == 1), "the attempt was burnt");
    drop(after);
}

pub(crate) async fn sigterm_finishes_what_runs_and_claims_nothing_more() {
    let (rig, mut worker, tasks) = busy(Setup::default(), 3_000).await;
    worker.signal(Signal::TERM);
    worker.says("draining").await;
    assert_eq!(worker.get("/readyz").await, (503, "working: shutting down\nloops: ok\ndatabase: ok\n".to_owned()));
    let later = rig.insert_work(20, 0).await;
    assert_eq!(worker.ended().await.code(), Some(0));
    let ended: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'complete' AND attempt = 1").await;
    assert_eq!(ended, RUNNING as i64);
    let untouched: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'queued' AND attempt = 0").await;
    assert_eq!(untouched, 20);
    let left: bool = rig.database.value("SELECT EXISTS (SELECT FROM claims) OR EXISTS (SELECT FROM workers)").await;
    assert!(!left, "a claim or the worker's row is left");
    let _after = rig.start(Setup { name: "after", ..Setup::default() });
    rig.judge(&[tasks, later].concat()).await;
}

pub(crate) async fn a_drain_that_outlasts_the_lease_loses_no_claim() {
    let worker = "heartbeat = \"500ms\"\nlease = \"2s\"".to_owned();
    let (rig, mut worker, tasks) = busy(Setup { worker, ..Setup::default() }, 10_000).await;
    let rescuer = rig.start(Setup { name: "rescuer", ..Setup::default() });
    rescuer.works().await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(0));
    assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
    assert_eq!(rig.tallied("begin").len(), RUNNING, "a task was taken from a worker that was finishing it");
    rig.judge(&tasks).await;
}

pub(crate) async fn at_the_deadline_what_runs_is_given_back_unburnt() {
    let worker = "shutdown_deadline = \"1s\"".to_owned();
    let (rig, mut worker, _) = busy(Setup { worker, ..Setup::default() }, 600_000).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(10));
    assert_eq!(rig.tallied("stop:Shutdown").len(), RUNNING);
    given_back(&rig).await;
}

pub(crate) async fn a_second_sigterm_gives_back_at_once() {
    let (rig, mut worker, _) = busy(Setup::default(), 600_000).await;
    worker.signal(Signal::TERM);
    worker.says("draining").await;
    let second = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(10));
    println!("figure: second SIGTERM to exit {:?}", second.elapsed());
    assert!(second.elapsed() < Duration::from_secs(3), "{:?}", second.elapsed());
    given_back(&rig).await;
}

pub(crate) async fn an_executor_that_ignores_the_shutdown_is_dropped_and_its_task_given_back() {
    let rig = Rig::new().await;
    let deadline = "shutdown_deadline = \"0s\"".to_owned();
    let mut worker = rig.start(Setup { worker: deadline, concurrency: 4, ..Setup::default() });
    rig.insert("work", (0..RUNNING).map(|_| json!({"ms": 600_000, "deaf_ms": 600_000}))).await;
    rig.until_tallied("begin", RUNNING).await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(10));
    given_back(&rig).await;
}

pub(crate) async fn running_programs_are_ended_and_their_tasks_given_back() {
    let rig = Rig::new().await;
    let sections = "[actions.sleep]\nexecutor = \"command\"\nargv = [\"sh\", \"-c\", \"sleep 600; true\"]\n".to_owned();
    let mut worker = rig.start(Setup { binary: true, sections, ..Setup::default() });
    rig.insert("sleep", (0..RUNNING).map(|_| json!({}))).await;
    // the worker, and per task a shell and its child
    eventually("the programs run", || rig.processes().len() == 1 + 2 * RUNNING).await;
    worker.signal(Signal::TERM);
    worker.says("draining").await;
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(10));
    eventually("no process is left", || rig.processes().is_empty()).await;
    let back: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'queued' AND attempt = 0").await;
    assert_eq!(back, RUNNING as i64);
}

pub(crate) async fn a_worker_that_cannot_reach_the_database_ends_all_the_same() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let worker = "shutdown_deadline = \"1s\"".to_owned();
    let mut worker = rig.start(Setup { url: Some(proxy.url(&rig.database)), worker, ..Setup::default() });
    worker.works().await;
    let tasks = rig.insert_work(RUNNING, 600_000).await;
    rig.until_tallied("begin", RUNNING).await;
    proxy.weather(Weather::Away);
    let told = Instant::now();
    worker.signal(Signal::TERM);
    assert_eq!(worker.ended().await.code(), Some(11), "it could not give back");
    println!("figure: SIGTERM without a database to exit {:?}", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(25), "{:?}", told.elapsed());
    let still: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'running'").await;
    assert_eq!(still, RUNNING as i64);
    for task_id in &tasks {
        rig.database.run(&format!("SELECT terminate_task('{task_id}')")).await;
    }
    let _after = rig.start(Setup { name: "after", ..Setup::default() });
    rig.judge(&tasks).await;
}
