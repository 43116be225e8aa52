use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use serde_json::{Value, json};

use crate::{Folder, stderr, stdout};

const VALID: &str = include_str!("../design/rules/valid.yaml");

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    folder.longshore(&[&["design"], arguments].concat()).output().expect("output")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

#[test]
fn a_valid_design_passes_with_the_one_warning_that_images_are_not_known() {
    let folder = Folder::new("design-valid");
    folder.write("site.yaml", VALID);
    folder.write("images.json", r#"{"noble": ["hwe"]}"#);
    let checked = run(&folder, &["check", "site.yaml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert_eq!(
        stdout(&checked),
        "warning DD3001 platform_selection: images and kernels are not checked, since it is not known which there are\n    \
         check it by `longshore design check --images` as well: a task's check has no list of them\n\
         0 errors, 1 warning in 1 Region, 3 Network, 2 NetworkLink, 1 HardwareProfile, 1 HostProfile, 2 BaremetalNode, \
         1 BootAction\n"
    );
    let checked = run(&folder, &["check", "site.yaml", "--images", "images.json", "--verbose"]);
    let told = stdout(&checked);
    assert_eq!((checked.status.code(), told.lines().filter(|line| line.starts_with("info DD")).count()), (Some(0), 18));
    assert!(told.ends_with("0 errors, 0 warnings in 1 Region, 3 Network, 2 NetworkLink, 1 HardwareProfile, 1 HostProfile, 2 BaremetalNode, 1 BootAction\n"), "{told}");
}

#[test]
fn what_is_wrong_is_told_with_file_line_code_document_and_remedy() {
    let folder = Folder::new("design-wrong");
    // two files make up one design, and the second is the wrong one
    let (networks, rest) = VALID.split_at(VALID.find("---\nschema: drydock/NetworkLink").expect("links"));
    folder.write("networks.yaml", networks);
    let rest = rest.replace("size: 30g", "size: 3g").replace("name: metal}", "name: \"me\\etal\"}");
    folder.write("rest.yaml", &rest.replace("image: noble", "image: \"\\e[31m\""));
    folder.write("images.json", r#"{"noble": ["hwe"]}"#);
    let checked = run(&folder, &["check", "networks.yaml", "rest.yaml", "--images", "images.json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", stderr(&checked));
    let told = stdout(&checked);
    let first = "rest.yaml:48: error DD1001 boot_storage: BaremetalNode me\u{FFFD}tal: partition root has 3g, less than 20g\n    \
                 give it at least 20g\n";
    assert!(told.starts_with(first), "{told}");
    assert!(!told.contains('\u{1b}'), "nothing that a terminal obeys: {told}");
    assert!(told.ends_with("1 BootAction\n") && told.contains("\n5 errors, 0 warnings in 1 Region"), "{told}");
}

#[test]
fn json_is_one_object_of_findings_and_models() {
    let folder = Folder::new("design-json");
    folder.write("site.yaml", &VALID.replace("cidr: 10.1.0.0/24", "cidr: 10.1.0.9/24"));
    let checked = run(&folder, &["check", "--json", "site.yaml"]);
    assert_eq!(checked.status.code(), Some(1), "{}", stderr(&checked));
    let report = json_of(&checked);
    assert_eq!(report.as_object().expect("an object").keys().collect::<Vec<_>>(), ["findings", "models"]);
    let findings = report["findings"].as_array().expect("a list");
    let error: Vec<&Value> = findings.iter().filter(|finding| finding["severity"] == "error").collect();
    let expected = json!({
        "code": "DD2006", "rule": "cidr_validity", "severity": "error",
        "message": "\"10.1.0.9/24\" has bits set behind its prefix", "remedy": "set cidr: 10.1.0.0/24",
        "documents": [{"schema": "drydock/Network/v1", "name": "mgmt"}], "line": 13,
    });
    assert_eq!(error, [&expected]);
    assert_eq!(findings.iter().filter(|finding| finding["severity"] == "info").count(), 17);
    assert_eq!((&report["models"]["Network"], &report["models"]["BaremetalNode"]), (&json!(3), &json!(2)));
    let status = run(&folder, &["check", "--status", "site.yaml"]);
    let document = json_of(&status);
    assert_eq!(
        (status.status.code(), &document["kind"], &document["status"]),
        (Some(1), &json!("Status"), &json!("Failure"))
    );
    assert_eq!(document["details"]["errorCount"], json!(1));
}

#[test]
fn several_references_are_told_apart_in_json() {
    let folder = Folder::new("design-two");
    folder.write("a.yaml", VALID);
    folder.write("b.yaml", "schema: drydock/Network/v1\nmetadata: {name: more}\ndata: {cidr: 10.9.0.1/24}\n");
    let report = json_of(&run(&folder, &["check", "--json", "a.yaml", "b.yaml"]));
    let findings = report["findings"].as_array().expect("a list");
    let error = findings.iter().find(|finding| finding["severity"] == "error").expect("an error");
    assert_eq!((&error["reference"], &error["line"]), (&json!("b.yaml"), &json!(1)));
}

#[test]
fn input_that_cannot_be_read_or_parsed_exits_2() {
    let folder = Folder::new("design-unreadable");
    folder.write("site.yaml", VALID);
    folder.write("broken.yaml", "a: b\n---\nc: [d\n");
    folder.write("latin.yaml", "a: b");
    fs::write(folder.0.join("latin.yaml"), b"a: \xe4\n").expect("written");
    folder.write("filter.json", r#"{"filter_set_type": "both", "filter_set": []}"#);
    let refused: [(&[&str], &str); 10] = [
        (&["check"], "REF"),
        (&["check", "missing.yaml"], "missing.yaml"),
        (&["check", "ftp://host/site.yaml"], "ftp"),
        (&["check", "http://user:secret@host/site.yaml"], "holds a user or password"),
        (&["check", "site.yaml", "--images", "missing.json"], "missing.json"),
        (&["show", "broken.yaml"], "broken.yaml:"),
        (&["nodes", "latin.yaml"], "latin.yaml:1: error DD000 encoding"),
        (&["nodes", "site.yaml", "--filter", "{"], "--filter must be JSON"),
        (&["nodes", "site.yaml", "--filter", "@filter.json"], "filter_set_type"),
        (&["nodes", "site.yaml", "--filter", "@missing.json"], "missing.json"),
    ];
    for (arguments, told) in refused {
        let output = run(&folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("secret"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    let checked = run(&folder, &["check", "broken.yaml"]);
    assert_eq!(checked.status.code(), Some(2), "{}", stdout(&checked));
    assert!(stdout(&checked).starts_with("broken.yaml:"), "{}", stdout(&checked));
}

#[test]
fn the_compiled_design_is_shown_as_the_same_json_every_time() {
    let folder = Folder::new("design-show");
    folder.write("site.yaml", VALID);
    let shown = run(&folder, &["show", "site.yaml"]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    let design = json_of(&shown);
    let node = &design["nodes"][0];
    assert_eq!((&node["name"], &node["fqdn"]), (&json!("metal"), &json!("metal.example.org")));
    assert_eq!((&node["oob"]["type"], &node["image"]), (&json!("ipmi"), &json!("noble")), "inherited");
    assert_eq!(design["boot_actions"][0]["targets"], json!(["metal", "virtual"]));
    // where a document stands is no part of it
    folder.write("moved.yaml", &format!("# moved\n\n{VALID}"));
    assert_eq!(stdout(&run(&folder, &["show", "moved.yaml"])), stdout(&shown));
}

#[test]
fn a_design_with_errors_is_not_shown() {
    let folder = Folder::new("design-refused");
    folder.write("site.yaml", &VALID.replacen("host_profile: defaults", "host_profile: missing", 1));
    for arguments in [["show", "site.yaml"], ["nodes", "site.yaml"]] {
        let output = run(&folder, &arguments);
        assert_eq!((output.status.code(), &*stdout(&output)), (Some(1), ""), "{}", stderr(&output));
        let told = stderr(&output);
        assert!(told.starts_with("site.yaml:73: error DD000 host_profile: BaremetalNode metal: "), "{told}");
        assert!(told.ends_with("longshore: the design is not compiled, for 1 error, 0 warnings\n"), "{told}");
    }
}

#[test]
fn nodes_are_those_that_the_filter_selects() {
    let folder = Folder::new("design-nodes");
    folder.write("site.yaml", VALID);
    let filter = |criteria: &str| {
        format!(r#"{{"filter_set_type": "union", "filter_set": [{{"filter_type": "union", {criteria}}}]}}"#)
    };
    let by_name = filter(r#""node_names": ["virtual", "other"]"#);
    folder.write("filter.json", &by_name);
    for (arguments, told) in [
        (&["nodes", "site.yaml"][..], "metal\nvirtual\n"),
        (&["nodes", "site.yaml", "--json"], "[\"metal\",\"virtual\"]\n"),
        (&["nodes", "site.yaml", "--filter", &by_name], "virtual\n"),
        (&["nodes", "site.yaml", "--filter", "@filter.json", "--json"], "[\"virtual\"]\n"),
        (&["nodes", "site.yaml", "--filter", &filter(r#""rack_names": ["rack9"]"#)], ""),
        (&["nodes", "site.yaml", "--filter", "null"], "metal\nvirtual\n"),
    ] {
        let output = run(&folder, arguments);
        assert_eq!((output.status.code(), &*stdout(&output)), (Some(0), told), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_reference_is_asked_where_the_configuration_allows_it() {
    let folder = Folder::new("design-http");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let reference = format!("http://{}/site.yaml?token=secret", listener.local_addr().expect("an address"));
    let refused = run(&folder, &["check", &reference]);
    assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
    assert!(stderr(&refused).contains("allow") && !stderr(&refused).contains("secret"), "{}", stderr(&refused));
    // a file that says nothing of actions or a database will do
    let config = folder.write("own.toml", "[design]\nallow = ['127.0.0.1']\n");
    let body = VALID.replace("10.0.0.0/24", "10.0.0.3/24");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        let mut chunk = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let length = stream.read(&mut chunk).expect("a request");
            request.extend_from_slice(&chunk[..length]);
        }
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-yaml\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("an answer");
    });
    let checked = run(&folder, &["check", &reference, "--config", &config.to_string_lossy()]);
    server.join().expect("the server has answered");
    let told = stdout(&checked);
    assert_eq!(checked.status.code(), Some(1), "{told}{}", stderr(&checked));
    assert!(
        told.contains("/site.yaml?…:6: error DD2006 cidr_validity: Network oob: ") && !told.contains("secret"),
        "{told}"
    );
}

#[test]
fn a_bad_configuration_exits_64() {
    let folder = Folder::new("design-config");
    folder.write("site.yaml", VALID);
    folder.write("longshore.toml", "[design]\ntimeout = 'soon'\n");
    let output = run(&folder, &["check", "site.yaml"]);
    assert_eq!(output.status.code(), Some(64), "{}", stderr(&output));
    assert!(stderr(&output).contains("longshore.toml:2: design.timeout must be"), "{}", stderr(&output));
}
