//! The executors that come along: one file each, of one shape.
//!
//! `command` and `http` speak one language, that of `protocol`: they send a task as JSON ([`TASK_SCHEMA`]) and hear
//! messages and a result ([`OUTPUT_SCHEMA`]).

pub mod command;
pub mod http;
mod json;
mod noop;
mod protocol;

pub use noop::Noop;

/// JSON Schema of what `command` writes to a program's stdin and `http` posts.
pub const TASK_SCHEMA: &str = include_str!("../../schemas/task.json");

/// JSON Schema of what a program may print as a line, with `stdout = "jsonl"`, and an endpoint may answer.
pub const OUTPUT_SCHEMA: &str = include_str!("../../schemas/output.json");
