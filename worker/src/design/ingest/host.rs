use std::sync::Arc;

use super::conversion::{Conversion, entries, items};
use crate::design::model::{
    Address, AddressKind, BaremetalNode, Filesystem, HostProfile, HostSettings, Interface, Labels, LogicalVolume, Oob,
    Origin, Partition, Sriov, Storage, StorageDevice, Text, VolumeGroup,
};
use crate::design::units::Written;
use crate::design::yaml::{Map, Node};

pub(super) fn host_profile(
    conversion: &mut Conversion,
    name: Text,
    origin: Origin,
    data: &Node<'_>,
) -> Option<HostProfile> {
    Some(HostProfile { name, origin, settings: settings(conversion, data.map()?) })
}

pub(super) fn node(conversion: &mut Conversion, name: Text, origin: Origin, data: &Node<'_>) -> Option<BaremetalNode> {
    let map = data.map()?;
    let addressing: Vec<Address> =
        items(map, "addressing").iter().filter_map(|entry| address(conversion, entry)).collect();
    if items(map, "addressing").is_empty() {
        conversion.problem(data.line, "addressing has no entry", "give at least one network and address, or dhcp");
    }
    let metadata = map.get("metadata").and_then(Node::map);
    Some(BaremetalNode {
        name,
        origin,
        settings: settings(conversion, map),
        addressing: addressing.into(),
        boot_mac: metadata.and_then(|map| conversion.written(map, "boot_mac")),
    })
}

fn address(conversion: &mut Conversion, entry: &Node<'_>) -> Option<Address> {
    let network = conversion.required(entry, "network", "the address's ");
    let text = conversion.required(entry, "address", "the address's ")?;
    let kind = match &*text {
        "dhcp" => AddressKind::Dhcp,
        "" => {
            conversion.problem(entry.line, "an address is empty", "give an address, or dhcp");
            return None;
        }
        _ => AddressKind::Static(Written::new(text)),
    };
    Some(Address { network: network?, kind })
}

fn settings(conversion: &mut Conversion, map: &Map<'_>) -> HostSettings {
    let part = |key| map.get(key).and_then(Node::map);
    let (platform, metadata) = (part("platform"), part("metadata"));
    HostSettings {
        host_profile: conversion.text(map, "host_profile"),
        hardware_profile: conversion.text(map, "hardware_profile"),
        primary_network: conversion.text(map, "primary_network"),
        oob: match part("oob") {
            Some(map) => Arc::new(oob(conversion, map)),
            None => conversion.blank.oob.clone(),
        },
        storage: match part("storage") {
            Some(map) => Arc::new(storage(conversion, map)),
            None => conversion.blank.storage.clone(),
        },
        interfaces: match part("interfaces") {
            Some(map) => map.iter().filter_map(|(name, node)| interface(conversion, name, node)).collect(),
            None => conversion.blank.interfaces.clone(),
        },
        image: platform.and_then(|map| conversion.text(map, "image")),
        kernel: platform.and_then(|map| conversion.text(map, "kernel")),
        kernel_params: conversion.shared_labels(platform, "kernel_params"),
        tags: match metadata.map(|map| conversion.texts(map, "tags")) {
            Some(tags) if !tags.is_empty() => tags.into(),
            _ => conversion.blank.tags.clone(),
        },
        owner_data: conversion.shared_labels(metadata, "owner_data"),
        rack: metadata.and_then(|map| conversion.text(map, "rack")),
    }
}

fn oob(conversion: &mut Conversion, map: &Map<'_>) -> Oob {
    let mut parameters = Labels::new();
    for (key, node) in map.iter().filter(|(key, _)| *key != "type") {
        if let Some(value) = conversion.scalar(node, &format!("oob.{key}")) {
            parameters.insert(conversion.share(key), value);
        }
    }
    Oob { kind: conversion.text(map, "type"), parameters }
}

fn storage(conversion: &mut Conversion, map: &Map<'_>) -> Storage {
    let physical_devices =
        entries(map, "physical_devices").filter_map(|(name, node)| device(conversion, name, node)).collect();
    let volume_groups =
        entries(map, "volume_groups").filter_map(|(name, node)| volume_group(conversion, name, node)).collect();
    Storage { physical_devices, volume_groups }
}

fn device(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<StorageDevice> {
    let map = node.map()?;
    let volume_group = conversion.text(map, "volume_group");
    let partitions = match &volume_group {
        Some(group) if feeds(group) => Vec::new(),
        _ => items(map, "partitions").iter().filter_map(|node| partition(conversion, node)).collect(),
    };
    Some(StorageDevice {
        name: conversion.share(name),
        labels: conversion.labels(map, "labels"),
        volume_group,
        partitions,
    })
}

/// Whether a `volume_group` names a group, rather than unsetting the inherited one.
fn feeds(group: &str) -> bool {
    group != "!"
}

fn partition(conversion: &mut Conversion, node: &Node<'_>) -> Option<Partition> {
    let map = node.map()?;
    let name = conversion.required(node, "name", "a partition's ");
    let volume_group = conversion.text(map, "volume_group");
    let filesystem = match &volume_group {
        Some(group) if feeds(group) => Filesystem::default(),
        _ => filesystem(conversion, map),
    };
    Some(Partition {
        size: conversion.written(map, "size"),
        part_uuid: conversion.text(map, "part_uuid"),
        volume_group,
        bootable: conversion.boolean(map, "bootable"),
        labels: conversion.labels(map, "labels"),
        filesystem,
        name: name?,
    })
}

fn filesystem(conversion: &mut Conversion, map: &Map<'_>) -> Filesystem {
    let Some(map) = map.get("filesystem").and_then(Node::map) else { return Filesystem::default() };
    Filesystem {
        mountpoint: conversion.text(map, "mountpoint"),
        fstype: Some(conversion.text_or(map, "fstype", "ext4")),
        mount_options: Some(conversion.text_or(map, "mount_options", "defaults")),
        fs_uuid: conversion.text(map, "fs_uuid"),
        fs_label: conversion.text(map, "fs_label"),
    }
}

fn volume_group(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<VolumeGroup> {
    let map = node.map()?;
    let mut logical_volumes = Vec::new();
    for node in items(map, "logical_volumes") {
        if let (Some(map), Some(name)) = (node.map(), conversion.required(node, "name", "a logical volume's ")) {
            logical_volumes.push(LogicalVolume {
                name,
                lv_uuid: conversion.text(map, "lv_uuid"),
                size: conversion.written(map, "size"),
                filesystem: filesystem(conversion, map),
            });
        }
    }
    Some(VolumeGroup { name: conversion.share(name), vg_uuid: conversion.text(map, "vg_uuid"), logical_volumes })
}

fn interface(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<Interface> {
    let map = node.map()?;
    let sriov = map.get("sriov").and_then(Node::map).map(|map| Sriov {
        vf_count: conversion.whole(map, "vf_count").unwrap_or(0),
        trustedmode: conversion.boolean(map, "trustedmode").unwrap_or(false),
    });
    Some(Interface {
        name: conversion.share(name),
        device_link: conversion.text(map, "device_link"),
        slaves: conversion.texts(map, "slaves"),
        networks: conversion.texts(map, "networks"),
        sriov,
        selectors: Vec::new(),
    })
}
