//! Ending a task from outside.

use longshore_queue::{
    Completion, LastOf, Listener, Locked, NewTask, Requeue, ResultStatus, TaskResult, Wake, complete, idle, insert,
    terminate,
};
use sqlx::Connection;
use std::time::Duration;
use uuid::Uuid;

use crate::support::actor::{Actor, back, named, notes, success};
use crate::support::{PATIENCE, database};

#[tokio::test]
async fn a_waiting_task_ends_at_once_and_is_never_claimed() {
    let database = database().await;
    let ids = database.insert(&["ended", "kept"]).await;
    let later = NewTask { run_at: Some(chrono::Utc::now() + chrono::TimeDelta::hours(1)), ..named("scheduled") };
    let later = insert(&mut database.conn().await, &later).await.unwrap().unwrap();
    let mut conn = database.conn().await;
    for id in [ids[0], later] {
        assert!(terminate(&mut conn, id, Some("ann")).await.unwrap());
        assert!(!terminate(&mut conn, id, Some("bob")).await.unwrap(), "the second call finds it ended");
    }
    assert!(!terminate(&mut conn, Uuid::now_v7(), None).await.unwrap(), "no such task");
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(10).await.names, ["kept"]);
    assert_eq!(
        database.history().await,
        "ended terminated attempt 0 failure terminated by ann\n\
         kept running attempt 1\n\
         scheduled terminated attempt 0 failure terminated by ann"
    );
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE finished_at = \"terminated\"").await, 2);
}

#[tokio::test]
async fn a_running_task_ends_terminated_whatever_it_returns_and_keeps_its_output_and_messages() {
    let database = database().await;
    let names = ["failure", "retry", "snooze", "success"];
    let ids = database.insert(&names).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(4).await;
    for id in &ids {
        assert!(terminate(&mut database.conn().await, *id, None).await.unwrap());
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE status = 'terminating'").await, 4);
    assert_eq!(actor.record(&batch.held, &notes(ids[3], 1, &["stopping"])).await.unwrap().len(), 4);
    let result = |status, output: &str| TaskResult {
        status,
        output: Some(serde_json::value::RawValue::from_string(output.to_owned()).unwrap()),
        ..TaskResult::default()
    };
    let completions = [
        Completion {
            held: batch.held[0],
            result: result(ResultStatus::Failure, "1"),
            error_count: 0,
            design_hash: None,
        },
        Completion {
            held: batch.held[3],
            result: result(ResultStatus::Success, "2"),
            error_count: 0,
            design_hash: None,
        },
    ];
    let requeues =
        [back(batch.held[1], false), Requeue { delay: Duration::from_secs(60), ..back(batch.held[2], true) }];
    assert_eq!(actor.requeue(&requeues, &LastOf::default()).await.unwrap().len(), 2);
    let mut last = LastOf::default();
    last.push(batch.claim_token, 2);
    assert_eq!(actor.complete(&completions, &last).await.unwrap().len(), 2);
    assert_eq!(
        database.history().await,
        "failure terminated attempt 1 failure terminated by longshore\n\
         retry terminated attempt 1 failure terminated by longshore\n\
         snooze terminated attempt 0 failure terminated by longshore\n\
         success terminated attempt 1 failure terminated by longshore"
    );
    assert_eq!(
        database.values::<String>("SELECT output::text FROM tasks WHERE output IS NOT NULL ORDER BY 1").await,
        ["1", "2"]
    );
    assert_eq!(database.value::<String>("SELECT message FROM result_message").await, "stopping");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 0);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE finished_at IS NULL").await, 0);
}

