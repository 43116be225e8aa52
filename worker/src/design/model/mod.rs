//! The typed documents of a design, as they were written.
//!
//! A value that a rule may find fault with keeps its text beside its meaning (`units::Written`). Entries that begin
//! with `!` are still there: `compile` acts on them.

#![expect(missing_docs, reason = "most names are those of the documents' own keys, which the schemas describe")]

mod boot_action;
mod design;
mod hardware_profile;
mod host;
mod network;
mod network_link;
mod promenade;
mod rack;
mod region;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::finding::DocumentRef;

pub use boot_action::{Asset, AssetData, AssetKind, BootAction, Segment};
pub use design::{AnyDocument, Design, Documents};
pub use hardware_profile::{BootMode, BootstrapProtocol, DeviceAlias, HardwareProfile, Hugepages};
pub use host::{
    Address, AddressKind, BaremetalNode, Filesystem, HostProfile, HostSettings, Interface, LogicalVolume, Oob,
    Partition, Selector, Sriov, Storage, StorageDevice, VolumeGroup,
};
pub use network::{DhcpRelay, Dns, Network, Range, Route};
pub use network_link::{Bonding, BondingMode, NetworkLink, Trunking, TrunkingMode};
pub use promenade::PromenadeConfig;
pub use rack::{Rack, TorSwitch};
pub use region::{Region, Repositories, Repository, TagDefinition};

/// Text that profiles, nodes and findings share without copies.
pub type Text = Arc<str>;

/// Labels, parameters and other maps whose order means nothing.
pub type Labels = BTreeMap<Text, Text>;

/// Where a document stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// Which input, counted from 0.
    pub input: u32,
    /// Which document of the input, counted from 0; empty documents count.
    pub document: u32,
    /// The line on which its content begins, counted from 1.
    pub line: u32,
}

/// The kinds of documents, in the order in which counts and compiled designs list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    Region,
    Rack,
    Network,
    NetworkLink,
    HardwareProfile,
    HostProfile,
    BaremetalNode,
    BootAction,
    PromenadeConfig,
}

impl Kind {
    /// As a document names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Region => "Region",
            Kind::Rack => "Rack",
            Kind::Network => "Network",
            Kind::NetworkLink => "NetworkLink",
            Kind::HardwareProfile => "HardwareProfile",
            Kind::HostProfile => "HostProfile",
            Kind::BaremetalNode => "BaremetalNode",
            Kind::BootAction => "BootAction",
            Kind::PromenadeConfig => "PromenadeConfig",
        }
    }

    /// The schema that a reference to such a document carries.
    pub fn schema(self) -> &'static str {
        match self {
            Kind::Region => "drydock/Region/v1",
            Kind::Rack => "drydock/Rack/v1",
            Kind::Network => "drydock/Network/v1",
            Kind::NetworkLink => "drydock/NetworkLink/v1",
            Kind::HardwareProfile => "drydock/HardwareProfile/v1",
            Kind::HostProfile => "drydock/HostProfile/v1",
            Kind::BaremetalNode => "drydock/BaremetalNode/v1",
            Kind::BootAction => "drydock/BootAction/v1",
            Kind::PromenadeConfig => "promenade/v1",
        }
    }

    /// The drydock kind of this name. Promenade's documents have kinds of their own.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::DRYDOCK.into_iter().find(|kind| kind.name() == name)
    }

    /// The kinds that have a schema.
    pub const DRYDOCK: [Kind; 8] = [
        Kind::Region,
        Kind::Rack,
        Kind::Network,
        Kind::NetworkLink,
        Kind::HardwareProfile,
        Kind::HostProfile,
        Kind::BaremetalNode,
        Kind::BootAction,
    ];
}

/// What every typed document has.
pub trait Document {
    const KIND: Kind;
    fn name(&self) -> &Text;
    fn origin(&self) -> Origin;

    /// How a finding points to it.
    fn reference(&self) -> DocumentRef {
        DocumentRef { schema: Cow::Borrowed(Self::KIND.schema()), name: self.name().clone() }
    }
}

macro_rules! documents {
    ($($document:ty: $kind:ident),* $(,)?) => {$(
        impl Document for $document {
            const KIND: Kind = Kind::$kind;
            fn name(&self) -> &Text {
                &self.name
            }
            fn origin(&self) -> Origin {
                self.origin
            }
        }
    )*};
}

documents! {
    Region: Region,
    Rack: Rack,
    Network: Network,
    NetworkLink: NetworkLink,
    HardwareProfile: HardwareProfile,
    HostProfile: HostProfile,
    BaremetalNode: BaremetalNode,
    super::compile::EffectiveNode: BaremetalNode,
    BootAction: BootAction,
    PromenadeConfig: PromenadeConfig,
}
