//! Does nothing, successfully: for trying out, and for measuring everything but the work.

use longshore_queue::Outcome;

use crate::{Context, Execution, Executor};

/// Ends every task in success at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Noop;

impl Executor for Noop {
    fn execute<'a>(&'a self, _context: &'a Context) -> Execution<'a> {
        Box::pin(std::future::ready(Outcome::success()))
    }
}
