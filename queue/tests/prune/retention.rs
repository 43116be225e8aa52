//! What goes, when, and what never does.

use crate::support::*;

#[tokio::test]
async fn a_range_goes_when_all_of_it_has_expired() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    run(&db, "SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')").await;
    run(&db, "SELECT test_finish(10, date_trunc('week', now(), 'UTC') - interval '41 days', 'failure')").await;
    assert_eq!(
        upkeep(&db, MONTH).await,
        "week -6: Seal\nweek -6: Count 110\nweek -5: Seal\nweek -5: Count\n\
         Extend\nExtend\nExtend\nweek -6: Drop 110\nweek -5: Drop\nNothing"
    );
    assert_eq!(content(&db).await.3, 0);
    assert_eq!(number(&db, "SELECT count(*) FROM task_partition").await, 3);
    assert_eq!(number(&db, "SELECT count(*) FROM sealed_partition").await, 0);
}

#[tokio::test]
async fn each_outcome_is_kept_for_its_own_time() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    for (result, sql) in [
        ("success", "SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days', 'success')"),
        (
            "partial_success",
            "SELECT test_finish(20, date_trunc('week', now(), 'UTC') - interval '41 days', 'partial_success')",
        ),
        ("failure", "SELECT test_finish(10, date_trunc('week', now(), 'UTC') - interval '41 days', 'failure')"),
    ] {
        println!("{result}");
        run(&db, sql).await;
    }
    assert_eq!(
        upkeep(&db, days(7, 90)).await,
        "week -6: Seal\nweek -6: Count 130\nweek -6: Copy 30\nweek -5: Seal\nweek -5: Count\n\
         Extend\nExtend\nExtend\nweek -5: Drop\nweek -6: Swap 30\nNothing"
    );
    assert_eq!(number(&db, "SELECT count(*) FROM tasks WHERE result_status = 'success'").await, 0);
    assert_eq!(number(&db, "SELECT count(*) FROM tasks").await, 30);
    assert_eq!(number(&db, "SELECT count(*) FROM result_message").await, 30);
    assert_eq!(number(&db, "SELECT count(*) FROM task_output").await, 3);
    assert_eq!(upkeep(&db, days(7, 7)).await, "week -6: Drop 30\nNothing");
}

#[tokio::test]
async fn a_task_that_has_not_ended_is_never_deleted() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    run(&db, "SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')").await;
    run(
        &db,
        "INSERT INTO tasks (task_id, action, run_at)
             SELECT test_id(date_trunc('week', now(), 'UTC') - interval '41 days'), 'noop', now() - n * interval '1 minute'
             FROM generate_series(1, 4) n;
         WITH numbered AS (SELECT task_id, row_number() OVER () AS n FROM tasks WHERE status = 'queued')
             UPDATE tasks SET status = (ARRAY['requested', 'queued', 'running', 'terminating'])[n]::task_status, finished_at = '2001-01-01'
             FROM numbered WHERE tasks.task_id = numbered.task_id",
    )
    .await;
    assert_eq!(
        upkeep(&db, days(0, 0)).await,
        "week -6: Seal\nweek -6: Count 104\nweek -6: Thin 100\nweek -5: Seal\nweek -5: Count\n\
         Extend\nExtend\nExtend\nweek -5: Drop\nNothing"
    );
    assert_eq!(number(&db, "SELECT count(DISTINCT status) FROM tasks").await, 4);
    assert_eq!(number(&db, "SELECT count(*) FROM result_message").await, 0);

    // ended, they are found on the next day and go with their range
    run(&db, "UPDATE tasks SET status = 'complete', finished_at = now() - interval '1 s'").await;
    assert_eq!(upkeep(&db, days(0, 0)).await, "Nothing");
    run(&db, "UPDATE sealed_partition SET walked_at = walked_at - interval '1 day'").await;
    assert_eq!(upkeep(&db, days(0, 0)).await, "week -6: Count 4\nweek -6: Drop 4\nNothing");
}

#[tokio::test]
async fn a_task_requeued_by_hand_after_the_count_is_kept() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    run(&db, "SELECT test_finish(100, date_trunc('week', now(), 'UTC') - interval '41 days')").await;
    upkeep_until(&db, MONTH, "week -5: Count").await;
    run(&db, "UPDATE tasks SET status = 'queued' WHERE task_id IN (SELECT task_id FROM tasks LIMIT 1)").await;
    assert_eq!(
        upkeep(&db, MONTH).await,
        "Extend\nExtend\nExtend\nweek -6: Count\nweek -6: Count 100\nweek -6: Thin 99\nweek -5: Drop\nNothing"
    );
    assert_eq!(number(&db, "SELECT count(*) FROM tasks WHERE ready").await, 1);
}

#[tokio::test]
async fn few_expired_rows_among_many_are_deleted_one_by_one_also_while_one_is_locked() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    run(&db, "SELECT test_finish(1000, date_trunc('week', now(), 'UTC') - interval '41 days')").await;
    run(&db, "SELECT test_finish(10, date_trunc('week', now(), 'UTC') - interval '41 days', 'failure')").await;
    upkeep(&db, days(400, 400)).await;
    let mut other = db.begin().await.unwrap();
    run(&mut *other, "SELECT FROM tasks WHERE task_id IN (SELECT task_id FROM tasks WHERE result_status = 'failure' LIMIT 1) FOR SHARE").await;
    assert_eq!(upkeep(&db, days(400, 7)).await, "week -6: Thin 9\nNothing");
    assert_eq!(number(&db, "SELECT count(*) FROM result_message").await, 1001);
    assert_eq!(number(&db, "SELECT count(*) FROM sealed_change").await, 0);
}

#[tokio::test]
async fn an_id_older_than_every_range_is_refused_by_name_after_a_drop_too() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(6)").await;
    upkeep(&db, MONTH).await;
    assert_eq!(
        refused_by(&db, "INSERT INTO tasks (task_id, action) VALUES (test_id(date_trunc('week', now()) - interval '30 days'), 'noop')").await,
        "task_id_is_recent"
    );
}
