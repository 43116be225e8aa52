//! `longshore config`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longshore_worker::config::Config as Configuration;

use super::exit::Exit;
use super::say::{note, print as print_text, say};

/// Looks at a configuration.
///
/// Exits 0 when it can be used, 64 when it cannot.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore config check longshore.toml
  longshore config check --print | less")]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Says all that is wrong with a file, and what it names that is not there: programs, folders, files
    Check {
        /// The file; else LONGSHORE_CONFIG, else ./longshore.toml
        file: Option<PathBuf>,
        /// Prints it as it takes effect, with its defaults and without its secrets
        #[arg(long)]
        print: bool,
    },
}

impl Config {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Action::Check { file, print } = self.action;
        let file = file.as_deref();
        let config = Configuration::load(file)?;
        if print {
            print_text(&Configuration::effective(file)?)?;
        }
        config.check_environment()?;
        say_what_is_open(&config);
        if !print {
            say!("{}: can be used", Path::new(&config.source).display())?;
        }
        Ok(Exit::Done.into())
    }
}

/// What is nothing wrong with the file itself, and keeps `longshore worker` from running it here and now.
fn say_what_is_open(config: &Configuration) {
    if config.cells.is_empty() {
        note!("{} names no database, and neither does the environment", config.source);
    }
    for action in config.rust_actions() {
        note!(
            "{}: actions.{action} has executor = \"rust\": only a program that registers it runs this",
            config.source
        );
    }
}
