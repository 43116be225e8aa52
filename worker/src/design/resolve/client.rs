//! Two HTTP clients: one connects to listed origins, wherever they are, the other to checked addresses alone.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, redirect};
use url::{Host, Url};

use super::address::{Allowed, Network, Origin, is_global};
use super::error::Problem;
use crate::executors::http::causes;

/// How a name is looked up; the system's way unless a program brings its own.
pub type Lookup = Arc<dyn Fn(String) -> Looking + Send + Sync>;

/// The addresses of a name, to be.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks a name up as every program of this host does.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// The clients, and which of them a URL gets.
pub(super) struct Clients {
    networks: Vec<Network>,
    origins: Vec<Origin>,
    checked: Client,
    listed: Client,
}

impl Clients {
    pub(super) fn new(
        allow: &[Allowed],
        connect_timeout: Duration,
        ca: &[Certificate],
        lookup: &Lookup,
    ) -> Result<Self, String> {
        let (mut networks, mut origins) = (Vec::new(), Vec::new());
        for one in allow {
            match one {
                Allowed::Network(network) => networks.push(*network),
                Allowed::Origin(origin) => origins.push(origin.clone()),
            }
        }
        let client = |networks: Option<Vec<Network>>| {
            let names = Names { networks, lookup: Arc::clone(lookup) };
            Client::builder()
                .connect_timeout(connect_timeout)
                // each hop is looked at before it is taken
                .redirect(redirect::Policy::none())
                // a proxy would connect to addresses that nobody checks
                .no_proxy()
                .referer(false)
                .dns_resolver(names)
                .tls_certs_merge(ca.iter().cloned())
                .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(causes)
        };
        Ok(Self { checked: client(Some(networks.clone()))?, listed: client(None)?, networks, origins })
    }

    /// The client that may connect to where this URL is.
    pub(super) fn of(&self, url: &Url) -> Result<&Client, Problem> {
        if self.origins.contains(&Origin::of(url)) {
            return Ok(&self.listed);
        }
        // an address in the URL is connected to without a look-up
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        match literal.filter(|address| !may_connect(*address, &self.networks)) {
            Some(address) => Err(Forbidden { host: address.to_string(), address }.into()),
            None => Ok(&self.checked),
        }
    }

    /// For a URL of the configuration.
    pub(super) fn listed(&self) -> &Client {
        &self.listed
    }
}

fn may_connect(address: IpAddr, networks: &[Network]) -> bool {
    is_global(address) || networks.iter().any(|network| network.holds(address))
}

/// Looks names up for a client, and leaves out what it may not connect to: what is returned is what is connected to, so
/// that an answer that changes later changes nothing.
struct Names {
    /// Networks that are allowed beside the Internet; `None`: all.
    networks: Option<Vec<Network>>,
    lookup: Lookup,
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let looking = (self.lookup)(host.clone());
        let networks = self.networks.clone();
        Box::pin(async move {
            let found = match looking.await {
                Ok(found) => found,
                Err(error) => return Err(Unresolved { host, why: error.to_string() }.into()),
            };
            let first = found.first().copied();
            let may = |address: &IpAddr| networks.as_ref().is_none_or(|networks| may_connect(*address, networks));
            let allowed: Vec<SocketAddr> = found.into_iter().filter(may).map(|ip| SocketAddr::new(ip, 0)).collect();
            match first {
                None => Err(Unresolved { host, why: "it has none".to_owned() }.into()),
                Some(address) if allowed.is_empty() => Err(Forbidden { host, address }.into()),
                Some(_) => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Every address of a host is out of bounds.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{host} is at {address}, which is out of bounds")]
struct Forbidden {
    host: String,
    address: IpAddr,
}

/// A host has no address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no address for {host}: {why}")]
struct Unresolved {
    host: String,
    why: String,
}

impl From<Forbidden> for Problem {
    fn from(Forbidden { host, address }: Forbidden) -> Self {
        Self::Forbidden { host, address }
    }
}

/// What was in the way of an answer.
pub(super) fn unanswered(error: reqwest::Error) -> Problem {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return forbidden.clone().into();
        }
        if let Some(Unresolved { host, why }) = error.downcast_ref() {
            return Problem::Unresolved { host: host.clone(), why: why.clone() };
        }
        cause = error.source();
    }
    if error.is_connect() { Problem::Connect(causes(error)) } else { Problem::BrokeOff(causes(error)) }
}
