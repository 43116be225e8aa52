use chrono::DateTime;
use longshore_queue::{NewTask, example_insert, holder, insert_many, pace, summary};
use uuid::Uuid;

use crate::support::{Database, database};

/// Two tasks that ended, one of them at its second attempt, and one that waits.
async fn three_tasks(database: &Database) -> Vec<Uuid> {
    let tasks = ["a", "a", "b"].map(NewTask::new);
    let ids = insert_many(&mut database.conn().await, &tasks).await.unwrap();
    let ended = |number: usize, attempt, waited, took| {
        format!(
            "UPDATE tasks SET status = 'complete', result_status = 'success', attempt = {attempt},
                started_at = run_at + interval '{waited}', finished_at = run_at + interval '{took}'
             WHERE task_id = '{}'",
            ids[number]
        )
    };
    database.run(&ended(0, 1, "1 second", "2 seconds")).await;
    database.run(&ended(1, 2, "3 seconds", "4 seconds")).await;
    ids
}

#[tokio::test]
async fn a_summary_counts_tasks_by_action_and_outcome() {
    let database = database().await;
    three_tasks(&database).await;
    let tallies = summary(&mut database.conn().await, DateTime::UNIX_EPOCH).await.unwrap();
    let told: Vec<String> = tallies
        .iter()
        .map(|it| {
            let ended = if it.is_ended() { "ended" } else { "open" };
            let outcome = format!("{} {}/{} {ended}", it.action, it.status, it.result_status);
            format!("{outcome}: {} tasks, {} attempts, {} repeated", it.tasks, it.attempts, it.repeated)
        })
        .collect();
    assert_eq!(
        told,
        [
            "a complete/success ended: 2 tasks, 3 attempts, 1 repeated",
            "b queued/incomplete open: 1 tasks, 0 attempts, 0 repeated",
        ]
    );
    let later = summary(&mut database.conn().await, chrono::Utc::now() + chrono::TimeDelta::days(1)).await.unwrap();
    assert!(later.is_empty(), "{later:?}");
}

#[tokio::test]
async fn a_pace_tells_how_long_ended_tasks_waited_and_took() {
    let database = database().await;
    let none = pace(&mut database.conn().await, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!((none.ended, none.last_seconds, none.wait_p50_seconds), (0, None, None));
    three_tasks(&database).await;
    let pace = pace(&mut database.conn().await, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(pace.ended, 2);
    assert_eq!((pace.p95_seconds, pace.last_seconds), (Some(4.0), Some(4.0)));
    assert_eq!(pace.wait_p50_seconds, Some(2.0));
    let near = |found: Option<f64>, meant: f64| found.is_some_and(|found| (found - meant).abs() < 1e-9);
    assert!(near(pace.wait_p95_seconds, 2.9) && near(pace.wait_p99_seconds, 2.98), "{pace:?}");
}

#[tokio::test]
async fn a_task_that_nobody_claimed_has_no_holder() {
    let database = database().await;
    let ids = three_tasks(&database).await;
    for id in ids {
        assert_eq!(holder(&mut database.conn().await, id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_claimed_task_is_held_by_its_worker() {
    let database = database().await;
    let id = three_tasks(&database).await[2];
    let (worker_id, token) = (Uuid::new_v4(), Uuid::new_v4());
    database
        .run(&format!(
            "INSERT INTO workers (worker_id, name, version, lease) VALUES ('{worker_id}', 'w', '1', '1 minute');
             INSERT INTO claims (claim_token, worker_id, task_ids) VALUES ('{token}', '{worker_id}', '{{{id}}}');
             UPDATE tasks SET status = 'running', claim_token = '{token}' WHERE task_id = '{id}'"
        ))
        .await;
    let holder = holder(&mut database.conn().await, id).await.unwrap().unwrap();
    assert_eq!((holder.worker_id, holder.name.as_str()), (worker_id, "w"));
}

#[tokio::test]
async fn the_example_inserts_a_task_of_any_action_in_any_schema() {
    let database = database().await;
    database.run(&example_insert("public", "it's \"mine\"")).await;
    let inserted: String = database.value("SELECT action || ' ' || payload::text FROM tasks").await;
    assert_eq!(inserted, r#"it's "mine" {"text": "hello"}"#);
    assert!(example_insert("beside", "a").starts_with("INSERT INTO \"beside\".tasks "));
}
