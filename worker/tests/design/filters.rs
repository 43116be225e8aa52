//! Node filters against the plainest reading of the specification, over generated designs and filters.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_worker::design::compile::{Compiled, EffectiveNode, compile};
use longshore_worker::design::filter::{Filter, Join, NodeFilter};
use longshore_worker::design::ingest::{Status, ingest};
use serde_json::{Value, json};

use crate::chance::{Chance, cases};

#[test]
fn a_filter_selects_what_the_plain_reading_selects() {
    for seed in 0..cases(1_500) {
        let mut chance = Chance::new(seed);
        let compiled = design(&mut chance);
        let filter = NodeFilter::from_json(&filter(&mut chance)).expect("a filter").expect("not null");
        let selected = compiled.select(Some(&filter)).expect("a small filter");
        let selected: Vec<&str> = selected.iter().map(|index| &*compiled.nodes[*index as usize].name).collect();
        assert_eq!(selected, plain(&compiled, &filter), "seed {seed}: {filter:?}");
    }
}

/// Some nodes; half of them share tags and labels through a profile.
fn design(chance: &mut Chance) -> Compiled {
    let mut yaml = String::from(
        "{schema: drydock/HardwareProfile/v1, metadata: {name: h}, data: {}}\n---\n\
         {schema: drydock/HostProfile/v1, metadata: {name: p}, data: {hardware_profile: h, \
         metadata: {tags: [t0, t1], owner_data: {l0: a}, rack: r0}}}\n",
    );
    for node in 0..chance.below(12) {
        let profile = if chance.one_in(2) { "host_profile: p" } else { "hardware_profile: h" };
        let tags = if chance.one_in(2) { format!("tags: [t{}], ", chance.below(4)) } else { String::new() };
        let label = *chance.of(&["a", "b"]);
        let labels =
            if chance.one_in(2) { format!("owner_data: {{l{}: {label}}}, ", chance.below(3)) } else { String::new() };
        let rack = if chance.one_in(2) { format!("rack: r{}", chance.below(3)) } else { String::new() };
        yaml.push_str(&format!(
            "---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n{node}}}, data: {{{profile}, \
             addressing: [{{network: n, address: dhcp}}], metadata: {{{tags}{labels}{rack}}}}}}}\n"
        ));
    }
    let ingested = ingest(yaml.as_bytes());
    assert_eq!(ingested.status, Status::Success, "{:?}", ingested.findings);
    compile(Arc::new(ingested.design))
}

fn filter(chance: &mut Chance) -> Value {
    let join = |chance: &mut Chance| if chance.one_in(2) { "union" } else { "intersection" };
    let names = |chance: &mut Chance, letter: char, most: usize| -> Value {
        (0..chance.below(3)).map(|_| format!("{letter}{}", chance.below(most))).collect()
    };
    let filters: Vec<Value> = (0..chance.below(4))
        .map(|_| {
            let mut filter = json!({"filter_type": join(chance)});
            if chance.one_in(2) {
                filter["node_names"] = names(chance, 'n', 14);
            }
            if chance.one_in(2) {
                filter["node_tags"] = names(chance, 't', 5);
            }
            if chance.one_in(3) {
                filter["rack_names"] = names(chance, 'r', 4);
            }
            if chance.one_in(3) {
                let label = format!("l{}", chance.below(3));
                let value = *chance.of(&["a", "b"]);
                filter["node_labels"] = json!({ label: value });
            }
            if chance.one_in(5) {
                filter["rack_labels"] = json!({"any": "label"});
            }
            filter
        })
        .collect();
    json!({"filter_set_type": join(chance), "filter_set": filters})
}

/// The specification, word for word: for each node whether each filter takes it.
fn plain<'c>(compiled: &'c Compiled, filter: &NodeFilter) -> Vec<&'c str> {
    let said: Vec<&Filter> = match filter.filter_set_type {
        Join::Union => filter.filter_set.iter().collect(),
        Join::Intersection => filter.filter_set.iter().filter(|filter| !is_neutral(filter)).collect(),
    };
    let takes = |node: &EffectiveNode| match filter.filter_set_type {
        Join::Union => said.iter().any(|filter| takes(filter, node)),
        Join::Intersection => !said.is_empty() && said.iter().all(|filter| takes(filter, node)),
    };
    compiled.nodes.iter().filter(|node| takes(node)).map(|node| &*node.name).collect()
}

