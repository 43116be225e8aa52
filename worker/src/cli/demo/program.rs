//! The command that some of the demo's tasks run: this very binary, so that it is wherever the demo is.

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::cli::exit::Exit;

/// Names the worker to the program; names that begin with LONGSHORE_ are the executor's.
pub(super) const WORKER_VARIABLE: &str = "DEMO_WORKER";

/// How long a program holds a task whose worker is to be killed; it is killed with it.
const HOLD: Duration = Duration::from_secs(60);

/// What a task of the demo does; reads the task on stdin.
#[derive(Debug, Args)]
pub(crate) struct Program {
    deed: Deed,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Deed {
    /// Succeeds.
    Succeed,
    /// Fails at its first attempt.
    FailOnce,
    /// Fails at every attempt.
    Fail,
    /// Takes long at its first attempt.
    HoldOnce,
}

/// What it needs of the task.
#[derive(Debug, Deserialize)]
struct Task {
    attempt: u16,
}

impl Program {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Task { attempt } = serde_json::from_reader(io::stdin())?;
        let worker = std::env::var(WORKER_VARIABLE).unwrap_or_default();
        println!("attempt {attempt} by {worker}");
        match (self.deed, attempt) {
            (Deed::FailOnce, 1) | (Deed::Fail, _) => {
                eprintln!("as planned");
                return Ok(Exit::Failed.into());
            }
            (Deed::HoldOnce, 1) => thread::sleep(HOLD),
            _ => {}
        }
        Ok(Exit::Done.into())
    }
}
