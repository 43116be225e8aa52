//! Input that is made to harm: bombs, depth, size, and shapes on which a careless reader takes quadratic time.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use longshore_worker::design::compile::{Compiled, compile};
use longshore_worker::design::finding::Severity;
use longshore_worker::design::ingest::{BYTES_MAX, DOCUMENTS_MAX, Ingested, Status, ingest, ingest_all};
use longshore_worker::design::reading::Reading;

use crate::site;

const RACK: &str = "schema: drydock/Rack/v1\nmetadata: {name: rack}\ndata:\n";
const HARDWARE: &str = "{schema: drydock/HardwareProfile/v1, metadata: {name: h}, data: {}}\n";

/// The one error of a stream whose last document must still have been read.
fn only_error(yaml: &str) -> String {
    let yaml = format!("{yaml}\n---\n{HARDWARE}");
    let ingested = ingest(yaml.as_bytes());
    assert_eq!(ingested.design.hardware_profiles.len(), 1, "what follows is read: {:?}", ingested.findings);
    assert_eq!(ingested.findings.len(), 1, "{:?}", ingested.findings);
    ingested.findings[0].message.clone()
}

#[test]
fn a_bomb_of_aliases_is_refused_at_the_limit() {
    let mut yaml = format!("{RACK}  labels:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(yaml, "    a{level}: &a{level} [{aliases}]").expect("a string takes all");
    }
    assert_eq!(only_error(&yaml), "document 1: the document has more than 500000 values, aliases resolved");
}

#[test]
fn a_bomb_of_merged_keys_is_refused_at_the_limit() {
    let mut yaml = format!("{RACK}  labels:\n    m0: &m0 {{a: [x, x, x, x, x, x, x, x, x, x]}}\n");
    for level in 1..12 {
        writeln!(yaml, "    m{level}: &m{level} {{a: [*m{0}, *m{0}, *m{0}, *m{0}, *m{0}], <<: *m{0}}}", level - 1)
            .expect("a string takes all");
    }
    assert_eq!(only_error(&yaml), "document 1: the document has more than 500000 values, aliases resolved");
}

#[test]
fn a_long_text_is_not_repeated_without_end() {
    // An escape makes the text one of its own, which each alias copies.
    let yaml =
        format!("{RACK}  labels:\n    t: &t \"\\t{}\"\n    l: [{}]\n", "x".repeat(100_000), vec!["*t"; 500].join(", "));
    assert_eq!(only_error(&yaml), "document 1: aliases repeat more than 8388608 bytes of text");
}

