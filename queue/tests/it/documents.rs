//! Task documents: what they look like, and that SQL and the library make the same.

use std::num::NonZeroU8;

use longshore_queue::{
    BuildView, Completion, Layers, Named, NewBuildData, NumberedMessage, ResultMessage, ResultStatus, TaskResult,
    TreeDocument, builds_of_task, documents, insert_build_data, subtask_errors,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use crate::support::actor::Actor;
use crate::support::{Database, database};

/// Times and ids as words, so that a document can be compared with one that was written by hand.
fn golden(document: &Value, ids: &[Uuid]) -> Value {
    let mut text = document.to_string();
    for (number, id) in ids.iter().enumerate() {
        text = text.replace(&id.to_string(), &format!("<task {number}>"));
    }
    let mut golden: Value = serde_json::from_str(&text).unwrap();
    let worded = |value: &mut Value| {
        if let Some(time) = value.as_str() {
            let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            *value = if form == "0000-00-00T00:00:00.000000Z" { json!("<time>") } else { json!(time) };
        }
    };
    for key in ["created", "updated", "terminated"] {
        worded(&mut golden[key]);
    }
    for message in golden["result"]["details"]["messageList"].as_array_mut().unwrap() {
        worded(&mut message["ts"]);
    }
    golden
}

async fn of_sql(database: &Database, call: &str) -> Value {
    serde_json::from_str(&database.value::<String>(&format!("SELECT ({call})::text")).await).unwrap()
}

#[tokio::test]
async fn a_new_task_has_an_empty_result() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    assert_eq!(
        golden(&of_sql(&database, &format!("task_document('{id}')")).await, &[id]),
        json!({
            "kind": "Task", "apiVersion": "v1", "task_id": "<task 0>", "action": "work", "parent_task_id": null,
            "design_ref": null, "status": "queued", "node_filter": null, "subtask_id_list": [], "created": "<time>",
            "created_by": "longshore", "updated": null, "terminated": null, "terminated_by": null, "terminate": false,
            "retry": 0,
            "result": {
                "kind": "Status", "apiVersion": "v1.0", "metadata": {}, "message": null, "reason": null,
                "status": "incomplete", "successes": [], "failures": [], "links": [],
                "details": {"errorCount": 0, "messageList": []}
            }
        })
    );
}

#[tokio::test]
async fn an_ended_task_has_its_result_its_links_flat_and_its_log_with_extra_as_an_object() {
    let database = database().await;
    database
        .run(
            "INSERT INTO tasks (action, design_ref, node_filter, created_by)
             VALUES ('work', 'file:///d.yaml', '{\"filter_set\": []}', 'ann')",
        )
        .await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let held = batch.held[0];
    let said = |sequence, message| NumberedMessage { task_id: held.task_id, sequence, message };
    let failed = ResultMessage {
        context: Some("node1".to_owned()),
        context_type: Some("node".to_owned()),
        extra: Some(json!({"rack": 7})),
        ..ResultMessage::error("boom")
    };
    let odd = ResultMessage { extra: Some(json!([1])), ..ResultMessage::note("odd") };
    actor.record(&batch.held, &[said(1, ResultMessage::note("begins")), said(2, failed), said(3, odd)]).await.unwrap();
    let links = r#"{"b": ["http://b/1", "http://a/2"], "detail_logs": ["http://c"], "a": "no list", "Z": []}"#;
    let result = TaskResult {
        status: ResultStatus::PartialSuccess,
        message: Some("half".to_owned()),
        reason: Some("nodes".to_owned()),
        successes: vec!["node2".to_owned()],
        failures: vec!["node1".to_owned()],
        links: Some(serde_json::value::RawValue::from_string(links.to_owned()).unwrap()),
        output: None,
        bubble: None,
    };
    actor.complete(&[Completion { held, result, error_count: 1, design_hash: None }], &batch.last()).await.unwrap();
    let message = |text, error, context_type: Option<&str>, context: Option<&str>, extra| {
        json!({
            "message": text, "error": error, "context_type": context_type, "context": context, "ts": "<time>",
            "extra": extra
        })
    };
    let details = json!({"errorCount": 1, "messageList": [
        message("begins", false, None, None, json!({})),
        message("boom", true, Some("node"), Some("node1"), json!({"rack": 7})),
        message("odd", false, None, None, json!({"value": [1]}))
    ]});
    let expected = json!({
        "kind": "Task", "apiVersion": "v1", "task_id": "<task 0>", "action": "work", "parent_task_id": null,
        "design_ref": "file:///d.yaml", "status": "complete", "node_filter": {"filter_set": []}, "subtask_id_list": [],
        "created": "<time>", "created_by": "ann", "updated": "<time>", "terminated": null, "terminated_by": null,
        "terminate": false, "retry": 0,
        "result": {
            "kind": "Status", "apiVersion": "v1.0", "metadata": {}, "message": "half", "reason": "nodes",
            "status": "partial_success", "successes": ["node2"], "failures": ["node1"],
            "links": [
                {"rel": "b", "href": "http://b/1"}, {"rel": "b", "href": "http://a/2"},
                {"rel": "detail_logs", "href": "http://c"}
            ],
            "details": details
        }
    });
    let id = held.task_id;
    assert_eq!(golden(&of_sql(&database, &format!("task_document('{id}')")).await, &[id]), expected);
    let read = documents(&mut database.conn().await, id, Layers::ONE, 1000).await.unwrap();
    assert_eq!(golden(&serde_json::to_value(&read[0]).unwrap(), &[id]), expected);
    // the last two of three messages, and the error count of all
    let cut = of_sql(&database, &format!("task_document('{id}', 1) -> 'result' -> 'details'")).await;
    assert_eq!((&cut["errorCount"], &cut["messageList"][0]["message"]), (&json!(1), &json!("odd")));
}

