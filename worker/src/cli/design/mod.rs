//! `longshore design`.

mod check;
mod load;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use longshore_worker::design::compile::Compiled;
use longshore_worker::design::filter::NodeFilter;
use longshore_worker::design::finding::Tally;
use longshore_worker::design::ingest::Status;
use longshore_worker::design::reading::Reading;
use longshore_worker::design::rules::Platforms;

use self::check::Form;
use self::load::Inputs;
use super::block_on;
use super::exit::{BadInput, Exit};
use super::say::note;

/// Checks design documents, or shows what becomes of them.
///
/// REF is a design reference (file, http, https, deckhand+http, deckhand+https, promenade+http or promenade+https) or a
/// path on this host. Several make up one design. The section [design] of the configuration says which addresses may
/// be asked, and as whom.
///
/// Exits 0 when nothing is an error, 1 when something is, 2 when the input cannot be read or parsed, 64 bad
/// configuration.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Design {
    #[command(subcommand)]
    action: Action,
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml, else defaults
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  longshore design check site.yaml
  longshore design check --json deckhand+https://deckhand:9000/api/v1.0/revisions/5/rendered-documents
  longshore design show site.yaml > compiled.json
  longshore design nodes site.yaml --filter '{\"filter_set_type\": \"union\", \"filter_set\":
      [{\"filter_type\": \"union\", \"rack_names\": [\"rack01\"]}]}'";

#[derive(Debug, Subcommand)]
enum Action {
    /// Says what is wrong with a design, where, and what to do about it
    Check {
        /// References or paths
        #[arg(required = true, value_name = "REF")]
        references: Vec<String>,
        /// As one JSON object: `findings`, and `models`, which counts documents by kind
        #[arg(long)]
        json: bool,
        /// As the status document of the provisioner's validation
        #[arg(long, conflicts_with = "json")]
        status: bool,
        /// Tells also which rules found no error
        #[arg(long, short)]
        verbose: bool,
        /// Checks images and kernels against this JSON object, which has a list of kernels for each image
        #[arg(long, value_name = "FILE")]
        images: Option<PathBuf>,
    },
    /// Prints the compiled design as JSON: the same text for the same documents
    Show {
        /// References or paths
        #[arg(required = true, value_name = "REF")]
        references: Vec<String>,
    },
    /// Prints the names of the nodes that a filter selects, one a line
    Nodes {
        /// References or paths
        #[arg(required = true, value_name = "REF")]
        references: Vec<String>,
        /// The filter as JSON, or @FILE; without it all nodes
        #[arg(long)]
        filter: Option<String>,
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
}

impl Design {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_deref();
        match self.action {
            Action::Check { references, json, status, verbose, images } => {
                let form = match (json, status) {
                    (true, _) => Form::Json,
                    (_, true) => Form::Status,
                    _ => Form::People { verbose },
                };
                let platforms = images.map(platforms).transpose().map_err(BadInput)?;
                let inputs = block_on(Inputs::load(config, &references))?.map_err(BadInput)?;
                check::check(&inputs, form, platforms.as_ref())
            }
            Action::Show { references } => {
                let inputs = block_on(Inputs::load(config, &references))?.map_err(BadInput)?;
                with_compiled(&inputs, |compiled| {
                    let mut out = BufWriter::new(io::stdout());
                    serde_json::to_writer_pretty(&mut out, compiled)?;
                    writeln!(out)?;
                    Ok(out.flush()?)
                })
            }
            Action::Nodes { references, filter, json } => {
                // first, since it is sooner mended than a design is read
                let filter = filter.as_deref().map(node_filter).transpose().map_err(BadInput)?.flatten();
                let inputs = block_on(Inputs::load(config, &references))?.map_err(BadInput)?;
                with_compiled(&inputs, |compiled| nodes(compiled, filter.as_ref(), json))
            }
        }
    }
}

/// Compiles a design and does something with it, if nothing in the way is an error; what is found goes to stderr.
fn with_compiled(inputs: &Inputs, act: impl FnOnce(&Compiled) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let reading = Reading::of_all(inputs.bytes());
    check::print(&mut io::stderr().lock(), inputs, reading.findings(), false)?;
    let tally = Tally::of(reading.findings());
    match reading.compiled.as_ref().filter(|_| tally.errors == 0) {
        Some(compiled) => act(compiled).map(|()| Exit::Done.into()),
        None if reading.status == Status::Unreadable => Ok(Exit::Usage.into()),
        None => {
            note!("the design is not compiled, for {tally}");
            Ok(Exit::Failed.into())
        }
    }
}

fn nodes(compiled: &Compiled, filter: Option<&NodeFilter>, json: bool) -> anyhow::Result<()> {
    let selected = compiled.select(filter)?;
    let names: Vec<&str> = selected.iter().map(|index| &*compiled.nodes[*index as usize].name).collect();
    let mut out = BufWriter::new(io::stdout());
    if json {
        serde_json::to_writer(&mut out, &names)?;
        writeln!(out)?;
    } else {
        for name in names {
            writeln!(out, "{}", check::visible(name))?;
        }
    }
    Ok(out.flush()?)
}

/// The filter, from the text itself or from `@FILE`; `None` is all nodes.
fn node_filter(text: &str) -> Result<Option<NodeFilter>, String> {
    let read = match text.strip_prefix('@') {
        Some(file) => {
            &fs::read_to_string(file).map_err(|error| format!("the filter {file} cannot be read: {error}"))?
        }
        None => text,
    };
    let value = serde_json::from_str(read).map_err(|error| format!("--filter must be JSON, or @FILE: {error}"))?;
    NodeFilter::from_json(&value).map_err(|error| format!("--filter: {error}"))
}

fn platforms(file: PathBuf) -> Result<Platforms, String> {
    let of = |error: &dyn std::fmt::Display| format!("the images {}: {error}", file.display());
    let text = fs::read_to_string(&file).map_err(|error| of(&error))?;
    Platforms::from_json(&text).map_err(|error| of(&error))
}
