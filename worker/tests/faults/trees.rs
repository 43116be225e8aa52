//! Tasks that insert tasks, and wait for them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Rig, Setup};

pub(crate) async fn a_task_waits_for_its_subtasks_without_holding_a_slot_and_survives_its_worker() {
    let rig = Rig::new().await;
    // one slot: a parent that held it would wait for ever
    let lease = "lease = \"2s\"\nheartbeat = \"500ms\"".to_owned();
    let mut victim = rig.start(Setup { name: "victim", concurrency: 1, worker: lease.clone(), ..Setup::default() });
    let _other = rig.start(Setup { name: "other", concurrency: 1, worker: lease, ..Setup::default() });
    victim.works().await;
    let tasks = rig.insert("tree", [json!(30), json!(31)]).await;
    rig.database.until("SELECT count(*) > 10 FROM tasks WHERE status = 'complete'").await;
    victim.kill();
    rig.judge(&tasks).await;
    let roots = "SELECT string_agg(concat_ws(' ', status, result_status, attempt), ', ') FROM tasks WHERE parent_task_id IS NULL";
    assert_eq!(rig.database.value::<String>(roots).await, "complete success 1, complete success 1");
    // the victim may have died between the insert and the suspension: then its parent was run again, and inserted again
    assert!(rig.database.value::<i64>("SELECT count(*) FROM tasks").await >= 63);
    let early = "SELECT count(*) FROM tasks JOIN tasks AS before ON before.task_id = ANY (tasks.\"after\")
                 WHERE tasks.started_at < before.finished_at";
    assert_eq!(rig.database.value::<i64>(early).await, 0);
}

/// A program with this script as the action `parent`, beside `noop`.
fn program(script: &str) -> Setup {
    let argv = serde_json::to_string(&["sh", "-c", script]).unwrap();
    let sections = format!(
        "[queues.trees]\nconcurrency = 4\n\
         [actions.parent]\nexecutor = \"command\"\nstdout = \"jsonl\"\nargv = {argv}\n\
         retry = {{ base = \"0s\", factor = 1.0, max = \"1s\" }}\n\
         [actions.leaf]\nexecutor = \"command\"\nstdout = \"jsonl\"\n\
         argv = [\"sh\", \"-c\", \"echo '{{\\\"result\\\":{{\\\"status\\\":\\\"success\\\",\\\"output\\\":7}}}}'\"]\n"
    );
    Setup { binary: true, sections, ..Setup::default() }
}

pub(crate) async fn a_programs_subtasks_run_while_it_waits_and_it_reads_what_they_left() {
    let rig = Rig::new().await;
    let worker = rig.start(program(
        r#"task=$(cat); case "$task" in
        *'"subtasks":null'*)
            echo '{"subtasks":[{"action":"leaf","payload":1},{"action":"leaf"}]}'
            echo '{"result":{"suspend":{"until":"all","timeout":"1h"}}}';;
        *) echo "{\"result\":{\"status\":\"success\",\"output\":$(echo "$task" | grep -o '"output":7' | grep -c .)}}";;
        esac"#,
    ));
    worker.works().await;
    rig.database.run("INSERT INTO tasks (action, queue) VALUES ('parent', 'trees')").await;
    rig.judge(&[]).await;
    let root = "SELECT concat_ws(' ', result_status, attempt, output) FROM tasks WHERE parent_task_id IS NULL";
    // grep -c counts lines, and each match is one
    assert_eq!(rig.database.value::<String>(root).await, "success 1 2");
    // subtasks that name no queue go to their parent's
    let counted = "longshore_tasks_enqueued_total{cell=\"default\",queue=\"trees\",action=\"leaf\"} 2";
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.lines().any(|line| line == counted), "no {counted}\n{metrics}");
}

pub(crate) async fn a_program_whose_subtasks_are_refused_does_not_pass() {
    let rig = Rig::new().await;
    let worker = rig.start(program(
        r#"echo '{"subtasks":[{"action":"noop"},{"action":""}]}'; echo '{"result":{"status":"success"}}'"#,
    ));
    worker.works().await;
    rig.database.run("INSERT INTO tasks (action, max_attempts) VALUES ('parent', 2)").await;
    rig.judge(&[]).await;
    let root = "SELECT concat_ws(' ', result_status, attempt, result_reason, result_error_count) FROM tasks";
    assert_eq!(rig.database.values::<String>(root).await, ["failure 2 subtasks 4"]);
    let last: String = rig
        .database
        .value("SELECT concat_ws(' ', context, message) FROM result_message ORDER BY sequence DESC LIMIT 1")
        .await;
    assert!(last.starts_with("attempt 2 failed (subtasks): "), "{last}");
    assert!(last.ends_with("; of 2 attempts none is left"), "{last}");
}

pub(crate) async fn the_running_tasks_of_a_terminated_tree_are_told() {
    let rig = Rig::new().await;
    let worker = rig.start(Setup::default());
    worker.works().await;
    rig.database
        .run(
            "INSERT INTO tasks (action, payload) VALUES ('work', '{\"ms\": 600000}');
             INSERT INTO tasks (action, payload, parent_task_id)
             SELECT 'work', '{\"ms\": 600000}', task_id FROM tasks CROSS JOIN generate_series(1, 4);",
        )
        .await;
    rig.until_tallied("begin", 5).await;
    let asked = Instant::now();
    rig.database.run("SELECT terminate_task(task_id) FROM tasks WHERE parent_task_id IS NULL").await;
    rig.until_tallied("stop:Terminated", 5).await;
    println!("figure: termination of a tree to its last executor: {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    rig.judge(&[]).await;
    let ends = "SELECT DISTINCT concat_ws(' ', status, result_status) FROM tasks";
    assert_eq!(rig.database.values::<String>(ends).await, ["terminated failure"]);
}