#[tokio::test]
async fn an_unknown_task_has_no_document_and_a_wrong_layer_is_refused() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    for call in ["task_document(task_uuidv7())", "task_tree_document(task_uuidv7())"] {
        assert!(database.value::<bool>(&format!("SELECT {call} IS NULL")).await, "{call}");
    }
    assert!(documents(&mut database.conn().await, Uuid::now_v7(), Layers::All, 10).await.unwrap().is_empty());
    for (call, constraint) in [
        (format!("SELECT task_tree_document('{id}', 0)"), "layers_is_minus_1_or_at_least_1"),
        (format!("SELECT task_document('{id}', -1)"), "messages_is_0_to_10000"),
    ] {
        assert_eq!(database.refusal(&call).await, ("23514".to_owned(), constraint.to_owned()));
    }
}

/// Inserts a task with random columns, below one of those before it, with a random log, past all triggers.
async fn random_task(conn: &mut PgConnection, random: &mut fastrand::Rng, before: &[Uuid]) -> Uuid {
    let id = Uuid::now_v7();
    let parent = if before.is_empty() { None } else { Some(before[random.usize(..before.len())]) };
    let mut one = |choices: &[&str]| choices[random.usize(..choices.len())].to_owned();
    let json = [
        "NULL",
        "'null'",
        "'{}'",
        "'[1, \"é\\\\n\"]'",
        "'{\"n\": 1e400, \"f\": 1.10, \"d\": null}'",
        "'\"text\"'",
        "'{\"a\": {\"b\": []}}'",
    ];
    let times = ["NULL", "'2026-03-04 05:06:07Z'", "'2026-03-04 05:06:07.000008Z'", "'1999-12-31 23:59:59.999999+13'"];
    let texts = ["NULL", "''", "'a \"b\" \\\\ é 😀'", "E'two\\nlines\\t'"];
    let lists = ["NULL", "'{}'", "'{node1}'", "'{b,a,b,\"\"}'"];
    let links = [
        "NULL",
        "'{}'",
        "'{\"r\": [\"u2\", \"u1\"], \"aa\": [\"u\"], \"Z\": [\"u\"]}'",
        "'[1]'",
        "'{\"r\": [1, \"u\", null], \"s\": \"no\"}'",
    ];
    let statuses = ["'queued'", "'running'", "'terminating'", "'terminated'", "'complete'", "'requested'"];
    let results = ["'incomplete'", "'success'", "'partial_success'", "'failure'"];
    let terminate = if one(&["t", "f"]) == "t" { "true" } else { "false" };
    let mut sql = format!(
        "INSERT INTO tasks (task_id, parent_task_id, action, design_ref, status, node_filter, created, created_by, updated,
             \"terminated\", terminated_by, \"terminate\", retry, result_message, result_reason, result_status,
             result_successes, result_failures, result_links)
         VALUES ('{id}', {}, 'work', {}, {}, {}, '2026-03-04 05:06:07.0809Z', {}, {}, {}, {}, {terminate}, {}, {}, {}, {},
             {}, {}, {});",
        parent.map_or_else(|| "NULL".to_owned(), |id| format!("'{id}'")),
        one(&["NULL", "'file:///d?a=%20b'"]),
        one(&statuses),
        one(&json),
        one(&["'ann'", "'é'"]),
        one(&times),
        one(&times),
        one(&texts),
        one(&["0", "1", "7"]),
        one(&texts),
        one(&texts),
        one(&results),
        one(&lists),
        one(&lists),
        one(&links),
    );
    for sequence in 1..=one(&["0", "1", "5"]).parse::<i32>().unwrap() {
        sql.push_str(&format!(
            "INSERT INTO result_message VALUES ('{id}', {sequence}, {}, {}, {}, {}, {}, {});",
            one(&times[1..]),
            one(&["true", "false"]),
            one(&texts[1..]),
            one(&texts),
            one(&texts),
            one(&json),
        ));
    }
    conn.execute(AssertSqlSafe(sql)).await.unwrap();
    id
}

