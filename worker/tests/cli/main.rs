//! The binary, run as a shell or an orchestrator runs it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod builds;
mod cells;
mod config;
mod demo;
mod design;
mod dev;
mod doctor;
mod doctor_server;
mod doctor_way;
mod examples;
mod migrate;
mod operation;
mod output;
mod schedules;
mod tasks;
mod tasks_list;
mod tasks_run;
mod top;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use longshore_postgres::{Options, Server};
use longshore_queue::create_database;

/// Far more than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(120);

/// The server of this test binary. Never dropped: it ends with the process, however that ends.
static SERVER: LazyLock<Server> =
    LazyLock::new(|| Server::temporary(&Options::for_tests()).expect("a private Postgres starts"));

/// The URL of a new, empty database.
async fn empty_database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("cli{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    assert!(create_database(&SERVER.url("postgres"), &name).await.expect("a database"));
    SERVER.url(&name)
}

/// A folder of a test's own, which every user can enter: its processes are known by it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        // short, since a socket's path is limited
        let path = std::env::temp_dir().join(format!("longshore-cli-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    /// The binary, in this folder, which is its folder for temporary files as well, without our own configuration.
    fn longshore(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(arguments).current_dir(&self.0).env("TMPDIR", &self.0).stdin(Stdio::null());
        for variable in ["DATABASE_URL", "LONGSHORE_CONFIG", "PGOPTIONS", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a written file");
        path
    }

    /// What still runs here: processes whose command line names the folder, or that work in it or below.
    fn processes(&self) -> Vec<String> {
        let printed = Command::new("ps").args(["-axww", "-o", "pid=,stat=,args="]).output().expect("ps").stdout;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        let here = |line: &&str| {
            let pid = line.split_whitespace().next().unwrap_or_default();
            let works_in = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            line.contains(&*self.0.to_string_lossy()) || works_in.starts_with(&self.0)
        };
        printed.lines().filter(here).map(str::to_owned).collect()
    }

    fn assert_nothing_runs(&self) {
        assert_eq!(self.processes(), Vec::<String>::new());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // a test that failed leaves no process behind
        for process in self.processes() {
            let pid = process.split_whitespace().next().unwrap_or_default();
            Command::new("kill").args(["-KILL", pid]).stderr(Stdio::null()).status().ok();
        }
        fs::remove_dir_all(&self.0).expect("the folder is removed");
    }
}

/// Looks again and again until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {BOUND:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().expect("kill").success());
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `--pg-bin` where the tests' Postgres is named.
fn pg_bin() -> Vec<String> {
    let folder = std::env::var("LONGSHORE_TEST_PG_BIN").ok();
    folder.map(|folder| vec!["--pg-bin".to_owned(), folder]).unwrap_or_default()
}

#[test]
fn an_unknown_command_exits_2() {
    let folder = Folder::new("unknown");
    // the channels of a schema have its name with something behind it
    let long = "s".repeat(44);
    let schemas = [&["migrate", "--schema", "A;B"][..], &["migrate", "--schema", &long]];
    for arguments in [&["bogus"][..], &[], &["demo", "--tasks", "1"], schemas[0], schemas[1]] {
        let output = folder.longshore(arguments).output().expect("output");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    }
    let output = folder.longshore(&["--help"]).output().expect("output");
    assert_eq!(output.status.code(), Some(0));
    assert!(!stdout(&output).contains("demo-program"), "not for people");
}
