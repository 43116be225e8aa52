use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use serde::{Serialize, Serializer};

use super::{
    BaremetalNode, BootAction, Document, HardwareProfile, HostProfile, Kind, Network, NetworkLink, PromenadeConfig,
    Rack, Region, Text,
};

/// Everything that was ingested, by kind, each kind in the order of its documents.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Design {
    /// The last Region of the design: a later one takes the place of an earlier one.
    pub site: Option<Region>,
    pub racks: Documents<Rack>,
    pub networks: Documents<Network>,
    pub network_links: Documents<NetworkLink>,
    pub hardware_profiles: Documents<HardwareProfile>,
    pub host_profiles: Documents<HostProfile>,
    pub nodes: Documents<BaremetalNode>,
    pub boot_actions: Documents<BootAction>,
    pub promenade_configs: Documents<PromenadeConfig>,
}

/// A document of any kind.
#[derive(Debug, Clone)]
pub enum AnyDocument {
    Region(Region),
    Rack(Rack),
    Network(Network),
    NetworkLink(NetworkLink),
    HardwareProfile(HardwareProfile),
    HostProfile(HostProfile),
    BaremetalNode(BaremetalNode),
    BootAction(BootAction),
    PromenadeConfig(PromenadeConfig),
}

impl Design {
    /// Adds a document behind those of its kind.
    pub fn add(&mut self, document: AnyDocument) {
        match document {
            AnyDocument::Region(region) => self.site = Some(region),
            AnyDocument::Rack(rack) => self.racks.push(rack),
            AnyDocument::Network(network) => self.networks.push(network),
            AnyDocument::NetworkLink(link) => self.network_links.push(link),
            AnyDocument::HardwareProfile(profile) => self.hardware_profiles.push(profile),
            AnyDocument::HostProfile(profile) => self.host_profiles.push(profile),
            AnyDocument::BaremetalNode(node) => self.nodes.push(node),
            AnyDocument::BootAction(action) => self.boot_actions.push(action),
            AnyDocument::PromenadeConfig(config) => self.promenade_configs.push(config),
        }
    }

    /// How many documents of each kind it holds; kinds without one are left out.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let counts = [
            (Kind::Region, usize::from(self.site.is_some())),
            (Kind::Rack, self.racks.len()),
            (Kind::Network, self.networks.len()),
            (Kind::NetworkLink, self.network_links.len()),
            (Kind::HardwareProfile, self.hardware_profiles.len()),
            (Kind::HostProfile, self.host_profiles.len()),
            (Kind::BaremetalNode, self.nodes.len()),
            (Kind::BootAction, self.boot_actions.len()),
            (Kind::PromenadeConfig, self.promenade_configs.len()),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The promenade documents meant for a target, which is compared exactly.
    pub fn promenade_for(&self, target: &str) -> impl Iterator<Item = &PromenadeConfig> {
        self.promenade_configs.iter().filter(move |config| *config.target == *target)
    }
}

/// Documents of one kind in their order. Two of one name are both kept; a look-up finds the first.
#[derive(Debug, Clone)]
pub struct Documents<T> {
    list: Vec<T>,
    by_name: HashMap<Text, u32>,
}

impl<T: Document> Documents<T> {
    pub fn push(&mut self, document: T) {
        // A design holds 100,000 documents at most (`ingest::DOCUMENTS_MAX`), so an index fits.
        let index = self.list.len() as u32;
        self.by_name.entry(document.name().clone()).or_insert(index);
        self.list.push(document);
    }

    /// The first document of this name.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.position(name).map(|index| &self.list[index])
    }

    /// Where the first document of this name stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|index| *index as usize)
    }
}

impl<T> Default for Documents<T> {
    fn default() -> Documents<T> {
        Documents { list: Vec::new(), by_name: HashMap::new() }
    }
}

impl<T> Deref for Documents<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T: Document> FromIterator<T> for Documents<T> {
    fn from_iter<I: IntoIterator<Item = T>>(documents: I) -> Documents<T> {
        let mut all = Documents::default();
        documents.into_iter().for_each(|document| all.push(document));
        all
    }
}

impl<T: Serialize> Serialize for Documents<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}
