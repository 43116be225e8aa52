//! `longshore worker`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use longshore_worker::config::Config;
use longshore_worker::{log, metrics};

/// Claims and executes tasks until SIGTERM or SIGINT, then lets what runs end; a second signal gives it back at once.
///
/// DATABASE_URL wins over the configuration's. What the URL leaves out comes from PGHOST and the like, as with psql,
/// and settings in PGOPTIONS hold for its sessions, but for those that the worker makes itself, such as search_path.
///
/// Exits 0 when all it had claimed is done, 10 when something was given back, 11 when something was left to its
/// lease, 1 when it failed, 2 wrong usage, 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore worker --config longshore.toml
  RUST_LOG=warn,longshore=debug longshore worker")]
pub(crate) struct Worker {
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Worker {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = Config::load(self.config.as_deref())?;
        config.databases()?;
        let _log = log::start(config.log)?;
        let metrics = metrics::install()?;
        let ended = longshore_worker::Worker::new(config).metrics(metrics).run()?;
        Ok(ExitCode::from(ended.exit_code()))
    }
}
