//! `longshore tasks`, a file for each command: a struct of what the command line gives, and `run`.

mod bulk;
mod explain;
mod filter;
mod insert;
mod list;
mod logs;
mod retry;
mod show;
mod terminate;
mod tree;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use longshore_queue::TaskLine;
use uuid::Uuid;

use super::block_on;
use super::database::{Database, open};
use super::exit::Exit;
use super::say::note;

/// Lists tasks, shows them, inserts them, waits for them, ends them, runs them once more.
///
/// Exits 0 done, 1 failed, 2 wrong usage or input, 3 when there is no such task, 64 bad configuration.
#[derive(Debug, Args)]
pub(crate) struct Tasks {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(list::List),
    Explain(explain::Explain),
    Tree(tree::Tree),
    Show(show::Show),
    Logs(logs::Logs),
    Insert(Box<insert::Insert>),
    Retry(retry::Retry),
    Terminate(terminate::Terminate),
    Wait(wait::Wait),
}

impl Tasks {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(async {
            let connect = self.database.connect()?;
            let mut session = open(&connect).await?;
            let exit = match self.action {
                Action::List(list) => list.run(&mut session).await?,
                Action::Explain(explain) => explain.run(&mut session).await?,
                Action::Tree(tree) => tree.run(&mut session).await?,
                Action::Show(show) => show.run(&mut session).await?,
                Action::Logs(logs) => logs.run(&mut session, &connect).await?,
                Action::Insert(insert) => insert.run(&mut session).await?,
                Action::Retry(retry) => retry.run(&mut session).await?,
                Action::Terminate(terminate) => terminate.run(&mut session).await?,
                Action::Wait(wait) => wait.run(&mut session).await?,
            };
            session.close().await;
            Ok(exit.into())
        })
    }
}

/// Says on stderr that a task is not there.
fn not_found(task: Uuid) -> Exit {
    note!("there is no task {task}: it was never inserted here, or has been pruned");
    Exit::NotFound
}

/// How a task ended, or that it has not, in one word, with the reason where there is one.
fn result(task: &TaskLine) -> String {
    match (task.result_status.as_str(), &task.result_reason) {
        ("incomplete", None) => String::new(),
        ("incomplete", Some(reason)) => format!("({reason})"),
        (result, Some(reason)) => format!("{result} ({reason})"),
        (result, None) => result.to_owned(),
    }
}

/// How long it took, to the millisecond below a second and to the second from a minute on.
fn took(task: &TaskLine) -> String {
    let Some(took) = task.took_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) else {
        return String::new();
    };
    let unit = if took < Duration::from_secs(60) { Duration::from_millis(1) } else { Duration::from_secs(1) };
    let whole = (took.as_millis() / unit.as_millis()) as u64;
    humantime::format_duration(if unit.as_secs() == 0 {
        Duration::from_millis(whole)
    } else {
        Duration::from_secs(whole)
    })
    .to_string()
}