#[tokio::test]
async fn the_library_and_sql_make_the_same_document_of_any_task() {
    let database = database().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut conn = database.conn().await;
    conn.execute("SET session_replication_role = replica; SET timezone = 'Asia/Kathmandu'").await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(random_task(&mut conn, &mut random, &ids).await);
    }
    let same = |call: String, text: String| {
        sqlx::query_scalar::<_, bool>(AssertSqlSafe(format!("SELECT {call} = $1::jsonb"))).bind(text)
    };
    for id in &ids {
        for messages in [1000_u16, 2, 0] {
            let read = documents(&mut conn, *id, Layers::ONE, messages).await.unwrap().remove(0);
            let call = format!("task_document('{id}', {messages})");
            // the database compares, since it keeps numbers that a program cuts
            let text = serde_json::to_string(&read).unwrap();
            assert!(same(call.clone(), text.clone()).fetch_one(&mut conn).await.unwrap(), "{call}: {text}");
        }
    }
    for (layers, count) in [(Layers::ONE, 1), (Layers::Upto(NonZeroU8::new(3).unwrap()), 3), (Layers::All, -1)] {
        let tree = documents(&mut conn, ids[0], layers, 1000).await.unwrap();
        println!("layers {count}: {} tasks", tree.len());
        let call = format!("task_tree_document('{}', {count})", ids[0]);
        let text = serde_json::to_string(&TreeDocument(tree)).unwrap();
        assert!(same(call.clone(), text).fetch_one(&mut conn).await.unwrap(), "{call}");
    }
}

#[tokio::test]
async fn a_tree_is_told_layer_by_layer_with_the_ids_of_subtasks_in_order() {
    let database = database().await;
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    let mut conn = database.conn().await;
    conn.execute("SET session_replication_role = replica").await.unwrap();
    for (child, parent) in [(0, None), (2, Some(0)), (1, Some(0)), (3, Some(1)), (4, Some(3))] {
        let parent: Option<Uuid> = parent.map(|parent: usize| ids[parent]);
        let insert = sqlx::query("INSERT INTO tasks (task_id, action, parent_task_id) VALUES ($1, 'work', $2)");
        insert.bind(ids[child]).bind(parent).execute(&mut conn).await.unwrap();
    }
    let told = |tree: &Value| {
        let known = |id: &Value| ids.iter().position(|known| known.to_string() == id.as_str().unwrap()).unwrap();
        let of = |id: &Uuid| {
            tree[id.to_string()]["subtask_id_list"].as_array().map(|list| list.iter().map(known).collect::<Vec<_>>())
        };
        (known(&tree["init_task_id"]), ids.iter().map(of).collect::<Vec<_>>())
    };
    let all = of_sql(&database, &format!("task_tree_document('{}')", ids[0])).await;
    let (none, some) = (Some(vec![]), |list: &[usize]| Some(list.to_vec()));
    assert_eq!(told(&all), (0, vec![some(&[1, 2]), some(&[3]), none.clone(), some(&[4]), none.clone()]));
    let two = of_sql(&database, &format!("task_tree_document('{}', 2)", ids[0])).await;
    assert_eq!(told(&two), (0, vec![some(&[1, 2]), some(&[3]), none, None, None]));
    let read = documents(&mut conn, ids[0], Layers::All, 10).await.unwrap();
    assert_eq!(read.iter().map(|task| task.task_id).collect::<Vec<_>>(), ids, "layer by layer");
}

