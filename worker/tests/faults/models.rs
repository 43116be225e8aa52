//! Designs that are read and compiled before an attempt, from files of the story's own.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::rig::{Process, Rig, Setup};

#[path = "../design/site.rs"]
mod site;

/// A design without errors; its nodes are `metal` and `virtual`.
const VALID: &str = include_str!("../design/rules/valid.yaml");

/// A third node.
const THIRD: &str = "---\nschema: drydock/BaremetalNode/v1\nmetadata: {schema: metadata/Document/v1, name: third}\n\
     data: {host_profile: defaults, addressing: [{network: mgmt, address: 10.1.0.13}]}\n";

/// Selects two of the three.
const TWO: &str =
    r#"{"filter_set_type": "union", "filter_set": [{"filter_type": "union", "node_names": ["third", "metal"]}]}"#;

/// A worker whose actions `model` and `documents` print what they are sent, and whose action `nodes` is in Rust.
fn worker(rig: &Rig, more: &str) -> Process {
    let design = |form: &str| format!("design = {{ as = \"{form}\", node_filter = \"task\", timeout = \"2m\" }}\n");
    let sections = format!(
        "[actions.model]\nexecutor = \"command\"\nargv = ['cat']\n{}\
         [actions.documents]\nexecutor = \"command\"\nargv = ['cat']\n{}\
         [actions.nodes.design]\nas = \"model\"\nnode_filter = \"task\"\n\
         [design]\nfile_root = '{}'\n{more}",
        design("model"),
        design("documents"),
        rig.path("").display()
    );
    rig.start(Setup { sections, worker: "executor_threads = 1".to_owned(), ..Setup::default() })
}

/// Inserts tasks for a file of the story.
async fn insert(rig: &Rig, action: &str, file: &str, filter: Option<&str>, count: u32) -> Vec<Uuid> {
    let reference = format!("file://{}", rig.path(file).display());
    let insert = "INSERT INTO tasks (action, design_ref, node_filter)
        SELECT $1, $2, $3::jsonb FROM generate_series(1, $4) RETURNING task_id";
    let query = sqlx::query_scalar(insert).bind(action).bind(reference).bind(filter);
    query.bind(i32::try_from(count).unwrap()).fetch_all(&mut rig.database.conn().await).await.unwrap()
}

/// How a task ended, and in which attempt.
async fn end(rig: &Rig, task_id: Uuid) -> String {
    rig.database.until(&format!("SELECT status = 'complete' FROM tasks WHERE task_id = '{task_id}'")).await;
    let sql = format!(
        "SELECT concat_ws(' ', result_status, result_reason, attempt, (design_hash IS NULL)::text, result_message)
         FROM tasks WHERE task_id = '{task_id}'"
    );
    rig.database.value(&sql).await
}

/// The messages of a task, each with its `error`, what it is about, and its text.
async fn messages(rig: &Rig, task_id: Uuid) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', error, context, message) FROM result_message WHERE task_id = '{task_id}' ORDER BY sequence"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut rig.database.conn().await).await.unwrap()
}

/// The design that a program printed, as it was sent.
async fn sent(rig: &Rig, action: &str, filter: Option<&str>) -> Value {
    let task = insert(rig, action, "site.yaml", filter, 1).await[0];
    assert_eq!(end(rig, task).await, "success 1 false");
    let said = messages(rig, task).await;
    let mut task: Value = serde_json::from_str(said[0].trim_start_matches("f ")).unwrap();
    task["design"].take()
}

