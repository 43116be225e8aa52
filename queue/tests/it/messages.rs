//! Result messages: numbered by the holder, appended under the fence, readable while the task runs.

use longshore_queue::{Held, NumberedMessage, ResultMessage, last_messages, messages};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::support::actor::{Actor, back, notes};
use crate::support::{Database, database};

/// A task's log from a number on, one line each.
async fn log(database: &Database, task_id: Uuid, after: i32) -> String {
    let log = messages(&mut database.conn().await, task_id, after, 1000).await.unwrap();
    log.iter().map(|one| format!("{} {}", one.sequence, one.message)).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn numbers_go_on_without_a_gap_over_batches_and_attempts_and_are_read_from_any_number_on() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    for (words, seen) in [(["one", "two"], ""), (["three", "four"], "1 one, 2 two")] {
        let batch = actor.claim(1).await;
        assert_eq!(log(&database, id, 0).await, seen);
        let last = last_messages(&mut database.conn().await, &[id]).await.unwrap()[0];
        actor.record(&batch.held, &notes(id, last.sequence + 1, &words[..1])).await.unwrap();
        actor.record(&batch.held, &notes(id, last.sequence + 2, &words[1..])).await.unwrap();
        actor.requeue(&[back(batch.held[0], true)], &batch.last()).await.unwrap();
    }
    assert_eq!(log(&database, id, 0).await, "1 one, 2 two, 3 three, 4 four");
    assert_eq!(log(&database, id, 2).await, "3 three, 4 four");
    assert_eq!(log(&database, id, 4).await, "");
}

#[tokio::test]
async fn a_batch_sent_twice_leaves_the_log_as_it_was() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    assert_eq!(actor.record(&batch.held, &notes(id, 1, &["one", "two"])).await.unwrap(), [id]);
    assert_eq!(actor.record(&batch.held, &notes(id, 1, &["again", "again", "three"])).await.unwrap(), [id]);
    assert_eq!(log(&database, id, 0).await, "1 one, 2 two, 3 three");
}

#[tokio::test]
async fn the_messages_of_a_task_that_is_not_held_are_left_out_and_those_of_the_others_kept() {
    let database = database().await;
    let ids = database.insert(&["held", "ended", "never held"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(2).await;
    actor.complete(&[crate::support::actor::success(batch.held[1])], &Default::default()).await.unwrap();
    let all: Vec<Held> = ids.iter().map(|id| Held { task_id: *id, claim_token: batch.claim_token }).collect();
    let said: Vec<NumberedMessage> = ids.iter().flat_map(|id| notes(*id, 1, &["here"])).collect();
    assert_eq!(actor.record(&all, &said).await.unwrap(), [ids[0]]);
    assert_eq!(database.values::<Uuid>("SELECT task_id FROM result_message").await, [ids[0]]);
}

#[tokio::test]
async fn a_message_is_kept_with_all_that_it_says_and_errors_are_counted() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let message = ResultMessage {
        message: "no answer".to_owned(),
        error: true,
        context: Some("node7".to_owned()),
        context_type: Some("node".to_owned()),
        extra: Some(json!({"waited": 30})),
    };
    let mut said = notes(id, 1, &["asked"]);
    said.push(NumberedMessage { task_id: id, sequence: 2, message: message.clone() });
    actor.record(&batch.held, &said).await.unwrap();
    let one = &messages(&mut database.conn().await, id, 1, 10).await.unwrap()[0];
    assert_eq!(
        (&one.message, one.error, &one.context, &one.context_type, &one.extra),
        (&message.message, true, &message.context, &message.context_type, &message.extra)
    );
    let last = last_messages(&mut database.conn().await, &[id, Uuid::now_v7()]).await.unwrap();
    let mut last: Vec<(i32, i32)> = last.iter().map(|last| (last.sequence, last.error_count)).collect();
    last.sort_unstable();
    assert_eq!(last, [(0, 0), (2, 1)]);
}

#[tokio::test]
async fn text_that_postgres_cannot_store_refuses_the_batch_and_the_claim_stays() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let refused = actor.record(&batch.held, &notes(id, 1, &["good", "nul \0"])).await.unwrap_err();
    assert_eq!((refused.sqlstate().as_deref(), refused.is_passing()), (Some("22021"), false));
    assert_eq!(log(&database, id, 0).await, "");
    assert_eq!(actor.succeed(&batch).await, [id]);
}

#[tokio::test]
async fn a_foreign_lock_on_one_task_holds_up_no_others_messages() {
    let database = database().await;
    let ids = database.insert(&["a", "b", "c"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(3).await;
    let mut other = database.conn().await;
    let mut other = other.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE").bind(ids[1]).execute(&mut *other).await.unwrap();
    let said: Vec<NumberedMessage> = ids.iter().flat_map(|id| notes(*id, 1, &["here"])).collect();
    assert_eq!(actor.record(&batch.held, &said).await.unwrap(), [ids[0], ids[2]]);
    other.rollback().await.unwrap();
    assert_eq!(actor.record(&batch.held, &said).await.unwrap().len(), 3);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM result_message").await, 3);
}
