//! The binary `longshore`: reads the command line, runs the command, and says by its exit code how that went.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let command = cli::Arguments::parse().command;
    // a configuration that cannot be used is found here, before a port is bound or a connection opened
    command.run().unwrap_or_else(|error| {
        let exit = cli::exit_of(&error);
        // whoever reads no further does not want to hear of that
        if exit != cli::Exit::NotRead {
            cli::noted(format_args!("{}", cli::told(&error)));
        }
        exit.into()
    })
}
