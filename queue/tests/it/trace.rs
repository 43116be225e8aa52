//! Traces of trees, as far as the database has a part in them.

use longshore_queue::{NewTask, changes, insert_many};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::actor::named;
use crate::support::trees::Player;
use crate::support::{Database, database};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// As `worker/src/trace` has it.
const SPAN_OF_ONE: (&str, &str) = ("01970000-0000-7000-8000-000000000001", "2f453803b34f4293");

/// Inserts a task, and a subtask of it with this context; what context that has.
async fn below(database: &Database, parent: Value, own: Option<Value>) -> Option<Value> {
    let task = Uuid::now_v7();
    let subtask = NewTask { parent_task_id: Some(task), request_context: own, ..named("subtask") };
    let mut tasks = vec![subtask; 6];
    tasks[0] = NewTask { task_id: Some(task), request_context: Some(parent), ..named("parent") };
    insert_many(&mut database.conn().await, &tasks).await.unwrap();
    // the first is looked at closely, the last has a place that is known
    let contexts = format!("SELECT request_context FROM tasks WHERE parent_task_id = '{task}'");
    let mut contexts: Vec<Option<Value>> = database.values(&contexts).await;
    assert!(contexts.len() == 5 && contexts.iter().all(|context| *context == contexts[0]), "{contexts:?}");
    let context = contexts.swap_remove(0);
    let span: String = database.value(&format!("SELECT task_span_id('{task}')")).await;
    // the same for every run
    context.map(|context| serde_json::from_str(&context.to_string().replace(&span, "SPAN-OF-PARENT")).unwrap())
}

#[tokio::test]
async fn a_subtask_is_in_its_parents_trace_unless_it_says_otherwise() {
    let database = database().await;
    let inherited = "00-4bf92f3577b34da6a3ce929d0e0e4736-SPAN-OF-PARENT-01";
    let carries = || json!({ "traceparent": TRACEPARENT, "tracestate": "a=1", "tenant": 7 });
    let both = json!({ "traceparent": inherited, "tracestate": "a=1" });
    assert_eq!(below(&database, carries(), None).await, Some(both.clone()));
    let mut with_more = both;
    with_more["node"] = json!("n1");
    assert_eq!(below(&database, carries(), Some(json!({ "node": "n1" }))).await, Some(with_more));
    // what it brings itself stays
    for own in
        [json!({ "traceparent": "its own" }), json!({ "traceparent": null }), json!([1]), json!("text"), json!(null)]
    {
        assert_eq!(below(&database, carries(), Some(own.clone())).await.unwrap_or_default(), own);
    }
    // nothing to inherit, or nothing valid
    for parent in
        [json!({}), json!([TRACEPARENT]), json!({ "traceparent": [TRACEPARENT] }), json!({ "traceparent": 1 })]
    {
        assert_eq!(below(&database, parent, None).await, None);
    }
    let odd = json!({ "traceparent": TRACEPARENT, "tracestate": [1] });
    assert_eq!(below(&database, odd, None).await, Some(json!({ "traceparent": inherited })));
    // one that is retried, or comes from a schedule, begins a trace of its own
    let retried = json!({ "traceparent": TRACEPARENT, "retry_of": Uuid::now_v7() });
    assert_eq!(below(&database, retried, None).await, None);
    let scheduled = json!({ "traceparent": TRACEPARENT, "schedule": { "fire_at": "2026-01-01T00:00:00Z" } });
    assert_eq!(below(&database, scheduled, None).await, None);
    let about_a_schedule = json!({ "traceparent": TRACEPARENT, "schedule": "nightly" });
    assert_eq!(below(&database, about_a_schedule, None).await, Some(json!({ "traceparent": inherited })));
    // a context that has no room for it stays as it is
    let full = json!({ "text": "x".repeat(16_300) });
    assert_eq!(below(&database, carries(), Some(full.clone())).await, Some(full));
}

#[tokio::test]
async fn all_levels_of_a_tree_are_in_one_trace() {
    let database = database().await;
    let (root, middle, leaf) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let mut tasks = [named("root"), named("middle"), named("leaf")];
    for (task, (id, parent)) in tasks.iter_mut().zip([(root, None), (middle, Some(root)), (leaf, Some(middle))]) {
        (task.task_id, task.parent_task_id) = (Some(id), parent);
    }
    // also of one that is retried as a whole below an open parent
    tasks[0].request_context = Some(json!({ "traceparent": TRACEPARENT }));
    tasks[1].request_context = Some(json!({ "retry_of": leaf }));
    insert_many(&mut database.conn().await, &tasks).await.unwrap();
    let carried = "SELECT request_context ->> 'traceparent' FROM tasks ORDER BY task_id";
    let span = async |of: Uuid| database.value::<String>(&format!("SELECT task_span_id('{of}')")).await;
    let inherited = |span: String| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01");
    let expected = [TRACEPARENT.to_owned(), inherited(span(root).await), inherited(span(middle).await)];
    assert_eq!(database.values::<String>(carried).await, expected);
}

#[tokio::test]
async fn traceparents_are_read_alike_by_sql_and_by_the_worker() {
    let database = database().await;
    let mut conn = database.conn().await;
    for line in include_str!("traceparents.txt").lines() {
        let (expected, text) = line.split_once(' ').unwrap();
        let text = text.trim_start();
        let read: Option<String> = sqlx::query_scalar("SELECT traceparent_of($1, NULL, $2)")
            .bind(Uuid::nil())
            .bind(json!({ "traceparent": text }))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(read.is_some(), expected == "valid", "{line}");
        if let Some(read) = read {
            assert_eq!((&read[..36], &read[52..]), (&text[..36], &text[52..]), "only the span is another one");
        }
    }
    let long = format!("cc{}-{}", &TRACEPARENT[2..], "x".repeat(512));
    let sql =
        "SELECT traceparent_of('01970000-0000-7000-8000-000000000001', NULL, jsonb_build_object('traceparent', $1))";
    let read: Option<String> = sqlx::query_scalar(sql).bind(long).fetch_one(&mut conn).await.unwrap();
    assert_eq!(read, None);
    let (task, span) = SPAN_OF_ONE;
    assert_eq!(database.value::<String>(&format!("SELECT task_span_id('{task}')")).await, span);
}

#[tokio::test]
async fn what_a_settlement_made_of_the_tasks_above_is_read_once() {
    let database = database().await;
    let names = database.tree(&["root", "middle < root", "a < middle", "b < middle"]).await;
    let mut player = Player::enter(&database).await;
    assert_eq!(player.claim().await, "a b middle root");
    let told = async |name: &str| {
        let read = changes(&mut database.conn().await, &[names[name]]).await.unwrap();
        let name_of = |id: &Uuid| names.iter().find(|(_, known)| *known == id).unwrap().0;
        let mut told: Vec<String> = read
            .iter()
            .map(|change| {
                assert_eq!(change.finished_at.is_some(), change.status == "complete");
                format!("{} {} {}", name_of(&change.task_id), change.status, change.result_status)
            })
            .collect();
        told.sort();
        told.join(", ")
    };
    player.succeed("root").await;
    assert_eq!(told("root").await, "root requested incomplete");
    player.succeed("middle").await;
    player.succeed("a").await;
    assert_eq!(told("a").await, "a complete success");
    player.succeed("b").await;
    assert_eq!(told("b").await, "b complete success, middle complete success, root complete success");
    assert_eq!(told("a").await, "a complete success", "another one ended those above");
}
