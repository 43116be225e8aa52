//! Where output goes: to somebody who reads no further, and to a terminal that would obey what stands in rows.

use std::process::{Output, Stdio};

use serde_json::Value;
use uuid::Uuid;

use crate::schedules::{run, with_database};
use crate::{Folder, stderr, stdout};

/// Stands for the id of the task.
const TASK: &str = "TASK";

/// A title of a window, a line of its own, a control character that is an escape, and a change of direction.
const HOSTILE: &str = "E'x\\x1b]0;owned\\x07\\nERROR \\u009b2J\\u202ey'";

/// Rows in which all that is a producer's, or an executor's, is hostile.
fn hostile(task: Uuid) -> String {
    format!(
        "INSERT INTO tasks (task_id, action, queue, created_by) \
             VALUES ('{task}', {HOSTILE}, {HOSTILE}, {HOSTILE});
         INSERT INTO tasks (action, queue, parent_task_id) VALUES ({HOSTILE}, {HOSTILE}, '{task}');
         INSERT INTO result_message (task_id, sequence, error, message, context, context_type) \
             VALUES ('{task}', 1, true, {HOSTILE}, {HOSTILE}, 'node');
         INSERT INTO pauses (queue, reason, paused_by) VALUES ({HOSTILE}, {HOSTILE}, {HOSTILE});
         INSERT INTO pauses (action, reason, paused_by) VALUES ({HOSTILE}, {HOSTILE}, {HOSTILE});
         UPDATE pauses SET paused_at = now() - interval '2 days';
         INSERT INTO schedules (name, every, action, queue) VALUES ({HOSTILE}, '90 s', {HOSTILE}, {HOSTILE});
         INSERT INTO workers (worker_id, name, version, lease, heartbeat_at, beating_since) VALUES \
             (gen_random_uuid(), {HOSTILE}, {HOSTILE}, '5 s', now() - interval '1 hour', now()), \
             (gen_random_uuid(), {HOSTILE}, {HOSTILE}, '5 h', now(), now());
         INSERT INTO worker_queues (worker_id, queue, actions, slots, free_slots) \
             SELECT worker_id, 'of ' || {HOSTILE}, ARRAY[{HOSTILE}], 1, 1 FROM workers;
         INSERT INTO build_data (node_name, task_id, collected_date, generator, data_format, data_element) \
             VALUES ({HOSTILE}, '{task}', '2026-01-01Z', {HOSTILE}, 'text/plain', 'element')"
    )
}

/// What prints something out of rows.
const PRINTING: [&[&str]; 20] = [
    &["tasks", "list"],
    &["tasks", "list", "--json"],
    &["tasks", "show", TASK],
    &["tasks", "show", TASK, "--tree"],
    &["tasks", "tree", TASK],
    &["tasks", "logs", TASK],
    &["tasks", "logs", "--json", TASK],
    &["tasks", "logs", "--tree", TASK],
    &["tasks", "explain", TASK],
    &["tasks", "explain", TASK, "--json"],
    &["queues", "list"],
    &["queues", "list", "--json"],
    &["workers", "list"],
    &["workers", "list", "--json"],
    &["schedules", "list"],
    &["builds", "list"],
    &["top", "--once"],
    &["top", "--json"],
    &["doctor"],
    &["doctor", "--json"],
];

/// The arguments, with the id of the task.
fn named<'a>(arguments: &[&'a str], task: &'a str) -> Vec<&'a str> {
    arguments.iter().map(|argument| if *argument == TASK { task } else { argument }).collect()
}

fn assert_harmless(arguments: &[&str], output: &Output) {
    for text in [stdout(output), stderr(output)] {
        let wrong = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c) || *c == '\u{202e}');
        assert_eq!(wrong, None, "{arguments:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR")), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn nothing_that_a_terminal_obeys_comes_out_of_rows() {
    let folder = Folder::new("hostile");
    let task = Uuid::now_v7();
    let (longshore, url) = with_database(&folder, &hostile(task)).await;
    let longshore = |arguments: &[&str]| longshore(&named(arguments, &task.to_string()));
    let name = "x\u{1b}]0;owned\u{7}\nERROR \u{9b}2J\u{202e}y";
    for arguments in PRINTING {
        let output = longshore(arguments);
        assert!([Some(0), Some(4)].contains(&output.status.code()), "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("owned"), "{arguments:?} does not show it: {}", stdout(&output));
        assert_harmless(arguments, &output);
        if arguments.contains(&"--json") && !arguments.contains(&"logs") {
            let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert!(document.to_string().contains("owned"), "{document}");
        }
    }
    for arguments in [
        &["workers", "drain", name][..],
        &["workers", "drain", "--all", "--yes"],
        &["schedules", "pause", "none\u{1b}[2J"],
        &["schedules", "run", name],
        &["queues", "resume", "none\u{1b}[2J"],
        &["queues", "pause", "none\u{1b}[2J"],
        &["builds", "show", "--node", "none\u{1b}[2J"],
        &["tasks", "insert", "none\u{1b}[2J", "--priority", "77"],
    ] {
        assert_harmless(arguments, &longshore(arguments));
    }
    run(&url, &format!("SELECT terminate_task('{task}', {HOSTILE})")).await;
    for arguments in [&["tasks", "explain", TASK][..], &["tasks", "wait", TASK], &["tasks", "retry", TASK]] {
        assert_harmless(arguments, &longshore(arguments));
    }
}

#[tokio::test]
async fn a_reader_that_reads_no_further_ends_a_command_in_silence() {
    let folder = Folder::new("pipes");
    let task = Uuid::now_v7();
    let (_, url) = with_database(&folder, &hostile(task)).await;
    folder.write("longshore.toml", "[queues.q]\n[actions.a]\nexecutor = \"noop\"\n");
    folder.write("empty.yaml", "---\n");
    let others: [&[&str]; 14] = [
        &["tasks", "insert", "a"],
        &["tasks", "terminate", TASK],
        &["tasks", "wait", TASK],
        &["tasks", "retry", TASK],
        &["schedules", "run", "s"],
        &["builds", "show"],
        &["migrate"],
        &["migrate", "--dry-run", "--grant"],
        &["config", "check", "longshore.toml"],
        &["config", "check", "longshore.toml", "--print"],
        &["completions", "bash"],
        &["doctor", "--explain", "LS101"],
        &["design", "check", "empty.yaml"],
        &["design", "check", "--json", "empty.yaml"],
    ];
    run(&url, "INSERT INTO schedules (name, every, action) VALUES ('s', '90 s', 'a')").await;
    for arguments in PRINTING.iter().chain(&others) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = folder.longshore(&named(arguments, &task.to_string()));
        let output = command.env("DATABASE_URL", &url).stdout(writer).output().expect("output");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(141), ""), "{arguments:?}");
    }
    // stderr as well
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let none = folder
        .longshore(&["tasks", "show", "01890a5d-ac96-774b-8cce-b302099a8059"])
        .env("DATABASE_URL", &url)
        .stderr(writer)
        .stdout(Stdio::null())
        .status()
        .expect("a status");
    assert_eq!(none.code(), Some(3));
    if let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
        let output =
            folder.longshore(&["tasks", "list"]).env("DATABASE_URL", &url).stdout(full).output().expect("output");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with("longshore: stdout: "), "{}", stderr(&output));
    }
}
