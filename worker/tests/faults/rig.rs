//! A database, a folder, and the worker processes of one story.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longshore_postgres::{Options, Server, Signal};
use longshore_queue::{Connect, NewTask, insert_many, migrate};
use rustix::process::{Pid, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::audit;
use crate::program;
use crate::support::{Database, PATIENCE, database};

/// How often a condition outside the database is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The binary that is tested.
pub(crate) const LONGSHORE: &str = env!("CARGO_BIN_EXE_longshore");

/// What a story runs on; its folder goes with it.
pub(crate) struct Rig {
    pub(crate) database: Database,
    folder: PathBuf,
}

/// How a worker is configured.
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// Instead of the database's own URL.
    pub(crate) url: Option<String>,
    /// Names and URLs of cells, instead of one database.
    pub(crate) cells: Vec<(&'static str, String)>,
    /// The binary `longshore`, instead of the test's program with its executors in Rust.
    pub(crate) binary: bool,
    /// Another one, such as that of an earlier release.
    pub(crate) other_binary: Option<PathBuf>,
    pub(crate) concurrency: u32,
    /// Further top-level keys.
    pub(crate) top: String,
    /// Further keys of `[worker]`.
    pub(crate) worker: String,
    /// Further sections.
    pub(crate) sections: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            name: "worker",
            url: None,
            cells: Vec::new(),
            binary: false,
            other_binary: None,
            concurrency: 16,
            top: String::new(),
            worker: String::new(),
            sections: String::new(),
        }
    }
}

/// A process of a story; it ends with this value.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    /// On the server that all stories share.
    pub(crate) async fn new() -> Self {
        Self::with(database().await).await
    }

    /// On a server of the story's own.
    pub(crate) async fn on(server: &Server) -> Self {
        let url = server.url("postgres");
        let connect = Connect::new(&url, "public", false).unwrap();
        migrate(&connect).await.unwrap();
        Self::with(Database { tcp_url: server.tcp_url("postgres").unwrap(), connect, url }).await
    }

    /// On a database that has the tables already.
    pub(crate) async fn with(database: Database) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("longshore-faults-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        audit::install(&database).await;
        Self { database, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a worker.
    pub(crate) fn start(&self, setup: Setup) -> Process {
        Process::start(setup.name, self.command(setup))
    }

    /// Starts a worker that logs to somebody else.
    pub(crate) fn start_logging_to(&self, setup: Setup, stderr: Stdio) -> Process {
        let (name, mut command) = (setup.name, self.command(setup));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().expect("a process");
        Process { name, child, lines: Arc::default() }
    }

    /// The command of a worker.
    fn command(&self, setup: Setup) -> Command {
        let Setup { name, url, cells, binary, other_binary, concurrency, top, worker, sections } = setup;
        let mut toml = format!(
            "{top}\n[http]\nlisten = \"127.0.0.1:0\"\n[worker]\nname = \"{name}\"\n{worker}\n\
             [queues.default]\nconcurrency = {concurrency}\n[actions.noop]\nexecutor = \"noop\"\n"
        );
        let actions: &[&str] = if binary { &[] } else { &program::ACTIONS };
        for action in actions {
            // failed attempts come back at once
            let retry = "{ base = \"0s\", factor = 1.0, max = \"1s\" }";
            writeln!(toml, "[actions.{action}]\nexecutor = \"rust\"\nretry = {retry}").unwrap();
        }
        toml.push_str(&sections);
        let config = self.path(&format!("{name}.toml"));
        std::fs::write(&config, toml).unwrap();
        let mut command = if binary {
            let mut command = Command::new(other_binary.unwrap_or_else(|| LONGSHORE.into()));
            command.arg("worker");
            command
        } else {
            program::command(&self.path("tally"))
        };
        let variables: Vec<(String, String)> = match cells.is_empty() {
            true => vec![("DATABASE_URL".to_owned(), url.unwrap_or_else(|| self.database.url.clone()))],
            false => cells
                .iter()
                .map(|(cell, url)| (format!("LONGSHORE_CELL_{}", cell.to_uppercase()), url.clone()))
                .collect(),
        };
        command
            .env_remove("DATABASE_URL")
            .envs(variables)
            .env("LONGSHORE_CONFIG", config)
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            // what every process below it inherits, and nobody else has
            .env("HOME", &self.folder);
        command
    }

    /// The workers of this story that still run, and what they have started, as far as it shows its environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("HOME={}", self.folder.display());
        let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        entries
            .filter(|entry| {
                let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            })
            .map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " "))
            .collect()
    }

    /// Inserts tasks as a producer does, and returns the ids that were acknowledged.
    pub(crate) async fn insert(&self, action: &str, payloads: impl IntoIterator<Item = Value>) -> Vec<Uuid> {
        let tasks: Vec<NewTask> = payloads.into_iter().map(|payload| NewTask::new(action).payload(payload)).collect();
        insert_many(&mut self.database.conn().await, &tasks).await.unwrap()
    }

    /// Tasks of the action `work` that take this long.
    pub(crate) async fn insert_work(&self, count: usize, ms: u64) -> Vec<Uuid> {
        self.insert("work", (0..count).map(|_| json!({ "ms": ms }))).await
    }

    /// Waits until these tasks, and all others, have ended.
    pub(crate) async fn all_end(&self) {
        self.database
            .until("SELECT NOT EXISTS (SELECT FROM tasks WHERE status NOT IN ('complete', 'terminated'))")
            .await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Process {
    pub(crate) fn start(name: &'static str, mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().expect("its standard error"));
        let into = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                into.lock().unwrap().push(line);
            }
        });
        Self { name, child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually(&format!("{} ends", self.name), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// The lines it has logged that hold this text.
    pub(crate) fn said(&self, text: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Waits for a line with this text.
    pub(crate) async fn says(&self, text: &str) -> String {
        eventually(&format!("{} says {text:?}", self.name), || !self.said(text).is_empty()).await;
        self.said(text).swap_remove(0)
    }

    /// Waits until it works.
    pub(crate) async fn works(&self) {
        self.says(" working").await;
    }

    /// Asks its HTTP server: the status, and what it answers.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let line = self.says("metrics=http://").await;
        let address = line.split("metrics=http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let lines = self.lines.lock().unwrap();
            eprintln!("--- {} said last:\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A server of a story's own.
pub(crate) fn own_server(settings: &[(&str, &str)]) -> Server {
    let mut options = Options::for_tests();
    options.tcp = true;
    options.settings.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Server::temporary(&options).expect("a private Postgres starts")
}

/// Looks again and again until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        tokio::time::sleep(LOOK).await;
    }
}
