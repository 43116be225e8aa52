//! The executors that come along: one file each, of one shape.

mod noop;

use std::sync::Arc;

pub use noop::Noop;

use crate::Executor;
use crate::config::{ActionExecutor, ConfigError};

/// The executor of an action; `None` for one that the program itself registers.
///
/// # Errors
/// What its settings say cannot be.
pub(crate) fn from_config(_name: &str, executor: &ActionExecutor) -> Result<Option<Arc<dyn Executor>>, ConfigError> {
    Ok(match executor {
        ActionExecutor::Noop => Some(Arc::new(Noop)),
        ActionExecutor::Command(_) | ActionExecutor::Http(_) => todo!(),
        ActionExecutor::Rust => None,
    })
}
