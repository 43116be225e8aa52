use std::ops::RangeInclusive;

use super::{Findings, Rule, Subject, quoted};

/// MTUs are such that packets pass, and the native network of a link asks for no more than the link has.
pub(super) const RULE: Rule = Rule { code: "DD2003", name: "mtu_rationality", title: "MTU Rationality", check };

/// From the least that IPv6 works with.
const MTUS: RangeInclusive<i64> = 1280..=65536;

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let compiled = subject.compiled;
    for network in compiled.networks.iter() {
        if let Some(mtu) = network.mtu.filter(|mtu| *mtu != 0 && !MTUS.contains(mtu)) {
            found.push(
                found.error(told(mtu)).remedy("set an mtu in these bounds, or none for the link's").about(network),
            );
        }
    }
    for link in compiled.design.network_links.iter() {
        if link.mtu == 0 {
            continue;
        }
        if !MTUS.contains(&link.mtu) {
            found.push(found.error(told(link.mtu)).remedy("set an mtu in these bounds").about(link));
        }
        let native = link.trunking.default_network.as_ref().and_then(|name| compiled.networks.get(name));
        let Some((native, mtu)) = native.and_then(|native| Some((native, native.mtu?))) else { continue };
        if mtu > link.mtu {
            let (name, of_link) = (quoted(&link.name), link.mtu);
            let error = found
                .error(format!("the MTU {mtu} is above {of_link}, that of the link {name} whose native network it is"));
            found.push(error.remedy("lower the mtu of the network, or raise that of the link").about(native));
        }
    }
}

fn told(mtu: i64) -> String {
    format!("the MTU {mtu} is not from {} to {}", MTUS.start(), MTUS.end())
}
