//! Running an ended task once more.

use longshore_queue::{NewTask, ResultStatus, insert, retry_task};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::database;
use crate::support::trees::{Player, result};

const COLUMNS: &str = "jsonb_build_object('action', action, 'queue', queue, 'priority', priority, 'payload', payload,
    'design_ref', design_ref, 'max_attempts', max_attempts, 'timeout', \"timeout\", 'policy', on_subtask_failure)";

#[tokio::test]
async fn an_ended_task_is_inserted_again_with_all_that_its_producer_said() {
    let database = database().await;
    let task = NewTask {
        queue: Some("default".to_owned()),
        priority: Some(2),
        design_ref: Some("https://host/design".to_owned()),
        request_context: Some(json!([1])),
        max_attempts: Some(3),
        timeout: Some(std::time::Duration::from_secs(90)),
        on_subtask_failure: Some(longshore_queue::SubtaskPolicy::Continue),
        ..NewTask::new("work").payload(json!("a"))
    };
    let mut conn = database.conn().await;
    let old = insert(&mut conn, &task).await.unwrap().unwrap();
    let refused = retry_task(&mut conn, old, false).await.unwrap_err().to_string();
    assert_eq!(refused, format!("task {old} is queued (task_to_retry_has_ended): Wait for its end, or terminate it."));
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.say("a", result(ResultStatus::PartialSuccess, &["n1"], &["n2"])).await;
    let new = retry_task(&mut conn, old, false).await.unwrap().unwrap();
    let only = retry_task(&mut conn, old, true).await.unwrap().unwrap();
    let same = format!("SELECT count(DISTINCT {COLUMNS}) FROM tasks");
    assert_eq!(database.value::<i64>(&same).await, 1);
    let context = |id: Uuid| format!("SELECT request_context FROM tasks WHERE task_id = '{id}'");
    assert_eq!(database.value::<Value>(&context(new)).await, json!({"value": [1], "retry_of": old}));
    let nodes = format!("SELECT node_filter #> '{{filter_set,0,node_names}}' FROM tasks WHERE task_id = '{only}'");
    assert_eq!(database.value::<Value>(&nodes).await, json!(["n2"]));
    let missing = retry_task(&mut conn, Uuid::now_v7(), false).await.unwrap_err();
    assert_eq!(missing.sqlstate().as_deref(), Some("P0002"));
    // what was retried is as it was, and the new one can be retried in its turn
    assert_eq!(database.value::<i16>(&format!("SELECT attempt FROM tasks WHERE task_id = '{old}'")).await, 1);
}

#[tokio::test]
async fn a_key_that_waits_already_is_not_inserted_again() {
    let database = database().await;
    let task = NewTask { unique_key: Some("k".to_owned()), ..NewTask::new("work").payload(json!("a")) };
    let mut conn = database.conn().await;
    let old = insert(&mut conn, &task).await.unwrap().unwrap();
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.fail("a").await;
    assert!(retry_task(&mut conn, old, false).await.unwrap().is_some());
    assert_eq!(retry_task(&mut conn, old, false).await.unwrap(), None);
}

#[tokio::test]
async fn a_subtask_is_retried_below_its_parent_while_that_is_open_and_alone_afterwards() {
    let database = database().await;
    let names = database.tree(&["root !continue", "a < root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.fail("a").await;
    let mut conn = database.conn().await;
    let parent = |id: Uuid| format!("SELECT parent_task_id FROM tasks WHERE task_id = '{id}'");
    let again = retry_task(&mut conn, names["a"], false).await.unwrap().unwrap();
    assert_eq!(database.value::<Option<Uuid>>(&parent(again)).await, Some(names["root"]));
    player.claim().await;
    player.succeed("a").await;
    player.succeed("root").await;
    let alone = retry_task(&mut conn, names["a"], false).await.unwrap().unwrap();
    assert_eq!(database.value::<Option<Uuid>>(&parent(alone)).await, None);
}

#[tokio::test]
async fn a_retry_says_when_its_failures_fit_no_filter_and_leaves_a_link_out_that_does_not_fit() {
    let database = database().await;
    let mut conn = database.conn().await;
    let old = insert(&mut conn, &NewTask::new("work")).await.unwrap().unwrap();
    let context = "x".repeat(16 * 1024 - 2);
    database
        .run(&format!(
            "UPDATE tasks SET status = 'complete', result_status = 'failure', request_context = '\"{context}\"',
                result_failures = (SELECT array_agg('node-' || n) FROM generate_series(1, 6000) AS n)"
        ))
        .await;
    let refused = retry_task(&mut conn, old, true).await.unwrap_err().to_string();
    assert!(
        refused.contains("names 6000 failures") && refused.contains("failures_to_retry_fit_a_node_filter"),
        "{refused}"
    );
    let new = retry_task(&mut conn, old, false).await.unwrap().unwrap();
    let kept = database.value::<Value>(&format!("SELECT request_context FROM tasks WHERE task_id = '{new}'")).await;
    assert_eq!(kept, json!(context));
}
