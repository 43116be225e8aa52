//! The line that counts: rewritten in place on a terminal, else printed anew when a second has passed.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::cli::say::{print_as_it_is, say};

/// How often a line is printed where it cannot be rewritten.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Progress {
    since: Instant,
    /// When the last line was printed, and what it counted.
    shown: Option<(Instant, usize)>,
    total: usize,
    rewrites: bool,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        Self { since: Instant::now(), shown: None, total, rewrites: io::stdout().is_terminal() }
    }

    /// Shows how many tasks have ended.
    pub(super) fn show(&mut self, ended: usize) -> anyhow::Result<()> {
        let done = ended >= self.total;
        let due = self.shown.is_none_or(|(at, count)| count != ended && (done || at.elapsed() >= LINE_INTERVAL));
        if self.rewrites {
            print_as_it_is(&format!("\r{}\x1b[K{}", self.line(ended), if done { "\n" } else { "" }))?;
        } else if due {
            say!("{}", self.line(ended))?;
        }
        if due || done {
            self.shown = Some((Instant::now(), ended));
        }
        Ok(())
    }

    /// Whether all have ended.
    pub(super) fn is_done(&self) -> bool {
        self.shown.is_some_and(|(_, count)| count >= self.total)
    }

    fn line(&self, ended: usize) -> String {
        format!("{:4.1} s: {ended} of {} tasks have ended", self.since.elapsed().as_secs_f64(), self.total)
    }
}
