//! What the compiled design shares, and what it answers.

use std::fmt::Write;
use std::sync::Arc;

use longshore_worker::design::compile::{Compiled, compile};
use longshore_worker::design::filter::{NodeFilter, TooLarge};
use longshore_worker::design::ingest::{Status, ingest};
use longshore_worker::design::model::Kind;
use serde_json::json;

use crate::site;

fn compiled(yaml: &str) -> Compiled {
    let ingested = ingest(yaml.as_bytes());
    assert_eq!(ingested.status, Status::Success, "{:?}", ingested.findings);
    compile(Arc::new(ingested.design))
}

#[test]
fn a_site_is_read_and_compiled_without_a_finding() {
    let ingested = ingest(site::yaml(300).as_bytes());
    assert_eq!(ingested.findings, []);
    let counts: Vec<(Kind, usize)> = ingested.models.into_iter().collect();
    let told = [
        (Kind::Region, 1),
        (Kind::Rack, 15),
        (Kind::Network, 4),
        (Kind::NetworkLink, 3),
        (Kind::HardwareProfile, 1),
        (Kind::HostProfile, 3),
        (Kind::BaremetalNode, 300),
        (Kind::BootAction, 2),
    ];
    assert_eq!(counts, told);
    let compiled = compile(Arc::new(ingested.design));
    assert_eq!(compiled.findings, []);
    assert_eq!((compiled.targets[0].len(), compiled.targets[1].len()), (300, 60));
    assert!(compiled.untargeted().is_empty());
    let node = compiled.nodes.get("node00001").expect("a node");
    assert_eq!(&*node.fqdn, "node00001.mgmt.example.org");
    assert_eq!(
        node.kernel_command_line(),
        "hugepagesz=1G hugepages=32 console=ttyS1,115200n8 isolcpus=2,3,22,23 quiet"
    );
}

#[test]
fn nodes_share_what_they_do_not_change() {
    let compiled = compiled(&site::yaml(20));
    let settings = |index: usize| &compiled.nodes[index].settings;
    assert!(Arc::ptr_eq(&settings(1).storage, &settings(0).storage), "across profiles");
    assert!(Arc::ptr_eq(&settings(1).interfaces, &settings(2).interfaces), "selectors and all");
    assert!(Arc::ptr_eq(&settings(1).kernel_params, &settings(2).kernel_params), "references replaced");
    assert!(Arc::ptr_eq(&settings(1).owner_data, &settings(2).owner_data));
    assert!(!Arc::ptr_eq(&settings(3).interfaces, &settings(2).interfaces), "one that overrides has its own");
}

#[test]
fn a_chain_of_profiles_may_be_as_long_as_a_design() {
    let mut yaml = String::from("{schema: drydock/HardwareProfile/v1, metadata: {name: h}, data: {}}\n");
    let length = 40_000;
    for profile in 0..length {
        let parent =
            if profile == 0 { "hardware_profile: h".into() } else { format!("host_profile: p{}", profile - 1) };
        writeln!(yaml, "---\n{{schema: drydock/HostProfile/v1, metadata: {{name: p{profile}}}, data: {{{parent}}}}}")
            .expect("a string takes all");
    }
    let addressing = "addressing: [{network: n, address: dhcp}]";
    writeln!(
        yaml,
        "---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n}}, data: {{host_profile: p{}, {addressing}}}}}",
        length - 1
    )
    .expect("a string takes all");
    let compiled = compiled(&yaml);
    assert_eq!(compiled.findings, []);
    assert_eq!(compiled.nodes[0].settings.hardware_profile.as_deref(), Some("h"));
}

#[test]
fn a_node_that_no_action_is_for_is_told() {
    let yaml = site::yaml(20).replace("assets:\n    - {type: file", "node_filter: {filter_set_type: union, filter_set: [{filter_type: union, node_names: [node00002, nobody]}]}\n  assets:\n    - {type: file");
    let untargeted = compiled(&yaml).untargeted();
    let told: Vec<u32> = (0..20).filter(|node| node % 5 != 0 && *node != 2).collect();
    assert_eq!(untargeted, told);
}

#[test]
fn filters_that_look_at_too_many_nodes_are_refused() {
    let compiled = compiled(&site::yaml(2_000));
    let filters = vec![json!({"filter_type": "union", "node_tags": ["compute", "control"]}); 5_500];
    let filter = NodeFilter::from_json(&json!({"filter_set_type": "union", "filter_set": filters}));
    let filter = filter.expect("a filter").expect("not null");
    assert_eq!(compiled.select(Some(&filter)), Err(TooLarge));
}

#[test]
fn promenade_documents_are_found_by_their_exact_target() {
    let yaml = "apiVersion: promenade/v1\nkind: A\nmetadata: {name: a, target: n1}\n---\napiVersion: promenade/v1\nkind: B\nmetadata: {name: b}\n";
    let compiled = compiled(yaml);
    let named =
        |target: &str| compiled.design.promenade_for(target).map(|config| config.name.to_string()).collect::<Vec<_>>();
    assert_eq!([named("n1"), named("all"), named("n")], [vec!["a".to_owned()], vec!["b".to_owned()], Vec::new()]);
}