fn names(nodes: &Value) -> Vec<&str> {
    nodes.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

pub(crate) async fn a_program_reads_the_model_or_the_documents_and_the_nodes_that_its_task_selects() {
    let rig = Rig::new().await;
    std::fs::write(rig.path("site.yaml"), format!("{VALID}{THIRD}")).unwrap();
    let _worker = worker(&rig, "");
    let all = sent(&rig, "model", None).await;
    assert_eq!(
        (&all["nodes"], names(&all["model"]["nodes"])),
        (&json!(["metal", "virtual", "third"]), vec!["metal", "virtual", "third"])
    );
    assert_eq!(all["model"]["nodes"][0]["fqdn"], "metal.example.org");
    let two = sent(&rig, "model", Some(TWO)).await;
    assert_eq!((&two["nodes"], names(&two["model"]["nodes"])), (&json!(["metal", "third"]), vec!["metal", "third"]));
    assert_eq!(two["model"]["boot_actions"][0]["targets"], json!(["metal", "third"]));
    let documents = sent(&rig, "documents", Some(TWO)).await;
    assert_eq!(documents["nodes"], json!(["metal", "third"]));
    assert_eq!(names(&documents["documents"]["nodes"]), ["metal", "virtual", "third"]);
    assert_eq!(documents["documents"]["nodes"][2]["primary_network"], Value::Null, "nothing is inherited");
    // null in JSON is all nodes as well
    assert_eq!(sent(&rig, "model", Some("null")).await, all);
}

pub(crate) async fn a_thousand_tasks_with_one_design_read_it_once_and_rust_gets_the_model() {
    let rig = Rig::new().await;
    let yaml = format!("{VALID}{THIRD}");
    std::fs::write(rig.path("site.yaml"), &yaml).unwrap();
    let worker = worker(&rig, "");
    insert(&rig, "nodes", "site.yaml", Some(TWO), 1000).await;
    rig.all_end().await;
    let ended = "SELECT string_agg(DISTINCT concat_ws(' ', result_status, attempt, output::jsonb), '; ') FROM tasks";
    let seen = json!({ "model": 3, "nodes": ["metal", "third"], "documents": 3, "bytes": yaml.len() });
    let told: String = rig.database.value(ended).await;
    assert_eq!(serde_json::from_str::<Value>(told.strip_prefix("success 1 ").unwrap()).unwrap(), seen);
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("\nlongshore_design_read_seconds_count 1\n"), "{metrics}");
    // other content is another design, under whatever name
    std::fs::write(rig.path("site.yaml"), VALID).unwrap();
    let task = insert(&rig, "nodes", "site.yaml", None, 1).await[0];
    assert_eq!(end(&rig, task).await, "success 1 false");
    let (_, metrics) = worker.get("/metrics").await;
    assert!(metrics.contains("\nlongshore_design_read_seconds_count 2\n"), "{metrics}");
}

pub(crate) async fn a_design_with_errors_or_a_wrong_filter_ends_the_task_and_the_log_says_why() {
    let rig = Rig::new().await;
    let write = |file: &str, yaml: String| std::fs::write(rig.path(file), yaml).unwrap();
    write("unread.yaml", "a: [".to_owned());
    write("refused.yaml", VALID.replace("cidr: 10.0.0.0/24", "cidr: 7"));
    write("uncompiled.yaml", VALID.replace("hardware_profile: server", "hardware_profile: another"));
    write("warned.yaml", VALID.replace("hugepagesz: 1G", "hugepagesz: 'hardwareprofile:hugepages.none.size'"));
    write("site.yaml", VALID.to_owned());
    let worker = worker(&rig, "[actions.plain]\nexecutor = \"noop\"\ndesign = { as = \"documents\" }\n");
    let cut = |text: &str| text.chars().take(100).collect::<String>();
    let wrong = r#"{"filter_set_type": "union", "filter_set": [{"filter_type": "union", "node_name": ["metal"]}]}"#;
    let none = r#"{"filter_set_type": "union", "filter_set": []}"#;
    let mut story = Vec::new();
    for (action, file, filter) in [
        ("model", "unread.yaml", None),
        ("documents", "refused.yaml", None),
        ("model", "uncompiled.yaml", None),
        ("plain", "uncompiled.yaml", None),
        ("nodes", "warned.yaml", None),
        ("nodes", "site.yaml", Some(wrong)),
        ("nodes", "site.yaml", Some(none)),
    ] {
        let task = insert(&rig, action, file, filter, 1).await[0];
        story.push(format!("{action} {file}: {}", cut(&end(&rig, task).await)));
        story.extend(messages(&rig, task).await.iter().map(|message| format!("  {}", cut(message))));
    }
    assert_eq!(story.join("\n"), GOLDEN.trim());
    assert!(worker.said("ERROR").is_empty(), "{:?}", worker.said("ERROR"));
}

