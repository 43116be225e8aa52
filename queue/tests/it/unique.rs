//! `unique_key`: duplicates are skipped, never an error; those that were inserted at the same moment end at the claim.

use longshore_queue::{NewTask, Result, insert_many, settle_unique};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::actor::{Actor, Batch, named};
use crate::support::{Database, database};

fn keyed(name: &str, key: &str) -> NewTask {
    NewTask { unique_key: Some(key.to_owned()), ..named(name) }
}

fn until_ended(name: &str, key: &str) -> NewTask {
    NewTask { unique_until_ended: true, ..keyed(name, key) }
}

async fn insert(database: &Database, tasks: &[NewTask]) -> usize {
    insert_many(&mut database.conn().await, tasks).await.unwrap().len()
}

/// Settles a claimed batch: how many of it must not start.
async fn settle(actor: &mut Actor, batch: &Batch) -> Result<usize> {
    let ids: Vec<Uuid> = batch.held.iter().map(|held| held.task_id).collect();
    Ok(settle_unique(actor.session.step().await?.db(), &ids, batch.claim_token).await?.len())
}

/// Inserts two tasks from two transactions that do not see each other.
async fn raced(database: &Database, first: NewTask, second: NewTask) {
    let (mut one, mut two) = (database.conn().await, database.conn().await);
    let (mut one, mut two) = (one.begin().await.unwrap(), two.begin().await.unwrap());
    assert_eq!(insert_many(&mut *one, &[first]).await.unwrap().len(), 1);
    assert_eq!(insert_many(&mut *two, &[second]).await.unwrap().len(), 1);
    one.commit().await.unwrap();
    two.commit().await.unwrap();
}

#[tokio::test]
async fn a_duplicate_is_skipped_within_a_statement_and_across_while_the_rest_is_inserted() {
    let database = database().await;
    let batch =
        [keyed("a", "k"), keyed("a again", "k"), named("b"), keyed("c", "l"), keyed("c again", "l"), named("d")];
    assert_eq!(insert(&database, &batch).await, 4);
    assert_eq!(insert(&database, &[keyed("a once more", "k"), keyed("e", "m")]).await, 1);
    let mut conn = database.conn().await;
    let mut copy = conn.copy_in_raw("COPY tasks (action, payload, unique_key) FROM STDIN").await.unwrap();
    copy.send(&b"work\t\"copied a\"\tk\nwork\t\"f\"\tn\nwork\t\"f again\"\tn\n"[..]).await.unwrap();
    copy.finish().await.unwrap();
    assert_eq!(
        database.values::<String>("SELECT payload #>> '{}' FROM tasks ORDER BY 1").await,
        ["a", "b", "c", "d", "e", "f"]
    );
}

#[tokio::test]
async fn the_same_key_in_another_queue_is_another_key() {
    let database = database().await;
    let elsewhere = NewTask { queue: Some("other".to_owned()), ..keyed("b", "k") };
    assert_eq!(insert(&database, &[keyed("a", "k"), elsewhere.clone(), elsewhere]).await, 2);
}

#[tokio::test]
async fn by_default_a_change_during_a_run_queues_one_more_and_only_one() {
    let database = database().await;
    let mut actor = Actor::enter(&database).await;
    assert_eq!(insert(&database, &[keyed("first", "k")]).await, 1);
    let running = actor.claim(10).await;
    assert_eq!(settle(&mut actor, &running).await.unwrap(), 0);
    assert_eq!(insert(&database, &[keyed("during", "k"), keyed("too many", "k")]).await, 1);
    actor.succeed(&running).await;
    assert_eq!(insert(&database, &[keyed("too many", "k")]).await, 0);
    assert_eq!(database.history().await, "during queued attempt 0\nfirst complete attempt 1 success");
}

