//! The connection is cut before, at and after the COMMIT of a statement.

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use crate::proxy::{Cut, Proxy, Statement};
use crate::rig::{Process, Rig, Setup};

/// Each cut comes so often.
const ROUNDS: usize = 3;

/// A worker behind a proxy.
async fn begin(
    statement: Statement,
    cuts: Vec<Cut>,
    payload: serde_json::Value,
    tasks: usize,
) -> (Rig, Proxy, Process, Vec<uuid::Uuid>) {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    proxy.strike(statement, cuts);
    // inserted before the worker starts, so that no strike is wasted on a claim that finds nothing
    let tasks = rig.insert("work", (0..tasks).map(|_| payload.clone())).await;
    let url = Some(proxy.url(&rig.database));
    let worker = rig.start(Setup { url, concurrency: 4, ..Setup::default() });
    (rig, proxy, worker, tasks)
}

fn rounds() -> Vec<Cut> {
    std::iter::repeat_n(Cut::ALL, ROUNDS).flatten().collect()
}

fn all_struck(proxy: &Proxy, statement: Statement) {
    for cut in Cut::ALL {
        assert_eq!(proxy.struck(statement, cut), ROUNDS as u64, "{cut:?}");
    }
    assert_eq!(proxy.outstanding(), 0);
}

pub(crate) async fn claims_cut_at_every_point_lose_nothing() {
    let (rig, proxy, _worker, tasks) = begin(Statement::Claim, rounds(), json!({"ms": 100}), 200).await;
    rig.judge(&tasks).await;
    all_struck(&proxy, Statement::Claim);
    let (first, begun): (i64, usize) =
        (rig.database.value("SELECT count(*) FROM tasks WHERE attempt = 1").await, rig.beginnings().len());
    assert_eq!((first, begun), (200, 200), "a claim whose answer was lost is given back unburnt");
    assert!(rig.beginnings().values().all(|times| *times == 1), "an executor ran twice");
}

pub(crate) async fn completions_cut_at_every_point_are_recorded_once() {
    let (rig, proxy, _worker, tasks) = begin(Statement::Complete, rounds(), json!({"ms": 100}), 200).await;
    rig.judge(&tasks).await;
    all_struck(&proxy, Statement::Complete);
    assert!(rig.beginnings().values().all(|times| *times == 1), "an unknown completion became a new attempt");
    let good: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE result_status = 'success'").await;
    assert_eq!(good, 200);
}

pub(crate) async fn messages_cut_at_every_point_stay_gap_free() {
    let (rig, proxy, _worker, tasks) = begin(Statement::Record, rounds(), json!({"ms": 100, "say": 5}), 200).await;
    rig.judge(&tasks).await;
    all_struck(&proxy, Statement::Record);
    let said: i64 = rig.database.value("SELECT count(*) FROM result_message").await;
    assert_eq!(said, 1000);
    let in_order: bool = rig
        .database
        .value("SELECT bool_and(message = format('attempt 1 says %s', sequence - 1)) FROM result_message")
        .await;
    assert!(in_order, "a message was recorded out of order");
}

pub(crate) async fn retries_cut_at_every_point_burn_no_further_attempt() {
    let payload = json!({"ms": 100, "say": 1, "good_attempt": 2});
    let (rig, proxy, _worker, tasks) = begin(Statement::Requeue, rounds(), payload, 200).await;
    rig.judge(&tasks).await;
    all_struck(&proxy, Statement::Requeue);
    let twice: bool = rig.database.value("SELECT bool_and(attempt = 2) FROM tasks").await;
    assert!(twice, "a retry was counted twice");
    assert!(rig.beginnings().values().all(|times| *times == 2));
}

pub(crate) async fn a_lost_claim_with_a_task_that_somebody_locks_is_given_back_whole() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    proxy.strike(Statement::Claim, [Cut::Unanswered]);
    let tasks = rig.insert_work(2, 10).await;
    // locked as soon as it is claimed, and for longer than the worker looks for it
    let mut producer = rig.database.conn().await;
    let lock = format!("BEGIN; SELECT FROM tasks WHERE task_id = '{}' FOR UPDATE", tasks[1]);
    let url = Some(proxy.url(&rig.database));
    let _worker = rig.start(Setup { url, ..Setup::default() });
    rig.database.until("SELECT count(*) = 2 FROM tasks WHERE status = 'running'").await;
    producer.execute(AssertSqlSafe(lock)).await.unwrap();
    rig.database.until("SELECT count(*) = 1 FROM tasks WHERE status = 'complete'").await;
    rig.database.until("SELECT clock_timestamp() > max(at) + interval '4 s' FROM history").await;
    let open: i64 = rig.database.value("SELECT count(*) FROM claims").await;
    assert_eq!(open, 1, "the locked task is in no claim any more");
    producer.execute("COMMIT").await.unwrap();
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1));
}
