//! What a person names on the command line, as bytes.

use std::path::Path;

use longshore_worker::config;
use longshore_worker::design::{Reference, Resolved, Resolver};

/// The streams that make up a design.
pub(super) struct Inputs {
    /// What each is called in findings, without its secrets.
    names: Vec<String>,
    streams: Vec<Resolved>,
}

impl Inputs {
    /// Gets everything, in the order in which it is named; the problem of the first that there is none of.
    ///
    /// # Errors
    /// A bad configuration.
    pub(super) async fn load(file: Option<&Path>, named: &[String]) -> anyhow::Result<Result<Inputs, String>> {
        let resolver = Resolver::new(&config::Design::load(file)?)?;
        let mut inputs = Inputs { names: Vec::new(), streams: Vec::new() };
        for name in named {
            match resolver.resolve_local_or_ref(name).await {
                Ok(stream) => inputs.streams.push(stream),
                Err(error) => return Ok(Err(error.to_string())),
            }
            inputs.names.push(Reference::parse(name).map_or_else(|_| name.clone(), |parsed| parsed.to_string()));
        }
        Ok(Ok(inputs))
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.streams.iter().map(Resolved::bytes)
    }

    /// What a finding's input is called.
    pub(super) fn name(&self, input: u32) -> &str {
        self.names.get(input as usize).map_or("", |name| name)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}
