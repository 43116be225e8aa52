//! The binary `longshore`: reads the command line, runs the command, and says by its exit code how that went.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = cli::Arguments::parse().command;
    // a configuration that cannot be used is found here, before a port is bound or a connection opened
    command.run().unwrap_or_else(|error| {
        eprintln!("longshore: {}", cli::told(&error));
        cli::exit_of(&error).into()
    })
}
