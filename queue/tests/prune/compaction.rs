//! A finished range takes little room, and nobody notices how it came to.

use longshore_queue::{UpkeepAction, table_bytes};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::*;

const FINISHED: &str =
    "SELECT test_age(3); SELECT test_finish(5000, date_trunc('week', now(), 'UTC') - interval '20 days')";

const COMPACTED: &str = "week -3: Seal\nweek -3: Count 5000\nweek -3: Copy 5000\nweek -2: Seal\nweek -2: Count\n\
                         Extend\nExtend\nExtend\nweek -2: Drop\nweek -3: Swap 5000\nNothing";

#[tokio::test]
async fn a_finished_range_takes_at_most_one_and_a_half_times_its_rows_and_keeps_its_content() {
    let (db, _) = database().await;
    run(&db, FINISHED).await;
    run(&db, "VACUUM ANALYZE tasks").await;
    let (before, before_bytes) = (content(&db).await, table_bytes(&db).await.unwrap()[1].clone());
    assert_eq!(upkeep(&db, YEAR).await, COMPACTED);
    let after_bytes = table_bytes(&db).await.unwrap()[1].clone();
    assert_eq!(content(&db).await, before);

    let row = number(&db, "SELECT (sum(pg_column_size(t)) / count(*))::bigint FROM tasks AS t").await;
    println!(
        "a row {row} B; on disk {} B, compacted {} B",
        before_bytes.tasks_bytes / 5000,
        after_bytes.tasks_bytes / 5000
    );
    assert_eq!(after_bytes.tasks, Some(5000));
    assert!(after_bytes.tasks_bytes / 5000 * 2 <= row * 3, "{} of {row}", after_bytes.tasks_bytes / 5000);
}

#[tokio::test]
async fn after_a_swap_claims_walk_the_index_and_ended_tasks_are_found_by_key() {
    let (db, _) = database().await;
    run(&db, FINISHED).await;
    upkeep(&db, YEAR).await;
    let mut connection = db.acquire().await.unwrap();
    run(&mut *connection, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off").await;
    for sql in
        [include_str!("claim.sql"), "SELECT status FROM tasks WHERE task_id = '01900000-0000-7000-8000-000000000000'"]
    {
        let plan: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {sql}"))).fetch_all(&mut *connection).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan") && !plan.contains("Sort  ("), "{plan}");
    }
    // every index of the parent has its part in the new partition, under the partition's name
    assert_eq!(
        number(
            &db,
            "SELECT count(*) FROM pg_index AS i JOIN pg_inherits ON inhrelid = indexrelid JOIN pg_class AS leaf ON leaf.oid = indrelid
             JOIN pg_class AS index ON index.oid = indexrelid
             WHERE leaf.relname ~ '^tasks_w' AND leaf.reloptions = '{fillfactor=100}' AND starts_with(index.relname, leaf.relname)"
        )
        .await,
        5
    );
    assert_eq!(number(&db, "SELECT count(*) FROM pg_class WHERE relname ~ '_w[0-9]+_copy'").await, 0);
    let (stop, worker) = work(&db);
    while number(&db, "SELECT count(*) FROM tasks WHERE action = 'noop' AND status = 'complete'").await < 5010 {}
    drop(stop);
    worker.await.unwrap();
}

