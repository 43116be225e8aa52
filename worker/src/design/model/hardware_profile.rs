use std::collections::BTreeMap;

use serde::Serialize;

use super::{Labels, Origin, Text};

#[derive(Debug, Clone, Serialize)]
pub struct HardwareProfile {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    pub vendor: Option<Text>,
    pub generation: Option<Text>,
    pub hw_version: Option<Text>,
    pub bios_version: Option<Text>,
    pub boot_mode: Option<BootMode>,
    pub bootstrap_protocol: Option<BootstrapProtocol>,
    /// A number in the document, text from there on.
    pub pxe_interface: Option<Text>,
    pub device_aliases: Vec<DeviceAlias>,
    /// CPUs of each set, separated by commas.
    pub cpu_sets: Labels,
    pub hugepages: BTreeMap<Text, Hugepages>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BootMode {
    Bios,
    Uefi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BootstrapProtocol {
    Pxe,
    Usb,
    Hdd,
}

/// A name for a device at an address of a bus.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceAlias {
    pub name: Text,
    /// An address, or a pattern for PCI addresses after `regexp:`.
    pub address: Text,
    /// `pci` for network interfaces, `scsi` for disks.
    pub bus_type: Text,
    pub dev_type: Option<Text>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Hugepages {
    pub size: Text,
    pub count: u64,
}

impl HardwareProfile {
    /// The device that an alias of a bus names.
    pub fn alias(&self, bus_type: &str, name: &str) -> Option<&DeviceAlias> {
        self.device_aliases.iter().find(|alias| *alias.name == *name && *alias.bus_type == *bus_type)
    }
}
