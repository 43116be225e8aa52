//! Design documents: from bytes to effective nodes.
//!
//! `ingest` reads a stream of documents (`yaml` splits it into value trees, `schema` holds each against the schema of
//! its kind) into the typed `model`; `compile` makes the effective design out of it; `filter` selects nodes.
//! Nothing here does I/O, and nothing stops at the first thing wrong: what is found is a `finding`.

pub mod compile;
pub mod filter;
pub mod finding;
pub mod ingest;
pub mod model;
pub mod schema;
pub mod units;
mod yaml;
