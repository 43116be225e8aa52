use super::conversion::{Conversion, entries, items};
use crate::design::model::{
    BootMode, BootstrapProtocol, DeviceAlias, HardwareProfile, Hugepages, Origin, Rack, Region, Repositories,
    Repository, TagDefinition, Text, TorSwitch,
};
use crate::design::yaml::{Node, Value};

pub(super) fn region(conversion: &mut Conversion, name: Text, origin: Origin, data: &Node<'_>) -> Option<Region> {
    let map = data.map()?;
    let mut tag_definitions = Vec::new();
    for node in items(map, "tag_definitions") {
        if let (Some(map), Some(definition_type)) =
            (node.map(), conversion.required(node, "definition_type", "the tag definition's "))
        {
            let (tag, definition) = (conversion.text(map, "tag"), conversion.text(map, "definition"));
            tag_definitions.push(TagDefinition { tag, definition_type, definition });
        }
    }
    let repositories = map.get("repositories").and_then(Node::map).map(|map| Repositories {
        remove_unlisted: conversion.boolean(map, "remove_unlisted").unwrap_or(false),
        repositories: map
            .iter()
            .filter(|(name, _)| *name != "remove_unlisted")
            .filter_map(|(name, node)| repository(conversion, name, node))
            .collect(),
    });
    Some(Region {
        name,
        origin,
        tag_definitions,
        authorized_keys: conversion.texts(map, "authorized_keys"),
        repositories,
    })
}

fn repository(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<Repository> {
    let map = node.map()?;
    let mut arches = conversion.texts(map, "arches");
    if map.get("arches").is_none() {
        arches.push(conversion.share("amd64"));
    }
    Some(Repository {
        name: conversion.share(name),
        repo_type: conversion.text(map, "repo_type")?,
        url: conversion.written(map, "url")?,
        arches,
        distributions: conversion.texts(map, "distributions"),
        subrepos: conversion.texts(map, "subrepos"),
        components: conversion.texts(map, "components"),
        gpgkey: conversion.text(map, "gpgkey"),
        options: conversion.labels(map, "options"),
    })
}

pub(super) fn rack(conversion: &mut Conversion, name: Text, origin: Origin, data: &Node<'_>) -> Option<Rack> {
    let map = data.map()?;
    let mut tor_switches = Vec::new();
    for (name, node) in entries(map, "tor_switches") {
        match node.map() {
            Some(map) => tor_switches.push(TorSwitch {
                name: conversion.share(name),
                mgmt_ip: conversion.written(map, "mgmt_ip"),
                sdn_api_uri: conversion.written(map, "sdn_api_uri"),
            }),
            None => {
                let message = format!("tor_switches.{name} is {}, not a mapping", node.kind());
                conversion.problem(node.line, message, "give mgmt_ip and sdn_api_uri");
            }
        }
    }
    let location = conversion.labels(map, "location");
    Some(Rack { name, origin, tor_switches, location, local_networks: conversion.texts(map, "local_networks") })
}

pub(super) fn hardware_profile(
    conversion: &mut Conversion,
    name: Text,
    origin: Origin,
    data: &Node<'_>,
) -> Option<HardwareProfile> {
    let map = data.map()?;
    Some(HardwareProfile {
        name,
        origin,
        vendor: conversion.text(map, "vendor"),
        generation: conversion.text(map, "generation"),
        hw_version: conversion.text(map, "hw_version"),
        bios_version: conversion.text(map, "bios_version"),
        boot_mode: conversion.choice(data, "boot_mode", &[("bios", BootMode::Bios), ("uefi", BootMode::Uefi)]),
        bootstrap_protocol: conversion.choice(
            data,
            "bootstrap_protocol",
            &[("pxe", BootstrapProtocol::Pxe), ("usb", BootstrapProtocol::Usb), ("hdd", BootstrapProtocol::Hdd)],
        ),
        pxe_interface: map.get("pxe_interface").and_then(|node| conversion.scalar(node, "pxe_interface")),
        device_aliases: entries(map, "device_aliases")
            .filter_map(|(name, node)| device_alias(conversion, name, node))
            .collect(),
        cpu_sets: conversion.labels(map, "cpu_sets"),
        hugepages: entries(map, "hugepages")
            .filter_map(|(name, node)| Some((conversion.share(name), hugepages(conversion, name, node)?)))
            .collect(),
    })
}

fn device_alias(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<DeviceAlias> {
    let what = format!("device_aliases.{name}.");
    let address = conversion.required(node, "address", &what);
    let bus_type = conversion.required(node, "bus_type", &what);
    let dev_type = node.get("dev_type").filter(|node| !node.is_null());
    let dev_type = dev_type.and_then(|node| conversion.scalar(node, &format!("{what}dev_type")));
    Some(DeviceAlias { name: conversion.share(name), address: address?, bus_type: bus_type?, dev_type })
}

fn hugepages(conversion: &mut Conversion, name: &str, node: &Node<'_>) -> Option<Hugepages> {
    let what = format!("hugepages.{name}.");
    let size = conversion.required(node, "size", &what);
    let Some(count) = node.get("count") else {
        conversion.problem(node.line, format!("{what}count is missing"), "");
        return None;
    };
    let whole = match &count.value {
        Value::Number(number) => number.whole(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match whole.map(u64::try_from) {
        Some(Ok(count)) => Some(Hugepages { size: size?, count }),
        _ => {
            conversion.problem(count.line, format!("{what}count is not a whole number from 0"), "");
            None
        }
    }
}
