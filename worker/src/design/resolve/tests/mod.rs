//! The resolver against real servers on the loopback.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is its assertion")]

mod addresses;
mod caching;
// makes pipes by mknod, and looks into /proc
#[cfg(target_os = "linux")]
mod files;
mod pages;
mod redirects;
mod secrets;
mod server;
mod tls;
mod tokens;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::server::{Reply, Server, ok};
use super::{Class, Lookup, Problem, Resolved, Resolver};
use crate::config::Config;
use crate::design::Reference;

/// How long anything may take that should take a moment.
const DEADLINE: Duration = Duration::from_secs(20);

/// A resolver with these keys of `[design]`, and sections behind them.
fn resolver(design: &str) -> Resolver {
    Resolver::new(&settings(design)).unwrap()
}

/// One that may connect to 127.0.0.1.
fn loopback(design: &str) -> Resolver {
    resolver(&format!("allow = ['127.0.0.1']\n{design}"))
}

fn settings(design: &str) -> crate::config::Design {
    Config::parse(&format!("[actions.a]\nexecutor = 'noop'\n[design]\n{design}"), "f").unwrap().design
}

/// A look-up that knows these names alone.
fn names(known: &'static [(&'static str, &'static [&'static str])]) -> Lookup {
    Arc::new(move |name| {
        let found = known.iter().find(|(one, _)| *one == name).map(|(_, addresses)| parsed(addresses));
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    })
}

fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

async fn resolve(resolver: &Resolver, reference: &str) -> Result<Resolved, Problem> {
    let reference = Reference::parse(reference).unwrap();
    within(resolver.resolve(&reference)).await.map_err(|error| error.problem)
}

/// The bytes as text, or the class of the error and what it says.
async fn told(resolver: &Resolver, reference: &str) -> String {
    let reference = match Reference::parse(reference) {
        Ok(reference) => reference,
        Err(error) => return format!("Permanent {error}"),
    };
    match within(resolver.resolve(&reference)).await {
        Ok(resolved) => String::from_utf8_lossy(resolved.bytes()).into_owned(),
        Err(error) => format!("{:?} {error}", error.problem.class()),
    }
}

/// What comes of the future, or a panic at the deadline.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("takes a moment, and did not end within the deadline")
}

#[test]
fn debug_shows_neither_bytes_nor_credentials() {
    let resolved = Resolved::new(b"hunter2".to_vec());
    let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    assert_eq!(format!("{resolved:?}"), format!("Resolved(7 bytes, {hash})"));
    let resolver = resolver("[design.credentials.c]\norigin = 'http://h'\ntoken = 'hunter2'");
    assert_eq!(format!("{resolver:?}"), "Resolver(1 credentials)");
}
