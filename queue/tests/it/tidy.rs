//! Rules about the text of the SQL.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use crate::support::database;

/// What runs for every batch of tasks.
const HOT: [&str; 7] = ["claim", "complete", "fates", "heartbeat", "last_messages", "record", "requeue"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files below a folder with this extension, as name and text.
fn files(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push((path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The statements of the crate, by name.
pub(crate) fn statements() -> Vec<(String, String)> {
    files(&folder("src/sql"), "sql")
}

/// Without its comments.
fn code(sql: &str) -> String {
    sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n")
}

/// How many parameters a statement has.
pub(crate) fn parameters(sql: &str) -> usize {
    let code = code(sql);
    (1..).take_while(|number| code.contains(&format!("${number}"))).count()
}

/// The names that are followed by a parenthesis.
fn called(sql: &str) -> BTreeSet<String> {
    let code = code(sql);
    let name = |before: &str| -> String {
        let word = before.trim_end().rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
        word.unwrap_or_default().to_owned()
    };
    code.match_indices('(').map(|(at, _)| name(&code[..at])).filter(|name| !name.is_empty()).collect()
}

#[tokio::test]
async fn every_statement_prepares_against_the_schema() {
    let database = database().await;
    let mut conn = database.conn().await;
    let mut refused = Vec::new();
    for (name, sql) in statements() {
        if let Err(error) = conn.prepare(AssertSqlSafe(sql).into_sql_str()).await {
            refused.push(format!("{name}: {error}"));
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn every_statement_is_named_as_the_function_that_sends_it() {
    let source: String = files(&folder("src"), "rs").into_iter().map(|(_, text)| text).collect();
    for (name, _) in statements() {
        assert!(source.contains(&format!("pub async fn {name}(")), "{name}.sql has no function of that name");
        assert!(source.contains(&format!("sql/{name}.sql\")")), "{name}.sql is not sent");
    }
}

#[test]
fn every_statement_has_a_head_that_names_each_parameter() {
    for (name, sql) in statements() {
        let head: String = sql.lines().take_while(|line| line.starts_with("--")).collect();
        assert!(!head.is_empty(), "{name}.sql has no head");
        for number in 1..=parameters(&sql) {
            assert!(head.contains(&format!("${number}")), "{name}.sql does not say what ${number} is");
        }
    }
}

#[test]
fn no_statement_selects_all_columns_or_reads_another_clock() {
    for (name, sql) in statements() {
        let code = code(&sql);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert!(!words.windows(2).any(|pair| pair == ["SELECT", "*"]), "{name}.sql selects all columns");
        for clock in ["clock_timestamp", "statement_timestamp", "timeofday", "current_timestamp"] {
            assert!(!code.to_lowercase().contains(clock), "{name}.sql calls {clock}");
        }
    }
}

#[tokio::test]
async fn hot_statements_call_no_volatile_function() {
    let database = database().await;
    let volatile: BTreeSet<String> = database
        .values::<String>("SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = 'v'")
        .await
        .into_iter()
        .collect();
    assert!(volatile.contains("clock_timestamp") && volatile.contains("task_uuidv7"));
    for (name, sql) in statements().into_iter().filter(|(name, _)| HOT.contains(&name.as_str())) {
        let calls: Vec<String> = called(&sql).intersection(&volatile).cloned().collect();
        assert_eq!(calls, Vec::<String>::new(), "{name}.sql");
    }
    assert_eq!(statements().iter().filter(|(name, _)| HOT.contains(&name.as_str())).count(), HOT.len());
}

#[test]
fn hot_statements_name_one_queue_or_look_tasks_up_by_id() {
    for (name, sql) in statements().into_iter().filter(|(name, _)| HOT.contains(&name.as_str())) {
        let code = code(&sql);
        if code.contains("tasks.") && name != "claim" {
            assert!(code.contains("ON tasks.task_id = given.task_id"), "{name}.sql finds its tasks in another way");
            assert!(!code.contains("task_id = ANY"), "{name}.sql: a generic = ANY visits every partition");
        }
    }
    let claim = statements().into_iter().find(|(name, _)| name == "claim").unwrap().1;
    assert!(claim.contains("tasks.queue = $1"));
}

#[test]
fn the_worker_holds_no_sql() {
    let mut found = Vec::new();
    for (name, text) in files(&folder("../worker/src"), "rs") {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let sql = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "UPDATE tasks", "sqlx::query", "raw_sql"];
            if sql.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}.rs: {}", line.trim()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
