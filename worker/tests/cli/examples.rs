//! What the README gives as examples does what it says there.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::schedules::with_database;
use crate::{Folder, read, signal, stderr, stdout, wait_for};

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).to_string_lossy().into_owned()
}

#[test]
fn the_example_design_is_valid_and_has_two_nodes() {
    let (folder, site) = (Folder::new("site"), example("site.yaml"));
    let checked = folder.longshore(&["design", "check", &site]).output().expect("output");
    assert_eq!(checked.status.code(), Some(0), "{}", stdout(&checked));
    assert!(stdout(&checked).contains("0 errors, 1 warning"), "{}", stdout(&checked));
    let nodes = folder.longshore(&["design", "nodes", &site]).output().expect("output");
    assert_eq!(stdout(&nodes).split_whitespace().filter(|word| word.starts_with("node")).count(), 2);
}

#[tokio::test]
async fn the_example_program_deploys_to_hosts_and_collects_what_failed() {
    let folder = Folder::new("rollout");
    let (longshore, url) = with_database(&folder, "SELECT 1").await;
    let program = example("rollout.py");
    let action = |name: &str| {
        format!(
            "[actions.{name}]\nexecutor = \"command\"\nargv = [\"python3\", \"{program}\"]\nstdout = \"jsonl\"\n\
             [actions.{name}.retry]\nbase = \"1s\"\n"
        )
    };
    let config = format!("[http]\nlisten = \"127.0.0.1:0\"\n{}{}", action("rollout"), action("deploy_host"));
    folder.write("longshore.toml", &config);
    let log = folder.0.join("log");
    let mut worker = folder.longshore(&["worker"]);
    worker.env("DATABASE_URL", &url).stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
    let mut worker = worker.spawn().expect("a worker");

    let payload = r#"{"hosts": ["node1", "node2", "unreachable1"]}"#;
    let task = stdout(&longshore(&["tasks", "insert", "rollout", "--payload", payload])).trim().to_owned();
    let waited = longshore(&["tasks", "wait", "--timeout", "100s", &task]);
    assert_eq!(waited.status.code(), Some(1), "{}{}", stderr(&waited), read(&log));
    let document: Value = serde_json::from_slice(&longshore(&["tasks", "show", &task]).stdout).expect("JSON");
    let names = |key: &str| {
        let mut names: Vec<String> = serde_json::from_value(document["result"][key].clone()).expect("names");
        names.sort();
        names
    };
    assert_eq!(document["result"]["status"], "partial_success", "{document:#}");
    assert_eq!(
        (names("successes"), names("failures")),
        (vec!["node1".into(), "node2".into()], vec!["unreachable1".into()])
    );
    let built = stdout(&longshore(&["builds", "list", "--json"]));
    let built: Vec<Value> = serde_json::from_str(&built).expect("JSON");
    assert_eq!(built.iter().filter(|entry| entry["generator"] == "rollout").count(), 2, "{built:?}");

    signal("-TERM", worker.id());
    wait_for("it ends", || worker.try_wait().expect("a child"));
    folder.assert_nothing_runs();
}
