//! Build data that executors report while they run.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Rig, Setup};

const ENTRIES: &str =
    "SELECT concat_ws(' ', node_name, generator, data_format, octet_length(data_element), action, status)
    FROM build_data JOIN tasks USING (task_id) ORDER BY build_id";

/// A program of the shell as the action `collect`.
fn collects(script: &str) -> Setup {
    let argv = serde_json::to_string(&["sh", "-c", script]).unwrap();
    let sections = format!("[actions.collect]\nexecutor = \"command\"\nstdout = \"jsonl\"\nargv = {argv}\n");
    Setup { binary: true, sections, ..Setup::default() }
}

pub(crate) async fn a_programs_build_data_is_there_before_its_end_and_what_is_refused_loses_nothing() {
    let rig = Rig::new().await;
    let script = r#"
        say() {
            printf '{"build_data":{"node_name":"%s","generator":"%s","data_format":"text","data_element":%s}}\n' "$@"
        }
        say n1 lshw '"one"'; say n2 lshw '[1, 2.50]'; say '' lshw '"x"'; say n3 'a\u0000b' '"x"'
        for number in $(seq 300); do say "n$number" many 1; done
        echo '{"result":{"status":"success","output":7}}'"#;
    let worker = rig.start(collects(script));
    worker.works().await;
    let tasks = rig.insert("collect", [json!({})]).await;
    // no outcome without its build data
    rig.judge(&tasks).await;
    let entries = rig.database.values::<String>(ENTRIES).await;
    assert_eq!(entries[..2], ["n1 lshw text 3 collect complete", "n2 lshw text 9 collect complete"]);
    assert_eq!(entries.len(), 302);
    let end = "SELECT concat_ws(' ', result_status, output, attempt, result_error_count) FROM tasks";
    assert_eq!(rig.database.values::<String>(end).await, ["success 7 1 2"]);
    let errors = "SELECT message FROM result_message WHERE error ORDER BY sequence";
    assert_eq!(
        rig.database.values::<String>(errors).await,
        [
            "build_data was refused: node_name must have 1 to 253 characters, got 0",
            "build_data was refused: generator must not hold U+0000, got `a\u{FFFD}b`",
        ]
    );
}

pub(crate) async fn an_executor_in_rust_waits_for_its_build_data_and_hears_of_what_is_refused() {
    let rig = Rig::new().await;
    let worker = rig.start(Setup::default());
    worker.works().await;
    let long = "n".repeat(254);
    let tasks = rig.insert("build", [json!(["n1", "", long, "n2"])]).await;
    let others = rig.insert_work(100, 1).await;
    rig.judge(&[tasks, others].concat()).await;
    assert_eq!(
        rig.database.values::<String>(ENTRIES).await,
        ["n1 rust text 10000000 build complete", "n2 rust text 10000000 build complete"]
    );
    let said = "SELECT jsonb_array_elements_text(coalesce(tasks.output, task_output.output))
                FROM tasks LEFT JOIN task_output USING (task_id) WHERE action = 'build'";
    let refused = "build data was refused: node_name must have 1 to 253 characters, got";
    let said = rig.database.values::<String>(said).await;
    assert_eq!(said[0], "ok");
    assert_eq!(said[1], format!("{refused} 0"));
    assert!(said[2].starts_with(&format!("{refused} 254, beginning `nnn")), "{}", said[2]);
    assert_eq!(said[3..], ["ok"]);
}

pub(crate) async fn build_data_under_a_lost_claim_is_not_recorded() {
    let rig = Rig::new().await;
    let worker = rig.start(collects(
        r#"until [ -e "$HOME/lost" ]; do sleep 0.05; done
        echo '{"build_data":{"node_name":"n","generator":"g","data_format":"f","data_element":"e"}}'"#,
    ));
    worker.works().await;
    rig.insert("collect", [json!({})]).await;
    rig.database.until("SELECT status = 'running' FROM tasks").await;
    rig.database.run("UPDATE tasks SET claim_token = gen_random_uuid()").await;
    std::fs::write(rig.path("lost"), "").unwrap();
    // once its outcome has been looked at, nothing more comes of it
    let since = Instant::now();
    while !worker.get("/metrics").await.1.contains("outcome=\"lost\"} 1") {
        assert!(since.elapsed() < Duration::from_secs(30), "the loss is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(rig.database.value::<i64>("SELECT count(*) FROM build_data").await, 0);
}
