use super::reading::{Reading, items};
use crate::design::model::{
    Bonding, BondingMode, DhcpRelay, Dns, Network, NetworkLink, Origin, Range, Route, Text, Trunking, TrunkingMode,
};
use crate::design::units::Written;
use crate::design::yaml::{Map, Node};

pub(super) fn network(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<Network> {
    let map = data.map()?;
    let cidr = reading.required(data, "cidr", "");
    let empty = Map::default();
    let dns = map.get("dns").and_then(Node::map).unwrap_or(&empty);
    let dhcp_relay = map.get("dhcp_relay").and_then(Node::map).map(|map| DhcpRelay {
        self_ip: reading.written(map, "self_ip"),
        upstream_target: reading.written(map, "upstream_target"),
    });
    Some(Network {
        name,
        origin,
        vlan: reading.text(map, "vlan"),
        mtu: reading.whole(map, "mtu"),
        routedomain: reading.text(map, "routedomain"),
        ranges: items(map, "ranges").iter().filter_map(Node::map).map(|map| range(reading, map)).collect(),
        routes: items(map, "routes").iter().filter_map(Node::map).map(|map| route(reading, map)).collect(),
        dns: Dns { domain: reading.text_or(dns, "domain", "local"), servers: reading.text(dns, "servers") },
        dhcp_relay,
        labels: reading.labels(map, "labels"),
        cidr: Written::new(cidr?),
    })
}

fn range(reading: &mut Reading, map: &Map<'_>) -> Range {
    Range { kind: reading.text(map, "type"), start: reading.written(map, "start"), end: reading.written(map, "end") }
}

fn route(reading: &mut Reading, map: &Map<'_>) -> Route {
    Route {
        subnet: reading.written(map, "subnet"),
        routedomain: reading.text(map, "routedomain"),
        gateway: reading.written(map, "gateway"),
        metric: map.get("metric").and_then(|node| reading.scalar(node, "metric")),
    }
}

pub(super) fn network_link(reading: &mut Reading, name: Text, origin: Origin, data: &Node<'_>) -> Option<NetworkLink> {
    let map = data.map()?;
    if map.get("allowed_networks").is_none() {
        reading.problem(data.line, "allowed_networks is missing", "an empty list allows none");
    }
    Some(NetworkLink {
        name,
        origin,
        bonding: bonding(reading, data.get("bonding")),
        mtu: reading.whole(map, "mtu").unwrap_or(1500),
        linkspeed: reading.text_or(map, "linkspeed", "auto"),
        trunking: trunking(reading, data.get("trunking")),
        allowed_networks: reading.texts(map, "allowed_networks"),
        labels: reading.labels(map, "labels"),
    })
}

fn bonding(reading: &mut Reading, node: Option<&Node<'_>>) -> Bonding {
    let modes = [
        ("disabled", BondingMode::Disabled),
        ("802.3ad", BondingMode::Lacp),
        ("balance-rr", BondingMode::RoundRobin),
        ("active-backup", BondingMode::ActiveBackup),
    ];
    let mode = node.and_then(|node| reading.choice(node, "bonding.mode", &modes)).unwrap_or(BondingMode::Disabled);
    let mut bonding = Bonding { mode, mon_rate: None, up_delay: None, down_delay: None, hash: None, peer_rate: None };
    let Some(map) = node.and_then(Node::map) else { return bonding };
    if mode != BondingMode::Disabled {
        bonding.mon_rate = reading.whole(map, "mon_rate").or(Some(100));
        bonding.up_delay = reading.whole(map, "up_delay").or(Some(200));
        bonding.down_delay = reading.whole(map, "down_delay").or(Some(200));
    }
    if mode == BondingMode::Lacp {
        bonding.hash = Some(reading.text_or(map, "hash", "layer3+4"));
        bonding.peer_rate = Some(reading.text_or(map, "peer_rate", "fast"));
    }
    bonding
}

fn trunking(reading: &mut Reading, node: Option<&Node<'_>>) -> Trunking {
    let modes = [("disabled", TrunkingMode::Disabled), ("802.1q", TrunkingMode::Tagged)];
    Trunking {
        mode: node.and_then(|node| reading.choice(node, "trunking.mode", &modes)).unwrap_or(TrunkingMode::Disabled),
        default_network: node.and_then(Node::map).and_then(|map| reading.text(map, "default_network")),
    }
}
