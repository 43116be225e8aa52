//! The worker: claims tasks, runs their executors, records what comes of it.

mod executor;
pub mod executors;

pub use executor::{Context, Execution, Executor, Stop};
