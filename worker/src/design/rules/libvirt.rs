use super::{Findings, Rule, Subject, quoted, reason};
use crate::design::compile::EffectiveNode;
use crate::design::reference::is_scheme;
use crate::design::units::Mac;

/// A node managed through libvirt says where, over ssh, and by which MAC it boots.
pub(super) const RULE: Rule = Rule { code: "DD4002", name: "libvirt", title: "Valid Libvirt Configuration", check };

const SCHEME: &str = "qemu+ssh";

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for node in subject.compiled.nodes.iter().filter(|node| node.settings.oob.kind.as_deref() == Some("libvirt")) {
        judge(node, found);
    }
}

fn judge(node: &EffectiveNode, found: &mut Findings) {
    match node.settings.oob.parameters.get("libvirt_uri").filter(|uri| !uri.is_empty()) {
        None => {
            let error = found.error("the node is managed through libvirt and has no oob libvirt_uri");
            found.push(error.remedy("set oob.libvirt_uri: qemu+ssh://user@host/system").about(node));
        }
        Some(uri) if !uri.starts_with(SCHEME) => {
            // Only the scheme, since there may be a password behind it.
            let scheme = uri.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
            let scheme = scheme.map_or_else(|| "no scheme".to_owned(), quoted);
            let error = found.error(format!("the oob libvirt_uri begins with {scheme}, not with {SCHEME}"));
            found.push(error.remedy("set oob.libvirt_uri: qemu+ssh://user@host/system").about(node));
        }
        Some(_) => {}
    }
    match &node.boot_mac {
        None => {
            let error = found.error("the node is managed through libvirt and has no boot_mac");
            found.push(error.remedy("set metadata.boot_mac on the node; it is not inherited").about(node));
        }
        Some(mac) if mac.value.is_none() => {
            let error =
                found.error(format!("the boot_mac {} cannot be read: {}", quoted(&mac.text), reason::<Mac>(&mac.text)));
            found.push(error.remedy("correct metadata.boot_mac").about(node));
        }
        Some(_) => {}
    }
}
