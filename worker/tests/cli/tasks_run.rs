use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::schedules::{run, with, with_database};
use crate::{Folder, stderr, stdout};

/// Ends a task as a worker does that has claimed it.
fn end(task: &str, result: &str, details: &str) -> String {
    format!(
        "UPDATE tasks SET status = 'running', claim_token = gen_random_uuid(), started_at = now(), attempt = 1
         WHERE task_id = '{task}';
         SELECT settle_tree(ARRAY[task_id], ARRAY[claim_token],
             ARRAY['{{\"step\": \"complete\", \"error_count\": 0, \"result\": {{\"status\": \"{result}\"{details}}}}}'::jsonb],
             256, '{{}}', '{{}}')
         FROM tasks WHERE task_id = '{task}'"
    )
}

#[tokio::test]
async fn a_task_is_inserted_with_all_that_it_may_have_and_its_id_is_printed() {
    let folder = Folder::new("insert");
    let (longshore, database) = with_database(&folder, "SELECT 1").await;
    let inserted = |arguments: &[&str]| {
        let output = longshore(&[&["tasks", "insert"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    let parent = inserted(&["site", "--on-subtask-failure", "continue"]);
    let before = inserted(&["part", "--parent", &parent]);
    let filter = folder.write("filter.json", "{\"node_names\": [\"n1\"]}");
    let all = inserted(&[
        "part",
        "--queue",
        "slow",
        "--priority",
        "0",
        "--payload",
        "{\"a\": 1}",
        "--run-at",
        "2030-01-01T00:00:00Z",
        "--max-attempts",
        "3",
        "--timeout",
        "90s",
        "--unique-key",
        "k",
        "--unique-until-ended",
        "--parent",
        &parent,
        "--after",
        &before,
        "--design-ref",
        "https://host/design",
        "--node-filter",
        &format!("@{}", filter.display()),
        "--request-context",
        "{\"traceparent\": \"x\"}",
    ]);
    let listed = longshore(&["tasks", "list", "--json", "--queue", "slow"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(
        (&listed[0]["task_id"], &listed[0]["parent_task_id"], &listed[0]["status"], &listed[0]["max_attempts"]),
        (&all.into(), &parent.into(), &"requested".into(), &3.into())
    );
    let twice = longshore(&["tasks", "insert", "part", "--queue", "slow", "--unique-key", "k"]);
    assert_eq!((twice.status.code(), stdout(&twice).as_str()), (Some(0), ""));
    assert!(stderr(&twice).contains("waits already"), "{}", stderr(&twice));

    let mut typed = folder.longshore(&["tasks", "insert", "typed", "--payload", "-"]);
    let mut typed =
        typed.env("DATABASE_URL", &database).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a process");
    typed.stdin.take().expect("a pipe").write_all(b"{\"typed\": true}").expect("written");
    assert_eq!(typed.wait().expect("its end").code(), Some(0));
    let mut conn = PgConnection::connect(&database).await.expect("a connection");
    let payload: Value = sqlx::query_scalar("SELECT payload FROM tasks WHERE action = 'typed'")
        .fetch_one(&mut conn)
        .await
        .expect("a payload");
    assert_eq!(payload, serde_json::json!({"typed": true}));
}

#[tokio::test]
async fn a_wrong_value_is_named_with_its_remedy() {
    let folder = Folder::new("noinsert");
    let longshore = with(&folder, "SELECT 1").await;
    for (arguments, code, words) in [
        (&["a", "--payload", "{"][..], 2, "--payload is not JSON"),
        (&["a", "--payload", "@nowhere.json"], 2, "nowhere.json: No such file"),
        (&["a", "--run-at", "soon"], 2, "--run-at"),
        (&["a", "--timeout", "long"], 2, "--timeout"),
        (&["a", "--on-subtask-failure", "never"], 2, "terminate_dependants"),
        (&["a", "--unique-until-ended"], 2, "--unique-key"),
        (&["a", "--priority", "10"], 2, "priority_is_0_to_9\": 0 comes first, 9 last"),
        (&["a", "--priority", "-1"], 2, "priority_is_0_to_9"),
        (&["", "--queue", "q"], 2, "action_is_1_to_128_bytes\": say what to do, or shorten it"),
        (&["a", "--parent", "42"], 2, "ids are UUIDs such as 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa"),
        (&["a", "--run-at", "2030-01-01"], 2, "such as 2030-01-01T02:00:00Z"),
        (
            &["a", "--parent", "01890a5d-ac96-774b-8cce-b302099a8057"],
            2,
            "there is no task 01890a5d-ac96-774b-8cce-b302099a8057 to be the parent (parent_task_id_exists): Insert",
        ),
    ] {
        let output = longshore(&[&["tasks", "insert"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let mysql =
        folder.longshore(&["tasks", "list"]).env("DATABASE_URL", "mysql://me:secret@h/d").output().expect("output");
    assert_eq!(mysql.status.code(), Some(64));
    assert_eq!(
        stderr(&mysql),
        "longshore: DATABASE_URL: must be a URL such as postgres://user:password@host:5432/database, its parts \
         percent-encoded (the value is not shown): mysql:// is another kind of database\n"
    );
    let closed = folder
        .longshore(&["tasks", "list"])
        .env("DATABASE_URL", "postgres://me:secret@127.0.0.1:1/none")
        .output()
        .expect("output");
    let told = stderr(&closed);
    assert!(told.contains("database \"none\" at 127.0.0.1:1: ") && !told.contains("secret"), "{told}");
}

#[tokio::test]
async fn waiting_says_how_each_task_ended_and_stops_when_its_time_is_over() {
    let folder = Folder::new("wait");
    let (longshore, database) = with_database(&folder, "SELECT 1").await;
    let insert = || stdout(&longshore(&["tasks", "insert", "work"])).trim().to_owned();
    let (good, bad, open) = (insert(), insert(), insert());
    run(&database, &end(&good, "success", "")).await;
    run(&database, &end(&bad, "failure", ", \"reason\": \"exit\", \"message\": \"code\\n 1\"")).await;
    let waited = longshore(&["tasks", "wait", &good]);
    assert_eq!((waited.status.code(), stdout(&waited)), (Some(0), format!("{good} complete success\n")));
    let waited = longshore(&["tasks", "wait", &good, &bad]);
    assert_eq!(waited.status.code(), Some(1));
    assert!(stdout(&waited).contains(&format!("{bad} complete failure (exit): code  1\n")), "{}", stdout(&waited));
    let waited = longshore(&["tasks", "wait", &good, &open, "--timeout", "200ms"]);
    assert_eq!((waited.status.code(), stdout(&waited)), (Some(124), format!("{good} complete success\n")));
    let none = longshore(&["tasks", "wait", "01890a5d-ac96-774b-8cce-b302099a8057"]);
    assert_eq!(none.status.code(), Some(3));

    let mut waits = folder
        .longshore(&["tasks", "wait", &open])
        .env("DATABASE_URL", &database)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    assert!(longshore(&["tasks", "terminate", &open]).status.success());
    assert_eq!(waits.wait().expect("its end").code(), Some(1));
}

#[tokio::test]
async fn tasks_are_terminated_by_name_and_by_filter_but_by_filter_only_when_that_is_confirmed() {
    let folder = Folder::new("terminate");
    let longshore = with(
        &folder,
        "INSERT INTO tasks (action, queue) SELECT 'work', 'mail' FROM generate_series(1, 5);
         INSERT INTO tasks (action) VALUES ('other')",
    )
    .await;
    let other: Value =
        serde_json::from_slice(&longshore(&["tasks", "list", "--json", "--action", "other"]).stdout).expect("JSON");
    let other = other[0]["task_id"].as_str().expect("an id");
    let ended = longshore(&["tasks", "terminate", other, "--by", "alice"]);
    assert_eq!((ended.status.code(), stdout(&ended)), (Some(0), format!("{other}\n")));
    let document: Value = serde_json::from_slice(&longshore(&["tasks", "show", other]).stdout).expect("JSON");
    assert_eq!(document["terminated_by"], "alice");
    let again = longshore(&["tasks", "terminate", other]);
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(0), ""));
    assert!(stderr(&again).contains("has ended already"));
    assert_eq!(longshore(&["tasks", "terminate", "01890a5d-ac96-774b-8cce-b302099a8057"]).status.code(), Some(3));

    let asked = longshore(&["tasks", "terminate", "--queue", "mail"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(stderr(&asked).contains("5 tasks to terminate") && stderr(&asked).contains("--yes"), "{}", stderr(&asked));
    let all = longshore(&["tasks", "terminate", "--queue", "mail", "--yes"]);
    assert_eq!((all.status.code(), stdout(&all).lines().count()), (Some(0), 5));
    let none = longshore(&["tasks", "terminate", "--queue", "mail", "--status", "complete", "--yes"]);
    assert!(stderr(&none).contains("0 tasks to terminate"), "{}", stderr(&none));
    for arguments in [&[][..], &["--yes"], &[other, "--queue", "mail"]] {
        let output = longshore(&[&["tasks", "terminate"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn an_ended_task_is_run_again_as_a_new_one_that_names_the_old_one() {
    let folder = Folder::new("retry");
    let (longshore, database) = with_database(&folder, "SELECT 1").await;
    let insert = |action: &str| {
        stdout(&longshore(&["tasks", "insert", action, "--request-context", "{\"k\": 1}"])).trim().to_owned()
    };
    let (failed, good, open) = (insert("a"), insert("b"), insert("c"));
    run(&database, &end(&failed, "failure", ", \"failures\": [\"n1\", \"n2\"]")).await;
    run(&database, &end(&good, "success", "")).await;

    let retried = longshore(&["tasks", "retry", &failed]);
    assert_eq!(retried.status.code(), Some(0), "{}", stderr(&retried));
    let new = stdout(&retried).trim().to_owned();
    assert_ne!(new, failed);
    let document =
        |task: &str| -> Value { serde_json::from_slice(&longshore(&["tasks", "show", task]).stdout).expect("JSON") };
    assert_eq!((&document(&failed)["status"], &document(&new)["status"]), (&"complete".into(), &"queued".into()));
    assert_eq!(document(&new)["node_filter"], Value::Null);
    let only = longshore(&["tasks", "retry", "--failed-only", &failed]);
    assert_eq!(
        document(stdout(&only).trim())["node_filter"],
        serde_json::json!({"filter_set_type": "intersection",
            "filter_set": [{"node_names": ["n1", "n2"], "filter_type": "union"}]})
    );

    let refused = longshore(&["tasks", "retry", &open, &good]);
    assert_eq!((refused.status.code(), stdout(&refused).lines().count()), (Some(1), 1), "the second one is retried");
    assert!(stderr(&refused).contains(&format!("task {open} is queued (task_to_retry_has_ended)")));
    let none = longshore(&["tasks", "retry", "--failed-only", &good]);
    assert!(stderr(&none).contains("has named no failures"), "{}", stderr(&none));
    assert_eq!(longshore(&["tasks", "retry", "01890a5d-ac96-774b-8cce-b302099a8057"]).status.code(), Some(3));

    let all = longshore(&["tasks", "retry", "--result", "failure", "--yes"]);
    assert_eq!((all.status.code(), stdout(&all).lines().count()), (Some(0), 1), "what succeeded is not meant");
}
