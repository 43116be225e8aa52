use std::collections::HashSet;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::design::filter::{NodeFilter, Selection, TooLarge};
use crate::design::finding::Finding;
use crate::design::model::{Address, BootAction, Design, Documents, HostSettings, Network, Origin, Text};
use crate::design::units::{Mac, Written};

/// A design with all that follows from it.
///
/// Serialized, it is the same text for the same documents: keys are sorted or in a fixed order, lists in the order of
/// the documents, and where a document stood is no part of it. Host profiles are left out, since nodes have what they
/// inherit from them.
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

impl Compiled {
    /// The nodes that a filter selects, as positions in `nodes`, ascending; all of them without a filter.
    ///
    /// # Errors
    /// If looking for them takes more steps than allowed.
    pub fn select(&self, filter: Option<&NodeFilter>) -> Result<Vec<u32>, TooLarge> {
        Selection::new(&self.nodes).select(filter)
    }

    /// The nodes that no boot action is for, as positions in `nodes`, ascending.
    pub fn untargeted(&self) -> Vec<u32> {
        let mut targeted = vec![false; self.nodes.len()];
        let mut seen = HashSet::new();
        // Actions with one filter share their targets, which are gone through once.
        for targets in self.targets.iter().filter(|targets| seen.insert(Arc::as_ptr(targets))) {
            targets.iter().for_each(|target| targeted[*target as usize] = true);
        }
        (0..).zip(targeted).filter(|(_, targeted)| !targeted).map(|(index, _)| index).collect()
    }
}

impl EffectiveNode {
    /// The kernel's command line: what concerns huge pages first, the size before the count, as the kernel wants it;
    /// a parameter whose value is `True` stands alone.
    pub fn kernel_command_line(&self) -> String {
        let params = &self.settings.kernel_params;
        let first = ["hugepagesz", "hugepages"];
        let leading = first.iter().filter_map(|name| params.get_key_value(*name));
        let others = params.iter().filter(|(name, _)| !first.contains(&&***name));
        let told = leading.chain(others).map(|(name, value)| match &**value {
            "True" => name.to_string(),
            value => format!("{name}={value}"),
        });
        told.collect::<Vec<_>>().join(" ")
    }
}

impl Serialize for Compiled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let design = &self.design;
        let mut compiled = serializer.serialize_struct("Compiled", 8)?;
        compiled.serialize_field("site", &design.site)?;
        compiled.serialize_field("racks", &design.racks)?;
        compiled.serialize_field("networks", &self.networks)?;
        compiled.serialize_field("network_links", &design.network_links)?;
        compiled.serialize_field("hardware_profiles", &design.hardware_profiles)?;
        compiled.serialize_field("nodes", &self.nodes)?;
        compiled.serialize_field("boot_actions", &Actions(self))?;
        compiled.serialize_field("promenade_configs", &design.promenade_configs)?;
        compiled.end()
    }
}

/// The boot actions with the names of the nodes that they are for.
struct Actions<'c>(&'c Compiled);

#[derive(Serialize)]
struct Targeted<'c> {
    #[serde(flatten)]
    action: &'c BootAction,
    targets: Names<'c>,
}

struct Names<'c>(&'c Documents<EffectiveNode>, &'c [u32]);

impl Serialize for Actions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Compiled { design, nodes, targets, .. } = self.0;
        let actions = design.boot_actions.iter().zip(targets);
        serializer.collect_seq(actions.map(|(action, targets)| Targeted { action, targets: Names(nodes, targets) }))
    }
}

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|index| &self.0[*index as usize].name))
    }
}
