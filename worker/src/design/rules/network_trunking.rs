use super::{Findings, Rule, Subject, quoted};
use crate::design::model::{NetworkLink, TrunkingMode};

/// A link without trunking carries one network, which is untagged.
pub(super) const RULE: Rule =
    Rule { code: "DD2004", name: "network_trunking", title: "Network Trunking Rationalty", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let links = subject.compiled.design.network_links.iter();
    for link in links.filter(|link| link.trunking.mode == TrunkingMode::Disabled) {
        let count = link.allowed_networks.len();
        if count > 1 {
            let error = found.error(format!("the link allows {count} networks, and trunking is disabled"));
            found.push(error.remedy("allow one network, or set trunking.mode: 802.1q").about(link));
        }
        native(subject, link, found);
    }
}

fn native(subject: &Subject<'_>, link: &NetworkLink, found: &mut Findings) {
    let Some(name) = &link.trunking.default_network else {
        let error = found.error("trunking is disabled, and the link has no default network");
        found.push(error.remedy("set trunking.default_network, or trunking.mode: 802.1q").about(link));
        return;
    };
    let shown = quoted(name);
    let Some(network) = subject.compiled.networks.get(name) else {
        let error = found.error(format!("the default network {shown} is not defined"));
        found.push(error.remedy("define the network, or correct trunking.default_network").about(link));
        return;
    };
    if let Some(vlan) = &network.vlan {
        let message = format!("the network {shown} has the VLAN {}, and the link carries it untagged", quoted(vlan));
        let error = found.error(message).remedy("remove the network's vlan, or set the link's trunking.mode: 802.1q");
        found.push(error.about(network).about(link));
    }
}
