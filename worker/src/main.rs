//! The binary `longshore`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use longshore_queue::Connect;
use longshore_worker::config::Config;
use longshore_worker::{Worker, metrics};

#[derive(Parser)]
#[command(name = "longshore", version, about = "A durable task queue and worker on Postgres")]
struct Arguments {
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, global = true)]
    config: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Applies the schema to the database
    Migrate {
        /// Print what would be applied, and apply nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Claims and executes tasks until SIGTERM
    Worker,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(64);
        }
    };
    match arguments.command {
        Command::Worker => {
            let handle = metrics::install().unwrap();
            match Worker::new(config).metrics(handle).run() {
                Ok(ended) => ExitCode::from(ended.exit_code()),
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Migrate { .. } => {
            let url = config.require_database_url().unwrap().expose().to_owned();
            let connect = Connect::new(&url, &config.schema, false).unwrap();
            let applied = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(longshore_queue::migrate(&connect));
            println!("{applied:?}");
            ExitCode::SUCCESS
        }
    }
}
