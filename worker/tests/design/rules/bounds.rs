//! What a design that means ill can make of the rules: neither much work, nor long messages, nor a panic.

use std::fmt::Write;
use std::sync::Arc;

use longshore_worker::design::compile::{Compiled, compile};
use longshore_worker::design::finding::{Finding, Severity};
use longshore_worker::design::ingest::{Status, ingest};
use longshore_worker::design::rules::{self, FINDINGS_MAX, RULES, Subject};

use super::{VALID, checked, faults};
use crate::chance::{Chance, cases};
use crate::fuzz::spoilt;
use crate::hostile::cpu;

/// The valid design with this in the place of one of its profile's partitions, and so many more nodes that share it.
fn many(partitions: &str, nodes: usize) -> String {
    let mut yaml = VALID.replace("- {name: rest, size: '40%', volume_group: data}", partitions);
    for node in 0..nodes {
        write!(
            yaml,
            "---\nschema: drydock/BaremetalNode/v1\nmetadata: {{name: node{node}}}\ndata:\n  host_profile: defaults\n  \
             addressing: [{{network: oob, address: 10.0.0.12}}]\n",
        )
        .expect("a string takes all");
    }
    yaml
}

#[test]
fn what_a_profile_gives_to_many_nodes_is_judged_once_and_counted_for_each() {
    const NODES: usize = 5_000;
    const PARTITIONS: usize = 10_000;
    let partitions = "          - {name: p, size: bad}\n".repeat(PARTITIONS);
    let checked = checked(&many(partitions.trim_start(), NODES));
    let of_rule: Vec<&Finding> = checked.iter().filter(|one| one.rule == "storage_sizing").collect();
    assert_eq!(of_rule.len(), FINDINGS_MAX + 1);
    let left_out = of_rule[FINDINGS_MAX];
    // The two nodes of the valid design have it too.
    let expected = format!("{} more findings of this rule are left out", PARTITIONS * (NODES + 2) - FINDINGS_MAX);
    assert_eq!((&*left_out.message, left_out.severity), (&*expected, Severity::Error));
}

#[test]
fn a_message_shows_no_more_of_a_value_than_a_line() {
    let size = "9".repeat(1_000_000);
    let checked = checked(&many(&format!("- {{name: rest, size: {size}g, volume_group: data}}"), 100));
    let faults = faults(&checked);
    assert!(faults.len() > 100);
    let longest = faults.iter().map(|finding| finding.message.len()).max().expect("some");
    assert!(longest < 300, "{longest}");
}

#[test]
fn spoilt_designs_are_checked_to_an_end_and_each_rule_answers() {
    let corpus =
        [("valid".to_owned(), VALID.as_bytes().to_vec()), ("wrong".to_owned(), include_bytes!("wrong.yaml").to_vec())];
    let mut checked = 0;
    for seed in 0..cases(2_000) {
        let ingested = ingest(&spoilt(&mut Chance::new(seed), &corpus));
        checked += u64::from(ingested.status == Status::Success);
        // What could be read is checked here even where the worker would not.
        let compiled = compile(Arc::new(ingested.design));
        let subject = Subject { compiled: &compiled, platforms: None };
        let found = rules::check(&subject);
        for rule in RULES {
            let of_rule = || found.iter().filter(|one| one.rule == rule.name);
            let (errors, infos): (Vec<&Finding>, Vec<&Finding>) = of_rule()
                .filter(|one| one.severity != Severity::Warning)
                .partition(|one| one.severity == Severity::Error);
            assert_eq!(infos.len(), usize::from(errors.is_empty()), "seed {seed}: {}", rule.name);
            assert!(of_rule().all(|one| one.code == rule.code), "seed {seed}: {}", rule.name);
        }
        assert_eq!(rules::check(&subject), found, "seed {seed}");
    }
    assert!(checked > 0, "some are whole designs");
}

fn compiled(yaml: &str) -> Compiled {
    compile(Arc::new(ingest(yaml.as_bytes()).design))
}

#[test]
fn eight_times_the_design_takes_no_more_than_some_eight_times_the_work() {
    type Shape = (&'static str, usize, fn(usize) -> String);
    let shapes: [Shape; 5] = [
        ("nodes of a site", 500, crate::site::yaml),
        ("nodes with one address", 500, |size| many("", size)),
        ("nodes that share as many partitions", 200, |size| {
            let partitions: Vec<String> = (0..size)
                .map(|name| format!("- {{name: p{name}, size: '1%', filesystem: {{mountpoint: /}}}}"))
                .collect();
            many(&partitions.join("\n          "), size)
        }),
        ("links that allow the same networks", 20, |size| {
            let networks: Vec<String> = (0..200).map(|name| format!("n{name}")).collect();
            let link = |name| {
                format!(
                    "---\n{{schema: drydock/NetworkLink/v1, metadata: {{name: l{name}}}, data: {{allowed_networks: [{}]}}}}\n",
                    networks.join(", ")
                )
            };
            (0..size).map(link).collect()
        }),
        ("packages of one action", 2_000, |size| {
            let packages: Vec<String> = (0..size).map(|name| format!("p{name}: 1")).collect();
            VALID.replace("jq: null", &packages.join(", "))
        }),
    ];
    for (name, size, shape) in shapes {
        let (small, large) = (compiled(&shape(size)), compiled(&shape(8 * size)));
        let least = |compiled: &Compiled| {
            let subject = Subject { compiled, platforms: None };
            (0..3).map(|_| cpu(|| drop(rules::check(&subject)))).min().expect("three runs")
        };
        let (once, eight) = (least(&small), least(&large));
        // Quadratic work would be 64 times as much.
        assert!(eight < once * 24, "{name}: {once:?} for {size}, {eight:?} for {}", 8 * size);
    }
}