#[tokio::test]
async fn build_data_and_the_errors_below_a_task_are_added_where_they_are_asked_for() {
    let database = database().await;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut conn = database.conn().await;
    conn.execute("SET session_replication_role = replica; SET timezone = 'Asia/Kathmandu'").await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(random_task(&mut conn, &mut random, &ids).await);
    }
    for id in &ids {
        for number in 0..random.usize(..3) {
            let data = NewBuildData::new(format!("node{number}"), *id, "lshw", "text/plain", "é \\ \"x\"\n");
            insert_build_data(&mut conn, &data).await.unwrap();
        }
    }
    let mut with_errors = 0;
    for id in &ids {
        let view = BuildView { latest: false, full: true, limit: 1000 };
        let mut read = documents(&mut conn, *id, Layers::ONE, 2).await.unwrap().remove(0);
        assert!(!serde_json::to_string(&read).unwrap().contains("build_data"), "not asked for");
        read.build_data = Some(builds_of_task(&mut conn, *id, view).await.unwrap());
        read.subtask_errors = Some(subtask_errors(&mut conn, *id, 2).await.unwrap());
        let tree = documents(&mut conn, *id, Layers::All, 0).await.unwrap();
        let errors = tree[1..].iter().filter(|task| task.result.details.error_count > 0).count();
        assert_eq!(read.subtask_errors.as_ref().unwrap().len(), errors);
        with_errors += errors;
        let same: bool = sqlx::query_scalar("SELECT task_document($1, 2, true, true) = $2::jsonb")
            .bind(id)
            .bind(serde_json::to_string(&read).unwrap())
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert!(same, "{}", serde_json::to_string_pretty(&read).unwrap());
    }
    assert!(with_errors > 0);
    let lone = format!("task_document('{}', subtask_errors => true)", ids[39]);
    assert_eq!(of_sql(&database, &format!("{lone} -> 'subtask_errors'")).await, json!({}));
    assert!(database.value::<bool>(&format!("SELECT NOT {lone} ? 'build_data'")).await);
}

#[tokio::test]
async fn a_node_filter_is_made_from_successes_or_from_failures_and_never_means_all() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let filter = |names: Value| json!({"filter_set_type": "intersection", "filter_set": [{"node_names": names, "filter_type": "union"}]});
    let read = |database: Database| async move {
        let found = documents(&mut database.conn().await, id, Layers::ONE, 0).await.unwrap();
        [Named::Successes, Named::Failures].map(|of| serde_json::to_value(found[0].result.node_filter(of)).unwrap())
    };
    assert_eq!(read(database.clone()).await, [filter(json!([])), filter(json!([]))]);
    database.run("UPDATE tasks SET result_successes = '{n1,n2}', result_failures = '{}'").await;
    let call = |which: &str| format!("result_node_filter('{id}', {which} => true)");
    let of_sql = [of_sql(&database, &call("successes")).await, of_sql(&database, &call("failures")).await];
    assert_eq!(of_sql, [filter(json!(["n1", "n2"])), filter(json!([]))]);
    assert_eq!(read(database.clone()).await, of_sql);
    assert!(database.value::<bool>("SELECT result_node_filter(task_uuidv7(), failures => true) IS NULL").await);
    for which in ["", ", true, true", ", NULL, NULL"] {
        let (code, _) = database.refusal(&format!("SELECT result_node_filter('{id}'{which})")).await;
        assert_eq!(code, "22023", "{which}");
    }
}
