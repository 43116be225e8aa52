use std::fs::File;
use std::process::Stdio;

use serde_json::Value;

use crate::schedules::with;
use crate::{Folder, read, stderr, stdout, wait_for};

const TASK: &str = "SELECT set_config('session_replication_role', 'replica', false);
    INSERT INTO tasks (task_id, action, status) VALUES (task_uuidv7(), 'work', 'running');
    INSERT INTO tasks (action, parent_task_id) SELECT 'part', task_id FROM tasks;
    INSERT INTO result_message (task_id, sequence, ts, error, message, context)
    SELECT task_id, number, '2026-01-02 03:04:05Z', number = 2, 'message ' || number, CASE number WHEN 2 THEN 'node1' END
    FROM tasks, generate_series(1, 3) AS number WHERE action = 'work';
    SELECT set_config('session_replication_role', 'origin', false)";

/// The task that the build data names.
fn task_id(output: &std::process::Output) -> String {
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    json[0]["task_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_task_is_shown_with_and_without_what_is_below_it_and_its_log_is_printed() {
    let folder = Folder::new("tasks");
    let longshore = with(
        &folder,
        &format!(
            "{TASK};
        INSERT INTO build_data (node_name, task_id, generator, data_format, data_element)
        SELECT 'n', task_id, 'g', 'f', 'e' FROM tasks WHERE action = 'work'"
        ),
    )
    .await;
    let id = task_id(&longshore(&["builds", "list", "--json"]));
    let shown = longshore(&["tasks", "show", &id]);
    assert_eq!(shown.status.code(), Some(0), "{}", stderr(&shown));
    let document: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&document["kind"], &document["result"]["details"]["errorCount"]), (&"Task".into(), &1.into()));
    let below = document["subtask_id_list"][0].as_str().expect("an id").to_owned();
    for (arguments, count) in [(&["--tree"][..], 3), (&["--layers", "1"], 2)] {
        let tree = longshore(&[&["tasks", "show", &id], arguments].concat());
        let tree: Value = serde_json::from_slice(&tree.stdout).expect("JSON");
        assert_eq!((tree.as_object().expect("a map").len(), tree["init_task_id"].as_str()), (count, Some(id.as_str())));
        assert_eq!(tree.get(&below).is_some(), count == 3);
    }
    assert_eq!(
        stdout(&longshore(&["tasks", "logs", &id, "--after", "1"])),
        "2026-01-02T03:04:05.000000Z ERROR node1: message 2\n2026-01-02T03:04:05.000000Z       message 3\n"
    );
    let json = stdout(&longshore(&["tasks", "logs", &id, "--json"]));
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().map(|line| line["sequence"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn a_log_is_followed_until_the_task_has_ended() {
    let folder = Folder::new("follow");
    let (longshore, database) = crate::schedules::with_database(
        &folder,
        "INSERT INTO tasks (action) VALUES ('work');
         INSERT INTO build_data (node_name, task_id, generator, data_format, data_element)
         SELECT 'n', task_id, 'g', 'f', 'e' FROM tasks",
    )
    .await;
    let id = task_id(&longshore(&["builds", "list", "--json"]));
    let log = folder.0.join("log");
    let mut follow = folder
        .longshore(&["tasks", "logs", "--follow", &id])
        .env("DATABASE_URL", &database)
        .stdout(File::create(&log).expect("a log"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    for number in 1..=2 {
        let say = format!(
            "INSERT INTO result_message (task_id, sequence, error, message) VALUES ('{id}', {number}, false, 'no. {number}')"
        );
        crate::schedules::run(&database, &say).await;
        wait_for("it is printed", || read(&log).contains(&format!("no. {number}")).then_some(()));
    }
    crate::schedules::run(&database, "UPDATE tasks SET \"terminate\" = true").await;
    assert_eq!(follow.wait().expect("its end").code(), Some(0));
    assert_eq!(read(&log).lines().count(), 2);
}

#[tokio::test]
async fn a_task_that_is_not_there_exits_3_and_wrong_usage_2() {
    let folder = Folder::new("notask");
    let longshore = with(&folder, "SELECT 1").await;
    for action in ["show", "logs"] {
        let none = longshore(&["tasks", action, "01890a5d-ac96-774b-8cce-b302099a8057"]);
        assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(3), ""), "{action}");
        assert_eq!(longshore(&["tasks", action, "42"]).status.code(), Some(2));
    }
    let id = "01890a5d-ac96-774b-8cce-b302099a8057";
    assert_eq!(longshore(&["tasks", "show", id, "--tree", "--layers", "2"]).status.code(), Some(2));
}
