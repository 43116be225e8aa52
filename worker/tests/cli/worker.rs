use std::net::TcpListener;
use std::process::Stdio;

use crate::schedules::with_database;
use crate::{Folder, empty_database, read, signal, stderr, stdout, wait_for};

const NOOP: &str = "[actions.noop]\nexecutor = \"noop\"\n";

#[test]
fn a_bad_configuration_exits_64_and_names_the_key() {
    let folder = Folder::new("bad");
    for (text, named) in [
        ("[worker]\nleese = \"15s\"\n", "leese"),
        ("[actions.a]\nexecutor = \"noop\"\ntimeout = \"1 fortnight\"\n", "timeout"),
        ("[actions.a]\nexecutor = \"rust\"\n", "actions.a.executor"),
        (NOOP, "database_url"),
    ] {
        let config = folder.write("bad.toml", text);
        let mut command = folder.longshore(&["worker", "--config"]);
        if named != "database_url" {
            command.env("DATABASE_URL", "postgres://localhost/none");
        }
        let output = command.arg(&config).output().expect("output");
        assert_eq!(output.status.code(), Some(64), "{named}: {}", stderr(&output));
        assert!(stderr(&output).contains(named) && stderr(&output).contains("bad.toml"), "{}", stderr(&output));
    }
    let output = folder.longshore(&["worker"]).output().expect("output");
    assert_eq!(output.status.code(), Some(64), "no file at all: {}", stderr(&output));
}

#[tokio::test]
async fn a_worker_refuses_a_database_without_the_schema_with_the_remedy() {
    let (folder, url) = (Folder::new("bare"), empty_database().await);
    folder.write("longshore.toml", &format!("[http]\nlisten = \"127.0.0.1:0\"\n{NOOP}"));
    let output = folder.longshore(&["worker"]).env("DATABASE_URL", &url).output().expect("output");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("run `longshore migrate`"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (folder, url) = (Folder::new("port"), empty_database().await);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    folder.write("longshore.toml", &format!("[http]\nlisten = \"{address}\"\n{NOOP}"));
    let output = folder.longshore(&["worker"]).env("DATABASE_URL", &url).output().expect("output");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("http.listen = {address}: ")), "{}", stderr(&output));
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_drains_and_exits_0() {
    let (folder, url) = (Folder::new("drain"), empty_database().await);
    let migrated = folder.longshore(&["migrate"]).env("DATABASE_URL", &url).output().expect("output");
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    folder.write("longshore.toml", &format!("[http]\nlisten = \"127.0.0.1:0\"\n{NOOP}"));
    let log = folder.0.join("log");
    let mut command = folder.longshore(&["worker"]);
    command.env("DATABASE_URL", &url).stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
    let mut worker = command.spawn().expect("a worker");
    wait_for("it works", || read(&log).contains("/metrics").then_some(()));
    signal("-TERM", worker.id());
    assert_eq!(worker.wait().expect("its end").code(), Some(0), "{}", read(&log));
    folder.assert_nothing_runs();
}

#[tokio::test]
async fn pgoptions_hold_but_where_they_contradict_what_a_session_sets_itself() {
    let folder = Folder::new("pgoptions");
    let (_, url) = with_database(&folder, "SELECT 1").await;
    folder.write("longshore.toml", &format!("[http]\nlisten = \"127.0.0.1:0\"\n{NOOP}"));
    let longshore = |arguments: &[&str], options: &str| {
        let mut command = folder.longshore(arguments);
        command.env("DATABASE_URL", &url).env("PGOPTIONS", options);
        command
    };
    // each of these would keep every statement from its end, or its tables
    let hostile =
        "-c search_path=nowhere -c statement_timeout=1 -c lock_timeout=1 -c enable_indexscan=on -c timezone=+14";
    let log = folder.0.join("log");
    let mut worker = longshore(&["worker"], hostile);
    worker.stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
    let mut worker = worker.spawn().expect("a worker");
    let inserted = longshore(&["tasks", "insert", "noop"], hostile).output().expect("output");
    let task = stdout(&inserted).trim().to_owned();
    let waited = longshore(&["tasks", "wait", &task, "--timeout", "60s"], hostile).output().expect("output");
    assert_eq!(waited.status.code(), Some(0), "{}{}{}", stderr(&inserted), stderr(&waited), read(&log));
    signal("-TERM", worker.id());
    assert_eq!(worker.wait().expect("its end").code(), Some(0), "{}", read(&log));
    let mut doctor = longshore(&["doctor", "--only", "LS114"], "-c session_replication_role=replica");
    let doctor = doctor.output().expect("output");
    assert_eq!(doctor.status.code(), Some(4), "{}", stdout(&doctor));
    assert!(stdout(&doctor).contains("session_replication_role = replica"), "{}", stdout(&doctor));
}

#[tokio::test]
async fn a_parameter_of_the_url_that_means_nothing_is_said_once_and_its_value_never() {
    let folder = Folder::new("parameter");
    let (_, url) = with_database(&folder, "SELECT 1").await;
    let url = format!("{url}{}passwrod=hunter2", if url.contains('?') { '&' } else { '?' });
    for (command, times) in [(&["tasks", "list"][..], 1), (&["doctor", "--only", "LS101"], 1), (&["top", "--once"], 0)]
    {
        let output = folder.longshore(command).env("DATABASE_URL", &url).output().expect("output");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output).matches("passwrod").count(), times, "{}", stderr(&output));
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
}
