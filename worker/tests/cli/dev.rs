use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command};

use sqlx::{Connection, PgConnection};

use crate::{Folder, pg_bin, read, signal, wait_for};

/// A running `longshore dev`, and what it printed.
struct Dev {
    child: Child,
    printed: String,
    log: PathBuf,
}

impl Dev {
    fn start(folder: &Folder, name: &str) -> Self {
        let (out, log) = (folder.0.join(format!("{name}.out")), folder.0.join(format!("{name}.log")));
        let mut command = folder.longshore(&["dev", "--data-dir"]);
        command.arg(folder.0.join("pg")).args(pg_bin());
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&log).expect("a log"));
        let mut child = command.spawn().expect("dev");
        let printed = wait_for("dev says what it offers", || {
            assert_eq!(child.try_wait().expect("its state"), None, "{}", read(&log));
            Some(read(&out)).filter(|printed| printed.contains("Ctrl-C"))
        });
        Self { child, printed, log }
    }

    /// The rest of the line that begins so.
    fn line(&self, begin: &str) -> &str {
        let line = self.printed.lines().find_map(|line| line.strip_prefix(begin));
        line.unwrap_or_else(|| panic!("no {begin} in {}", self.printed)).trim()
    }

    fn end(mut self, by: &str) {
        signal(by, self.child.id());
        assert_eq!(self.child.wait().expect("its end").code(), Some(0), "{}", read(&self.log));
    }

    async fn metrics(&self) -> String {
        // a client is not made without a provider, even where it never needs it
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let response = client.get(self.line("metrics:")).send().await.expect("an answer");
        response.error_for_status().expect("200").text().await.expect("a text")
    }
}

/// Runs a line as a shell does; what it prints.
fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn dev_does_the_task_of_the_line_it_prints_and_ends_at_ctrl_c() {
    let folder = Folder::new("dev");
    let dev = Dev::start(&folder, "first");
    if shell("command -v psql || true").is_empty() && dev.line("psql:").starts_with("psql ") {
        println!("skipped: no psql on this machine; the statement runs over a connection instead");
        let statement = dev.line("insert:").split_once(" -c \"").expect("a statement").1;
        let statement = statement.trim_end_matches('"').replace("\\\"", "\"");
        let mut conn = PgConnection::connect(url(&dev)).await.expect("a connection");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut conn).await.expect("inserted");
    } else {
        assert!(shell(dev.line("insert:")).contains("INSERT 0 1"));
    }
    let mut conn = PgConnection::connect(url(&dev)).await.expect("a connection");
    let deadline = std::time::Instant::now() + crate::BOUND;
    let done = "SELECT count(*) FROM tasks WHERE action = 'echo' AND status = 'complete' AND result_status = 'success'";
    while sqlx::query_scalar::<_, i64>(done).fetch_one(&mut conn).await.expect("a row") != 1 {
        assert!(std::time::Instant::now() < deadline, "the task is not done: {}", read(&dev.log));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let said: String =
        sqlx::query_scalar("SELECT message FROM result_message").fetch_one(&mut conn).await.expect("a row");
    assert!(said.contains(r#""payload":{"text": "hello"}"#), "{said}");
    drop(conn);
    assert!(dev.metrics().await.contains("longshore_tasks_finished_total"));
    dev.end("-INT");
    folder.assert_nothing_runs();
}

/// The URL in the line for psql.
fn url(dev: &Dev) -> &str {
    dev.line("psql:").split('\'').nth(1).expect("a URL in quotes")
}

#[tokio::test]
async fn a_second_dev_joins_the_first_and_ends_alone() {
    let folder = Folder::new("join");
    let first = Dev::start(&folder, "first");
    let second = Dev::start(&folder, "second");
    assert_eq!(first.line("insert:"), second.line("insert:"));
    assert_ne!(first.line("metrics:"), second.line("metrics:"));
    assert!(second.printed.starts_with("Postgres ") && second.printed.contains("of another longshore dev"));
    second.metrics().await;
    second.end("-TERM");
    first.metrics().await;
    assert!(PgConnection::connect(url(&first)).await.is_ok());
    first.end("-TERM");
    folder.assert_nothing_runs();
}