#[test]
fn depth_has_a_limit_in_either_style() {
    for depth in [70, 200] {
        let flow = format!("{RACK}  labels: {}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(only_error(&flow), "document 1: collections are nested more than 64 deep");
        let mut block = format!("{RACK}  labels:\n");
        for level in 0..depth {
            writeln!(block, "{}a:", " ".repeat(level + 3)).expect("a string takes all");
        }
        assert_eq!(only_error(&block), "document 1: collections are nested more than 64 deep");
    }
    // Beyond its own limit the parser gives the document up.
    let error = only_error(&format!("{RACK}  labels: {}", "[".repeat(100_000)));
    assert_eq!(error, "line 4, column 266: document 1 is no YAML: recursion limit exceeded");
}

#[test]
fn aliases_do_not_get_around_the_depth() {
    let mut yaml = format!("{RACK}  labels:\n    a0: &a0 {}{}\n", "[".repeat(20), "]".repeat(20));
    for level in 1..5 {
        writeln!(yaml, "    a{level}: &a{level} {}*a{}{}", "[".repeat(20), level - 1, "]".repeat(20))
            .expect("a string takes all");
    }
    assert_eq!(only_error(&yaml), "document 1: collections are nested more than 64 deep, aliases resolved");
}

#[test]
fn a_json_bomb_is_refused_too() {
    let yaml = format!("{{\"schema\": \"drydock/Rack/v1\", \"data\": [{}]}}", "{},".repeat(600_000));
    assert_eq!(only_error(&yaml), "document 1: the document has more than 500000 values, aliases resolved");
}

#[test]
fn a_stream_that_is_too_large_is_not_read() {
    let yaml = vec![b'#'; BYTES_MAX + 1];
    let ingested = ingest(&yaml);
    assert_eq!(ingested.status, Status::Unreadable);
    assert_eq!(ingested.findings[0].message, "the stream has 67108865 bytes; at most 67108864 are read");
}

#[test]
fn documents_beyond_the_limit_are_not_read() {
    let ingested = ingest("---\n".repeat(DOCUMENTS_MAX + 2).as_bytes());
    assert_eq!(ingested.status, Status::Unreadable);
    assert_eq!(ingested.findings[0].message, "the design has more than 100000 documents; the rest is not read");
}

#[test]
fn findings_have_a_limit_and_say_how_many_are_left_out() {
    let yaml = format!("{RACK}  a: 1\n---\n").repeat(12_000);
    let ingested = ingest(yaml.as_bytes());
    assert_eq!(ingested.findings.len(), 10_001);
    assert_eq!(ingested.findings[10_000].message, "2000 more findings are left out");
}

#[test]
fn bytes_that_are_not_utf_8_are_placed() {
    let ingested = ingest(b"schema: a\nname: \xff\n");
    assert_eq!(ingested.status, Status::Unreadable);
    assert_eq!(ingested.findings[0].message, "line 2, column 7: not UTF-8; nothing of the stream is read");
    let ingested = ingest_all([HARDWARE.as_bytes(), b"\xc3"]);
    assert_eq!((ingested.design.hardware_profiles.len(), ingested.findings[0].input), (1, 1));
}

#[test]
fn findings_say_in_which_input_they_lie() {
    let bad = format!("{RACK}  a: 1\n");
    let ingested = ingest_all([HARDWARE.as_bytes(), bad.as_bytes()]);
    let places: Vec<(u32, Option<u32>)> =
        ingested.findings.iter().map(|finding| (finding.input, finding.line)).collect();
    assert_eq!(places, [(1, Some(4))]);
}

fn compiled(yaml: &str) -> (Ingested, Compiled) {
    let mut ingested = ingest(yaml.as_bytes());
    let compiled = compile(Arc::new(std::mem::take(&mut ingested.design)));
    (ingested, compiled)
}

#[test]
fn inheritance_that_multiplies_is_stopped() {
    // 20,000 tags that each of 2,000 nodes copies, since it adds one.
    let tags: Vec<String> = (0..20_000).map(|tag| format!("t{tag}")).collect();
    let mut yaml = format!(
        "{HARDWARE}---\n{{schema: drydock/HostProfile/v1, metadata: {{name: p}}, data: {{hardware_profile: h, metadata: {{tags: [{}]}}}}}}\n",
        tags.join(", ")
    );
    for node in 0..2_000 {
        writeln!(yaml, "---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n{node}}}, data: {{host_profile: p, addressing: [{{network: n, address: dhcp}}], metadata: {{tags: [own]}}}}}}").expect("a string takes all");
    }
    let (_, compiled) = compiled(&yaml);
    assert!((500..1_999).contains(&compiled.nodes.len()), "{} nodes", compiled.nodes.len());
    let finding = compiled.findings.last().expect("a finding");
    assert_eq!((finding.rule, &*finding.message), ("size", "the design's nodes inherit more than 268435456 bytes"));
}

#[test]
fn a_domain_that_each_node_repeats_is_stopped() {
    let mut yaml = format!(
        "{HARDWARE}---\n{{schema: drydock/Network/v1, metadata: {{name: n}}, data: {{cidr: 10.0.0.0/24, dns: {{domain: {}}}}}}}\n",
        "d".repeat(32 << 20)
    );
    for node in 0..50 {
        writeln!(yaml, "---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n{node}}}, data: {{hardware_profile: h, primary_network: n, addressing: [{{network: n, address: dhcp}}]}}}}").expect("a string takes all");
    }
    let (_, compiled) = compiled(&yaml);
    assert_eq!(compiled.nodes.len(), 8, "of 32 MiB each in 256");
    assert_eq!(compiled.findings[0].rule, "size");
}

#[test]
fn route_domains_that_multiply_are_stopped() {
    let mut yaml = String::new();
    for network in 0..1_100 {
        writeln!(yaml, "---\n{{schema: drydock/Network/v1, metadata: {{name: n{network}}}, data: {{cidr: '10.{}.{}.0/24', routedomain: d, routes: [{{routedomain: d, gateway: 10.0.0.1, metric: 1}}]}}}}", network / 256, network % 256).expect("a string takes all");
    }
    let (_, compiled) = compiled(&yaml);
    assert_eq!(compiled.findings.len(), 1);
    assert_eq!(
        compiled.findings[0].message,
        "route domains come to 1210000 routes, more than 1000000; none is spelt out"
    );
    assert_eq!(compiled.networks[0].routes.len(), 1);
}

/// CPU time of this thread: what others do on the machine is no part of it.
pub(crate) fn cpu(work: impl FnOnce()) -> Duration {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let begun = now();
    work();
    now() - begun
}

#[test]
fn eight_times_the_input_takes_no_more_than_some_eight_times_the_work() {
    type Shape = (&'static str, usize, fn(usize) -> String);
    let shapes: [Shape; 9] = [
        ("nodes of a site", 250, site::yaml),
        ("keys of a mapping", 4_000, |size| {
            let keys: Vec<String> = (0..size).map(|key| format!("k{key}: v")).collect();
            format!("{RACK}  location: {{{}}}\n", keys.join(", "))
        }),
        ("one key again and again", 4_000, |size| format!("{RACK}  location: {{{}}}\n", "a: b, ".repeat(size))),
        ("violations of a schema", 4_000, |size| format!("{RACK}  local_networks: [{}]\n", "5, ".repeat(size))),
        ("documents that are no YAML", 500, |size| "a: [\n---\n".repeat(size)),
        ("comments and empty documents", 4_000, |size| "# comment\n---\n".repeat(size)),
        ("anchors and aliases", 4_000, |size| format!("{RACK}  labels: [{}]\n", "&a x, *a, ".repeat(size))),
        ("a chain of profiles", 500, |size| {
            let mut yaml = format!(
                "{HARDWARE}---\n{{schema: drydock/HostProfile/v1, metadata: {{name: p0}}, data: {{hardware_profile: h}}}}\n"
            );
            for profile in 1..size {
                writeln!(yaml, "---\n{{schema: drydock/HostProfile/v1, metadata: {{name: p{profile}}}, data: {{host_profile: p{}}}}}", profile - 1).expect("a string takes all");
            }
            writeln!(yaml, "---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n}}, data: {{host_profile: p{}, addressing: [{{network: n, address: dhcp}}]}}}}", size - 1).expect("a string takes all");
            yaml
        }),
        ("interfaces that override", 1_000, |size| {
            let names =
                |more: &str| (0..size).map(|name| format!("i{name}: {{{more}}}")).collect::<Vec<_>>().join(", ");
            format!(
                "{HARDWARE}---\n{{schema: drydock/HostProfile/v1, metadata: {{name: p}}, data: {{hardware_profile: h, interfaces: {{{}}}}}}}\n---\n{{schema: drydock/BaremetalNode/v1, metadata: {{name: n}}, data: {{host_profile: p, addressing: [{{network: n, address: dhcp}}], interfaces: {{{}}}}}}}\n",
                names("networks: [a]"),
                names("slaves: [b]")
            )
        }),
    ];
    for (name, size, shape) in shapes {
        let (small, large) = (shape(size), shape(8 * size));
        let least = |yaml: &str| (0..3).map(|_| cpu(|| drop(compiled(yaml)))).min().expect("three runs");
        let (once, eight) = (least(&small), least(&large));
        // Quadratic work would be 64 times as much.
        assert!(eight < once * 24, "{name}: {once:?} for {size}, {eight:?} for {}", 8 * size);
    }
}

#[test]
fn no_finding_shows_what_may_be_a_password() {
    let valid = include_str!("rules/valid.yaml");
    let node = |oob: &str| {
        format!(
            "{valid}---\nschema: drydock/BaremetalNode/v1\nmetadata: {{schema: metadata/Document/v1, name: leaky}}\n\
             data: {{host_profile: defaults, addressing: [{{network: mgmt, address: 10.1.0.14}}], oob: {oob}}}\n"
        )
    };
    for (oob, secret) in [
        ("{type: ipmi, account: 7, credential: 31337042}", "31337042"),
        ("{type: ipmi, account: admin, credential: 0x7A69}", "7A69"),
        ("{type: ipmi, account: admin, credential: [hunter5]}", "hunter5"),
        ("{type: ipmi, account: admin, other: {password: hunter5}}", "hunter5"),
        ("{type: libvirt, libvirt_uri: 'root:hunter5@host/x://y'}", "hunter5"),
        ("{type: libvirt, libvirt_uri: 'qemu+tcp://root:hunter5@host/system'}", "hunter5"),
    ] {
        let yaml = node(oob);
        let findings = Reading::of(yaml.as_bytes()).check(None);
        let told = serde_json::to_string(&findings).expect("findings are JSON");
        assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{oob}: {told}");
        assert!(!told.contains(secret), "{oob}: {told}");
    }
}
