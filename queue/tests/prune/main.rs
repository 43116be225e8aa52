//! Partition upkeep and retention against a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod harness;

mod ahead;
mod compaction;
mod fence;
mod retention;
mod support;
