use std::net::IpAddr;

use serde::Serialize;
use url::Url;

use super::{Labels, Origin, Text};
use crate::design::units::Written;

#[derive(Debug, Clone, Serialize)]
pub struct Rack {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    pub tor_switches: Vec<TorSwitch>,
    /// `clli`, `grid` and any other key.
    pub location: Labels,
    /// Names of the networks that are local to the rack.
    pub local_networks: Vec<Text>,
}

/// A top-of-rack switch.
#[derive(Debug, Clone, Serialize)]
pub struct TorSwitch {
    pub name: Text,
    pub mgmt_ip: Option<Written<IpAddr>>,
    pub sdn_api_uri: Option<Written<Url>>,
}
