//! Measures what Longshore costs and how fast it is, on a private Postgres of its own. README.md beside it has the
//! commands, the figures seen and what each must reach.

mod bed;
mod cells;
mod chart;
mod cpu;
mod depth;
mod drain;
mod graphile;
mod insert;
mod latency;
mod messages;
mod report;
mod rounds;
mod space;
mod storage;
mod trees;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::bed::Bed;
use crate::report::Report;

#[derive(Parser)]
#[command(name = "longshore-benches", about = "Measures Longshore on a private Postgres")]
struct Arguments {
    /// Where the figures are appended, as JSON
    #[arg(long, global = true, default_value = "benches/results.json")]
    out: PathBuf,
    /// The binary longshore; by default the one beside this program
    #[arg(long, global = true)]
    longshore: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bare claim and complete on three designs of the table
    Storage,
    /// Pre-enqueued no-op tasks through real worker processes
    Drain(drain::Options),
    /// Rounds of tasks through one worker while another session holds a snapshot, or an uncommitted insert
    Rounds(rounds::Options),
    /// The same drain by Graphile Worker, in alternation
    Graphile(graphile::Options),
    /// From commit to start, and what an idle worker costs
    Latency(latency::Options),
    /// Lines of programs that print as fast as they can
    Messages(messages::Options),
    /// Inserts with and without the triggers
    Insert(insert::Options),
    /// What a claim costs with few and with many queued tasks
    Depth(depth::Options),
    /// Disk bytes per finished task
    Space(space::Options),
    /// Fan-out and fan-in of a tree against the same tasks without one, and the termination of a tree
    Trees(trees::Options),
    /// The drain of one database against that of several, by one worker
    Cells(cells::Options),
    /// Draws the chart of the results
    Chart {
        /// Where to
        #[arg(long, default_value = "benches/chart.svg")]
        svg: PathBuf,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,sqlx=error".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    if let Command::Chart { svg } = &arguments.command {
        return chart::draw(&arguments.out, svg);
    }
    let longshore = match arguments.longshore {
        Some(path) => path,
        None => std::env::current_exe()?.parent().context("this program lies in a folder")?.join("longshore"),
    };
    let mut bed = Bed::start(longshore)?;
    let mut report = Report::new(&arguments.out);
    match arguments.command {
        Command::Storage => storage::run(&mut bed, &mut report).await,
        Command::Drain(options) => drain::run(&mut bed, &mut report, &options).await,
        Command::Rounds(options) => rounds::run(&mut bed, &mut report, &options).await,
        Command::Graphile(options) => graphile::run(&mut bed, &mut report, &options).await,
        Command::Latency(options) => latency::run(&mut bed, &mut report, &options).await,
        Command::Messages(options) => messages::run(&mut bed, &mut report, &options).await,
        Command::Insert(options) => insert::run(&mut bed, &mut report, &options).await,
        Command::Depth(options) => depth::run(&mut bed, &mut report, &options).await,
        Command::Space(options) => space::run(&mut bed, &mut report, &options).await,
        Command::Trees(options) => trees::run(&mut bed, &mut report, &options).await,
        Command::Cells(options) => cells::run(&mut bed, &mut report, &options).await,
        Command::Chart { .. } => Ok(()),
    }
}
