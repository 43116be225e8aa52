//! The queue on a real Postgres: one story a test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod build_data;
mod cells;
mod contract;
mod demand;
mod designs;
mod distributed;
mod documents;
mod examine;
mod figures;
mod follow;
mod gauges;
mod leader;
mod life;
mod messages;
mod migrate;
mod pauses;
mod refusals;
mod rescue;
mod retry;
mod roles;
mod schedule_refusals;
mod schedules;
mod steps;
mod summary;
mod terminate;
mod tidy;
mod trace;
mod tree_figures;
mod tree_insert;
mod tree_life;
mod tree_property;
mod tree_race;
mod tree_results;
mod tree_termination;
mod unique;
