//! `longshore doctor` on a server of its own, that is badly kept: what concerns all its databases.

use std::process::Output;

use longshore_postgres::{Options, Server};
use longshore_queue::create_database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::doctor::codes;
use crate::schedules::run;
use crate::{Folder, stderr, stdout};

/// Far more than any of it takes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

struct Poor {
    server: Server,
    folder: Folder,
}

impl Poor {
    async fn new(name: &str) -> Self {
        let mut options = Options::for_tests();
        let settings = [
            ("autovacuum", "off"),
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("max_connections", "15"),
            ("max_prepared_transactions", "2"),
            // the least that it takes: ids run out early
            ("autovacuum_freeze_max_age", "100000"),
        ];
        options.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let server = Server::temporary(&options).expect("a private Postgres starts");
        create_database(&server.url("postgres"), "poor").await.expect("a database");
        let poor = Self { server, folder: Folder::new(name) };
        let migrated = poor.longshore(&["migrate"]);
        assert!(migrated.status.success(), "{}", stderr(&migrated));
        poor
    }

    fn url(&self) -> String {
        self.server.url("poor")
    }

    fn url_of(&self, user: &str) -> String {
        self.url().replacen(&format!("//{}@", self.server.user()), &format!("//{user}@"), 1)
    }

    fn longshore(&self, arguments: &[&str]) -> Output {
        self.folder.longshore(arguments).env("DATABASE_URL", self.url()).output().expect("output")
    }

    /// Looks for some codes alone: each that is found, with all that is said of it.
    fn finds(&self, only: &str, more: &[&str], expected: &[&str], words: &[&str]) {
        let output = self.longshore(&[&["doctor", "--json", "--only", only], more].concat());
        assert_eq!(codes(&output), expected, "{}", stdout(&output));
        for word in words {
            assert!(stdout(&output).contains(word), "{word}: {}", stdout(&output));
        }
    }

    async fn run(&self, sql: &str) {
        run(&self.url(), sql).await;
    }

    async fn conn(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("a connection")
    }

    async fn until(&self, condition: &str) {
        let mut conn = self.conn().await;
        let since = std::time::Instant::now();
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(condition.to_owned()))
            .fetch_one(&mut conn)
            .await
            .expect("it runs")
        {
            assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {condition}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_badly_kept_is_told_what_to_change() {
    let poor = Poor::new("poor").await;
    poor.finds(
        "LS111,LS113",
        &[],
        &["LS111", "LS111", "LS113"],
        &["fsync = off", "full_page_writes = off", "autovacuum = off"],
    );

    let mut held = poor.conn().await;
    held.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM tasks").await.expect("a snapshot");
    poor.finds(
        "LS401",
        &["--max-age", "0s"],
        &["LS401"],
        &["session ", "idle in transaction", "pg_terminate_backend("],
    );
    poor.finds("LS401", &["--max-age", "1h"], &[], &[]);
    held.execute("ROLLBACK").await.expect("its end");
    poor.run("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'left''behind'").await;
    poor.finds("LS401,LS402", &["--max-age", "0s"], &["LS402"], &["left'behind", "ROLLBACK PREPARED 'left''behind'"]);
    poor.run("ROLLBACK PREPARED 'left''behind'").await;

    poor.run("SELECT pg_create_physical_replication_slot('gone', true)").await;
    poor.finds("LS403", &[], &["LS403"], &["slot gone keeps", "pg_drop_replication_slot('gone')"]);
    poor.run("SELECT pg_drop_replication_slot('gone')").await;

    poor.run(
        "INSERT INTO tasks (action) SELECT 'work' FROM generate_series(1, 12000);
         ANALYZE tasks;
         UPDATE tasks SET updated = now();
         ALTER TABLE claims SET (autovacuum_enabled = false)",
    )
    .await;
    poor.until("SELECT sum(pg_stat_get_dead_tuples(relid)) >= 12000 FROM pg_partition_tree('tasks') WHERE isleaf")
        .await;
    poor.finds(
        "LS404,LS405",
        &["--max-age", "0s"],
        &["LS404", "LS405"],
        &["12000 dead rows", "never", "VACUUM tasks_w", "ALTER TABLE claims RESET (autovacuum_enabled)"],
    );

    poor.finds("LS404", &[], &[], &[]);

    // an id is held, so that no vacuum helps
    held.execute("BEGIN; SELECT pg_current_xact_id()").await.expect("an id");
    poor.run("DO $$ BEGIN FOR i IN 1..160000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$").await;
    poor.finds("LS406", &[], &["LS406"], &["vacuum is forced from 100000 on", "VACUUM (FREEZE)"]);
    held.execute("ROLLBACK").await.expect("its end");

    let mut all = vec![held];
    while all.len() < 11 {
        all.push(poor.conn().await);
    }
    poor.finds("LS108", &[], &["LS108"], &["of 12 connections are open", "max_connections"]);
}

#[tokio::test]
async fn rights_are_looked_at_for_roles_and_for_who_looks() {
    let poor = Poor::new("rights").await;
    let as_user = |user: &str, arguments: &[&str]| {
        let command = &mut poor.folder.longshore(&[&["doctor", "--json"], arguments].concat());
        command.env("DATABASE_URL", poor.url_of(user)).output().expect("output")
    };
    let granted = poor.longshore(&["migrate", "--grant"]);
    assert!(granted.status.success(), "{}", stderr(&granted));
    poor.run(
        "CREATE ROLE watcher LOGIN IN ROLE longshore_reader;
         CREATE ROLE hand LOGIN IN ROLE longshore_worker;
         CREATE ROLE stranger LOGIN",
    )
    .await;
    poor.finds("LS210", &[], &[], &[]);
    for user in ["watcher", "hand"] {
        assert_eq!(codes(&as_user(user, &["--only", "LS210"])), Vec::<String>::new(), "{user}");
    }
    let output = as_user("stranger", &["--only", "LS204,LS210"]);
    assert_eq!((codes(&output), output.status.code()), (vec!["LS210".to_owned()], Some(4)));
    assert!(stdout(&output).contains("GRANT longshore_worker TO \\\"stranger\\\""), "{}", stdout(&output));
    // whose user may read no table learns nothing else
    assert!(stdout(&output).contains("permission denied"), "{}", stdout(&output));

    // a reader sees everything else, and says what it does not see
    let mut held = poor.conn().await;
    held.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM tasks").await.expect("a snapshot");
    let output = as_user("watcher", &["--skip", "LS111,LS113"]);
    assert_eq!(codes(&output), Vec::<String>::new(), "{}", stdout(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let not_checked: Vec<_> =
        json["not_checked"].as_array().expect("a list").iter().map(|it| it["code"].clone()).collect();
    assert_eq!(not_checked, ["LS401", "LS411"], "{json:#}");
    poor.run("GRANT pg_monitor TO watcher").await;
    let output = as_user("watcher", &["--only", "LS401,LS411", "--min-free", "0", "--max-age", "0s"]);
    assert_eq!(codes(&output), ["LS401"], "{}", stdout(&output));

    poor.run("REVOKE UPDATE (status) ON tasks FROM longshore_worker").await;
    for user in ["watcher", "hand"] {
        let output = as_user(user, &["--only", "LS210"]);
        assert_eq!(codes(&output), ["LS210"], "{user}");
        assert!(stdout(&output).contains("longshore_worker lacks UPDATE tasks.status"), "{}", stdout(&output));
        assert!(stdout(&output).contains("longshore migrate --grant"), "{}", stdout(&output));
    }
}
