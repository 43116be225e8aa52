//! Executors that misbehave: each ends its own attempt alone, within its limits, and leaves nothing running.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::AssertSqlSafe;

use crate::rig::{Process, Rig, Setup, eventually};

/// A program of the shell, for an action of this name.
fn shell(name: &str, script: &str) -> String {
    format!(
        "[actions.{name}]\nexecutor = \"command\"\nargv = ['sh', '-c', '''{script}''']\n\
         kill_after = \"1s\"\nretry = {{ base = \"0s\", factor = 1.0, max = \"1s\" }}\n"
    )
}

/// A task of one attempt.
async fn once(rig: &Rig, action: &str, timeout: &str) -> uuid::Uuid {
    let insert = format!(
        "INSERT INTO tasks (action, max_attempts, timeout) VALUES ('{action}', 1, '{timeout}') RETURNING task_id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert)).fetch_one(&mut rig.database.conn().await).await.unwrap()
}

async fn end(rig: &Rig, action: &str) -> String {
    let columns = "concat_ws(' ', status, result_status, result_reason, result_message)";
    rig.database.value(&format!("SELECT {columns} FROM tasks WHERE action = '{action}'")).await
}

async fn messages(rig: &Rig, action: &str) -> Vec<String> {
    let sql = format!(
        "SELECT left(message, 200) FROM result_message JOIN tasks USING (task_id) WHERE action = '{action}' ORDER BY sequence"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut rig.database.conn().await).await.unwrap()
}

/// Only the worker itself is left of what it started.
async fn nothing_is_left_but(rig: &Rig, mut worker: Process) {
    eventually("no process is left", || rig.processes().len() <= 1).await;
    assert!(worker.is_running(), "the worker ended");
}

pub(crate) async fn one_that_panics_ends_its_attempt_alone() {
    let rig = Rig::new().await;
    let worker = rig.start(Setup::default());
    let good = rig.insert_work(20, 500).await;
    let mut tasks = Vec::new();
    for action in ["panic", "panic_at_once", "panic_when_dropped"] {
        tasks.push(once(&rig, action, "1 second").await);
    }
    rig.judge(&[good, tasks].concat()).await;
    assert_eq!(end(&rig, "panic").await, "complete failure panic the executor panicked: told to panic");
    assert_eq!(end(&rig, "panic_at_once").await, "complete failure panic the executor panicked: at once");
    assert_eq!(end(&rig, "panic_when_dropped").await, "complete failure panic the executor panicked: dropped");
    let good: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE result_status = 'success'").await;
    assert_eq!(good, 20);
    nothing_is_left_but(&rig, worker).await;
}

pub(crate) async fn failed_attempts_leave_their_history_in_the_log() {
    let rig = Rig::new().await;
    // counts its runs, and says nothing in the last but one
    let script = r#"
        count=$(cat "$HOME/count" 2>/dev/null || echo 0); count=$((count + 1)); echo $count > "$HOME/count"
        [ $count = 2 ] || echo "run $count"
        exit $count"#;
    let worker = rig.start(Setup { binary: true, sections: shell("fails", script), ..Setup::default() });
    worker.works().await;
    rig.database.run("INSERT INTO tasks (action, max_attempts) VALUES ('fails', 3)").await;
    rig.judge(&[]).await;
    let log = "SELECT concat_ws(' ', sequence, context, regexp_replace(message, ' is due at .*', ' is due')) FROM result_message
               ORDER BY sequence";
    assert_eq!(
        rig.database.values::<String>(log).await,
        [
            "1 run 1",
            "2 attempt 1 failed (exit): exit code 1; attempt 2 of 3 is due",
            "3 attempt 2 failed (exit): exit code 2; attempt 3 of 3 is due",
            "4 run 3",
            "5 attempt 3 failed (exit): exit code 3; of 3 attempts none is left",
        ]
    );
    let end: String = rig.database.value("SELECT concat_ws(' ', result_status, result_error_count) FROM tasks").await;
    assert_eq!(end, "failure 3");
}

pub(crate) async fn one_that_ignores_its_time_is_dropped_after_its_grace() {
    let rig = Rig::new().await;
    let worker = rig.start(Setup { concurrency: 1, ..Setup::default() });
    let payload = json!({"ms": 600_000, "deaf_ms": 600_000});
    let sql = format!(
        "INSERT INTO tasks (action, max_attempts, timeout, payload) VALUES ('work', 1, '1 second', '{payload}')"
    );
    rig.database.run(&sql).await;
    let after = rig.insert_work(1, 0).await;
    rig.judge(&after).await;
    let end: String = rig.database.value("SELECT result_reason FROM tasks WHERE max_attempts = 1").await;
    assert_eq!(end, "timeout");
    nothing_is_left_but(&rig, worker).await;
}

pub(crate) async fn one_that_blocks_its_thread_is_given_up_and_its_slot_replaced() {
    let rig = Rig::new().await;
    let worker = "executor_threads = 2".to_owned();
    let worker = rig.start(Setup { concurrency: 1, worker, ..Setup::default() });
    let blocked = once(&rig, "block", "1 second").await;
    rig.until_tallied("block", 1).await;
    // there is one slot, and the blocked executor has it
    let after = rig.insert_work(5, 10).await;
    rig.judge(&[after, vec![blocked]].concat()).await;
    assert_eq!(end(&rig, "block").await, "complete failure timeout the attempt took longer than 1s");
    assert!(rig.tallied("unblock").is_empty(), "the block was too short to test anything");
    nothing_is_left_but(&rig, worker).await;
}

pub(crate) async fn blocked_threads_hold_up_no_task_that_another_worker_can_do() {
    let rig = Rig::new().await;
    let stuck = rig.start(Setup { name: "stuck", worker: "executor_threads = 2".to_owned(), ..Setup::default() });
    stuck.works().await;
    let blocked = [once(&rig, "block", "1 second").await, once(&rig, "block", "1 second").await];
    rig.until_tallied("block", 2).await;
    // claimed by the only worker there is, which has no thread to run them on
    let held = rig.insert_work(8, 10).await;
    rig.database.until("SELECT count(*) = 8 FROM tasks WHERE action = 'work' AND status = 'running'").await;
    let other = rig.start(Setup { name: "other", ..Setup::default() });
    let since = Instant::now();
    rig.until_tallied("end", 8).await;
    println!("figure: tasks behind blocked threads run elsewhere after {:?}", since.elapsed());
    assert!(rig.tallied("end").iter().all(|event| event.pid == other.pid() && event.attempt == 1));
    assert_eq!(stuck.said("executors block all their threads").len(), 1);
    rig.judge(&[held, blocked.to_vec()].concat()).await;
    let lost: bool = rig.database.value("SELECT EXISTS (SELECT FROM history WHERE rescued)").await;
    assert!(!lost, "the blocked worker lost its lease");
}

pub(crate) async fn programs_that_flood_print_garbage_and_fork_end_alone() {
    let rig = Rig::new().await;
    let sections = [
        // held up as its lines are recorded: a bound that it reaches in its time
        shell("flood", "exec yes flood") + "max_output_bytes = 65536\n",
        shell("not_utf8", r"printf 'ab\377\376cd\n\300\n'"),
        shell("nul", r"printf 'a\000b\n'; printf '\000\000' >&2"),
        shell("long_line", "head -c 100000000 /dev/zero | tr '\\0' x"),
        shell("grandchild", "sleep 600 & echo forked"),
        shell("daemon", "(trap '' HUP TERM; sleep 600) >/dev/null 2>&1 & exit 3"),
        shell("stubborn", "trap '' TERM; while :; do sleep 1; done"),
        shell("killed", "kill -9 $$"),
        shell("closes", "exec <&- >&- 2>&-; sleep 600"),
    ];
    // these end by themselves, the others when their time is up
    let ending = ["not_utf8", "nul", "long_line", "grandchild", "daemon", "killed"];
    let endless = ["flood", "stubborn", "closes"];
    let worker = rig.start(Setup { binary: true, sections: sections.concat(), ..Setup::default() });
    worker.works().await;
    let began = Instant::now();
    let mut tasks = rig.insert("noop", (0..50).map(|_| json!({}))).await;
    for (action, timeout) in ending.map(|it| (it, "1 minute")).into_iter().chain(endless.map(|it| (it, "2 seconds"))) {
        tasks.push(once(&rig, action, timeout).await);
    }
    rig.judge(&tasks).await;
    println!("figure: all programs that misbehave ended after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(40));

    assert!(end(&rig, "flood").await.starts_with("complete failure timeout"), "{}", end(&rig, "flood").await);
    assert!(messages(&rig, "flood").await.iter().any(|message| message.contains("output is limited to")));
    assert_eq!(end(&rig, "not_utf8").await, "complete success");
    assert_eq!(messages(&rig, "not_utf8").await, ["ab\u{fffd}\u{fffd}cd", "\u{fffd}"]);
    assert_eq!(end(&rig, "nul").await, "complete success");
    assert_eq!(messages(&rig, "nul").await.len(), 2);
    assert_eq!(end(&rig, "long_line").await, "complete success");
    assert_eq!(messages(&rig, "long_line").await.len(), 1);
    assert_eq!(end(&rig, "grandchild").await, "complete success");
    assert_eq!(end(&rig, "daemon").await, "complete failure exit exit code 3");
    assert!(end(&rig, "stubborn").await.starts_with("complete failure timeout"));
    assert_eq!(end(&rig, "killed").await, "complete failure signal killed by signal 9");
    assert!(end(&rig, "closes").await.starts_with("complete failure timeout"));
    nothing_is_left_but(&rig, worker).await;
}

pub(crate) async fn a_killed_worker_takes_its_programs_along() {
    let rig = Rig::new().await;
    let sections = shell("sleep", "exec sleep 600");
    let mut worker = rig.start(Setup { binary: true, sections, ..Setup::default() });
    rig.insert("sleep", (0..4).map(|_| json!({}))).await;
    eventually("four programs run", || rig.processes().len() == 5).await;
    worker.kill();
    eventually("no process is left", || rig.processes().is_empty()).await;
}