/// Each task: how it ended, the attempt, whether no hash of its design is noted, the message; then its log.
const GOLDEN: &str = r#"
model unread.yaml: failure design 1 false the design cannot be read: 1 error, 0 warnings
  t line 1, column 4: document 1 is no YAML: unclosed bracket '['
  t the design cannot be read: 1 error, 0 warnings
documents refused.yaml: failure design 1 false the design cannot be read: 1 error, 0 warnings
  t oob Network:v1 is not as its schema says: cidr is a number, not a string
  t the design cannot be read: 1 error, 0 warnings
model uncompiled.yaml: failure design 1 false the design cannot be compiled: 2 errors, 0 warnings
  t metal hardware profile another is not defined
  t virtual hardware profile another is not defined
  t the design cannot be compiled: 2 errors, 0 warnings
plain uncompiled.yaml: success 1 false
nodes warned.yaml: success 1 false
  f metal kernel parameter hugepagesz refers to hardwareprofile:hugepages.none.size, which server does
nodes site.yaml: failure node_filter 1 true node_filter.filter_set[0]: unknown key "node_name"; known are filter_type
  t node_filter node_filter.filter_set[0]: unknown key "node_name"; known are filter_type, node_names,
nodes site.yaml: success 1 false
  f the task's node_filter selects no node of the design
"#;

pub(crate) async fn validate_design_records_every_finding_and_fails_a_design_with_errors() {
    let rig = Rig::new().await;
    std::fs::write(rig.path("site.yaml"), VALID).unwrap();
    std::fs::write(rig.path("wrong.yaml"), VALID.replace("cidr: 10.0.0.0/24", "cidr: 10.0.0.7/24")).unwrap();
    let _worker = worker(&rig, "[actions.check]\nexecutor = \"validate_design\"\n");
    let valid = insert(&rig, "check", "site.yaml", None, 1).await[0];
    assert_eq!(end(&rig, valid).await, "success 1 false 0 errors, 1 warning");
    let wrong = insert(&rig, "check", "wrong.yaml", None, 1).await[0];
    assert_eq!(end(&rig, wrong).await, "failure design_invalid 1 false 1 error, 1 warning");
    let first: String = rig
        .database
        .value(&format!(
            "SELECT concat_ws(' ', error, context_type, context, extra ->> 'code', extra ->> 'rule', extra ->> 'severity')
             FROM result_message WHERE task_id = '{wrong}' AND sequence = 1"
        ))
        .await;
    assert_eq!(first, "t document oob DD2006 cidr_validity error");
}

pub(crate) async fn while_a_large_design_is_read_other_attempts_begin_and_end() {
    let rig = Rig::new().await;
    std::fs::write(rig.path("large.yaml"), site::yaml(4000)).unwrap();
    let worker = worker(&rig, "");
    worker.works().await;
    let large = insert(&rig, "nodes", "large.yaml", None, 2).await;
    rig.database.until(&format!("SELECT status = 'running' FROM tasks WHERE task_id = '{}'", large[0])).await;
    // each takes a claim and a completion of its own, all of them on the one thread that would be held up
    for _ in 0..3 {
        let task = rig.insert("noop", [Value::Null]).await[0];
        rig.database.until(&format!("SELECT status = 'complete' FROM tasks WHERE task_id = '{task}'")).await;
    }
    let early: bool = rig.database.value("SELECT bool_and(status = 'running') FROM tasks WHERE action = 'nodes'").await;
    assert!(early, "the large design is still read");
    for task in large {
        assert_eq!(end(&rig, task).await, "success 1 false");
    }
}
