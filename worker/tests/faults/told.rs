//! What a worker logs of its tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_queue::{NewTask, insert_many};
use serde_json::{Value, json};
use sqlx::Executor;
use uuid::Uuid;

use crate::rig::{Process, Rig, Setup, eventually};

/// In its first run it fails, in its second it is not yet time, and in its third it inserts a subtask and waits for it.
const LIFE: &str = r#"count=$(cat "$HOME/count" 2>/dev/null || echo 0); count=$((count + 1)); echo $count > "$HOME/count"
    echo "says hunter2" >&2
    case $count in
    1) exit 3;;
    2) exit 75;;
    3) echo '{"subtasks":[{"action":"noop","payload":"hunter2"}]}'
       echo '{"result":{"suspend":{"until":"all"}}}';;
    *) echo '{"result":{"status":"partial_success","reason":"half"}}';;
    esac"#;

fn sections() -> String {
    let retry = "retry = { base = \"0s\", factor = 1.0, max = \"1s\" }\n";
    format!(
        "[actions.life]\nexecutor = \"command\"\nstdout = \"jsonl\"\nargv = ['sh', '-c', '''{LIFE}''']\n\
         env = {{ TOKEN = \"hunter2\" }}\n{retry}\
         [actions.sleep]\nexecutor = \"command\"\nargv = [\"sleep\", \"600\"]\nkill_after = \"1s\"\n\
         [log]\nformat = \"json\"\n"
    )
}

/// The lines about tasks, in their order, by task.
fn told(worker: &Process) -> BTreeMap<String, Vec<Value>> {
    let mut by_task: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in worker.said("") {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
        if line["target"] == "longshore::task" {
            assert_eq!(
                (&line["level"], &line["queue"], &line["worker"]),
                (&json!("INFO"), &json!("default"), &json!("worker"))
            );
            by_task.entry(line["task_id"].as_str().unwrap().to_owned()).or_default().push(line);
        }
    }
    by_task
}

/// One line in short.
fn short(line: &Value) -> String {
    let mut parts = vec![line["message"].as_str().unwrap().to_owned(), line["attempt"].to_string()];
    for key in ["result", "reason"] {
        parts.extend(line[key].as_str().map(str::to_owned));
    }
    for key in ["due_at", "execution_seconds"] {
        parts.extend((!line[key].is_null()).then(|| key.to_owned()));
    }
    parts.join(" ")
}

pub(crate) async fn each_change_of_a_task_is_one_line_of_json_without_what_is_secret() {
    let rig = Rig::new().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = json!({ "traceparent": format!("00-{trace_id}-00f067aa0ba902b7-01") });
    let [life, sleeps, first, second] = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    // two of a key, neither of which could see the other
    let (mut one, mut other) = (rig.database.conn().await, rig.database.conn().await);
    for (conn, id) in [(&mut one, first), (&mut other, second)] {
        conn.execute("BEGIN").await.unwrap();
        let task = NewTask { task_id: Some(id), unique_key: Some("k".to_owned()), ..NewTask::new("noop") };
        insert_many(&mut *conn, &[task]).await.unwrap();
    }
    one.execute("COMMIT").await.unwrap();
    other.execute("COMMIT").await.unwrap();
    let payload = Some(json!({ "password": "hunter2" }));
    let tasks = [
        NewTask { task_id: Some(life), request_context: Some(context), payload, ..NewTask::new("life") },
        NewTask { task_id: Some(sleeps), ..NewTask::new("sleep") },
    ];
    insert_many(&mut rig.database.conn().await, &tasks).await.unwrap();
    let worker = rig.start(Setup { binary: true, sections: sections(), ..Setup::default() });
    worker.says("\"working\"").await;
    rig.database
        .until(&format!("SELECT coalesce(result_reason = 'snoozed', false) FROM tasks WHERE task_id = '{life}'"))
        .await;
    rig.database.run(&format!("UPDATE tasks SET run_at = now() WHERE task_id = '{life}'")).await;
    rig.database.until(&format!("SELECT status = 'complete' FROM tasks WHERE task_id = '{life}'")).await;
    rig.database.run(&format!("SELECT terminate_task('{sleeps}')")).await;
    rig.all_end().await;
    eventually("the last end is told", || told(&worker).values().flatten().any(|line| line["message"] == "terminated"))
        .await;

    let lines = told(&worker);
    let story = |id: Uuid| lines[&id.to_string()].iter().map(short).collect::<Vec<_>>();
    assert_eq!(
        story(life),
        [
            "claimed 1",
            "retried 1 exit due_at execution_seconds",
            "claimed 2",
            "snoozed 2 snoozed due_at execution_seconds",
            "claimed 2",
            "suspended 2 execution_seconds",
            "resumed 1",
            "claimed 2",
            "completed 2 partial_success half execution_seconds",
        ]
    );
    assert_eq!(story(sleeps), ["claimed 1", "terminated 1 terminated execution_seconds"]);
    let subtask: Uuid = rig.database.value("SELECT task_id FROM tasks WHERE parent_task_id IS NOT NULL").await;
    assert_eq!(story(subtask), ["claimed 1", "completed 1 success execution_seconds"]);
    let mut of_key = [story(first), story(second)];
    of_key.sort_by_key(Vec::len);
    assert_eq!(of_key[0], ["deduplicated 1 duplicate"]);
    assert_eq!(of_key[1], ["claimed 1", "completed 1 success execution_seconds"]);
    assert_eq!(lines.len(), 5);
    for (id, lines) in &lines {
        let is_traced = [life.to_string(), subtask.to_string()].contains(id);
        assert!(lines.iter().all(|line| line["trace_id"].as_str() == is_traced.then_some(trace_id)), "{lines:?}");
    }
    assert_eq!(worker.said("hunter2"), [""; 0]);
}

