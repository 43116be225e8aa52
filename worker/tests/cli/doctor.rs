//! `longshore doctor`: a healthy installation has no finding, and each finding is caused and seen.

use std::process::Output;

use serde_json::Value;

use crate::schedules::{run, with_database};
use crate::{Folder, SERVER, empty_database, stderr, stdout};

/// What is looked at on another machine, or by other tests of this server at the same moment: its connections, and
/// transactions that it counts for all its databases.
pub(crate) const ELSEWHERE: [&str; 2] = ["LS108", "LS411"];

/// The codes that a run has found, in its order.
pub(crate) fn codes(output: &Output) -> Vec<String> {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)));
    let findings = json["findings"].as_array().expect("findings").iter();
    findings.map(|it| it["code"].as_str().expect("a code").to_owned()).collect()
}

/// Runs SQL, looks, and asserts that these are the findings, with words of what is seen and of the remedy.
async fn finds(name: &str, sql: &str, expected: &[(&str, &str, &str)]) {
    let folder = Folder::new(name);
    let (longshore, _) = with_database(&folder, sql).await;
    let output = longshore(&["doctor", "--json", "--skip", &ELSEWHERE.join(",")]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found: Vec<String> = codes(&output);
    assert_eq!(found, expected.iter().map(|(code, _, _)| *code).collect::<Vec<_>>(), "{json:#}");
    let mut errors = 0;
    for (finding, (code, seen, remedy)) in json["findings"].as_array().expect("findings").iter().zip(expected) {
        assert!(finding["seen"].as_str().is_some_and(|it| it.contains(seen)), "{code}: {finding:#}");
        assert!(finding["remedy"].as_str().is_some_and(|it| it.contains(remedy)), "{code}: {finding:#}");
        errors += i32::from(finding["severity"] == "error");
    }
    assert_eq!(output.status.code(), Some(if errors > 0 { 4 } else { 0 }));
    assert_eq!(json["healthy"], errors == 0);
}

#[tokio::test]
async fn a_healthy_installation_has_no_finding_and_everything_was_looked_at() {
    let folder = Folder::new("healthy");
    let (longshore, _) = with_database(&folder, "INSERT INTO tasks (action) VALUES ('work')").await;
    let output = longshore(&["doctor", "--json", "--strict", "--skip", &ELSEWHERE.join(",")]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["findings"], serde_json::json!([]), "{json:#}");
    assert_eq!(json["not_checked"], serde_json::json!([]), "{json:#}");
    let page = include_str!("../../../deploy/DOCTOR.md").matches("\n### LS").count();
    assert_eq!(json["checked"].as_array().map(Vec::len), Some(page - ELSEWHERE.len()));
    let text = longshore(&["doctor", "--skip", "LS108", "--min-free", "0"]);
    assert_eq!(text.status.code(), Some(0));
    assert!(
        stdout(&text).ends_with(&format!("{} codes checked, 0 errors, 0 warnings\n", page - 1)),
        "{}",
        stdout(&text)
    );
}

#[tokio::test]
async fn what_was_changed_in_the_schema_is_named() {
    finds(
        "drift",
        "DROP INDEX claims_worker;
         ALTER TABLE tasks ALTER COLUMN priority SET DEFAULT 3;
         CREATE INDEX mine ON tasks (action);
         ALTER TABLE tasks DISABLE TRIGGER tasks_admit;
         ALTER TABLE tasks_future SET (fillfactor = 100);
         ALTER TABLE workers RESET (fillfactor);
         GRANT CREATE ON SCHEMA public TO PUBLIC;
         UPDATE longshore_migrations SET checksum = '' WHERE version = 3;
         DELETE FROM longshore_migrations WHERE version = 2",
        &[
            ("LS203", "migration 2 ", "longshore_migrations"),
            ("LS203", "migration 3 ", "the longshore that migrated it"),
            ("LS204", "index claims_worker", "longshore migrate --dry-run"),
            ("LS208", "trigger tasks_admit of tasks", "ALTER TABLE tasks ENABLE TRIGGER tasks_admit"),
            ("LS208", "", "ENABLE TRIGGER tasks_admit"),
            ("LS208", "", "ENABLE TRIGGER tasks_admit"),
            ("LS208", "", "ENABLE TRIGGER tasks_admit"),
            ("LS208", "", "ENABLE TRIGGER tasks_admit"),
            ("LS205", "column tasks.priority", "longshore migrate --dry-run"),
            ("LS206", "index mine", "drop it"),
            (
                "LS209",
                "table tasks_future has fillfactor=100, not fillfactor=30",
                "ALTER TABLE tasks_future SET (fillfactor=30)",
            ),
            ("LS209", "table workers has no fillfactor, not fillfactor=50", "ALTER TABLE workers SET (fillfactor=50)"),
            ("LS211", "the schema public", "REVOKE CREATE ON SCHEMA"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_index_that_was_left_half_made_is_named() {
    let folder = Folder::new("index");
    let (longshore, url) = with_database(
        &folder,
        "INSERT INTO claims (claim_token, worker_id, queue, task_ids) \
         SELECT gen_random_uuid(), gen_random_uuid(), 'default', '{}' \
         FROM generate_series(1, 2)",
    )
    .await;
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.expect("a connection");
    // two rows are equal there: the build fails, and leaves the index
    let built =
        sqlx::query("CREATE UNIQUE INDEX CONCURRENTLY half ON claims (cardinality(task_ids))").execute(&mut conn);
    assert!(built.await.is_err());
    let output = longshore(&["doctor", "--json", "--only", "LS207"]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS207".to_owned()], Some(4)));
    assert!(stdout(&output).contains("REINDEX INDEX CONCURRENTLY half"), "{}", stdout(&output));
}

#[tokio::test]
async fn a_schema_that_is_not_there_or_of_another_version_is_named_and_what_rests_on_it_is_not_checked() {
    let (folder, url) = (Folder::new("older"), empty_database().await);
    let doctor = || folder.longshore(&["doctor", "--json"]).env("DATABASE_URL", &url).output().expect("output");
    let output = doctor();
    assert_eq!((codes(&output).contains(&"LS201".to_owned()), output.status.code()), (true, Some(4)));
    assert!(stdout(&output).contains("longshore migrate") && stdout(&output).contains("no tables of longshore"));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let not_checked = json["not_checked"].as_array().expect("a list");
    let because = |code: &str| not_checked.iter().find(|it| it["code"] == code).map(|it| it["why"].to_string());
    assert!(because("LS204").is_some_and(|why| why.contains("LS201")), "{json:#}");
    assert_eq!(because("LS109"), None, "the server was looked at all the same");

    let migrated = folder.longshore(&["migrate"]).env("DATABASE_URL", &url).output().expect("output");
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    run(&url, "INSERT INTO longshore_migrations VALUES (999, 'later', now(), true, '', 0)").await;
    let output = doctor();
    assert!(codes(&output).contains(&"LS202".to_owned()), "{}", stdout(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let not_checked: Vec<_> =
        json["not_checked"].as_array().expect("a list").iter().map(|it| it["code"].clone()).collect();
    for code in ["LS204", "LS205", "LS206"] {
        assert!(not_checked.contains(&code.into()), "{json:#}");
    }
    run(&url, "DELETE FROM longshore_migrations WHERE version > 1").await;
    assert!(stdout(&doctor()).contains("is at version 1, this program needs"));
}

#[tokio::test]
async fn a_fleet_that_does_not_work_is_named() {
    finds(
        "fleet",
        "INSERT INTO workers (worker_id, name, version, lease, heartbeat_at)
             VALUES ('00000000-0000-7000-8000-000000000001', 'gone', '1', '15 s', now() - interval '2 minutes'),
                 -- it held nothing
                 ('00000000-0000-7000-8000-000000000002', 'left', '1', '15 s', now() - interval '2 minutes');
         INSERT INTO claims (claim_token, worker_id, queue, task_ids) VALUES
             (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'default',
                 ARRAY[gen_random_uuid(), gen_random_uuid()]);
         INSERT INTO claims (claim_token, worker_id, queue, claimed_at, task_ids) VALUES
             (gen_random_uuid(), gen_random_uuid(), 'default', now() - interval '3 minutes', ARRAY[gen_random_uuid()]);
         INSERT INTO tasks (action, queue, run_at) VALUES ('resize', 'pictures', now() - interval '1 hour');
         INSERT INTO schedules (name, every, action) VALUES ('nightly', '1 h', 'backup');
         UPDATE schedules SET error = 'the moon is full'",
        &[
            ("LS301", "worker gone (00000000-0000-7000-8000-000000000001) has not reported for 2m", "start a worker"),
            ("LS302", "1 claim with 1 task is of", "start a worker"),
            ("LS304", "the oldest for 1h", "start longshore worker"),
            (
                "LS305",
                "1 of action resize in queue pictures; the oldest has been due for 1h",
                "queues.NAME.concurrency",
            ),
            ("LS306", "nightly: the moon is full", "UPDATE schedules"),
        ],
    )
    .await;
    finds(
        "lead",
        "INSERT INTO workers (worker_id, name, version, lease, started_at)
             VALUES (gen_random_uuid(), 'alive', '1', '1 h', now() - interval '1 hour');
         UPDATE active_instance SET lease_expires_at = now() - interval '5 minutes'",
        &[("LS303", "no worker has led for 5m, though 1 is alive", "restart one")],
    )
    .await;
    finds(
        "served",
        "INSERT INTO workers (worker_id, name, version, lease)
             VALUES ('00000000-0000-7000-8000-000000000001', 'alive', '1', '1 h');
         INSERT INTO worker_queues (worker_id, queue, actions, slots, free_slots)
             VALUES ('00000000-0000-7000-8000-000000000001', 'mail', '{send}', 1, 0);
         INSERT INTO tasks (action, queue, run_at) VALUES
             ('send', 'mail', now() - interval '1 hour'), ('sned', 'mail', now() - interval '2 minutes'),
             ('send', 'male', now() - interval '3 minutes'), ('rest', 'mail', now() - interval '1 hour');
         INSERT INTO pauses (action, reason, paused_by, paused_at)
             VALUES ('rest', 'the moon', 'me', now() - interval '2 days')",
        &[
            ("LS305", "1 of action send in queue mail; the oldest has been due for 1h", "longshore top"),
            (
                "LS307",
                "1 of action send in queue male, 1 of action sned in queue mail; the oldest has been due for 3m",
                "longshore workers list",
            ),
            ("LS308", "action rest is paused since", "longshore queues resume"),
        ],
    )
    .await;
}

#[tokio::test]
async fn partitions_that_lack_or_run_out_are_named() {
    let drop_ahead = "DO $$
        DECLARE
            leaf text;
            since timestamptz := date_trunc('week', now(), 'UTC');
        BEGIN
            FOR leaf IN SELECT name FROM task_partition WHERE lower_id IS NOT NULL LOOP
                EXECUTE format('DROP TABLE %I, %I, %I', 'tasks_' || leaf, 'result_message_' || leaf, 'task_output_' || leaf);
            END LOOP;";
    finds(
        "ahead",
        &format!(
            "{drop_ahead} PERFORM add_partition('future', since, NULL); END $$; INSERT INTO tasks (action) VALUES ('a')"
        ),
        &[
            ("LS408", "tasks_future holds 1 task", "LS303"),
            ("LS409", "the last partition with an end reaches to", "LS303"),
        ],
    )
    .await;
    finds(
        "gap",
        &format!(
            "{drop_ahead} PERFORM add_partition('now', since, since + interval '7 days');
             PERFORM add_partition('future', since + interval '14 days', NULL); END $$;
             DROP TABLE task_output_now, task_output_future"
        ),
        &[
            ("LS407", "table tasks has no partition from", "add_partition"),
            ("LS407", "table result_message has no partition from", "add_partition"),
            ("LS407", "table task_output has no partition for tasks of today", "add_partition"),
        ],
    )
    .await;
}

#[tokio::test]
async fn settings_of_a_database_that_harm_are_named() {
    for (name, to, code, remedy) in [
        ("synchronous_commit", "off", "LS112", "SET synchronous_commit = on"),
        ("default_transaction_isolation", "'repeatable read'", "LS114", "RESET default_transaction_isolation"),
        ("session_replication_role", "replica", "LS114", "RESET session_replication_role"),
        ("default_transaction_read_only", "on", "LS106", "RESET default_transaction_read_only"),
        ("track_counts", "off", "LS113", "ALTER SYSTEM SET track_counts = on"),
    ] {
        let set =
            format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {name} = {to}', current_database()); END $$");
        finds("settings", &set.replace("'repeatable read'", "''repeatable read''"), &[(code, name, remedy)]).await;
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_a_finding_and_what_the_url_says_is_one_too() {
    let folder = Folder::new("unreached");
    let doctor = |url: &str, more: &[&str]| {
        folder.longshore(&[&["doctor", "--json"], more].concat()).env("DATABASE_URL", url).output().expect("output")
    };
    let output = doctor("postgres://me:secret@127.0.0.1:1/none", &[]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS101".to_owned()], Some(4)));
    assert!(stdout(&output).contains("127.0.0.1:1") && !stdout(&output).contains("secret"), "{}", stdout(&output));
    // `invalid` is a name that nobody can have
    for (mode, codes_found, seen) in [
        ("disable", &["LS101", "LS103"][..], "only if the server offers it"),
        ("require", &["LS101", "LS103"], "encrypted for whoever answers"),
        ("verify-full", &["LS101"], "invalid"),
    ] {
        let output = doctor(&format!("postgres://me@db.invalid/none?sslmode={mode}"), &[]);
        assert_eq!(codes(&output), codes_found, "{mode}");
        assert!(stdout(&output).contains(seen), "{}", stdout(&output));
    }
    let output = doctor("postgres://me@db.invalid/none?sslmode=disable", &["--skip", "LS101"]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS103".to_owned()], Some(0)), "a warning alone");
    let output = doctor("postgres://me@db.invalid/none?sslmode=disable", &["--only", "LS103", "--strict"]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS103".to_owned()], Some(4)));
}

#[test]
fn codes_are_explained_and_wrong_ones_refused() {
    let folder = Folder::new("explain");
    let output = folder.longshore(&["doctor", "--explain", "ls303"]).output().expect("output");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("### LS303 Nobody leads\n\nError. "), "{}", stdout(&output));
    assert!(!stdout(&output).contains("LS304 "), "{}", stdout(&output));
    for arguments in [&["--explain", "LS999"][..], &["--only", "disk"], &["--max-age", "soon"], &["--min-free", "101"]]
    {
        let output = folder.longshore(&[&["doctor"], arguments].concat()).output().expect("output");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = folder.longshore(&["doctor"]).output().expect("output");
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("DATABASE_URL"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_disk_with_less_room_than_asked_for_is_named() {
    let folder = Folder::new("disk");
    let (longshore, _) = with_database(&folder, "SELECT 1").await;
    let output = longshore(&["doctor", "--json", "--only", "LS411", "--min-free", "100"]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS411".to_owned()], Some(4)), "{}", stdout(&output));
    assert!(stdout(&output).contains(&SERVER.data_dir().display().to_string()), "{}", stdout(&output));
}
