//! The executors that come along: one file each, of one shape.
//!
//! `command` and `http` speak one language, that of `protocol`: they send a task as JSON ([`TASK_SCHEMA`]) and hear
//! messages and a result ([`OUTPUT_SCHEMA`]).

pub mod command;
pub mod http;
mod input;
mod json;
mod noop;
mod protocol;
mod validate_design;

use std::fmt::Display;
use std::sync::Arc;

pub use command::Command;
pub use http::Http;
pub use noop::Noop;
pub use validate_design::ValidateDesign;

pub(crate) use validate_design::messages as finding_messages;

use crate::Executor;
use crate::config::{ActionExecutor, ConfigError};
use crate::design::readings::Readings;

/// JSON Schema of what `command` writes to a program's stdin and `http` posts.
pub const TASK_SCHEMA: &str = include_str!("../../schemas/task.json");

/// JSON Schema of what a program may print as a line, with `stdout = "jsonl"`, and an endpoint may answer.
pub const OUTPUT_SCHEMA: &str = include_str!("../../schemas/output.json");

/// The executor of an action; `None` for one that the program itself registers.
///
/// # Errors
/// What its settings say cannot be.
pub(crate) fn from_config(
    name: &str,
    executor: &ActionExecutor,
    readings: &Arc<Readings>,
) -> Result<Option<Arc<dyn Executor>>, ConfigError> {
    fn refused(name: &str, error: impl Display) -> ConfigError {
        ConfigError::new(&format!("actions.{name}"), error)
    }
    Ok(match executor {
        ActionExecutor::Noop => Some(Arc::new(Noop)),
        ActionExecutor::Command(settings) => {
            Some(Arc::new(Command::new(settings.clone()).map_err(|error| refused(name, error))?))
        }
        ActionExecutor::Http(settings) => Some(Arc::new(Http::new(settings).map_err(|error| refused(name, error))?)),
        ActionExecutor::ValidateDesign => Some(Arc::new(ValidateDesign::sharing(Arc::clone(readings)))),
        ActionExecutor::Rust => None,
    })
}
