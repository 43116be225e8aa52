//! The input documents that a task names by URI: from a reference to bytes to effective nodes to what is wrong with
//! them.
//!
//! What names them is a `reference`, and `resolve` brings them in. From there on nothing does I/O, and nothing stops at
//! the first thing wrong: what is found is a `finding`. `ingest` reads a stream of documents (`yaml` splits it into
//! value trees, `schema` holds each against the schema of its kind) into the typed `model`; `compile` makes the
//! effective design out of it; `filter` selects nodes; `rules` look for mistakes. A `reading` does all of it, and
//! `status` is what clients of the provisioner's validation read.

pub mod compile;
pub mod delivered;
pub mod filter;
pub mod finding;
pub mod ingest;
pub mod model;
pub mod reading;
pub(crate) mod readings;
pub mod reference;
pub mod resolve;
pub mod rules;
pub mod schema;
pub mod status;
pub mod units;
mod yaml;

pub use reference::Reference;
pub use resolve::{ResolveError, Resolved, Resolver};
