//! What the active instance measures.

use longshore_queue::{depths, oldest_snapshot, table_health};
use sqlx::Connection;

use crate::support::actor::Actor;
use crate::support::database;
use crate::support::explain::{Statement, nodes, plan};

#[tokio::test]
async fn depths_tell_what_is_due_from_what_waits_for_its_time_and_what_runs() {
    let database = database().await;
    database.insert(&["a", "b", "c", "d"]).await;
    database.run("INSERT INTO tasks (action, run_at) VALUES ('later', now() + interval '1 hour')").await;
    database.run("INSERT INTO tasks (action, queue) VALUES ('x', 'other')").await;
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(3).await.held.len(), 3);
    let queues = ["default", "other", "empty"].map(str::to_owned);
    let mut told: Vec<String> = depths(&mut database.conn().await, &queues, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|it| format!("{}: {} ready, {} scheduled, {} running", it.queue, it.ready, it.scheduled, it.running))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "default: 1 ready, 1 scheduled, 3 running",
            "empty: 0 ready, 0 scheduled, 0 running",
            "other: 1 ready, 0 scheduled, 0 running"
        ]
    );
}

#[tokio::test]
async fn dead_rows_and_the_snapshot_that_keeps_them_are_seen() {
    let database = database().await;
    let mut watcher = database.conn().await;
    assert_eq!(oldest_snapshot(&mut watcher).await.unwrap(), 0.0);
    let mut holder = database.conn().await;
    let mut held = holder.begin().await.unwrap();
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *held).await.unwrap();
    sqlx::query("SELECT FROM tasks").execute(&mut *held).await.unwrap();
    database.insert(&["a", "b"]).await;
    database.run("UPDATE tasks SET updated = now()").await;
    assert!(oldest_snapshot(&mut watcher).await.unwrap() > 0.0);
    held.rollback().await.unwrap();
    assert_eq!(oldest_snapshot(&mut watcher).await.unwrap(), 0.0);

    // a session reports its counts when it ends, at the latest
    database.until("SELECT sum(n_dead_tup) = 2 FROM pg_stat_user_tables WHERE relname LIKE 'tasks%'").await;
    let tables = table_health(&mut watcher).await.unwrap();
    let mut names: Vec<&str> = tables.iter().map(|table| table.table_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["claims", "result_message", "task_output", "tasks", "workers"]);
    let tasks = tables.iter().find(|table| table.table_name == "tasks").unwrap();
    assert_eq!((tasks.live_rows, tasks.dead_rows), (2, 2));
    let size: i64 = database
        .value("SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('tasks') WHERE isleaf")
        .await;
    assert_eq!(tasks.bytes, size);
}

#[tokio::test]
async fn no_more_names_of_queues_are_looked_for_than_are_read() {
    let database = database().await;
    let insert = "INSERT INTO tasks (action, queue, run_at)
                  SELECT 'work', 'q' || n, now() - interval '1 h' FROM generate_series(10, 49) AS n";
    database.run(insert).await;
    let mut actor = Actor::enter(&database).await;
    for (name, sql, limited) in [
        ("queue_names", include_str!("../../src/sql/queue_names.sql"), "7"),
        ("examine_waiting", include_str!("../../src/sql/examine_waiting.sql"), "60, 7"),
    ] {
        let statement = Statement { name, sql, arguments: limited.to_owned() };
        let plan = plan(&mut actor.session, &statement, true).await;
        let looked = nodes(&plan).into_iter().find(|node| node["Node Type"] == "Recursive Union").unwrap();
        let rows = [&plan, looked].map(|node| node["Actual Rows"].as_f64());
        assert_eq!(rows, [Some(7.0); 2], "{name}: {plan:#}");
    }
}
