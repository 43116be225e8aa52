//! Who may keep the partitions up, and who has to wait for it.

use std::time::{Duration, Instant};

use longshore_queue::{Leadership, UpkeepAction, analyze_tables, table_bytes, upkeep_step};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::*;

#[tokio::test]
async fn a_deposed_leader_changes_nothing() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6); SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')")
        .await;
    for (identity, epoch) in [(LEADER, 0), (LEADER, 2), (Uuid::nil(), 1)] {
        let step = upkeep_step(&db, Leadership { identity, epoch }, MONTH).await.unwrap();
        assert_eq!(step.action, UpkeepAction::NotActive);
        assert!(!analyze_tables(&db, Leadership { identity, epoch }).await.unwrap());
    }
    run(&db, "UPDATE active_instance SET lease_expires_at = now()").await;
    assert_eq!(upkeep(&db, MONTH).await, "NotActive");
    run(&db, "UPDATE active_instance SET lease_expires_at = 'infinity'").await;
    // one that is deposed in the middle of each kind of step
    run(
        &db,
        "CREATE FUNCTION depose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE active_instance SET epoch = 2; RETURN NULL; END';
         CREATE TRIGGER depose AFTER INSERT OR UPDATE OR DELETE ON sealed_partition EXECUTE FUNCTION depose()",
    )
    .await;
    for _ in ["seal", "count", "drop"] {
        let (before, partitions) = (content(&db).await, number(&db, "SELECT count(*) FROM task_partition").await);
        assert_eq!(upkeep(&db, MONTH).await, "NotActive");
        assert_eq!(
            (content(&db).await, number(&db, "SELECT count(*) FROM task_partition").await),
            (before, partitions)
        );
        run(&db, "ALTER TABLE sealed_partition DISABLE TRIGGER depose").await;
        step(&db, MONTH).await;
        run(&db, "ALTER TABLE sealed_partition ENABLE TRIGGER depose").await;
    }
}

#[tokio::test]
async fn nobody_takes_over_between_the_last_check_and_the_commit() {
    let (_db, options) = database().await;
    let mut leader = PgConnection::connect_with(&options).await.unwrap();
    run(&mut leader, "BEGIN").await;
    assert_eq!(step(&mut leader, MONTH).await.1, "Extend");
    let mut next = PgConnection::connect_with(&options).await.unwrap();
    run(&mut next, "SET lock_timeout = '50ms'").await;
    let error = sqlx::query("UPDATE active_instance SET epoch = 2").execute(&mut next).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "55P03");
    // nor does anybody else keep up beside it
    assert_eq!(step(&mut next, MONTH).await.0, UpkeepAction::Blocked);
    run(&mut leader, "COMMIT").await;
    run(&mut next, "UPDATE active_instance SET epoch = 2").await;
}

#[tokio::test]
async fn two_steps_at_once_count_no_task_twice() {
    let (db, options) = database().await;
    run(&db, "SELECT test_age(6); SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')")
        .await;
    upkeep_until(&db, MONTH, "week -6: Seal").await;
    let mut deposed = PgConnection::connect_with(&options).await.unwrap();
    run(&mut deposed, "BEGIN").await;
    assert_eq!(step(&mut deposed, MONTH).await.1, "week -6: Count 100");
    let next = tokio::spawn({
        let db = db.clone();
        async move { step(&db, MONTH).await }
    });
    const WAITS: &str =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !next.is_finished() && number(&db, WAITS).await == 0 {}
    run(&mut deposed, "COMMIT").await;
    next.await.unwrap();
    assert_eq!(number(&db, "SELECT successes FROM sealed_partition WHERE walk IS NULL AND successes > 0").await, 100);
}

#[tokio::test]
async fn a_lock_held_on_tasks_makes_upkeep_back_off_and_claims_go_on() {
    let (db, options) = database().await;
    run(&db, "SELECT test_age(6); SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')")
        .await;
    for hold in [
        "BEGIN; SELECT count(*) FROM tasks",
        "BEGIN; INSERT INTO tasks (action) VALUES ('noop')",
        "BEGIN; LOCK TABLE tasks IN ROW EXCLUSIVE MODE",
        "BEGIN; LOCK TABLE result_message IN ROW EXCLUSIVE MODE",
    ] {
        let mut holder = PgConnection::connect_with(&options).await.unwrap();
        run(&mut holder, hold).await;
        let (stop, worker) = work(&db);
        for _ in 0..5 {
            let begin = Instant::now();
            let story = upkeep_round(&db, MONTH).await;
            println!("{hold}: {story}: {:?}", begin.elapsed());
            assert!(story.ends_with("Blocked"), "{story}");
        }
        drop(stop);
        let (rounds, claim, insert) = worker.await.unwrap();
        println!("{hold}: {rounds} rounds, the longest claim {claim:?}, insert {insert:?}");
        assert!(rounds > 0 && claim.max(insert) < Duration::from_secs(1), "{claim:?} {insert:?}");
    }
    let story = upkeep(&db, MONTH).await;
    assert!(story.ends_with("week -6: Drop 100\nweek -5: Drop\nNothing"), "{story}");
}

#[tokio::test]
async fn a_worker_that_owns_nothing_keeps_up_and_others_may_not() {
    let (db, options) = database().await;
    run(
        &db,
        "DO $$ BEGIN CREATE ROLE prune_worker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         DO $$ BEGIN CREATE ROLE prune_stranger LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT EXECUTE ON FUNCTION upkeep_step, analyze_tables, table_bytes TO prune_worker;
         SELECT test_age(6); SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')",
    )
    .await;
    let mut stranger = PgConnection::connect_with(&options.clone().username("prune_stranger")).await.unwrap();
    let error = upkeep_step(&mut stranger, ACTIVE, MONTH).await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap(), "42501");

    // one connection, which keeps its temporary table
    let worker = PgPoolOptions::new().max_connections(1).connect_with(options.username("prune_worker")).await.unwrap();
    // a table of its own under a name of ours does not make it the leader
    run(
        &worker,
        "CREATE TEMPORARY TABLE active_instance (identity uuid, epoch bigint, lease_expires_at timestamptz);
         INSERT INTO active_instance VALUES ('00000000-0000-0000-0000-000000000000', 7, 'infinity')",
    )
    .await;
    assert_eq!(
        upkeep_step(&worker, Leadership { identity: Uuid::nil(), epoch: 7 }, MONTH).await.unwrap().action,
        UpkeepAction::NotActive
    );
    upkeep_until(&worker, MONTH, "Nothing").await;
    assert!(analyze_tables(&worker, ACTIVE).await.unwrap());
    assert_eq!(table_bytes(&worker).await.unwrap().len(), 3);
    assert_eq!(number(&db, "SELECT count(*) FROM tasks").await, 0);
}

#[tokio::test]
async fn the_whole_table_has_statistics_after_analyze() {
    let (db, _) = database().await;
    run(&db, "INSERT INTO tasks (action) SELECT 'noop' FROM generate_series(1, 1000)").await;
    assert!(analyze_tables(&db, ACTIVE).await.unwrap());
    assert_eq!(number(&db, "SELECT reltuples::bigint FROM pg_class WHERE oid = 'tasks'::regclass").await, 1000);
}

#[tokio::test]
async fn upkeep_refuses_a_transaction_that_reads_the_past() {
    let (db, _) = database().await;
    let mut transaction = db.begin().await.unwrap();
    run(&mut *transaction, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await;
    assert!(upkeep_step(&mut *transaction, ACTIVE, MONTH).await.is_err());
}
