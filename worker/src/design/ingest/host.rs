use std::sync::Arc;

use super::reading::{Reading, entries, items};
use crate::design::model::{
    Address, AddressKind, BaremetalNode, Filesystem, HostProfile, HostSettings, Interface, Labels, LogicalVolume, Oob,
    Origin, Partition, Sriov, Storage, StorageDevice, Text, VolumeGroup,
};
use crate::design::units::Written;
use crate::design::yaml::{Map, Node};

pub(super) fn host_profile(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<HostProfile> {
    Some(HostProfile { name, origin, settings: settings(reading, data.map()?) })
}

pub(super) fn node(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<BaremetalNode> {
    let map = data.map()?;
    let addressing: Vec<Address> =
        items(map, "addressing").iter().filter_map(|entry| address(reading, entry)).collect();
    if items(map, "addressing").is_empty() {
        reading.problem(data.line, "addressing has no entry", "give at least one network and address, or dhcp");
    }
    let metadata = map.get("metadata").and_then(Node::map);
    Some(BaremetalNode {
        name,
        origin,
        settings: settings(reading, map),
        addressing: addressing.into(),
        boot_mac: metadata.and_then(|map| reading.written(map, "boot_mac")),
    })
}

fn address(reading: &mut Reading, entry: &Node<'_>) -> Option<Address> {
    let network = reading.required(entry, "network", "the address's ");
    let text = reading.required(entry, "address", "the address's ")?;
    let kind = match &*text {
        "dhcp" => AddressKind::Dhcp,
        "" => {
            reading.problem(entry.line, "an address is empty", "give an address, or dhcp");
            return None;
        }
        _ => AddressKind::Static(Written::new(text)),
    };
    Some(Address { network: network?, kind })
}

fn settings(reading: &mut Reading, map: &Map<'_>) -> HostSettings {
    let part = |key| map.get(key).and_then(Node::map);
    let (platform, metadata) = (part("platform"), part("metadata"));
    HostSettings {
        host_profile: reading.text(map, "host_profile"),
        hardware_profile: reading.text(map, "hardware_profile"),
        primary_network: reading.text(map, "primary_network"),
        oob: match part("oob") {
            Some(map) => Arc::new(oob(reading, map)),
            None => reading.blank.oob.clone(),
        },
        storage: match part("storage") {
            Some(map) => Arc::new(storage(reading, map)),
            None => reading.blank.storage.clone(),
        },
        interfaces: match part("interfaces") {
            Some(map) => map.iter().filter_map(|(name, node)| interface(reading, name, node)).collect(),
            None => reading.blank.interfaces.clone(),
        },
        image: platform.and_then(|map| reading.text(map, "image")),
        kernel: platform.and_then(|map| reading.text(map, "kernel")),
        kernel_params: reading.shared_labels(platform, "kernel_params"),
        tags: match metadata.map(|map| reading.texts(map, "tags")) {
            Some(tags) if !tags.is_empty() => tags.into(),
            _ => reading.blank.tags.clone(),
        },
        owner_data: reading.shared_labels(metadata, "owner_data"),
        rack: metadata.and_then(|map| reading.text(map, "rack")),
    }
}

fn oob(reading: &mut Reading, map: &Map<'_>) -> Oob {
    let mut parameters = Labels::new();
    for (key, node) in map.iter().filter(|(key, _)| *key != "type") {
        if let Some(value) = reading.scalar(node, &format!("oob.{key}")) {
            parameters.insert(reading.share(key), value);
        }
    }
    Oob { kind: reading.text(map, "type"), parameters }
}

fn storage(reading: &mut Reading, map: &Map<'_>) -> Storage {
    let physical_devices =
        entries(map, "physical_devices").filter_map(|(name, node)| device(reading, name, node)).collect();
    let volume_groups =
        entries(map, "volume_groups").filter_map(|(name, node)| volume_group(reading, name, node)).collect();
    Storage { physical_devices, volume_groups }
}

fn device(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<StorageDevice> {
    let map = node.map()?;
    let volume_group = reading.text(map, "volume_group");
    let partitions = match &volume_group {
        Some(group) if feeds(group) => Vec::new(),
        _ => items(map, "partitions").iter().filter_map(|node| partition(reading, node)).collect(),
    };
    Some(StorageDevice { name: reading.share(name), labels: reading.labels(map, "labels"), volume_group, partitions })
}

/// Whether a `volume_group` names a group, rather than unsetting the inherited one.
fn feeds(group: &str) -> bool {
    group != "!"
}

fn partition(reading: &mut Reading, node: &Node<'_>) -> Option<Partition> {
    let map = node.map()?;
    let name = reading.required(node, "name", "a partition's ");
    let volume_group = reading.text(map, "volume_group");
    let filesystem = match &volume_group {
        Some(group) if feeds(group) => Filesystem::default(),
        _ => filesystem(reading, map),
    };
    Some(Partition {
        size: reading.written(map, "size"),
        part_uuid: reading.text(map, "part_uuid"),
        volume_group,
        bootable: reading.boolean(map, "bootable"),
        labels: reading.labels(map, "labels"),
        filesystem,
        name: name?,
    })
}

fn filesystem(reading: &mut Reading, map: &Map<'_>) -> Filesystem {
    let Some(map) = map.get("filesystem").and_then(Node::map) else { return Filesystem::default() };
    Filesystem {
        mountpoint: reading.text(map, "mountpoint"),
        fstype: Some(reading.text_or(map, "fstype", "ext4")),
        mount_options: Some(reading.text_or(map, "mount_options", "defaults")),
        fs_uuid: reading.text(map, "fs_uuid"),
        fs_label: reading.text(map, "fs_label"),
    }
}

fn volume_group(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<VolumeGroup> {
    let map = node.map()?;
    let mut logical_volumes = Vec::new();
    for node in items(map, "logical_volumes") {
        if let (Some(map), Some(name)) = (node.map(), reading.required(node, "name", "a logical volume's ")) {
            logical_volumes.push(LogicalVolume {
                name,
                lv_uuid: reading.text(map, "lv_uuid"),
                size: reading.written(map, "size"),
                filesystem: filesystem(reading, map),
            });
        }
    }
    Some(VolumeGroup { name: reading.share(name), vg_uuid: reading.text(map, "vg_uuid"), logical_volumes })
}

fn interface(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<Interface> {
    let map = node.map()?;
    let sriov = map.get("sriov").and_then(Node::map).map(|map| Sriov {
        vf_count: reading.whole(map, "vf_count").unwrap_or(0),
        trustedmode: reading.boolean(map, "trustedmode").unwrap_or(false),
    });
    Some(Interface {
        name: reading.share(name),
        device_link: reading.text(map, "device_link"),
        slaves: reading.texts(map, "slaves"),
        networks: reading.texts(map, "networks"),
        sriov,
        selectors: Vec::new(),
    })
}
