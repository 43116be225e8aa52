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
    let (log, end) = (folder.0.join("log"), folder.0.join("end"));
    let mut follow = folder
        .longshore(&["tasks", "logs", "--follow", &id])
        .env("DATABASE_URL", &database)
        .stdout(File::create(&log).expect("a log"))
        .stderr(File::create(&end).expect("a log"))
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
    assert_eq!(read(&end), format!("longshore: task {id} ended: terminated failure (terminated)\n"));
}

#[tokio::test]
async fn the_logs_of_a_tree_are_one_and_each_line_names_its_task() {
    let folder = Folder::new("treelog");
    let (longshore, database) = crate::schedules::with_database(
        &folder,
        "SELECT set_config('session_replication_role', 'replica', false);
         INSERT INTO tasks (task_id, action, has_subtasks)
         VALUES ('01890a5d-ac96-774b-8cce-00000000000a', 'root', true);
         INSERT INTO tasks (task_id, action, parent_task_id)
         VALUES ('01890a5d-ac96-774b-8cce-00000000000b', 'leaf', '01890a5d-ac96-774b-8cce-00000000000a');
         INSERT INTO result_message (task_id, sequence, ts, error, message, context)
         SELECT task_id, number, timestamptz '2026-01-02 03:04:05Z' + number * interval '2 s'
             + CASE action WHEN 'leaf' THEN interval '1 s' ELSE '0' END, action = 'leaf', 'no. ' || number,
             CASE action WHEN 'leaf' THEN 'n1' END
         FROM tasks CROSS JOIN generate_series(1, 2) AS number",
    )
    .await;
    let root = "01890a5d-ac96-774b-8cce-00000000000a";
    assert_eq!(
        stdout(&longshore(&["tasks", "logs", root, "--tree"])),
        "2026-01-02T03:04:07.000000Z       00000000000a root: no. 1\n\
         2026-01-02T03:04:08.000000Z ERROR 00000000000b leaf: n1: no. 1\n\
         2026-01-02T03:04:09.000000Z       00000000000a root: no. 2\n\
         2026-01-02T03:04:10.000000Z ERROR 00000000000b leaf: n1: no. 2\n"
    );
    let json = stdout(&longshore(&["tasks", "logs", root, "--tree", "--json"]));
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines.iter().map(|line| (line["action"].as_str(), line["sequence"].as_i64())).collect();
    let (root_action, leaf) = (Some("root"), Some("leaf"));
    assert_eq!(told, [(root_action, Some(1)), (leaf, Some(1)), (root_action, Some(2)), (leaf, Some(2))]);
    assert_eq!(lines[0]["task_id"], root);
    assert_eq!(longshore(&["tasks", "logs", root, "--tree", "--after", "1"]).status.code(), Some(2));

    // followed, with a subtask that comes meanwhile, until the root has ended
    let log = folder.0.join("log");
    let mut follow = folder
        .longshore(&["tasks", "logs", "--follow", "--tree", root])
        .env("DATABASE_URL", &database)
        .stdout(File::create(&log).expect("a log"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    wait_for("what was said is printed", || (read(&log).lines().count() == 4).then_some(()));
    let more = format!(
        "SELECT set_config('session_replication_role', 'replica', false);
         INSERT INTO tasks (task_id, action, parent_task_id) VALUES ('01890a5d-ac96-774b-8cce-00000000000c', 'new', '{root}');
         SELECT set_config('session_replication_role', 'origin', false);
         INSERT INTO result_message (task_id, sequence, error, message)
         VALUES ('01890a5d-ac96-774b-8cce-00000000000c', 1, false, 'here')"
    );
    crate::schedules::run(&database, &more).await;
    wait_for("it is printed", || read(&log).ends_with("00000000000c new: here\n").then_some(()));
    crate::schedules::run(&database, "UPDATE tasks SET status = 'complete'").await;
    assert_eq!(follow.wait().expect("its end").code(), Some(0));
    assert_eq!(read(&log).lines().count(), 5);
}

#[tokio::test]
async fn a_follower_that_may_not_announce_itself_polls() {
    let folder = Folder::new("deaf");
    let (longshore, database) = crate::schedules::with_database(
        &folder,
        "INSERT INTO tasks (action) VALUES ('work'); DROP FUNCTION follow_log",
    )
    .await;
    let insert = "INSERT INTO build_data (node_name, task_id, generator, data_format, data_element)
         SELECT 'n', task_id, 'g', 'f', 'e' FROM tasks";
    crate::schedules::run(&database, insert).await;
    let id = task_id(&longshore(&["builds", "list", "--json"]));
    let log = folder.0.join("log");
    let mut follow = folder
        .longshore(&["tasks", "logs", "--follow", &id])
        .env("DATABASE_URL", &database)
        .stdout(File::create(&log).expect("a log"))
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let say =
        format!("INSERT INTO result_message (task_id, sequence, error, message) VALUES ('{id}', 1, false, 'here')");
    crate::schedules::run(&database, &say).await;
    wait_for("it is printed", || read(&log).contains("here").then_some(()));
    crate::schedules::run(&database, "UPDATE tasks SET \"terminate\" = true").await;
    assert_eq!(follow.wait().expect("its end").code(), Some(0));
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
