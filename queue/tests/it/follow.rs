//! Following logs: the messages of a tree, and the word that there are some.

use longshore_queue::{Connect, Listener, TreeCursor, Wake, follow_log, tree_messages};
use sqlx::Connection;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::actor::{Actor, notes};
use crate::support::explain::{Statement, cost, nodes, plan};
use crate::support::{Database, PATIENCE, database};

const TREE_MESSAGES: &str = include_str!("../../src/sql/tree_messages.sql");

/// Records a message at a time, in seconds.
async fn say(database: &Database, task_id: Uuid, sequence: i32, at: u32, message: &str) {
    database
        .run(&format!(
            "INSERT INTO result_message (task_id, sequence, ts, error, message)
             VALUES ('{task_id}', {sequence}, timestamptz '2026-01-02 03:04:05Z' + interval '{at} s', false, '{message}')"
        ))
        .await;
}

/// The next page, in one line.
async fn page(database: &Database, top: Uuid, cursor: &mut TreeCursor, limit: i32) -> String {
    let page = tree_messages(&mut database.conn().await, top, cursor, limit).await.unwrap();
    page.iter().for_each(|message| cursor.read(message));
    page.iter().map(|one| format!("{} {}", one.message.sequence, one.message.message)).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a_trees_messages_come_in_the_order_of_their_times_in_pages_and_none_is_missed() {
    let database = database().await;
    let mut names = database.tree(&["other", "root", "a < root", "x < a"]).await;
    let root = names["root"];
    let mut cursor = TreeCursor::default();
    assert_eq!(page(&database, root, &mut cursor, 10).await, "");
    for (name, sequence, at) in [("root", 1, 1), ("x", 1, 2), ("a", 1, 3), ("x", 2, 4), ("root", 2, 5), ("other", 1, 1)]
    {
        say(&database, names[name], sequence, at, name).await;
    }
    assert_eq!(page(&database, root, &mut cursor, 2).await, "1 root, 1 x");
    assert_eq!(page(&database, root, &mut cursor, 2).await, "1 a, 2 x");
    // a subtask that came meanwhile, and a message that was under way while younger ones were read
    database.add(&mut names, &["b < a"]).await.unwrap();
    say(&database, names["b"], 1, 6, "b").await;
    say(&database, names["a"], 2, 2, "late").await;
    assert_eq!(page(&database, root, &mut cursor, 10).await, "2 late, 2 root, 1 b");
    assert_eq!(page(&database, root, &mut cursor, 10).await, "");
    assert_eq!(page(&database, names["a"], &mut TreeCursor::default(), 10).await, "2 late, 1 x, 1 a, 2 x, 1 b");
    assert_eq!(page(&database, Uuid::now_v7(), &mut TreeCursor::default(), 10).await, "");
}

#[tokio::test]
async fn a_look_at_a_tree_walks_indexes_and_costs_the_same_however_long_its_logs_are() {
    let database = database().await;
    let root = database.tree(&["root"]).await["root"];
    database
        .run(&format!(
            "INSERT INTO tasks (action, parent_task_id) SELECT 'leaf', '{root}' FROM generate_series(1, 1000);
             INSERT INTO tasks (action) SELECT 'work' FROM generate_series(1, 20000)"
        ))
        .await;
    let mut session = database.connect.session("figures").await.unwrap();
    let mut spent = Vec::new();
    for said in [1, 30] {
        database
            .run(&format!(
                "INSERT INTO result_message (task_id, sequence, error, message)
                 SELECT task_id, number, false, 'text' FROM tasks CROSS JOIN generate_series(1, {said}) AS number
                 WHERE action <> 'work' ON CONFLICT DO NOTHING"
            ))
            .await;
        for analyzed in [false, true] {
            if analyzed {
                database.run("ANALYZE").await;
            }
            let read = format!("(SELECT jsonb_object_agg(task_id, {said}) FROM tasks WHERE action <> 'work')");
            let read: String = database.value(&format!("SELECT quote_literal({read}::text)")).await;
            let statement =
                Statement { name: "tree_messages", sql: TREE_MESSAGES, arguments: format!("'{root}', {read}, 1000") };
            let plan = plan(&mut session, &statement, false).await;
            for node in nodes(&plan).into_iter().filter(|node| node["Relation Name"].is_string()) {
                assert!(node["Node Type"].as_str().unwrap().starts_with("Index"), "{plan:#}");
            }
            let cost = cost(&mut session, &statement).await;
            assert_eq!(cost.rows, 0);
            spent.push(cost.buffers as f64 / 1001.0);
        }
    }
    println!("buffers a task of a tree in which nothing was said since: {spent:.1?}");
    assert!(spent.iter().all(|buffers| *buffers <= 8.0), "{spent:?}");
}

/// The next word that something was recorded.
async fn hears(listener: &mut Listener) {
    assert_eq!(timeout(PATIENCE, listener.next()).await.expect("a notification").unwrap(), Wake::Recorded);
}

#[tokio::test]
async fn messages_are_notified_while_somebody_follows_and_only_then() {
    let database = database().await;
    let ids = database.insert(&["a"]).await;
    let mut listener = Listener::of_messages(&database.connect).await.unwrap();
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    actor.record(&batch.held, &notes(ids[0], 1, &["nobody follows"])).await.unwrap();
    let conn = &mut database.conn().await;
    follow_log(&mut *conn).await.unwrap();
    let until: String = database.value("SELECT xmin::text || follow_until FROM log_followers").await;
    follow_log(&mut *conn).await.unwrap();
    assert_eq!(until, database.value::<String>("SELECT xmin::text || follow_until FROM log_followers").await);
    actor.record(&batch.held, &notes(ids[0], 2, &["one", "two"])).await.unwrap();
    hears(&mut listener).await;
    assert_eq!(listener.next_at_hand(), None, "one a statement, and none for what was said before");
    // what is rolled back is not heard of; a retry's message is
    let mut rolled_back = conn.begin().await.unwrap();
    sqlx::query("INSERT INTO result_message (task_id, sequence, error, message) VALUES (task_uuidv7(), 1, false, '')")
        .execute(&mut *rolled_back)
        .await
        .unwrap();
    rolled_back.rollback().await.unwrap();
    actor.requeue(&[crate::support::actor::back(batch.held[0], false)], &batch.last()).await.unwrap();
    hears(&mut listener).await;
    assert_eq!(listener.next_at_hand(), None);
}

#[tokio::test]
async fn installations_in_one_database_hear_of_their_own_messages() {
    let database = database().await;
    let connect = Connect::new(&database.url, "second", false).unwrap();
    longshore_queue::migrate(&connect).await.unwrap();
    let mut second = Listener::of_messages(&connect).await.unwrap();
    follow_log(&mut database.conn().await).await.unwrap();
    let mut session = connect.session("second").await.unwrap();
    follow_log(session.step().await.unwrap().db()).await.unwrap();
    let message =
        "INSERT INTO result_message (task_id, sequence, error, message) VALUES (public.task_uuidv7(), 1, false, '')";
    database.run(message).await;
    database.run(&message.replace("INTO result", "INTO second.result")).await;
    hears(&mut second).await;
    assert_eq!(second.next_at_hand(), None);
}
