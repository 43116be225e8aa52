use super::{Findings, Rule, Subject, quoted};
use crate::design::compile::EffectiveNode;
use crate::design::model::AddressKind;

/// A node managed through IPMI says who logs in, and at which address.
pub(super) const RULE: Rule = Rule { code: "DD4001", name: "ipmi", title: "Valid IPMI Configuration", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for node in subject.compiled.nodes.iter().filter(|node| node.settings.oob.kind.as_deref() == Some("ipmi")) {
        judge(node, found);
    }
}

fn judge(node: &EffectiveNode, found: &mut Findings) {
    let oob = &node.settings.oob;
    for (name, value) in [("account", oob.account()), ("credential", oob.credential()), ("network", oob.network())] {
        if value.is_none_or(|value| value.is_empty()) {
            let error = found.error(format!("the node is managed through ipmi and has no oob {name}"));
            found.push(error.remedy(format!("set oob.{name} on the node or its host profile")).about(node));
        }
    }
    let Some(network) = oob.network().filter(|network| !network.is_empty()) else { return };
    let is_there = |kind: &AddressKind| matches!(kind, AddressKind::Static(_));
    if !node.addressing.iter().any(|address| address.network == *network && is_there(&address.kind)) {
        let error = found.error(format!("the node has no static address on its oob network {}", quoted(network)));
        found.push(error.remedy("add one to addressing").about(node));
    }
}
