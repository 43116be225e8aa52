use super::conversion::{Conversion, items};
use crate::design::model::{
    Bonding, BondingMode, DhcpRelay, Dns, Network, NetworkLink, Origin, Range, Route, Text, Trunking, TrunkingMode,
};
use crate::design::units::Written;
use crate::design::yaml::{Map, Node};

pub(super) fn network(conversion: &mut Conversion, name: Text, origin: Origin, data: &Node<'_>) -> Option<Network> {
    let map = data.map()?;
    let cidr = conversion.required(data, "cidr", "");
    let empty = Map::default();
    let dns = map.get("dns").and_then(Node::map).unwrap_or(&empty);
    let dhcp_relay = map.get("dhcp_relay").and_then(Node::map).map(|map| DhcpRelay {
        self_ip: conversion.written(map, "self_ip"),
        upstream_target: conversion.written(map, "upstream_target"),
    });
    Some(Network {
        name,
        origin,
        vlan: conversion.text(map, "vlan"),
        mtu: conversion.whole(map, "mtu"),
        routedomain: conversion.text(map, "routedomain"),
        ranges: items(map, "ranges").iter().filter_map(Node::map).map(|map| range(conversion, map)).collect(),
        routes: items(map, "routes").iter().filter_map(Node::map).map(|map| route(conversion, map)).collect(),
        dns: Dns { domain: conversion.text_or(dns, "domain", "local"), servers: conversion.text(dns, "servers") },
        dhcp_relay,
        labels: conversion.labels(map, "labels"),
        cidr: Written::new(cidr?),
    })
}

fn range(conversion: &mut Conversion, map: &Map<'_>) -> Range {
    Range {
        kind: conversion.text(map, "type"),
        start: conversion.written(map, "start"),
        end: conversion.written(map, "end"),
    }
}

fn route(conversion: &mut Conversion, map: &Map<'_>) -> Route {
    Route {
        subnet: conversion.written(map, "subnet"),
        routedomain: conversion.text(map, "routedomain"),
        gateway: conversion.written(map, "gateway"),
        metric: map.get("metric").and_then(|node| conversion.scalar(node, "metric")),
    }
}

pub(super) fn network_link(
    conversion: &mut Conversion,
    name: Text,
    origin: Origin,
    data: &Node<'_>,
) -> Option<NetworkLink> {
    let map = data.map()?;
    if map.get("allowed_networks").is_none() {
        conversion.problem(data.line, "allowed_networks is missing", "an empty list allows none");
    }
    Some(NetworkLink {
        name,
        origin,
        bonding: bonding(conversion, data.get("bonding")),
        mtu: conversion.whole(map, "mtu").unwrap_or(1500),
        linkspeed: conversion.text_or(map, "linkspeed", "auto"),
        trunking: trunking(conversion, data.get("trunking")),
        allowed_networks: conversion.texts(map, "allowed_networks"),
        labels: conversion.labels(map, "labels"),
    })
}

fn bonding(conversion: &mut Conversion, node: Option<&Node<'_>>) -> Bonding {
    let modes = [
        ("disabled", BondingMode::Disabled),
        ("802.3ad", BondingMode::Lacp),
        ("balance-rr", BondingMode::RoundRobin),
        ("active-backup", BondingMode::ActiveBackup),
    ];
    let mode = node.and_then(|node| conversion.choice(node, "bonding.mode", &modes)).unwrap_or(BondingMode::Disabled);
    let mut bonding = Bonding { mode, mon_rate: None, up_delay: None, down_delay: None, hash: None, peer_rate: None };
    let Some(map) = node.and_then(Node::map) else { return bonding };
    if mode != BondingMode::Disabled {
        bonding.mon_rate = conversion.whole(map, "mon_rate").or(Some(100));
        bonding.up_delay = conversion.whole(map, "up_delay").or(Some(200));
        bonding.down_delay = conversion.whole(map, "down_delay").or(Some(200));
    }
    if mode == BondingMode::Lacp {
        bonding.hash = Some(conversion.text_or(map, "hash", "layer3+4"));
        bonding.peer_rate = Some(conversion.text_or(map, "peer_rate", "fast"));
    }
    bonding
}

fn trunking(conversion: &mut Conversion, node: Option<&Node<'_>>) -> Trunking {
    let modes = [("disabled", TrunkingMode::Disabled), ("802.1q", TrunkingMode::Tagged)];
    Trunking {
        mode: node.and_then(|node| conversion.choice(node, "trunking.mode", &modes)).unwrap_or(TrunkingMode::Disabled),
        default_network: node.and_then(Node::map).and_then(|map| conversion.text(map, "default_network")),
    }
}
