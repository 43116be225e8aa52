use std::process::Output;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{Folder, empty_database, stderr, stdout};

/// A migrated database with these rows, and the command `longshore` upon it.
pub(crate) async fn with<'f>(folder: &'f Folder, sql: &str) -> impl Fn(&[&str]) -> Output + 'f {
    with_database(folder, sql).await.0
}

/// The same, with the database's URL.
pub(crate) async fn with_database<'f>(folder: &'f Folder, sql: &str) -> (impl Fn(&[&str]) -> Output + 'f, String) {
    let url = empty_database().await;
    let of_url = url.clone();
    let longshore =
        move |arguments: &[&str]| folder.longshore(arguments).env("DATABASE_URL", &of_url).output().expect("output");
    let migrated = longshore(&["migrate"]);
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    run(&url, sql).await;
    (longshore, url)
}

/// Runs SQL that returns nothing.
pub(crate) async fn run(url: &str, sql: &str) {
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    conn.execute(AssertSqlSafe(sql.to_owned())).await.expect("it runs");
}

#[tokio::test]
async fn schedules_are_listed_paused_resumed_and_run() {
    let folder = Folder::new("schedules");
    let longshore = with(
        &folder,
        "INSERT INTO schedules (name, cron, time_zone, action) VALUES ('nightly', '30 2 * * *', 'Europe/Berlin', 'backup');
         INSERT INTO schedules (name, every, action) VALUES ('often', '90 s', 'poll')",
    )
    .await;
    let listed = longshore(&["schedules", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    assert_eq!(
        stdout(&listed),
        "nightly\t30 2 * * * Europe/Berlin\tbackup\tdefault\t\t\ton\n\
         often\tevery 90s\tpoll\tdefault\t\t\ton\n"
    );
    assert_eq!(longshore(&["schedules", "pause", "often"]).status.code(), Some(0));
    let json: Value = serde_json::from_slice(&longshore(&["schedules", "list", "--json"]).stdout).expect("JSON");
    let told = |at: usize, key: &str| json[at][key].clone();
    assert_eq!(
        (told(0, "paused"), told(1, "paused"), told(1, "every_seconds")),
        (false.into(), true.into(), 90.0.into())
    );
    assert_eq!(longshore(&["schedules", "resume", "often"]).status.code(), Some(0));
    let run = longshore(&["schedules", "run", "nightly", "--json"]);
    let run: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(run["outcome"], "fired");
    // its task is open, and it shall not have two
    let again = longshore(&["schedules", "run", "nightly"]);
    assert_eq!((again.status.code(), stdout(&again).as_str()), (Some(1), ""));
    let listed = stdout(&longshore(&["schedules", "list"]));
    assert!(listed.contains("Z skipped") && !listed.contains("paused"), "{listed}");
    let run = stdout(&longshore(&["schedules", "run", "often"]));
    assert_eq!(run.trim().len(), 36, "an id: {run}");
}

#[tokio::test]
async fn a_schedule_that_is_not_there_exits_3_and_wrong_usage_2() {
    let folder = Folder::new("noschedule");
    let longshore = with(&folder, "SELECT 1").await;
    for action in ["pause", "resume", "run"] {
        let output = longshore(&["schedules", action, "nightly"]);
        assert_eq!(output.status.code(), Some(3), "{action}");
        assert_eq!(stderr(&output), "longshore: there is no schedule \"nightly\": schedules list shows them\n");
    }
    for arguments in [&["schedules"][..], &["schedules", "run"], &["schedules", "list", "nightly"]] {
        assert_eq!(longshore(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
