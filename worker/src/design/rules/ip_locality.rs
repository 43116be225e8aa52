use std::net::IpAddr;

use super::{Findings, Rule, Subject, quoted, reason};
use crate::design::compile::EffectiveNode;
use crate::design::model::{AddressKind, Network};

/// Gateways and addresses lie in the networks that they are for.
pub(super) const RULE: Rule = Rule { code: "DD2002", name: "ip_locality", title: "IP Locality Check", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let compiled = subject.compiled;
    // Routes as they were written: those that follow from route domains repeat their gateways.
    let networks = &compiled.design.networks;
    if networks.is_empty() {
        found.push(found.warning("the design has no networks"));
    }
    if compiled.nodes.is_empty() {
        found.push(found.warning("the design has no nodes"));
    }
    for network in networks.iter() {
        routes(network, found);
    }
    for node in compiled.nodes.iter() {
        addresses(node, |name| networks.get(name), found);
    }
}

fn routes(network: &Network, found: &mut Findings) {
    for route in &network.routes {
        let to = match (&route.subnet, &route.routedomain) {
            (Some(subnet), _) => quoted(&subnet.text),
            (None, Some(domain)) => format!("the route domain {}", quoted(domain)),
            (None, None) => "nowhere".to_owned(),
        };
        let Some(gateway) = &route.gateway else {
            let error = found.error(format!("the route to {to} has no gateway"));
            found.push(error.remedy("set its gateway").about(network));
            continue;
        };
        let text = quoted(&gateway.text);
        match (gateway.value, network.cidr.value) {
            (None, _) => {
                let reason = reason::<IpAddr>(&gateway.text);
                let error = found.error(format!("the gateway {text} of the route to {to} cannot be read: {reason}"));
                found.push(error.remedy("write an address of the network").about(network));
            }
            (Some(gateway), Some(cidr)) if !cidr.contains(gateway) => {
                let error = found.error(format!("the gateway {text} of the route to {to} is not in {cidr}"));
                found.push(error.remedy("use a gateway in the network, or correct the network's cidr").about(network));
            }
            // A CIDR that cannot be read is reported by its own rule.
            (Some(_), _) => {}
        }
    }
}

fn addresses<'d>(node: &EffectiveNode, network: impl Fn(&str) -> Option<&'d Network>, found: &mut Findings) {
    for address in node.addressing.iter() {
        let AddressKind::Static(written) = &address.kind else { continue };
        let told = || format!("the address {} on the network {}", quoted(&written.text), quoted(&address.network));
        match (written.value, network(&address.network)) {
            (None, _) => {
                let error = found.error(format!("{} cannot be read: {}", told(), reason::<IpAddr>(&written.text)));
                found.push(error.remedy("write an address of the network, or dhcp").about(node));
            }
            (Some(_), None) => {
                let error = found.error(format!("{} is on none that is defined", told()));
                found.push(error.remedy("define the network, or correct its name in addressing").about(node));
            }
            (Some(ip), Some(network)) => {
                if let Some(cidr) = network.cidr.value.filter(|cidr| !cidr.contains(ip)) {
                    let error = found.error(format!("{} is not in its {cidr}", told()));
                    found.push(error.remedy("use an address in the network").about(node));
                }
            }
        }
    }
}
