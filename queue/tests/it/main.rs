//! The queue on a real Postgres: one story a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod contract;
mod life;
mod migrate;
mod refusals;
mod roles;
mod steps;
mod summary;
mod unique;