#[tokio::test]
async fn a_snapshot_older_than_the_copy_sees_every_row_at_every_step_and_delays_the_swap() {
    let (db, options) = database().await;
    run(&db, FINISHED).await;
    let before = content(&db).await;
    let mut old = PgConnection::connect_with(&options).await.unwrap();
    // its snapshot is taken, and it has touched no table: no lock of its own would protect it
    run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
    upkeep_until(&db, YEAR, "week -3: Wait 5000").await;
    assert_eq!(content(&mut old).await, before);
    run(&mut old, "COMMIT").await;

    // a younger one does not delay it, if no transaction of another test holds its xmin back, and loses nothing either
    let mut young = PgConnection::connect_with(&options).await.unwrap();
    loop {
        run(&mut young, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
        if number(
            &db,
            "SELECT older_snapshot_is_open(copied_by)::int::bigint FROM sealed_partition WHERE copied_by IS NOT NULL",
        )
        .await
            == 0
        {
            break;
        }
        run(&mut young, "ROLLBACK").await;
    }
    assert_eq!(upkeep(&db, YEAR).await, "week -3: Swap 5000\nNothing");
    assert_eq!(content(&mut young).await, before);
    assert_eq!(content(&db).await, before);
}

#[tokio::test]
async fn a_snapshot_that_has_read_the_tasks_delays_the_swap_by_its_lock() {
    let (db, options) = database().await;
    run(&db, FINISHED).await;
    upkeep_until(&db, YEAR, "week -2: Drop").await;
    let mut reader = PgConnection::connect_with(&options).await.unwrap();
    run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks").await;
    // Wait, where another test's transaction holds back the reader's xmin
    assert!(matches!(step(&db, YEAR).await.0, UpkeepAction::Blocked | UpkeepAction::Wait));
    assert_eq!(content(&mut reader).await.3, 5000);
    run(&mut reader, "COMMIT").await;
    assert_eq!(upkeep(&db, YEAR).await, "week -3: Swap 5000\nNothing");
}

#[tokio::test]
async fn a_task_changed_or_deleted_by_hand_during_the_copy_is_not_brought_back() {
    let (db, _) = database().await;
    run(&db, FINISHED).await;
    upkeep_until(&db, YEAR, "week -2: Drop").await;
    run(&db, "DELETE FROM tasks WHERE task_id IN (SELECT task_id FROM tasks LIMIT 1)").await;
    let before = content(&db).await;
    assert_eq!(
        upkeep(&db, YEAR).await,
        "week -3: Count\nweek -3: Count 4999\nweek -3: Copy 4999\nweek -3: Swap 4999\nNothing"
    );
    assert_eq!((content(&db).await.0, content(&db).await.3), (before.0, 4999));
}

#[tokio::test]
async fn whoever_dies_before_or_after_any_step_leaves_the_rest_to_the_next() {
    let (db, options) = database().await;
    run(&db, FINISHED).await;
    // two batches, so that a copy is also left half made
    run(&db, "SELECT test_finish(6000, date_trunc('week', now(), 'UTC') - interval '20 days', 'failure')").await;
    let before = content(&db).await;
    let mut story = vec![];
    loop {
        let mut dying = PgConnection::connect_with(&options).await.unwrap();
        run(&mut dying, "BEGIN").await;
        let (_, first) = step(&mut dying, YEAR).await;
        // rolled back by the server, which finds the connection closed
        drop(dying);
        while number(&db, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()").await > 0 {}
        let (action, second) = step(&mut PgConnection::connect_with(&options).await.unwrap(), YEAR).await;
        assert_eq!(content(&db).await, before);
        // what waits or is blocked, for autovacuum or another test, is tried again
        if matches!(action, UpkeepAction::Wait | UpkeepAction::Blocked) {
            continue;
        }
        assert!(first == second || first.contains("Wait") || first.contains("Blocked"), "{first}, then {second}");
        if action == UpkeepAction::Nothing {
            break;
        }
        story.push(second);
    }
    assert_eq!(story.last().unwrap(), "week -3: Swap 11000");
    assert_eq!(story.iter().filter(|line| line.starts_with("week -3: Copy")).count(), 2);
}

#[tokio::test]
async fn two_installations_in_one_database_leave_each_other_alone() {
    let (db, options) = database().await;
    let mut pools = vec![];
    for (schema, create) in [("one", "CREATE SCHEMA one"), ("two", "CREATE SCHEMA two")] {
        run(&db, create).await;
        let pool = sqlx::PgPool::connect_with(options.clone().options([("search_path", schema)])).await.unwrap();
        install(&pool).await;
        run(&pool, FINISHED).await;
        pools.push(pool);
    }
    let before = content(&pools[1]).await;
    assert_eq!(upkeep(&pools[0], YEAR).await, COMPACTED);
    assert_eq!(content(&pools[1]).await, before);
    assert_eq!(number(&pools[1], "SELECT count(*) FROM sealed_partition").await, 0);
    assert_eq!(upkeep(&pools[0], days(0, 0)).await, "week -3: Drop 5000\nNothing");
    assert_eq!(upkeep(&pools[1], YEAR).await, COMPACTED);
    assert_eq!(content(&pools[1]).await, before);
}
