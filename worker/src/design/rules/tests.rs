//! What no documents lead to, and the bounds of the list of findings. The rules themselves are tested from outside.

use std::sync::Arc;

use super::*;
use crate::design::compile::compile;
use crate::design::finding::Severity;
use crate::design::ingest::ingest;
use crate::design::model::{BondingMode, Design};

const LINK: &[u8] = b"
schema: drydock/NetworkLink/v1
metadata: {name: data}
data: {bonding: {mode: 802.3ad}, trunking: {mode: 802.1q}, allowed_networks: []}
";

const NODE: &[u8] = b"
schema: drydock/BaremetalNode/v1
metadata: {name: node1}
data: {addressing: [{network: mgmt, address: dhcp}]}
";

/// What a rule finds of a design with one link, whose options are those of 802.3ad, in this mode.
fn bond(mode: BondingMode, change: impl FnOnce(&mut crate::design::model::Bonding)) -> Vec<String> {
    let mut link = ingest(LINK).design.network_links[0].clone();
    link.bonding.mode = mode;
    change(&mut link.bonding);
    let design = Design { network_links: [link].into_iter().collect(), ..Design::default() };
    let compiled = compile(Arc::new(design));
    let found = network_bond::RULE.check(&Subject { compiled: &compiled, platforms: None });
    found.into_iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.message).collect()
}

#[test]
fn a_bond_has_no_options_of_another_mode() {
    assert_eq!(bond(BondingMode::Lacp, |_| {}), [""; 0]);
    let all = "the bonding mode knows no mon_rate, up_delay, down_delay, hash, peer_rate";
    assert_eq!(bond(BondingMode::Disabled, |_| {}), [all]);
    for mode in [BondingMode::ActiveBackup, BondingMode::RoundRobin] {
        assert_eq!(bond(mode, |_| {}), ["the bonding mode knows no hash, peer_rate"]);
        assert_eq!(bond(mode, |bonding| (bonding.hash, bonding.peer_rate) = (None, None)), [""; 0]);
    }
}

#[test]
fn an_empty_design_has_warnings_alone() {
    let compiled = compile(Arc::new(Design::default()));
    let found = check(&Subject { compiled: &compiled, platforms: None });
    let (warnings, infos): (Vec<&Finding>, Vec<&Finding>) =
        found.iter().partition(|finding| finding.severity == Severity::Warning);
    let told: Vec<(&str, &str)> = warnings.iter().map(|one| (one.rule, &*one.message)).collect();
    let none = [
        ("cidr_validity", "networks"),
        ("ip_locality", "networks"),
        ("ip_locality", "nodes"),
        ("duplicate_ip", "nodes"),
    ];
    let mut expected: Vec<(&str, String)> =
        none.into_iter().map(|(rule, what)| (rule, format!("the design has no {what}"))).collect();
    expected.push((
        "platform_selection",
        "images and kernels are not checked, since it is not known which there are".to_owned(),
    ));
    let expected: Vec<(&str, &str)> = expected.iter().map(|(rule, text)| (*rule, &**text)).collect();
    assert_eq!(told, expected);
    // also of the rules that warned
    assert_eq!(infos.iter().map(|one| one.rule).collect::<Vec<_>>(), RULES.map(|rule| rule.name));
}

#[test]
fn of_one_rule_so_many_findings_are_kept_and_the_rest_is_counted() {
    let mut found = Findings::new(&RULES[0]);
    for number in 0..FINDINGS_MAX + 7 {
        found.push(found.warning(format!("{number}")));
    }
    let found = found.finish();
    let last: Vec<(Severity, &str)> = found[FINDINGS_MAX..].iter().map(|one| (one.severity, &*one.message)).collect();
    assert_eq!(last, [(Severity::Warning, "7 more findings of this rule are left out"), (Severity::Info, "no errors")]);
}

#[test]
fn parts_keep_no_more_together_than_the_whole() {
    let mut found = Findings::new(&RULES[0]);
    let node = ingest(NODE).design.nodes[0].clone();
    let mut kept = 0;
    for _ in 0..5 {
        let mut part = found.of_part();
        for _ in 0..FINDINGS_MAX / 2 + 1 {
            part.push(part.error("wrong"));
        }
        found.repeat(&part, &node);
        kept += part.finish().iter().filter(|finding| finding.message == "wrong").count();
    }
    assert_eq!(kept, FINDINGS_MAX);
    let found = found.finish();
    assert_eq!(
        (found.len(), &*found[FINDINGS_MAX].message),
        (FINDINGS_MAX + 1, "15005 more findings of this rule are left out")
    );
}

#[test]
fn platforms_are_an_object_of_lists() {
    for wrong in ["", "[]", r#"{"noble": "hwe"}"#, r#"{"noble": [1]}"#, r#"{"noble": ["hwe"]"#] {
        let error = Platforms::from_json(wrong).expect_err(wrong).to_string();
        assert!(error.starts_with("images and their kernels are a JSON object such as {\"noble\""), "{error}");
    }
    assert!(Platforms::from_json("{}").is_ok());
}