/// Says nothing. A union that says nothing takes no node, here as elsewhere.
fn is_neutral(filter: &Filter) -> bool {
    filter.filter_type == Join::Intersection
        && filter.node_names.is_empty()
        && filter.node_tags.is_empty()
        && filter.node_labels.is_empty()
        && filter.rack_names.is_empty()
}

fn takes(filter: &Filter, node: &EffectiveNode) -> bool {
    let settings = &node.settings;
    let tags: BTreeSet<&str> = settings.tags.iter().map(|tag| &**tag).collect();
    let has_label = |(label, value)| settings.owner_data.get(label) == Some(value);
    let mut criteria = Vec::new();
    if !filter.node_names.is_empty() {
        criteria.push(filter.node_names.contains(&node.name));
    }
    if !filter.rack_names.is_empty() {
        criteria.push(settings.rack.as_ref().is_some_and(|rack| filter.rack_names.contains(rack)));
    }
    let union = filter.filter_type == Join::Union;
    if !filter.node_tags.is_empty() {
        let mut wanted = filter.node_tags.iter().map(|tag| tags.contains(&**tag));
        criteria.push(if union { wanted.any(|has| has) } else { wanted.all(|has| has) });
    }
    if !filter.node_labels.is_empty() {
        let mut wanted = filter.node_labels.iter().map(has_label);
        criteria.push(if union { wanted.any(|has| has) } else { wanted.all(|has| has) });
    }
    if union { criteria.contains(&true) } else { !criteria.is_empty() && !criteria.contains(&false) }
}

#[test]
fn no_names_are_never_all_nodes() {
    let compiled = design(&mut Chance::new(7));
    assert!(!compiled.nodes.is_empty(), "the design has nodes");
    let none = NodeFilter::of_names([]);
    assert_eq!(compiled.select(Some(&none)), Ok(Vec::new()));
    let first = NodeFilter::of_names([compiled.nodes[0].name.clone(), "unknown".into()]);
    assert_eq!(compiled.select(Some(&first)), Ok(vec![0]));
    let all: Vec<u32> = (0..compiled.nodes.len() as u32).collect();
    assert_eq!(compiled.select(None), Ok(all));
}

#[test]
fn what_is_no_filter_is_refused_by_its_place() {
    let table = [
        (json!("text"), r#"node_filter is "text", not a mapping"#),
        (json!([]), "node_filter is a list, not a mapping"),
        (json!({}), "node_filter.filter_set_type is missing; use union or intersection"),
        (json!({"filter_set_type": "both"}), r#"node_filter.filter_set_type is "both", not union or intersection"#),
        (json!({"filter_set_type": null}), "node_filter.filter_set_type is null, not union or intersection"),
        (
            json!({"filter_set_type": "union", "filter_sets": []}),
            r#"node_filter: unknown key "filter_sets"; known are filter_set_type, filter_set"#,
        ),
        (
            json!({"filter_set_type": "union", "filter_set": {}}),
            "node_filter.filter_set is a mapping, not a list of filters",
        ),
        (
            json!({"filter_set_type": "union", "filter_set": [{}]}),
            "node_filter.filter_set[0].filter_type is missing; use union or intersection",
        ),
        (
            json!({"filter_set_type": "union", "filter_set": [{"filter_type": "union", "node_names": "a"}]}),
            r#"node_filter.filter_set[0].node_names is "a", not a list of strings"#,
        ),
        (
            json!({"filter_set_type": "union", "filter_set": [{"filter_type": "union", "node_tags": [1]}]}),
            "node_filter.filter_set[0].node_tags is 1, not a list of strings",
        ),
        (
            json!({"filter_set_type": "union", "filter_set": [{"filter_type": "union", "node_labels": {"a": true}}]}),
            "node_filter.filter_set[0].node_labels is true, not a mapping of strings",
        ),
    ];
    for (value, told) in table {
        let error = NodeFilter::from_json(&value).expect_err("it is no filter");
        assert_eq!(error.to_string(), told);
    }
    assert_eq!(NodeFilter::from_json(&Value::Null), Ok(None), "null means all nodes");
}