#[tokio::test]
async fn an_ended_task_is_left_alone_and_so_is_the_rest_of_its_row() {
    let database = database().await;
    let ids = database.insert(&["complete", "terminated"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    actor.succeed(&batch).await;
    terminate(&mut database.conn().await, ids[1], Some("ann")).await.unwrap();
    let rows = "SELECT string_agg(tasks::text, ' ' ORDER BY task_id) FROM tasks";
    let before: String = database.value(rows).await;
    database.run("UPDATE tasks SET \"terminate\" = true").await;
    assert!(!terminate(&mut database.conn().await, ids[0], None).await.unwrap());
    assert_eq!(database.value::<String>(rows).await, before);
}

#[tokio::test]
async fn one_update_ends_tasks_in_every_state() {
    let database = database().await;
    database.insert(&["a running", "b running", "c queued", "d queued"]).await;
    let mut actor = Actor::enter(&database).await;
    let first = actor.claim(1).await;
    actor.succeed(&first).await;
    actor.claim(1).await;
    database.run("UPDATE tasks SET \"terminate\" = true").await;
    assert_eq!(
        database.history().await,
        "a running complete attempt 1 success\n\
         b running terminating attempt 1 by longshore\n\
         c queued terminated attempt 0 failure terminated by longshore\n\
         d queued terminated attempt 0 failure terminated by longshore"
    );
}

#[tokio::test]
async fn who_ended_one_task_is_not_said_to_have_ended_the_next_of_the_same_transaction() {
    let database = database().await;
    let ids = database.insert(&["by ann", "by the user"]).await;
    let mut conn = database.conn().await;
    let mut transaction = conn.begin().await.unwrap();
    terminate(&mut *transaction, ids[0], Some("ann")).await.unwrap();
    sqlx::query("UPDATE tasks SET \"terminate\" = true WHERE task_id = $1")
        .bind(ids[1])
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(
        database.history().await,
        "by ann terminated attempt 0 failure terminated by ann\n\
         by the user terminated attempt 0 failure terminated by longshore"
    );
}

#[tokio::test]
async fn a_task_that_completes_while_its_end_is_asked_for_stays_complete() {
    let database = database().await;
    let ids = database.insert(&["a"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let mut completing = database.conn().await;
    let mut completing = completing.begin().await.unwrap();
    complete(&mut *completing, "default", &[success(batch.held[0])], &batch.last(), Locked::Skip).await.unwrap();
    let mut conn = database.conn().await;
    let asking =
        sqlx::query("UPDATE tasks SET \"terminate\" = true WHERE task_id = $1").bind(ids[0]).execute(&mut conn);
    let committing = async {
        database.until_one_waits().await;
        completing.commit().await.unwrap();
    };
    let (asked, ()) = tokio::join!(asking, committing);
    asked.unwrap();
    assert_eq!(database.history().await, "a complete attempt 1 success");
    assert!(!database.value::<bool>("SELECT \"terminate\" FROM tasks").await);
}

#[tokio::test]
async fn a_task_whose_end_is_being_asked_for_is_not_claimed_and_not_settled() {
    let database = database().await;
    let ids = database.insert(&["a", "b"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let mut asking = database.conn().await;
    let mut asking = asking.begin().await.unwrap();
    for id in ids {
        terminate(&mut *asking, id, Some("ann")).await.unwrap();
    }
    assert_eq!(actor.claim(1).await.held.len(), 0);
    actor.locked = Locked::Skip;
    assert_eq!(actor.succeed(&batch).await.len(), 0);
    asking.commit().await.unwrap();
    assert_eq!(actor.succeed(&batch).await.len(), 1);
    assert_eq!(
        database.history().await,
        "a terminated attempt 1 failure terminated by ann\n\
         b terminated attempt 0 failure terminated by ann"
    );
}

#[tokio::test]
async fn workers_are_told_of_a_termination_and_of_an_insert_only_while_one_sleeps() {
    let database = database().await;
    let mut listener = Listener::open(&database.connect).await.unwrap();
    let mut next = async || tokio::time::timeout(PATIENCE, listener.next()).await.unwrap().unwrap();
    let mut actor = Actor::enter(&database).await;
    let mut story = Vec::new();
    // nobody sleeps: the insert is silent, and the termination is what comes first
    let id = database.insert(&["a"]).await[0];
    terminate(&mut database.conn().await, id, None).await.unwrap();
    story.push(next().await);
    idle(actor.session.step().await.unwrap().db(), actor.worker_id, Some(Duration::from_secs(60))).await.unwrap();
    let id = database.insert(&["b"]).await[0];
    story.push(next().await);
    idle(actor.session.step().await.unwrap().db(), actor.worker_id, None).await.unwrap();
    database.insert(&["c"]).await;
    terminate(&mut database.conn().await, id, None).await.unwrap();
    story.push(next().await);
    assert_eq!(story, [Wake::Terminate, Wake::Inserted { queue: "default".to_owned() }, Wake::Terminate]);
}