pub(crate) async fn what_dead_workers_held_is_told_by_the_leader() {
    let rig = Rig::new().await;
    let short_lease = || "heartbeat = \"200ms\"\nlease = \"1s\"".to_owned();
    let mut victim = rig.start(Setup {
        name: "victim",
        binary: true,
        worker: short_lease(),
        sections: sections(),
        ..Setup::default()
    });
    victim.says("\"working\"").await;
    let (again, last) = (Uuid::now_v7(), Uuid::now_v7());
    let tasks = [(again, 2), (last, 1)].map(|(id, max)| NewTask {
        task_id: Some(id),
        max_attempts: Some(max),
        ..NewTask::new("sleep")
    });
    insert_many(&mut rig.database.conn().await, &tasks).await.unwrap();
    rig.database.until("SELECT count(*) = 2 FROM tasks WHERE status = 'running'").await;
    let worker = rig.start(Setup { binary: true, worker: short_lease(), sections: sections(), ..Setup::default() });
    worker.says("\"working\"").await;
    victim.kill();
    rig.database
        .until(&format!("SELECT status = 'running' AND attempt = 2 FROM tasks WHERE task_id = '{again}'"))
        .await;
    eventually("the second attempt is told", || {
        let told = told(&worker);
        told.len() == 2 && told.values().all(|lines| lines.len() == 2)
    })
    .await;
    let told = told(&worker);
    // The leader and the claim loop tell what their own connections answered: which is heard first is chance.
    let story = |id: Uuid| {
        let lines = &told[&id.to_string()];
        lines.iter().map(|line| line["message"].as_str().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(story(again), ["claimed", "rescued"].into());
    assert_eq!(story(last), ["completed", "rescued"].into());
}

pub(crate) async fn a_log_that_nobody_reads_costs_lines_and_nothing_else() {
    const TASKS: usize = 15_000;
    let rig = Rig::new().await;
    let (reader, writer) = std::io::pipe().unwrap();
    let worker = rig.start_logging_to(Setup { binary: true, ..Setup::default() }, writer.into());
    let tasks = rig.insert("noop", (0..TASKS).map(|n| json!(n))).await;
    rig.judge(&tasks).await;
    let rescued: bool = rig.database.value("SELECT EXISTS (SELECT FROM history WHERE rescued)").await;
    assert!(!rescued, "the worker lost its lease");
    // now somebody does
    let mut reader = std::io::BufReader::new(reader);
    let said = tokio::task::spawn_blocking(move || {
        use std::io::BufRead;
        let mut line = String::new();
        while !line.contains("log lines were dropped") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the worker ended");
        }
        line
    });
    let said = tokio::time::timeout(Duration::from_secs(30), said).await.unwrap().unwrap();
    assert!(said.contains("lines="), "{said}");
    drop(worker);
}
