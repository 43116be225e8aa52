//! Workers of adjacent schema versions at once: the next version's migration is applied under a running worker.

use serde_json::json;

use crate::rig::{Rig, Setup};

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
