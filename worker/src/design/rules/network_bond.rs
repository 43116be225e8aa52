use super::{Findings, Rule, Subject};
use crate::design::model::{BondingMode, NetworkLink};

/// A bond's options are those of its mode, and it waits at least as long as it takes to notice.
pub(super) const RULE: Rule = Rule { code: "DD1006", name: "network_bond", title: "Network Bond Rationality", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for link in subject.compiled.design.network_links.iter() {
        match link.bonding.mode {
            BondingMode::Lacp => delays(link, found),
            BondingMode::Disabled | BondingMode::RoundRobin | BondingMode::ActiveBackup => foreign(link, found),
        }
    }
}

fn delays(link: &NetworkLink, found: &mut Findings) {
    let bonding = &link.bonding;
    let Some(rate) = bonding.mon_rate else { return };
    for (name, delay) in [("up_delay", bonding.up_delay), ("down_delay", bonding.down_delay)] {
        if let Some(delay) = delay.filter(|delay| *delay < rate) {
            let error = found.error(format!("{name} is {delay} ms, less than the mon_rate of {rate} ms"));
            found.push(error.remedy(format!("raise bonding.{name}, or lower bonding.mon_rate")).about(link));
        }
    }
}

/// Options of another mode. Documents that are read drop them; a design may come about otherwise.
fn foreign(link: &NetworkLink, found: &mut Findings) {
    let bonding = &link.bonding;
    let timing = [
        ("mon_rate", bonding.mon_rate.is_some()),
        ("up_delay", bonding.up_delay.is_some()),
        ("down_delay", bonding.down_delay.is_some()),
    ];
    let lacp = [("hash", bonding.hash.is_some()), ("peer_rate", bonding.peer_rate.is_some())];
    let timing = timing.into_iter().filter(|_| bonding.mode == BondingMode::Disabled);
    let set: Vec<&str> = timing.chain(lacp).filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect();
    if !set.is_empty() {
        let error = found.error(format!("the bonding mode knows no {}", set.join(", ")));
        found.push(error.remedy("remove them from bonding, or set another mode").about(link));
    }
}
