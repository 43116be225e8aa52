//! Workers of adjacent schema versions at once: the next version's migration is applied under a running worker.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use longshore_postgres::Signal;
use serde_json::json;

use crate::rig::{LONGSHORE, Rig, Setup};
use crate::support::{Database, empty_database};

/// Names the binary of the release before.
const PREVIOUS: &str = "LONGSHORE_PREVIOUS";

pub(crate) async fn an_older_worker_goes_on_while_and_after_the_schema_moves_on() {
    let rig = Rig::new().await;
    let before = rig.start(Setup { name: "before", ..Setup::default() });
    before.works().await;
    let mut tasks = rig.insert("work", (0..300).map(|_| json!({"ms": 100, "say": 1, "echo": true}))).await;
    rig.until_tallied("end", 50).await;
    // what a migration that works with the previous version may do
    for step in [
        "ALTER TABLE tasks ADD COLUMN later text, ADD COLUMN later_with_default int NOT NULL DEFAULT 7",
        "ALTER TABLE workers ADD COLUMN later text",
        "ALTER TABLE result_message ADD COLUMN later text",
        "CREATE INDEX later ON tasks (created_by)",
        "INSERT INTO longshore_migrations SELECT 999, 'later', now(), true, checksum, 0 FROM longshore_migrations LIMIT 1",
    ] {
        rig.database.run(step).await;
    }
    let after = rig.start(Setup { name: "after", ..Setup::default() });
    after.works().await;
    tasks.extend(rig.insert("work", (0..300).map(|_| json!({"ms": 10, "say": 1, "echo": true}))).await);
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
    for worker in [before, after] {
        assert!(rig.tallied("end").iter().any(|event| event.pid == worker.pid()));
        assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
    }
}

fn migrate(binary: impl AsRef<OsStr>, database: &Database) {
    let mut command = Command::new(binary);
    command.arg("migrate").env("DATABASE_URL", &database.url).env_remove("LONGSHORE_CONFIG").current_dir("/");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) async fn workers_of_the_release_before_go_on_while_the_schema_is_migrated_and_are_replaced_one_by_one() {
    let Some(previous) = std::env::var_os(PREVIOUS).map(PathBuf::from) else {
        println!("skipped: {PREVIOUS} names no binary of the release before");
        return;
    };
    let database = empty_database().await;
    migrate(&previous, &database);
    let before: i64 = database.value("SELECT max(version) FROM longshore_migrations").await;
    let rig = Rig::with(database).await;
    let start = |name, other_binary: Option<PathBuf>| {
        let sections = "[actions.nap]\nexecutor = \"command\"\nargv = [\"sleep\", \"0.1\"]\n".to_owned();
        rig.start(Setup { name, binary: true, other_binary, sections, ..Setup::default() })
    };
    let old = [start("old_one", Some(previous.clone())), start("old_two", Some(previous))];
    for worker in &old {
        worker.works().await;
    }
    let naps = |count| rig.insert("nap", (0..count).map(|number| json!(number)));
    let mut tasks = naps(400).await;
    rig.database.until("SELECT count(*) > 40 FROM tasks WHERE status = 'complete'").await;
    migrate(LONGSHORE, &rig.database);
    let after: i64 = rig.database.value("SELECT max(version) FROM longshore_migrations").await;
    tasks.extend(naps(200).await);
    // the old ones alone, on the new schema
    rig.database.until("SELECT count(*) > 500 FROM tasks WHERE status = 'complete'").await;
    let new = start("new", None);
    new.works().await;
    for mut worker in old {
        worker.signal(Signal::TERM);
        assert!(worker.ended().await.success(), "what it held was not finished");
        assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
    }
    tasks.extend(naps(100).await);
    rig.judge(&tasks).await;
    let once: bool = rig.database.value("SELECT bool_and(attempt = 1 AND result_status = 'success') FROM tasks").await;
    assert!(once, "a task failed or ran twice");
    assert!(new.said("ERROR").is_empty(), "{:?}", new.said("ERROR"));
    println!("figure: from schema {before} to {after} under load");
}
