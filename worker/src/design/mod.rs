//! The input documents that a task names by URI: what names them (`reference`), and how they come in (`resolve`).

pub mod reference;
pub mod resolve;

pub use reference::Reference;
pub use resolve::{ResolveError, Resolved, Resolver};
