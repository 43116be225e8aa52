//! The test's own worker program: this binary run again, with executors in Rust that do as their payload says.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use longshore_queue::{Bubble, NewBuildData, NewTask, Outcome, ResultMessage, ResultStatus, TaskResult, Wait};
use longshore_worker::config::Config;
use longshore_worker::{Context, Execution, Executor, Stop, Worker, metrics};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::tally::Pen;

/// The variable that makes this binary the program: the tally's file.
const TALLY: &str = "LONGSHORE_FAULTS_TALLY";

/// The actions that it has executors for.
pub(crate) const ACTIONS: [&str; 8] =
    ["work", "tree", "build", "nodes", "panic", "panic_at_once", "panic_when_dropped", "block"];

pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(TALLY).is_some()
}

/// A command that runs it.
pub(crate) fn command(tally: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.env(TALLY, tally);
    command
}

pub(crate) fn run() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let pen = Arc::new(Pen::new(Path::new(&std::env::var_os(TALLY).expect("asked for"))));
    let config = Config::load(None).expect("a configuration");
    let worker = Worker::new(config)
        .metrics(metrics::install().expect("the only recorder"))
        .executor("work", Work(Arc::clone(&pen)))
        .executor("tree", tree)
        .executor("build", build)
        .executor("nodes", nodes)
        .executor("panic", panic)
        .executor("panic_at_once", panic_at_once)
        .executor("panic_when_dropped", panic_when_dropped)
        .executor("block", Block(pen));
    match worker.run() {
        Ok(ended) => ExitCode::from(ended.exit_code()),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes a while, says something, and ends as it is told.
struct Work(Arc<Pen>);

#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// How long.
    ms: u64,
    /// How many messages.
    say: u32,
    /// The attempts before this one fail.
    good_attempt: i16,
    /// Goes on for so long after it was asked to stop.
    deaf_ms: u64,
    /// Ends with its payload as output.
    echo: bool,
    /// How well it ends then.
    result: ResultStatus,
    successes: Vec<String>,
    failures: Vec<String>,
    /// Collects the results of its subtasks.
    bubble: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            ms: 0,
            say: 0,
            good_attempt: 1,
            deaf_ms: 0,
            echo: false,
            result: ResultStatus::Success,
            successes: Vec::new(),
            failures: Vec::new(),
            bubble: false,
        }
    }
}

impl Told {
    /// What a good attempt ends with.
    pub(crate) fn result(self, echo: Option<Box<RawValue>>) -> TaskResult {
        TaskResult {
            status: self.result,
            successes: self.successes,
            failures: self.failures,
            bubble: self.bubble.then(Bubble::default),
            output: echo,
            ..TaskResult::default()
        }
    }
}

impl Executor for Work {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(async move {
            let task = context.task();
            let told: Told = serde_json::from_str(task.payload.get()).unwrap_or_default();
            self.0.write("begin", task.task_id, task.attempt);
            for number in 0..told.say {
                context.message(ResultMessage::note(format!("attempt {} says {number}", task.attempt)));
            }
            let stopped = tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(told.ms)) => None,
                reason = context.stopped() => {
                    self.0.write(&format!("stop:{reason:?}"), task.task_id, task.attempt);
                    tokio::time::sleep(Duration::from_millis(told.deaf_ms)).await;
                    Some(reason)
                }
            };
            self.0.write("end", task.task_id, task.attempt);
            if stopped == Some(Stop::Shutdown) {
                return Outcome::Release;
            }
            match () {
                () if task.attempt < told.good_attempt => Outcome::retry("told", "told to fail"),
                () if told.echo => Outcome::Ended(told.result(Some(task.payload.clone()))),
                () => Outcome::Ended(told.result(None)),
            }
        })
    }
}

/// Inserts as many tasks as its payload says, each second one after the one before it, waits for them, and ends with
/// their results.
fn tree<'a>(context: &'a Context) -> Execution<'a> {
    Box::pin(async move {
        let task = context.task();
        if task.subtasks.is_some() {
            return Outcome::Ended(TaskResult { bubble: Some(Bubble::default()), ..TaskResult::default() });
        }
        let count: usize = serde_json::from_str(task.payload.get()).expect("a number");
        let mut tasks: Vec<NewTask> = Vec::new();
        for number in 0..count {
            let before = tasks.last().and_then(|before| before.task_id).filter(|_| number % 2 == 1);
            tasks.push(NewTask {
                task_id: Some(uuid::Uuid::now_v7()),
                after: before.into_iter().collect(),
                ..NewTask::new("work").payload(serde_json::json!({ "ms": 20 }))
            });
        }
        match context.insert(tasks).await {
            Ok(_) => Outcome::Suspend { wait: Wait::All, timeout: None, seen: None },
            Err(refused) => Outcome::retry("refused", refused.to_string()),
        }
    })
}

/// Records build data of the nodes that its payload names, and ends with what was said of each.
fn build<'a>(context: &'a Context) -> Execution<'a> {
    Box::pin(async move {
        let nodes: Vec<String> = serde_json::from_str(context.task().payload.get()).expect("names");
        let mut said = Vec::new();
        for node in nodes {
            let data = NewBuildData::new(node, uuid::Uuid::nil(), "rust", "text", "x".repeat(10_000_000));
            said.push(context.build_data(data).await.map_or_else(|refused| refused.to_string(), |()| "ok".to_owned()));
        }
        Outcome::success_with(serde_json::value::to_raw_value(&said).expect("a list of strings"))
    })
}

/// Ends with what it sees of its design: nodes of the whole model, names of those it is about, documents by kind.
fn nodes<'a>(context: &'a Context) -> Execution<'a> {
    Box::pin(async move {
        let model = context.model().map(|model| model.nodes.len());
        let nodes = context.nodes().map(|nodes| nodes.iter().map(|node| node.name.to_string()).collect::<Vec<_>>());
        let documents = context.documents().map(|documents| documents.nodes.len());
        let bytes = context.design().map(|design| design.bytes().len());
        let seen = serde_json::json!({ "model": model, "nodes": nodes, "documents": documents, "bytes": bytes });
        Outcome::success_with(serde_json::value::to_raw_value(&seen).expect("is JSON"))
    })
}

fn panic<'a>(_: &'a Context) -> Execution<'a> {
    Box::pin(async {
        tokio::task::yield_now().await;
        panic!("told to panic")
    })
}

fn panic_at_once<'a>(_: &'a Context) -> Execution<'a> {
    panic!("at once")
}

fn panic_when_dropped<'a>(_: &'a Context) -> Execution<'a> {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("dropped")
        }
    }
    Box::pin(async {
        let _trap = Trap;
        std::future::pending().await
    })
}

/// Blocks its thread for longer than any story takes.
struct Block(Arc<Pen>);

impl Executor for Block {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(async move {
            self.0.write("block", context.task().task_id, context.task().attempt);
            std::thread::sleep(Duration::from_secs(600));
            self.0.write("unblock", context.task().task_id, context.task().attempt);
            Outcome::success()
        })
    }
}
