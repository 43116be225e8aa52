//! The rules, from documents to findings: a valid design, and changes to it of which each violates exactly one rule.

mod bounds;
mod mutations;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use longshore_worker::design::finding::{Finding, Severity};
use longshore_worker::design::ingest::Status;
use longshore_worker::design::reading::Reading;
use longshore_worker::design::rules::{Platforms, RULES};

use self::mutations::MUTATIONS;
use crate::golden::{tell, writes};

const VALID: &str = include_str!("valid.yaml");

/// All that is found in a design.
fn checked(yaml: &str) -> Vec<Finding> {
    let platforms = Platforms::from_json(r#"{"noble": ["ga", "hwe"], "jammy": []}"#).expect("platforms");
    Reading::of(yaml.as_bytes()).check(Some(&platforms))
}

/// What is wrong, without what the rules say that found nothing.
fn faults(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.severity > Severity::Info).collect()
}

/// Findings as the goldens have them.
fn told<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> String {
    let mut told = String::new();
    tell(&mut told, findings);
    told
}

fn assert_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/design/rules").join(name);
    if writes() {
        std::fs::write(&path, found).expect("the golden is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, golden, "{name} differs; GOLDEN=write writes it");
}

#[test]
fn a_valid_design_has_an_info_of_every_rule_and_nothing_else() {
    let checked = checked(VALID);
    assert_eq!(told(faults(&checked)), "");
    let infos: Vec<(&str, &str)> = checked.iter().map(|finding| (finding.code, finding.rule)).collect();
    assert_eq!(infos, RULES.map(|rule| (rule.code, rule.name)));
    assert!(checked.iter().all(|finding| finding.documents.is_empty() && finding.line.is_none()));
}

#[test]
fn each_change_of_the_valid_design_violates_exactly_its_rule() {
    let mut golden = String::new();
    for mutation in MUTATIONS {
        let yaml = mutation.apply(VALID);
        let checked = checked(&yaml);
        let faults = faults(&checked);
        let rules: BTreeSet<&str> = faults.iter().map(|finding| finding.rule).collect();
        assert_eq!(Vec::from_iter(rules), [mutation.rule], "{}:\n{}", mutation.what, told(faults.iter().copied()));
        let rule = RULES.iter().find(|rule| rule.name == mutation.rule).expect("a rule");
        assert!(faults.iter().all(|finding| finding.code == rule.code), "{}", mutation.what);
        // an info stands for the rule that found no error
        let has_error = faults.iter().any(|finding| finding.severity == Severity::Error);
        let has_info = checked.iter().any(|one| one.rule == rule.name && one.severity == Severity::Info);
        assert_ne!(has_error, has_info, "{}", mutation.what);
        writeln!(golden, "{}: {}\n{}", mutation.rule, mutation.what, told(faults)).expect("a string");
    }
    assert_golden("mutations.golden", &golden);
}

#[test]
fn every_rule_is_violated_by_some_change() {
    let changed: BTreeSet<&str> = MUTATIONS.iter().map(|mutation| mutation.rule).collect();
    assert_eq!(changed, RULES.iter().map(|rule| rule.name).collect());
}

#[test]
fn names_of_rules_are_unique_and_codes_are_those_of_the_reference() {
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    let told: Vec<String> = RULES.iter().map(|rule| format!("{} {}: {}", rule.code, rule.name, rule.title)).collect();
    assert_golden("rules.golden", &(told.join("\n") + "\n"));
}

#[test]
fn a_design_that_is_wrong_in_many_ways_has_all_findings_in_one_pass() {
    let reading = Reading::of(include_bytes!("wrong.yaml"));
    assert_eq!(reading.status, Status::Success);
    assert_golden("wrong.golden", &told(&reading.check(None)));
}

#[test]
fn a_refused_document_keeps_the_rules_from_running() {
    let reading = Reading::of(VALID.replace("cidr: 10.0.0.0/24", "cidr: [10.0.0.0/24]").as_bytes());
    assert_eq!((reading.status, reading.compiled.is_none()), (Status::Failure, true));
    let checked = reading.check(None);
    assert!(checked.iter().all(|finding| finding.code == "DD001"), "{}", told(&checked));
}

#[test]
fn a_node_that_cannot_be_compiled_leaves_the_others_to_the_rules() {
    let yaml = VALID.replacen("host_profile: defaults", "host_profile: missing", 1);
    let checked = checked(&yaml.replace("boot_mac: '52:54:00:00:00:01'", "boot_mac: none"));
    let rules: Vec<(&str, &str)> = faults(&checked).iter().map(|one| (one.code, &*one.documents[0].name)).collect();
    assert_eq!(rules, [("DD000", "metal"), ("DD4002", "virtual")]);
}

#[test]
fn without_a_list_of_images_one_warning_says_so() {
    let checked = Reading::of(VALID.as_bytes()).check(None);
    let faults = faults(&checked);
    assert_eq!(faults.len(), 1, "{}", told(faults.iter().copied()));
    assert_eq!((faults[0].rule, faults[0].severity), ("platform_selection", Severity::Warning));
}

#[test]
fn a_node_that_a_design_has_twice_is_told_once_and_not_by_each_of_its_addresses() {
    let twice = Reading::of_all([VALID.as_bytes(), VALID.as_bytes()]).check(None);
    let told: Vec<&str> =
        twice.iter().filter(|one| one.rule == "duplicate_ip").map(|one| one.message.as_str()).collect();
    // the other node has no address of its own
    assert_eq!(told, [r#"the node "metal" is in the design twice"#]);
}
