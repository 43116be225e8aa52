//! The rules that a design is checked by, one file each: a code, a name, a title, and a function that looks for errors.
//!
//! A rule sees the whole compiled design and reports what it finds; it knows no other rule. Where two rules share a
//! code, their names tell them apart. None takes more time than grows with the design: what nodes share is judged once
//! ([`each_part`]), look-ups go through hashes, and of the findings of one rule so many are kept ([`Findings`]).

mod allowed_networks;
mod boot_storage;
mod bootaction_packages;
mod bootaction_target;
mod cidr_validity;
mod duplicate_ip;
mod findings;
mod hostname;
mod hugepages;
mod ip_locality;
mod ipmi;
mod libvirt;
mod mtu_rationality;
mod network_bond;
mod network_trunking;
mod platform_selection;
mod storage_mountpoint;
mod storage_partitioning;
mod storage_sizing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use super::compile::{Compiled, EffectiveNode};
use super::finding::Finding;
use super::schema::quoted;

pub use findings::{FINDINGS_MAX, Findings};
pub use platform_selection::{Platforms, PlatformsError};

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The code of its findings: `DD2002`.
    pub code: &'static str,
    /// What tells it from other rules, also of the same code: `ip_locality`.
    pub name: &'static str,
    /// What the status document calls it. Clients match on these, so they keep their spelling.
    pub title: &'static str,
    /// Looks at the design, and reports what is wrong.
    check: fn(&Subject<'_>, &mut Findings),
}

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'c> {
    /// The design.
    pub compiled: &'c Compiled,
    /// What can be deployed, if that is known.
    pub platforms: Option<&'c Platforms>,
}

/// All rules, in the order in which they run.
pub const RULES: [Rule; 18] = [
    boot_storage::RULE,
    cidr_validity::RULE,
    hugepages::RULE,
    ip_locality::RULE,
    mtu_rationality::RULE,
    network_trunking::RULE,
    duplicate_ip::RULE,
    platform_selection::RULE,
    network_bond::RULE,
    storage_partitioning::RULE,
    storage_sizing::RULE,
    storage_mountpoint::RULE,
    allowed_networks::RULE,
    hostname::RULE,
    ipmi::RULE,
    libvirt::RULE,
    bootaction_target::RULE,
    bootaction_packages::RULE,
];

/// Runs all rules: what each found, in their order. A rule that finds no error leaves an info behind.
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule.check(subject)).collect()
}

impl Rule {
    /// The rule of this name.
    pub fn named(name: &str) -> Option<&'static Rule> {
        RULES.iter().find(|rule| rule.name == name)
    }

    /// Runs this rule alone.
    pub fn check(&self, subject: &Subject<'_>) -> Vec<Finding> {
        let mut found = Findings::new(self);
        (self.check)(subject, &mut found);
        found.finish()
    }
}

/// Reports on every node what is wrong with a part that it may share with others: each part is judged once, so that a
/// profile of many thousand lines costs no more when as many nodes inherit from it.
fn each_part<'c, T: ?Sized + 'c>(
    compiled: &'c Compiled,
    part: impl Fn(&'c EffectiveNode) -> &'c Arc<T>,
    judge: impl Fn(&'c T, &mut Findings),
    found: &mut Findings,
) {
    let mut judged: HashMap<*const (), Findings> = HashMap::new();
    for node in compiled.nodes.iter() {
        let part = part(node);
        let faults = judged.entry(Arc::as_ptr(part).cast()).or_insert_with(|| {
            let mut faults = found.of_part();
            judge(part, &mut faults);
            faults
        });
        found.repeat(faults, node);
    }
}

/// Why a text is not what it should be.
fn reason<T: FromStr<Err: ToString>>(text: &str) -> String {
    text.parse::<T>().err().map_or_else(String::new, |error| error.to_string())
}
