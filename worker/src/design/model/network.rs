use std::net::IpAddr;

use serde::Serialize;

use super::{Labels, Origin, Text};
use crate::design::units::{Cidr, Written};

#[derive(Debug, Clone, Serialize)]
pub struct Network {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    pub cidr: Written<Cidr>,
    /// The tag; `None` for an untagged network.
    pub vlan: Option<Text>,
    /// `None` means the link's.
    pub mtu: Option<i64>,
    /// The route domain to which the network belongs.
    pub routedomain: Option<Text>,
    pub ranges: Vec<Range>,
    /// As written; in a compiled design with the routes of route domains behind them.
    pub routes: Vec<Route>,
    pub dns: Dns,
    pub dhcp_relay: Option<DhcpRelay>,
    pub labels: Labels,
}

/// Addresses from `start` to `end`, both included.
#[derive(Debug, Clone, Serialize)]
pub struct Range {
    /// `static`, `dhcp` or `reserved`; not enforced.
    #[serde(rename = "type")]
    pub kind: Option<Text>,
    pub start: Option<Written<IpAddr>>,
    pub end: Option<Written<IpAddr>>,
}

/// A route to a subnet, or to every network of a route domain.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Route {
    pub subnet: Option<Written<Cidr>>,
    pub routedomain: Option<Text>,
    pub gateway: Option<Written<IpAddr>>,
    pub metric: Option<Text>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Dns {
    /// `local` if the document names none.
    pub domain: Text,
    /// Separated by commas.
    pub servers: Option<Text>,
}

#[derive(Debug, Clone, Serialize)]
pub struct DhcpRelay {
    pub self_ip: Option<Written<IpAddr>>,
    pub upstream_target: Option<Written<IpAddr>>,
}

impl Network {
    /// The gateway of its `0.0.0.0/0` route; the first one counts.
    pub fn default_gateway(&self) -> Option<&Written<IpAddr>> {
        self.routes
            .iter()
            .find(|route| route.subnet.as_ref().is_some_and(|subnet| &*subnet.text == "0.0.0.0/0"))
            .and_then(|route| route.gateway.as_ref())
    }
}
