//! The history of attempts in a task's log.

use std::time::Duration;

use longshore_queue::{Leadership, insert_many};
use longshore_queue::{NewTask, Requeue, Suspension, Wait, rescue_trees, terminate};

use crate::support::actor::{Actor, back, named, notes};
use crate::support::trees::Player;
use crate::support::{Database, database};

/// A log, one line each; the time of the next attempt is checked against the row, and left out.
async fn log(database: &Database) -> String {
    let sql = "SELECT concat_ws(' ', sequence, CASE WHEN error THEN 'error' END, context || ':', context_type,
                   regexp_replace(message, ' is due at [0-9TZ:.-]+$', ' is due'), extra - 'retry_at')
               FROM result_message ORDER BY task_id, sequence";
    database.values::<String>(sql).await.join("\n")
}

#[tokio::test]
async fn an_attempt_that_failed_leaves_one_message_that_says_when_the_next_is_due() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    actor.record(&batch.held, &notes(id, 1, &["one", "two"])).await.unwrap();
    let retry = |held, error_count| Requeue {
        delay: Duration::from_secs(3600),
        reason: Some("exit".to_owned()),
        message: Some("exit code 3".to_owned()),
        error_count,
        ..back(held, false)
    };
    let first = retry(batch.held[0], 4);
    assert_eq!(actor.requeue(std::slice::from_ref(&first), &batch.last()).await.unwrap(), [id]);
    assert!(actor.requeue(&[first], &batch.last()).await.unwrap().is_empty(), "sent again it has no effect");
    let facts = "SELECT extra ->> 'retry_at' = document_instant(run_at) AND message LIKE '%is due at ' || document_instant(run_at)
                 FROM result_message JOIN tasks USING (task_id) WHERE sequence = 3";
    assert!(database.value::<bool>(facts).await);
    assert_eq!(database.value::<i32>("SELECT result_error_count FROM tasks").await, 5);
    // one that says nothing, and one that is given back
    database.run("UPDATE tasks SET run_at = now()").await;
    let batch = actor.claim(1).await;
    actor
        .requeue(
            &[Requeue { delay: Duration::ZERO, reason: None, message: None, ..retry(batch.held[0], 5) }],
            &batch.last(),
        )
        .await
        .unwrap();
    let batch = actor.claim(1).await;
    actor.requeue(&[back(batch.held[0], true)], &batch.last()).await.unwrap();
    assert_eq!(
        log(&database).await,
        "1 one\n\
         2 two\n\
         3 error attempt 1: attempt failed (exit): exit code 3; attempt 2 of 20 is due {\"reason\": \"exit\", \"attempt\": 1}\n\
         4 error attempt 2: attempt failed; attempt 3 of 20 is due {\"reason\": null, \"attempt\": 2}"
    );
}

#[tokio::test]
async fn an_attempt_that_ends_terminated_leaves_no_such_message() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    terminate(&mut database.conn().await, id, None).await.unwrap();
    assert_eq!(actor.requeue(&[back(batch.held[0], false)], &batch.last()).await.unwrap(), [id]);
    assert_eq!(log(&database).await, "");
    assert_eq!(database.value::<i32>("SELECT result_error_count FROM tasks").await, 0);
}

#[tokio::test]
async fn attempts_of_a_dead_worker_are_in_the_log_behind_what_it_has_said() {
    let database = database().await;
    let tasks = [NewTask { max_attempts: Some(2), ..named("a") }];
    let id = insert_many(&mut database.conn().await, &tasks).await.unwrap()[0];
    let mut leader = Actor::enter(&database).await;
    for number in 1..=2 {
        let mut victim = Actor::enter(&database).await;
        let batch = victim.claim(1).await;
        victim.record(&batch.held, &notes(id, number * 2 - 1, &["said"])).await.unwrap();
        database.silence(&victim, 16).await;
        database.age(&leader, 16).await;
        let epoch = leader.lead().await.epoch;
        assert_eq!(leader.rescue(epoch).await.len(), 1);
    }
    let died = "failed (worker_died): the worker that held attempt";
    assert_eq!(
        log(&database).await,
        format!(
            "1 said\n\
             2 error attempt 1: attempt {died} 1 stopped reporting; attempt 2 of 2 is due {{\"reason\": \"worker_died\", \"attempt\": 1}}\n\
             3 said\n\
             4 error attempt 2: attempt {died} 2 stopped reporting; of 2 attempts none is left {{\"reason\": \"worker_died\", \"attempt\": 2}}"
        )
    );
    assert_eq!(database.value::<i32>("SELECT result_error_count FROM tasks").await, 2);
}

#[tokio::test]
async fn the_last_attempt_of_a_task_of_a_tree_is_in_the_log_when_its_worker_dies() {
    let database = database().await;
    database.tree(&["root", "a < root"]).await;
    database.run("UPDATE tasks SET max_attempts = 1").await;
    let mut player = Player::enter(&database).await;
    assert_eq!(player.claim().await, "a root");
    let wait = Suspension { held: player.held["root"], wait: Wait::All, timeout: None, seen: 0, error_count: 0 };
    assert_eq!(player.settle(&[wait.into()]).await.unwrap().len(), 1);
    let mut leader = Actor::enter(&database).await;
    database.silence(&player.actor, 16).await;
    database.age(&leader, 16).await;
    let leadership = Leadership { identity: leader.worker_id, epoch: leader.lead().await.epoch };
    let witness = leader.worker_id;
    let rescued = rescue_trees(leader.session.step().await.unwrap().db(), leadership, witness).await.unwrap();
    assert_eq!(rescued.len(), 1);
    assert_eq!(
        log(&database).await,
        "1 error attempt 1: attempt failed (worker_died): the worker that held attempt 1 stopped reporting; of 1 attempts none is left \
         {\"reason\": \"worker_died\", \"attempt\": 1}"
    );
}

#[tokio::test]
async fn a_claim_tells_how_many_errors_there_were_before_it() {
    let database = database().await;
    database.insert(&["a"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    actor.requeue(&[Requeue { error_count: 6, ..back(batch.held[0], false) }], &batch.last()).await.unwrap();
    let batch = actor.claim(1).await;
    assert_eq!(batch.error_counts, [7]);
}
