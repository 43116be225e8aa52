use super::reading::{Reading, items};
use crate::design::filter::{Filter, Join, NodeFilter};
use crate::design::model::{Asset, AssetData, AssetKind, BootAction, Origin, Segment, Text};
use crate::design::yaml::{Map, Node, Value};

const JOINS: [(&str, Join); 2] = [("union", Join::Union), ("intersection", Join::Intersection)];

pub(super) fn boot_action(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<BootAction> {
    let map = data.map()?;
    if map.get("assets").is_none() {
        reading.problem(data.line, "assets is missing", "an empty list is taken");
    }
    let filter = map.get("node_filter");
    let node_filter = filter.and_then(|node| node_filter(reading, node));
    if filter.is_some() && node_filter.is_none() {
        // It has been told why. An action whose filter is not understood must not become one for all nodes.
        return None;
    }
    Some(BootAction {
        name,
        origin,
        signaling: reading.boolean(map, "signaling").unwrap_or(true),
        assets: items(map, "assets").iter().filter_map(|node| asset(reading, node)).collect(),
        node_filter,
    })
}

fn asset(reading: &mut Reading, node: &Node<'_>) -> Option<Asset> {
    let map = node.map()?;
    let kinds = [("unit", AssetKind::Unit), ("file", AssetKind::File), ("pkg_list", AssetKind::PkgList)];
    let kind = reading.choice(node, "type", &kinds)?;
    let location = reading.text(map, "location");
    let data = data(reading, map, kind);
    if kind == AssetKind::PkgList && location.is_none() && !matches!(data, Some(AssetData::Packages(_))) {
        let message = "a pkg_list has neither packages nor a location";
        reading.problem(node.line, message, "give data as a mapping from packages to versions, or a location");
    }
    Some(Asset {
        kind,
        path: reading.text(map, "path"),
        location,
        data,
        location_pipeline: pipeline(reading, map, "location_pipeline"),
        data_pipeline: pipeline(reading, map, "data_pipeline"),
        permissions: permissions(reading, map),
    })
}

fn data(reading: &mut Reading, map: &Map<'_>, kind: AssetKind) -> Option<AssetData> {
    let node = map.get("data")?;
    match &node.value {
        Value::Text(text) => Some(AssetData::Text(reading.share(text))),
        Value::Map(packages) if kind == AssetKind::PkgList => Some(AssetData::Packages(
            packages
                .iter()
                .map(|(package, version)| (reading.share(package), version.text().map(|text| reading.share(text))))
                .collect(),
        )),
        _ => {
            reading.problem(node.line, "data is a mapping, which only a pkg_list has", "");
            None
        }
    }
}

fn pipeline(reading: &mut Reading, map: &Map<'_>, key: &str) -> Vec<Segment> {
    // The schema lets no other name through.
    let segment = |name: &str| match name {
        "template" => Some(Segment::Template),
        "base64_encode" => Some(Segment::Base64Encode),
        "base64_decode" => Some(Segment::Base64Decode),
        "utf8_encode" => Some(Segment::Utf8Encode),
        "utf8_decode" => Some(Segment::Utf8Decode),
        _ => None,
    };
    reading.texts(map, key).iter().filter_map(|name| segment(name)).collect()
}

fn permissions(reading: &mut Reading, map: &Map<'_>) -> Option<u32> {
    let node = map.get("permissions")?;
    let text = node.text()?;
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o7777 => Some(mode),
        _ => {
            reading.problem(node.line, format!("permissions is {text:?}, not an octal mode"), "as \"644\"");
            None
        }
    }
}

fn node_filter(reading: &mut Reading, node: &Node<'_>) -> Option<NodeFilter> {
    let map = node.map()?;
    let filter_set_type = join(reading, node, "filter_set_type");
    let filters: Vec<Option<Filter>> = items(map, "filter_set").iter().map(|node| filter(reading, node)).collect();
    Some(NodeFilter { filter_set_type: filter_set_type?, filter_set: filters.into_iter().collect::<Option<_>>()? })
}

fn filter(reading: &mut Reading, node: &Node<'_>) -> Option<Filter> {
    let map = node.map()?;
    let filter_type = join(reading, node, "filter_type");
    Some(Filter {
        node_names: reading.texts(map, "node_names"),
        node_tags: reading.texts(map, "node_tags"),
        node_labels: reading.labels(map, "node_labels"),
        rack_names: reading.texts(map, "rack_names"),
        rack_labels: reading.labels(map, "rack_labels"),
        filter_type: filter_type?,
    })
}

fn join(reading: &mut Reading, node: &Node<'_>, key: &str) -> Option<Join> {
    if node.get(key).is_none() {
        reading.problem(node.line, format!("node_filter has no {key}"), "use union or intersection");
    }
    reading.choice(node, key, &JOINS)
}
