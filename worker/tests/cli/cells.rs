//! Commands where several databases are configured.

use std::process::Output;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{Folder, empty_database, stderr, stdout};

/// Runs with two cells in the environment, `eu-1` and `us`.
fn run(folder: &Folder, (one, other): (&str, &str), arguments: &[&str]) -> Output {
    let mut command = folder.longshore(arguments);
    command.env("LONGSHORE_CELL_EU_1", one).env("LONGSHORE_CELL_US", other).output().expect("output")
}

async fn count(url: &str) -> i64 {
    let mut conn = PgConnection::connect(url).await.expect("a connection");
    let count = AssertSqlSafe("SELECT count(*) FROM tasks");
    sqlx::query_scalar(count).fetch_one(&mut conn).await.expect("a row")
}

#[tokio::test]
async fn migrate_means_all_cells_or_the_one_that_is_named() {
    let (folder, one, other) = (Folder::new("cells"), empty_database().await, empty_database().await);
    let migrated = run(&folder, (&one, &other), &["migrate", "--cell", "us"]);
    assert!(stdout(&migrated).starts_with("schema public: applied migration 1\n"), "{}", stdout(&migrated));
    let migrated = run(&folder, (&one, &other), &["migrate"]);
    assert_eq!(migrated.status.code(), Some(0), "{}", stderr(&migrated));
    let printed = stdout(&migrated);
    assert!(printed.starts_with("cell eu-1, schema public: applied migration 1\n"), "{printed}");
    assert!(printed.contains("cell us, schema public: at version ") && printed.ends_with("nothing to apply\n"));
    let dry = run(&folder, (&one, &other), &["migrate", "--dry-run"]);
    assert_eq!(stdout(&dry), "-- cell eu-1\n-- cell us\n");
}

#[tokio::test]
async fn a_cell_that_is_away_keeps_no_other_from_being_migrated() {
    let (folder, url) = (Folder::new("cell-away"), empty_database().await);
    let migrated = run(&folder, ("postgres://127.0.0.1:1/none", &url), &["migrate"]);
    assert_eq!(migrated.status.code(), Some(1));
    assert!(stderr(&migrated).starts_with("longshore: cell eu-1: "), "{}", stderr(&migrated));
    assert!(stdout(&migrated).starts_with("cell us, schema public: applied"), "{}", stdout(&migrated));
}

#[tokio::test]
async fn a_command_for_one_database_asks_which_cell_is_meant() {
    let (folder, one, other) = (Folder::new("which"), empty_database().await, empty_database().await);
    run(&folder, (&one, &other), &["migrate"]);
    for arguments in [vec!["tasks", "list"], vec!["schedules", "list"], vec!["builds", "list"]] {
        let output = run(&folder, (&one, &other), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        let told = "there are several cells: name one with --cell, of eu-1, us\n";
        assert!(stderr(&output).ends_with(told), "{}", stderr(&output));
    }
    let unknown = run(&folder, (&one, &other), &["tasks", "list", "--cell", "eu"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).ends_with("there is no cell \"eu\": choose from eu-1, us\n"), "{}", stderr(&unknown));
    let inserted = run(&folder, (&one, &other), &["tasks", "--cell", "us", "insert", "noop"]);
    assert_eq!(inserted.status.code(), Some(0), "{}", stderr(&inserted));
    assert_eq!((count(&one).await, count(&other).await), (0, 1));
}
