use super::{Findings, Rule, Subject, quoted, reason};
use crate::design::units::Cidr;

/// A network's CIDR is one, and has no host bits set.
pub(super) const RULE: Rule = Rule { code: "DD2006", name: "cidr_validity", title: "CIDR Validity", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let networks = &subject.compiled.networks;
    if networks.is_empty() {
        found.push(found.warning("the design has no networks"));
    }
    for network in networks.iter() {
        let text = quoted(&network.cidr.text);
        match network.cidr.value {
            None => {
                let error = found.error(format!("{text} is no CIDR: {}", reason::<Cidr>(&network.cidr.text)));
                found.push(error.remedy("correct the network's cidr").about(network));
            }
            Some(cidr) if cidr.has_host_bits() => {
                let error = found.error(format!("{text} has bits set behind its prefix"));
                found.push(error.remedy(format!("set cidr: {}", cidr.masked())).about(network));
            }
            Some(_) => {}
        }
    }
}
