//! Partition upkeep and retention against a real Postgres.
#![allow(clippy::unwrap_used, missing_docs)]

mod ahead;
mod compaction;
mod fence;
mod retention;
mod support;