#[tokio::test]
async fn until_ended_keeps_duplicates_out_while_one_runs_and_not_after() {
    let database = database().await;
    let mut actor = Actor::enter(&database).await;
    assert_eq!(insert(&database, &[until_ended("first", "k")]).await, 1);
    let running = actor.claim(10).await;
    assert_eq!(insert(&database, &[until_ended("during", "k")]).await, 0);
    assert_eq!(settle(&mut actor, &running).await.unwrap(), 0);
    actor.succeed(&running).await;
    assert_eq!(insert(&database, &[until_ended("after", "k")]).await, 1);
    assert_eq!(database.history().await, "after queued attempt 0\nfirst complete attempt 1 success");
}

#[tokio::test]
async fn of_two_raced_tasks_the_one_that_waits_ends_as_a_duplicate_when_the_other_is_claimed() {
    let database = database().await;
    raced(&database, keyed("a", "k"), keyed("b", "k")).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    assert_eq!(settle(&mut actor, &batch).await.unwrap(), 0);
    assert_eq!(database.history().await, "a running attempt 1\nb terminated attempt 0 duplicate by unique_key");
    assert_eq!(
        database.value::<String>("SELECT result_message FROM tasks WHERE status = 'terminated'").await,
        format!("duplicate of task {}", batch.held[0].task_id)
    );
}

#[tokio::test]
async fn of_two_raced_tasks_claimed_together_one_runs() {
    let database = database().await;
    raced(&database, keyed("a", "k"), keyed("b", "k")).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(10).await;
    assert_eq!(batch.held.len(), 2);
    assert_eq!(settle(&mut actor, &batch).await.unwrap(), 1);
    let running: i64 = database.value("SELECT count(*) FROM tasks WHERE status = 'running'").await;
    assert_eq!(running, 1, "{}", database.history().await);
}

#[tokio::test]
async fn of_raced_tasks_until_ended_claimed_by_two_workers_one_runs() {
    let database = database().await;
    for round in 0..20 {
        let key = format!("k{round}");
        raced(&database, until_ended("a", &key), until_ended("b", &key)).await;
    }
    let (mut one, mut two) = (Actor::enter(&database).await, Actor::enter(&database).await);
    for _ in 0..20 {
        // by run_at, the pairs come one after the other
        let (first, second) = (one.claim(1).await, two.claim(1).await);
        let (first, second) = tokio::join!(settle(&mut one, &first), settle(&mut two, &second));
        assert_eq!(first.unwrap() + second.unwrap(), 1);
    }
    let by_status: Vec<String> =
        database.values("SELECT concat_ws(' ', status, count(*)) FROM tasks GROUP BY status ORDER BY status").await;
    assert_eq!(by_status, ["running 20", "terminated 20"]);
}

#[tokio::test]
async fn a_claimed_duplicate_ends_although_somebody_looks_at_it_under_a_lock() {
    let database = database().await;
    raced(&database, until_ended("a", "k"), until_ended("b", "k")).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(10).await;
    let mut onlooker = database.conn().await;
    let mut onlooker = onlooker.begin().await.unwrap();
    let locked: Vec<Uuid> =
        sqlx::query_scalar("SELECT task_id FROM tasks FOR UPDATE").fetch_all(&mut *onlooker).await.unwrap();
    assert_eq!(locked.len(), 2);
    let settling = settle(&mut actor, &batch);
    let letting_go = async {
        database.until_one_waits().await;
        onlooker.rollback().await.unwrap();
    };
    let (settled, ()) = tokio::join!(settling, letting_go);
    assert_eq!(settled.unwrap(), 1);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE status = 'running'").await, 1);
}

