//! `longshore completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::Arguments;
use super::exit::Exit;
use super::say::print_as_it_is;

/// Prints what completes the command line in a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore completions bash > /etc/bash_completion.d/longshore
  longshore completions zsh > \"${fpath[1]}/_longshore\"
  longshore completions fish > ~/.config/fish/completions/longshore.fish")]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "longshore", &mut script);
        print_as_it_is(&String::from_utf8(script)?)?;
        Ok(Exit::Done.into())
    }
}
