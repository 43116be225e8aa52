use super::conversion::{Conversion, items};
use crate::design::filter::{Filter, Join, NodeFilter};
use crate::design::model::{Asset, AssetData, AssetKind, BootAction, Origin, Segment, Text};
use crate::design::yaml::{Map, Node, Value};

const JOINS: [(&str, Join); 2] = [("union", Join::Union), ("intersection", Join::Intersection)];

pub(super) fn boot_action(
    conversion: &mut Conversion,
    name: Text,
    origin: Origin,
    data: &Node<'_>,
) -> Option<BootAction> {
    let map = data.map()?;
    if map.get("assets").is_none() {
        conversion.problem(data.line, "assets is missing", "an empty list is taken");
    }
    let filter = map.get("node_filter");
    let node_filter = filter.and_then(|node| node_filter(conversion, node));
    if filter.is_some() && node_filter.is_none() {
        // It has been told why. An action whose filter is not understood must not become one for all nodes.
        return None;
    }
    Some(BootAction {
        name,
        origin,
        signaling: conversion.boolean(map, "signaling").unwrap_or(true),
        assets: items(map, "assets").iter().filter_map(|node| asset(conversion, node)).collect(),
        node_filter,
    })
}

fn asset(conversion: &mut Conversion, node: &Node<'_>) -> Option<Asset> {
    let map = node.map()?;
    let kinds = [("unit", AssetKind::Unit), ("file", AssetKind::File), ("pkg_list", AssetKind::PkgList)];
    let kind = conversion.choice(node, "type", &kinds)?;
    let location = conversion.text(map, "location");
    let data = data(conversion, map, kind);
    if kind == AssetKind::PkgList && location.is_none() && !matches!(data, Some(AssetData::Packages(_))) {
        let message = "a pkg_list has neither packages nor a location";
        conversion.problem(node.line, message, "give data as a mapping from packages to versions, or a location");
    }
    Some(Asset {
        kind,
        path: conversion.text(map, "path"),
        location,
        data,
        location_pipeline: pipeline(conversion, map, "location_pipeline"),
        data_pipeline: pipeline(conversion, map, "data_pipeline"),
        permissions: permissions(conversion, map),
    })
}

fn data(conversion: &mut Conversion, map: &Map<'_>, kind: AssetKind) -> Option<AssetData> {
    let node = map.get("data")?;
    match &node.value {
        Value::Text(text) => Some(AssetData::Text(conversion.share(text))),
        Value::Map(packages) if kind == AssetKind::PkgList => Some(AssetData::Packages(
            packages
                .iter()
                .map(|(package, version)| {
                    (conversion.share(package), version.text().map(|text| conversion.share(text)))
                })
                .collect(),
        )),
        _ => {
            conversion.problem(node.line, "data is a mapping, which only a pkg_list has", "");
            None
        }
    }
}

fn pipeline(conversion: &mut Conversion, map: &Map<'_>, key: &str) -> Vec<Segment> {
    // The schema lets no other name through.
    let segment = |name: &str| match name {
        "template" => Some(Segment::Template),
        "base64_encode" => Some(Segment::Base64Encode),
        "base64_decode" => Some(Segment::Base64Decode),
        "utf8_encode" => Some(Segment::Utf8Encode),
        "utf8_decode" => Some(Segment::Utf8Decode),
        _ => None,
    };
    conversion.texts(map, key).iter().filter_map(|name| segment(name)).collect()
}

fn permissions(conversion: &mut Conversion, map: &Map<'_>) -> Option<u32> {
    let node = map.get("permissions")?;
    let text = node.text()?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Some(mode),
        _ => {
            conversion.problem(node.line, format!("permissions is {text:?}, not an octal mode"), "as \"644\"");
            None
        }
    }
}

fn node_filter(conversion: &mut Conversion, node: &Node<'_>) -> Option<NodeFilter> {
    let map = node.map()?;
    let filter_set_type = join(conversion, node, "filter_set_type");
    let filters: Vec<Option<Filter>> = items(map, "filter_set").iter().map(|node| filter(conversion, node)).collect();
    Some(NodeFilter { filter_set_type: filter_set_type?, filter_set: filters.into_iter().collect::<Option<_>>()? })
}

fn filter(conversion: &mut Conversion, node: &Node<'_>) -> Option<Filter> {
    let map = node.map()?;
    let filter_type = join(conversion, node, "filter_type");
    Some(Filter {
        node_names: conversion.texts(map, "node_names"),
        node_tags: conversion.texts(map, "node_tags"),
        node_labels: conversion.labels(map, "node_labels"),
        rack_names: conversion.texts(map, "rack_names"),
        rack_labels: conversion.labels(map, "rack_labels"),
        filter_type: filter_type?,
    })
}

fn join(conversion: &mut Conversion, node: &Node<'_>, key: &str) -> Option<Join> {
    if node.get(key).is_none() {
        conversion.problem(node.line, format!("node_filter has no {key}"), "use union or intersection");
    }
    conversion.choice(node, key, &JOINS)
}