#[tokio::test]
async fn opposite_orders_of_keys_from_two_transactions_never_wait_for_each_other() {
    let database = database().await;
    let (mut one, mut two) = (database.conn().await, database.conn().await);
    for round in 0..50 {
        let tasks: Vec<NewTask> = (0..10).map(|key| keyed("t", &format!("{round} {key}"))).collect();
        let reversed: Vec<NewTask> = tasks.iter().rev().cloned().collect();
        let (mut first, mut second) = (one.begin().await.unwrap(), two.begin().await.unwrap());
        // row by row, so that each is between the other's rows
        for (a, b) in tasks.iter().zip(&reversed) {
            let (a, b) = tokio::join!(
                insert_many(&mut *first, std::slice::from_ref(a)),
                insert_many(&mut *second, std::slice::from_ref(b))
            );
            assert_eq!((a.unwrap().len(), b.unwrap().len()), (1, 1));
        }
        first.commit().await.unwrap();
        second.commit().await.unwrap();
    }
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(10_000).await;
    assert_eq!(batch.held.len(), 1000);
    assert_eq!(settle(&mut actor, &batch).await.unwrap(), 500);
}

/// Buffers that one INSERT with a key touches.
async fn buffers(conn: &mut PgConnection, key: &str) -> i64 {
    let explained: serde_json::Value = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) INSERT INTO tasks (action, unique_key) VALUES ('work', '{key}')"
    )))
    .fetch_one(conn)
    .await
    .unwrap();
    let plan = &explained[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

#[tokio::test]
async fn ten_thousand_uses_of_one_key_under_an_old_snapshot_leave_an_insert_as_cheap_as_the_first() {
    let database = database().await;
    let (mut conn, mut pin) = (database.conn().await, database.conn().await);
    let mut pin = pin.begin().await.unwrap();
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *pin).await.unwrap();
    sqlx::query("SELECT count(*) FROM tasks").execute(&mut *pin).await.unwrap();
    database
        .run(
            "CREATE PROCEDURE use_key(times int) LANGUAGE plpgsql AS $$
             DECLARE
                 id uuid;
             BEGIN
                 FOR use IN 1..times LOOP
                     INSERT INTO tasks (action, unique_key) VALUES ('work', 'k') RETURNING task_id INTO STRICT id;
                     UPDATE tasks SET status = 'running', claim_token = id, attempt = 1 WHERE task_id = id;
                     COMMIT;
                     UPDATE tasks SET status = 'complete', result_status = 'success' WHERE task_id = id;
                     COMMIT;
                 END LOOP;
             END $$",
        )
        .await;
    let mut run = database.conn().await;
    sqlx::query("SET synchronous_commit = off").execute(&mut run).await.unwrap();
    let mut spent = Vec::new();
    for times in ["10", "10000"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("CALL use_key({times})"))).execute(&mut run).await.unwrap();
        let mut least = i64::MAX;
        for _ in 0..5 {
            let mut attempt = conn.begin().await.unwrap();
            least = least.min(buffers(&mut attempt, "k").await);
            attempt.rollback().await.unwrap();
        }
        spent.push(least);
    }
    println!("buffers of an INSERT with a key after 10 and 10,010 uses, pinned: {spent:?}");
    assert!(spent[1] <= spent[0] + 6, "a few index levels more at most: {spent:?}");
    pin.rollback().await.unwrap();
}

#[tokio::test]
async fn a_key_that_statistics_call_common_is_still_looked_up_by_its_index() {
    let database = database().await;
    database
        .run(
            "ALTER TABLE tasks DISABLE TRIGGER tasks_admit;
             INSERT INTO tasks (action, unique_key) SELECT 'work', 'k' FROM generate_series(1, 5000);
             ALTER TABLE tasks ENABLE TRIGGER tasks_admit;
             UPDATE tasks SET status = 'complete';
             INSERT INTO tasks (action) SELECT 'work' FROM generate_series(1, 20000);
             ANALYZE tasks",
        )
        .await;
    let mut conn = database.conn().await;
    let mut spent = Vec::new();
    // one statement plans anew, five and more settle on a generic plan
    for _ in 0..8 {
        let mut attempt = conn.begin().await.unwrap();
        spent.push(buffers(&mut attempt, "k").await);
        attempt.rollback().await.unwrap();
    }
    println!("buffers of an INSERT with a common key, eight times: {spent:?}");
    assert!(*spent[1..].iter().max().unwrap() < 60, "{spent:?}");
}
