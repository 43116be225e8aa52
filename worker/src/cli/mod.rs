//! The commands, one file each: a struct of what the command line gives, and `run`.
//!
//! They end with the codes of [`exit`].

mod builds;
mod completions;
mod config;
mod confirm;
mod database;
mod demo;
mod design;
mod dev;
mod exit;
mod migrate;
mod queues;
mod schedules;
mod table;
mod tasks;
mod top;
mod values;
mod worker;
mod workers;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use longshore_worker::StartError;
use longshore_worker::config::ConfigError;
use tracing_subscriber::EnvFilter;

use exit::{BadInput, Exit};
use table::table;

/// What is logged unless RUST_LOG says otherwise; the name is the beginning of all our crates' names.
const LOG_DEFAULT: &str = "warn,longshore=info";

#[derive(Debug, Parser)]
#[command(name = "longshore", version, about = "A durable task queue and worker on Postgres")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Migrate(migrate::Migrate),
    Worker(worker::Worker),
    Dev(dev::Dev),
    Demo(demo::Demo),
    Tasks(tasks::Tasks),
    Queues(queues::Queues),
    Workers(workers::Workers),
    Top(top::Top),
    Schedules(schedules::Schedules),
    Builds(builds::Builds),
    Design(design::Design),
    Config(config::Config),
    Completions(completions::Completions),
    #[command(hide = true)]
    DemoProgram(demo::Program),
}

impl Command {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// To be told to people by [`told`], and to the parent process by [`exit_of`].
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Migrate(migrate) => migrate.run(),
            Self::Worker(worker) => worker.run(),
            Self::Dev(dev) => dev.run(),
            Self::Demo(demo) => demo.run(),
            Self::Tasks(tasks) => tasks.run(),
            Self::Queues(queues) => queues.run(),
            Self::Workers(workers) => workers.run(),
            Self::Top(top) => top.run(),
            Self::Schedules(schedules) => schedules.run(),
            Self::Builds(builds) => builds.run(),
            Self::Design(design) => design.run(),
            Self::Config(config) => config.run(),
            Self::Completions(completions) => completions.run(),
            Self::DemoProgram(program) => program.run(),
        }
    }
}

/// Writes logs to stderr, as RUST_LOG says.
///
/// # Errors
/// A [`ConfigError`] when that cannot be read.
pub(crate) fn log_to_stderr() -> anyhow::Result<()> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(LOG_DEFAULT)).map_err(|error| {
        ConfigError::new("RUST_LOG", format!("must be directives such as {LOG_DEFAULT:?}: {error}"))
    })?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ansi = io::stderr().is_terminal() && !plain;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(ansi).init();
    Ok(())
}

/// The error and its causes on one line, with the remedy where one is known; a cause that the text before it ends with is
/// not told twice.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let remedy = error.downcast_ref().and_then(longshore_queue::Error::remedy);
    let told = error.chain().map(ToString::to_string).fold(String::new(), |mut told, cause| {
        if !told.ends_with(&cause) {
            if !told.is_empty() {
                told.push_str(": ");
            }
            told.push_str(&cause);
        }
        told
    });
    remedy.map_or(told.clone(), |remedy| format!("{told}: {remedy}"))
}

/// How a command ends that ended with this error.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    // classes of SQLSTATE: a value that the database does not understand, or refuses
    let refused = |error: &longshore_queue::Error| {
        error.sqlstate().is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
    };
    if error.is::<BadInput>() || error.downcast_ref().is_some_and(refused) {
        Exit::Usage
    } else if error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_))) {
        Exit::BadConfiguration
    } else {
        Exit::Failed
    }
}

/// Runs one command's asynchronous part on this thread.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_cause_that_its_error_repeats_is_told_once() {
        let error = anyhow::anyhow!("refused").context("database: refused").context("cannot start");
        assert_eq!(told(&error), "cannot start: database: refused");
    }

    #[test]
    fn a_bad_configuration_exits_64_bad_input_2_and_all_else_1() {
        let bad = || ConfigError::new("file", "is empty");
        let code = |error: anyhow::Error| exit_of(&error).code();
        assert_eq!(code(bad().into()), 64);
        assert_eq!(code(StartError::from(bad()).into()), 64);
        assert_eq!(code(BadInput("no JSON".to_owned()).into()), 2);
        assert_eq!(code(anyhow::anyhow!("else")), 1);
    }
}
