use std::sync::Arc;

use serde::Serialize;

use crate::design::finding::Finding;
use crate::design::model::{Address, Design, Documents, HostSettings, Network, Origin, Text};
use crate::design::units::{Mac, Written};

/// A design with all that follows from it.
#[derive(Debug)]
pub struct Compiled {
    /// As it was written: racks, links, profiles and boot actions are looked up here.
    pub design: Arc<Design>,
    /// In the order of their documents, without those that could not be compiled.
    pub nodes: Documents<EffectiveNode>,
    /// In the order of their documents, with the routes that follow from route domains.
    pub networks: Documents<Network>,
    /// For each boot action of the design the positions in `nodes` of those it is for, ascending.
    pub targets: Vec<Arc<[u32]>>,
    /// What could not be compiled.
    pub findings: Vec<Finding>,
}

/// A node with everything that it inherits.
#[derive(Debug, Clone, Serialize)]
pub struct EffectiveNode {
    /// As its document says.
    pub name: Text,
    /// Where its document stands.
    #[serde(skip)]
    pub origin: Origin,
    /// `<name>.<domain of the primary network>`
    pub fqdn: Text,
    /// Its own, with what it inherits.
    #[serde(flatten)]
    pub settings: HostSettings,
    /// Its addresses, at least one.
    pub addressing: Arc<[Address]>,
    /// The interface from which it boots.
    pub boot_mac: Option<Written<Mac>>,
}
