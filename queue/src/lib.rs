//! Longshore's tables, and nothing about who runs them.
mod task;
pub use task::{Outcome, ResultMessage, ResultStatus, Status, Step, Task, TaskResult};
