//! The executors that come along: one file each, of one shape.

mod noop;

pub use noop::Noop;
