//! Makes the effective design: profiles inherited, hardware looked up, targets selected, routes spelt out.

mod effective;

pub use effective::{Compiled, EffectiveNode};
