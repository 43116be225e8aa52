//! The worker: claims tasks, runs their executors, records what comes of it.
//!
//! The way of a task through a worker: `claimer` takes a batch of its `lane`, from where `resume` says; each becomes an
//! `attempt`, which runs its executor in one of the `slots`; `settler` writes what comes of it, as its `verdict` says.
//! Beside it `pulse` says that the worker lives, `watcher` looks after what runs, `listener` hears of inserts, and on
//! one worker of the fleet `scheduler` keeps house.

mod action;
mod attempt;
pub mod backoff;
mod cell;
mod claimer;
pub mod config;
mod delivery;
pub mod design;
mod executor;
pub mod executors;
mod fleet;
mod health;
mod journal;
mod lane;
mod link;
mod listener;
pub mod log;
pub mod metrics;
mod pulse;
mod resume;
mod scheduler;
mod secret;
mod settler;
mod slots;
mod ticker;
mod timing;
mod tls;
mod trace;
mod verdict;
mod watcher;
mod worker;

pub use executor::{BuildDataRefused, Context, Execution, Executor, SUBTASKS_MAX, Stop, SubtasksRefused};
pub use secret::Secret;
pub use trace::TraceContext;
pub use worker::{Ended, Shutdown, StartError, Worker};
