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
mod doctor;
mod exit;
mod health;
mod migrate;
mod queues;
mod say;
mod schedules;
mod table;
mod tasks;
mod top;
mod values;
mod worker;
mod workers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use longshore_worker::StartError;
use longshore_worker::config::{ConfigError, LogFormat};
use longshore_worker::log::{self, Log};

use exit::BadInput;
pub(crate) use exit::Exit;
pub(crate) use say::noted;
use table::table;

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
    Doctor(doctor::Doctor),
    Health(health::Health),
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
        let _log: Option<Log> = match self {
            // their configuration says how
            Self::Worker(_) | Self::Dev(_) => None,
            // it would write where that draws
            Self::Top(_) => None,
            _ => Some(log::start(LogFormat::Text)?),
        };
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
            Self::Doctor(doctor) => doctor.run(),
            Self::Health(health) => health.run(),
            Self::Config(config) => config.run(),
            Self::Completions(completions) => completions.run(),
            Self::DemoProgram(program) => program.run(),
        }
    }
}

/// The error and its causes on one line, with the remedy where one is known; a cause that the text before it ends with
/// is not told twice.
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
    if say::is_reader_gone(error) {
        Exit::NotRead
    } else if error.is::<BadInput>() || error.downcast_ref().is_some_and(refused) {
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
