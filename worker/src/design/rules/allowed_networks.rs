use std::collections::{HashMap, HashSet};

use super::{Findings, Rule, Subject, each_part, quoted};
use crate::design::model::{Interface, NetworkLink};

/// Each network has one link, and interfaces carry networks that their link allows.
pub(super) const RULE: Rule = Rule { code: "DD1007", name: "allowed_networks", title: "Allowed Network Check", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let links = &subject.compiled.design.network_links;
    one_link_each(links, found);
    let mut allowed: HashMap<&str, HashSet<&str>> = HashMap::new();
    for link in links.iter() {
        // Of two links of one name the first counts.
        allowed.entry(&link.name).or_insert_with(|| link.allowed_networks.iter().map(|name| &**name).collect());
    }
    let judge = |interfaces: &[Interface], found: &mut Findings| {
        for interface in interfaces.iter().filter(|interface| !interface.networks.is_empty()) {
            judge(interface, &allowed, found);
        }
    };
    each_part(subject.compiled, |node| &node.settings.interfaces, judge, found);
}

fn one_link_each(links: &[NetworkLink], found: &mut Findings) {
    let mut link_of: HashMap<&str, &NetworkLink> = HashMap::new();
    for link in links {
        for network in &link.allowed_networks {
            let first = *link_of.entry(network).or_insert(link);
            if !std::ptr::eq(first, link) {
                let (network, first, second) = (quoted(network), quoted(&first.name), quoted(&link.name));
                let error = found.error(format!("the network {network} is allowed on two links, {first} and {second}"));
                found.push(error.remedy("remove it from the allowed_networks of one of them"));
            }
        }
    }
}

fn judge(interface: &Interface, allowed: &HashMap<&str, HashSet<&str>>, found: &mut Findings) {
    let name = quoted(&interface.name);
    let Some(link) = &interface.device_link else {
        let error = found.error(format!("the interface {name} has networks and no link"));
        found.push(error.remedy("set its device_link"));
        return;
    };
    let shown = quoted(link);
    let Some(allowed) = allowed.get(&**link) else {
        let error = found.error(format!("the link {shown} of the interface {name} is not defined"));
        found.push(error.remedy("define the link, or correct the interface's device_link"));
        return;
    };
    for network in interface.networks.iter().filter(|network| !allowed.contains(&***network)) {
        let network = quoted(network);
        let error = found
            .error(format!("the interface {name} has the network {network}, which its link {shown} does not allow"));
        found.push(error.remedy("add it to the link's allowed_networks, or remove it from the interface"));
    }
}
