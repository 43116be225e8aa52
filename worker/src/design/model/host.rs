use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Labels, Origin, Text};
use crate::design::units::{Mac, Size, Written};

#[derive(Debug, Clone, Serialize)]
pub struct HostProfile {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    #[serde(flatten)]
    pub settings: HostSettings,
}

#[derive(Debug, Clone, Serialize)]
pub struct BaremetalNode {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    #[serde(flatten)]
    pub settings: HostSettings,
    /// At least one. Never inherited, as the MAC.
    pub addressing: Arc<[Address]>,
    pub boot_mac: Option<Written<Mac>>,
}

/// What host profiles and nodes both say. Wide parts are shared: a node that adds nothing to its profile's points to
/// them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HostSettings {
    /// The profile from which this one or this node inherits.
    pub host_profile: Option<Text>,
    pub hardware_profile: Option<Text>,
    /// The network that gives the default route and the DNS domain.
    pub primary_network: Option<Text>,
    pub oob: Arc<Oob>,
    pub storage: Arc<Storage>,
    pub interfaces: Arc<[Interface]>,
    pub image: Option<Text>,
    pub kernel: Option<Text>,
    pub kernel_params: Arc<Labels>,
    pub tags: Arc<[Text]>,
    /// Labels of the node.
    pub owner_data: Arc<Labels>,
    pub rack: Option<Text>,
}

/// Out-of-band management.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Oob {
    /// `ipmi`, `libvirt`, `redfish` or `manual`; not enforced.
    #[serde(rename = "type")]
    pub kind: Option<Text>,
    /// `network`, `account`, `credential` and whatever the type needs besides, such as `libvirt_uri`.
    pub parameters: Labels,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Storage {
    pub physical_devices: Vec<StorageDevice>,
    pub volume_groups: Vec<VolumeGroup>,
}

/// A disk, by its alias or its name in the operating system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StorageDevice {
    pub name: Text,
    pub labels: Labels,
    /// The group whose physical volume the whole device is.
    pub volume_group: Option<Text>,
    /// Empty as written when the device feeds a volume group; inheritance may bring both together.
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Partition {
    pub name: Text,
    pub size: Option<Written<Size>>,
    pub part_uuid: Option<Text>,
    pub volume_group: Option<Text>,
    pub bootable: Option<bool>,
    pub labels: Labels,
    #[serde(flatten)]
    pub filesystem: Filesystem,
}

/// What lies on a partition or a logical volume: all `None` for a raw one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Filesystem {
    pub mountpoint: Option<Text>,
    pub fstype: Option<Text>,
    pub mount_options: Option<Text>,
    pub fs_uuid: Option<Text>,
    pub fs_label: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeGroup {
    pub name: Text,
    pub vg_uuid: Option<Text>,
    pub logical_volumes: Vec<LogicalVolume>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogicalVolume {
    pub name: Text,
    pub lv_uuid: Option<Text>,
    pub size: Option<Written<Size>>,
    #[serde(flatten)]
    pub filesystem: Filesystem,
}

/// A network interface, by its name on the deployed node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Interface {
    pub name: Text,
    /// The name of a network link.
    pub device_link: Option<Text>,
    /// Aliases or kernel names of the devices that make up the interface.
    pub slaves: Vec<Text>,
    pub networks: Vec<Text>,
    /// `None` leaves SR-IOV off.
    pub sriov: Option<Sriov>,
    /// How to find each slave on the machine, in the order of the slaves. Empty until compiled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sriov {
    pub vf_count: i64,
    pub trustedmode: bool,
}

/// How to find a device on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "selector_type", rename_all = "lowercase")]
pub enum Selector {
    /// At an address of the PCI bus: the hardware profile has an alias of this name.
    Address { address: Text, device_type: Option<Text> },
    /// By its kernel name.
    Name { name: Text },
}

/// The address of a node on a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Address {
    pub network: Text,
    #[serde(flatten)]
    pub kind: AddressKind,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "address", rename_all = "lowercase")]
pub enum AddressKind {
    Dhcp,
    Static(Written<IpAddr>),
}

impl Oob {
    /// The network on which the controller is reached.
    pub fn network(&self) -> Option<&Text> {
        self.parameters.get("network")
    }

    pub fn account(&self) -> Option<&Text> {
        self.parameters.get("account")
    }

    pub fn credential(&self) -> Option<&Text> {
        self.parameters.get("credential")
    }
}
