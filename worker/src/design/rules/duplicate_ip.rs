use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use super::{Findings, Rule, Subject, quoted};
use crate::design::compile::EffectiveNode;
use crate::design::model::AddressKind;

/// No two nodes have one address, nor one node the same twice. Of a document that the design has twice, that is told,
/// once.
pub(super) const RULE: Rule = Rule { code: "DD2005", name: "duplicate_ip", title: "Duplicated IP Check", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let nodes = &subject.compiled.nodes;
    if nodes.is_empty() {
        found.push(found.warning("the design has no nodes"));
    }
    let mut used: HashMap<IpAddr, &EffectiveNode> = HashMap::new();
    for node in nodes.iter() {
        for address in node.addressing.iter() {
            let AddressKind::Static(written) = &address.kind else { continue };
            // An address that cannot be read is reported by another rule.
            let Some(ip) = written.value else { continue };
            let first = match used.entry(ip) {
                Entry::Vacant(free) => {
                    free.insert(node);
                    continue;
                }
                Entry::Occupied(used) => *used.get(),
            };
            if !std::ptr::eq(first, node) && first.name == node.name {
                let error = found.error(format!("the node {} is in the design twice", quoted(&node.name)));
                found.push(error.remedy("leave one of the two documents out").about(node).about(first));
                break;
            }
            let text = quoted(&written.text);
            let error = if std::ptr::eq(first, node) {
                found.error(format!("the node has the address {text} twice"))
            } else {
                found.error(format!("the address {text} is that of the node {} as well", quoted(&first.name)))
            };
            let error = error.remedy("give each its own address").about(node);
            found.push(if std::ptr::eq(first, node) { error } else { error.about(first) });
        }
    }
}
