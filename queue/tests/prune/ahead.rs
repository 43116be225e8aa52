//! Ranges ahead of time, and the ids that no range takes.

use sqlx::Connection;

use crate::support::*;

#[tokio::test]
async fn a_new_installation_gets_a_second_week_ahead_and_then_nothing_more() {
    let (db, _) = database().await;
    assert_eq!(upkeep(&db, MONTH).await, "Extend\nExtend\nExtend\nNothing");
    assert_eq!(upkeep(&db, MONTH).await, "Nothing");
    assert_eq!(
        number(
            &db,
            "SELECT count(*) FROM task_partition WHERE lower_id > task_id_floor(now()) AND upper_id IS NOT NULL"
        )
        .await,
        2
    );
}

#[tokio::test]
async fn what_arrived_in_a_year_without_workers_ends_in_a_bounded_range_and_inserts_never_fail() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(52)").await;
    run(&db, "INSERT INTO tasks (task_id, action) SELECT test_id(now() - n * interval '1 hour'), 'noop' FROM generate_series(1, 8000) n")
        .await;
    run(
        &db,
        "INSERT INTO result_message (task_id, sequence, error, message) SELECT task_id, 1, false, 'hello' FROM tasks",
    )
    .await;
    let before = content(&db).await;

    let (stop, worker) = {
        run(&db, "UPDATE tasks SET run_at = now() + interval '1 day'").await;
        work(&db)
    };
    let before = (content_of_the_year(&db).await, before.1);
    let story = upkeep(&db, MONTH).await;
    drop(stop);
    let (rounds, claim, insert) = worker.await.unwrap();
    println!("{rounds} rounds of insert, claim, complete; the longest claim took {claim:?}, insert {insert:?}");

    assert!(story.ends_with("Extend\nExtend\nExtend\nweek -52: Drop\nweek -51: Drop\nNothing"), "{story}");
    assert_eq!((content_of_the_year(&db).await, content(&db).await.1), before);
    assert_eq!(number(&db, "SELECT count(*) FROM tasks_future").await, 0);
    assert_eq!(number(&db, "SELECT count(*) FROM tasks WHERE run_at <= now()").await, rounds as i64);
    // the year and the three weeks from this one's start are one range; a later look finds all as it should be
    assert_eq!(
        number(&db, "SELECT count(*) FROM task_partition WHERE task_id_instant(upper_id) = date_trunc('week', now(), 'UTC') + interval '504 hours'").await,
        1
    );
    assert_eq!(upkeep(&db, MONTH).await, "Nothing");
    assert_eq!(refused_by(&db, YEAR_9000).await, "task_id_is_not_from_the_future");
}

async fn content_of_the_year(db: &sqlx::PgPool) -> i64 {
    number(db, "SELECT sum(hashtextextended(t::text, 0) / 100000)::bigint FROM tasks AS t WHERE run_at > now()").await
}

#[tokio::test]
async fn the_cut_reads_no_row_under_its_lock() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(10)").await;
    run(&db, "SELECT test_finish(1000, now() - interval '1 day')").await;
    upkeep_until(&db, days(300, 300), "Extend").await;
    assert_eq!(step(&db, days(300, 300)).await.1, "Extend");
    let mut conn = db.acquire().await.unwrap();
    // what this connection has read before, to prove the constraint, is not what the cut reads
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *conn).await.unwrap();
    let mut transaction = conn.begin().await.unwrap();
    assert_eq!(step(&mut *transaction, days(300, 300)).await.1, "Extend");
    assert_eq!(
        number(
            &mut *transaction,
            "SELECT sum(seq_tup_read)::bigint FROM pg_stat_xact_user_tables WHERE relname ~ '_w[0-9]+$'"
        )
        .await,
        0
    );
}

const YEAR_9000: &str = "INSERT INTO tasks (task_id, action) VALUES (test_id('9000-01-01'), 'noop')";

#[tokio::test]
async fn ids_of_another_time_are_refused_by_name_and_make_no_range() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(5)").await;
    assert_eq!(refused_by(&db, YEAR_9000).await, "task_id_is_not_from_the_future");
    assert_eq!(
        refused_by(&db, "INSERT INTO tasks (task_id, action) VALUES (test_id(now() + interval '61 minutes'), 'noop')")
            .await,
        "task_id_is_not_from_the_future"
    );
    run(&db, "INSERT INTO tasks (task_id, action) VALUES (test_id(now() + interval '59 minutes'), 'noop')").await;
    assert_eq!(
        refused_by(&db, "INSERT INTO tasks (task_id, action) VALUES (test_id('2001-01-01'), 'noop')").await,
        "task_id_is_recent"
    );
    assert_eq!(
        refused_by(&db, "INSERT INTO tasks (task_id, action) VALUES (gen_random_uuid(), 'noop')").await,
        "task_id_is_a_uuidv7"
    );

    let five_weeks_ago =
        "INSERT INTO tasks (task_id, action) VALUES (test_id(date_trunc('week', now()) - interval '33 days'), 'noop')";
    run(&db, five_weeks_ago).await;
    upkeep(&db, MONTH).await;
    assert_eq!(refused_by(&db, five_weeks_ago).await, "task_id_is_recent");
    assert_eq!(
        number(&db, "SELECT count(*) FROM task_partition WHERE upper_id > task_id_floor(now() + interval '1 month')")
            .await,
        0
    );
}

#[tokio::test]
async fn an_insert_of_a_long_transaction_is_judged_by_the_clock() {
    let (db, _) = database().await;
    run(&db, "SELECT test_age(5)").await;
    let mut transaction = db.begin().await.unwrap();
    // as if it had begun two hours ago: what counts is that the trigger does not ask for now()
    let definition: String =
        sqlx::query_scalar("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'tasks_ahead'")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
    assert!(definition.contains("clock_timestamp()"), "{definition}");
}
