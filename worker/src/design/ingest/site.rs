use super::reading::{Reading, entries, items};
use crate::design::model::{
    BootMode, BootstrapProtocol, DeviceAlias, HardwareProfile, Hugepages, Origin, Rack, Region, Repositories,
    Repository, TagDefinition, Text, TorSwitch,
};
use crate::design::yaml::{Node, Value};

pub(super) fn region(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<Region> {
    let map = data.map()?;
    let mut tag_definitions = Vec::new();
    for node in items(map, "tag_definitions") {
        if let (Some(map), Some(definition_type)) =
            (node.map(), reading.required(node, "definition_type", "the tag definition's "))
        {
            let (tag, definition) = (reading.text(map, "tag"), reading.text(map, "definition"));
            tag_definitions.push(TagDefinition { tag, definition_type, definition });
        }
    }
    let repositories = map.get("repositories").and_then(Node::map).map(|map| Repositories {
        remove_unlisted: reading.boolean(map, "remove_unlisted").unwrap_or(false),
        repositories: map
            .iter()
            .filter(|(name, _)| *name != "remove_unlisted")
            .filter_map(|(name, node)| repository(reading, name, node))
            .collect(),
    });
    Some(Region { name, origin, tag_definitions, authorized_keys: reading.texts(map, "authorized_keys"), repositories })
}

fn repository(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<Repository> {
    let map = node.map()?;
    let mut arches = reading.texts(map, "arches");
    if map.get("arches").is_none() {
        arches.push(reading.share("amd64"));
    }
    Some(Repository {
        name: reading.share(name),
        repo_type: reading.text(map, "repo_type")?,
        url: reading.written(map, "url")?,
        arches,
        distributions: reading.texts(map, "distributions"),
        subrepos: reading.texts(map, "subrepos"),
        components: reading.texts(map, "components"),
        gpgkey: reading.text(map, "gpgkey"),
        options: reading.labels(map, "options"),
    })
}

pub(super) fn rack(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<Rack> {
    let map = data.map()?;
    let mut tor_switches = Vec::new();
    for (name, node) in entries(map, "tor_switches") {
        match node.map() {
            Some(map) => tor_switches.push(TorSwitch {
                name: reading.share(name),
                mgmt_ip: reading.written(map, "mgmt_ip"),
                sdn_api_uri: reading.written(map, "sdn_api_uri"),
            }),
            None => {
                let message = format!("tor_switches.{name} is {}, not a mapping", node.kind());
                reading.problem(node.line, message, "give mgmt_ip and sdn_api_uri");
            }
        }
    }
    let location = reading.labels(map, "location");
    Some(Rack { name, origin, tor_switches, location, local_networks: reading.texts(map, "local_networks") })
}

pub(super) fn hardware_profile(
    reading: &mut Reading,
    name: Text,
    origin: Origin,
    data: &Node<'_>,
) -> Option<HardwareProfile> {
    let map = data.map()?;
    Some(HardwareProfile {
        name,
        origin,
        vendor: reading.text(map, "vendor"),
        generation: reading.text(map, "generation"),
        hw_version: reading.text(map, "hw_version"),
        bios_version: reading.text(map, "bios_version"),
        boot_mode: reading.choice(data, "boot_mode", &[("bios", BootMode::Bios), ("uefi", BootMode::Uefi)]),
        bootstrap_protocol: reading.choice(
            data,
            "bootstrap_protocol",
            &[("pxe", BootstrapProtocol::Pxe), ("usb", BootstrapProtocol::Usb), ("hdd", BootstrapProtocol::Hdd)],
        ),
        pxe_interface: map.get("pxe_interface").and_then(|node| reading.scalar(node, "pxe_interface")),
        device_aliases: entries(map, "device_aliases")
            .filter_map(|(name, node)| device_alias(reading, name, node))
            .collect(),
        cpu_sets: reading.labels(map, "cpu_sets"),
        hugepages: entries(map, "hugepages")
            .filter_map(|(name, node)| Some((reading.share(name), hugepages(reading, name, node)?)))
            .collect(),
    })
}

fn device_alias(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<DeviceAlias> {
    let what = format!("device_aliases.{name}.");
    let address = reading.required(node, "address", &what);
    let bus_type = reading.required(node, "bus_type", &what);
    let dev_type = node.get("dev_type").filter(|node| !node.is_null());
    let dev_type = dev_type.and_then(|node| reading.scalar(node, &format!("{what}dev_type")));
    Some(DeviceAlias { name: reading.share(name), address: address?, bus_type: bus_type?, dev_type })
}

fn hugepages(reading: &mut Reading, name: &str, node: &Node<'_>) -> Option<Hugepages> {
    let what = format!("hugepages.{name}.");
    let size = reading.required(node, "size", &what);
    let Some(count) = node.get("count") else {
        reading.problem(node.line, format!("{what}count is missing"), "");
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
            reading.problem(count.line, format!("{what}count is not a whole number from 0"), "");
            None
        }
    }
}
