use serde_json::Value;

use crate::schedules::{with, with_database};
use crate::{Folder, stderr, stdout};

/// Three plain tasks, and a tree of a parent and thirty parts, the last of which waits for the first.
const TASKS: &str = "INSERT INTO tasks (action, queue) VALUES ('a', 'mail'), ('b', 'mail'), ('b', 'default');
    INSERT INTO schedules (name, every, action) VALUES ('often', '90 s', 'poll');
    SELECT task_id FROM run_schedule('often');
    WITH parent AS (INSERT INTO tasks (action) VALUES ('site') RETURNING task_id)
    INSERT INTO build_data (node_name, task_id, generator, data_format, data_element)
    SELECT 'n', task_id, 'g', 'f', 'e' FROM parent;
    INSERT INTO tasks (action, parent_task_id)
    SELECT 'part', build_data.task_id FROM build_data, generate_series(1, 29);
    INSERT INTO tasks (action, parent_task_id, \"after\")
    SELECT 'last', parent_task_id, ARRAY[task_id] FROM tasks WHERE action = 'part' ORDER BY task_id LIMIT 1;
    UPDATE tasks SET \"terminate\" = true WHERE action = 'b' AND queue = 'mail'";

fn actions(output: &std::process::Output) -> Vec<String> {
    let tasks: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("JSON: {}", stderr(output)));
    let action = |task: &Value| task["action"].as_str().expect("an action").to_owned();
    tasks.as_array().expect("a list").iter().map(action).collect()
}

#[tokio::test]
async fn tasks_are_listed_by_every_filter_the_newest_first_and_page_by_page() {
    let folder = Folder::new("list");
    let longshore = with(&folder, TASKS).await;
    let listed = |filter: &[&str]| longshore(&[&["tasks", "list", "--json"], filter].concat());
    assert_eq!(actions(&listed(&["--queue", "mail"])), ["b", "a"]);
    assert_eq!(actions(&listed(&["--action", "b", "--status", "queued,running"])), ["b"]);
    assert_eq!(actions(&listed(&["--result", "failure"])), ["b"]);
    assert_eq!(actions(&listed(&["--schedule", "often"])), ["poll"]);
    assert_eq!(actions(&listed(&["--schedule", "never"])), Vec::<String>::new());
    let site: Value = serde_json::from_slice(&listed(&["--action", "site"]).stdout).expect("JSON");
    let site = site[0]["task_id"].as_str().expect("an id");
    assert_eq!(actions(&listed(&["--root", site])).len(), 31);
    assert_eq!(actions(&listed(&["--parent", site, "--status", "requested"])), ["last"]);

    let mut before = "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned();
    let mut all = Vec::new();
    loop {
        let page = listed(&["--limit", "10", "--before", &before]);
        all.extend(actions(&page));
        let tasks: Value = serde_json::from_slice(&page.stdout).expect("JSON");
        let Some(more) = stderr(&page).trim().strip_prefix("longshore: there are more: --before ").map(str::to_owned)
        else {
            break;
        };
        assert_eq!(tasks[9]["task_id"], more.as_str(), "the last of the page");
        before = more;
    }
    assert_eq!((all.len(), all[0].as_str(), all[34].as_str()), (35, "last", "a"));

    let table = stdout(&longshore(&["tasks", "list", "--queue", "mail"]));
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][1..6], ["mail", "b", "terminated", "failure (terminated)", "0/20"]);
}

#[tokio::test]
async fn a_filter_that_matches_little_reaches_the_end_of_a_long_table_by_bounded_steps() {
    let folder = Folder::new("far");
    let longshore = with(
        &folder,
        "INSERT INTO tasks (action) VALUES ('first');
         INSERT INTO tasks (action) SELECT 'other' FROM generate_series(1, 25000)",
    )
    .await;
    assert_eq!(actions(&longshore(&["tasks", "list", "--json", "--action", "first"])), ["first"]);
}

#[tokio::test]
async fn a_tree_is_drawn_and_what_is_left_out_is_counted() {
    let folder = Folder::new("tree");
    let (longshore, database) = with_database(&folder, TASKS).await;
    let sites = longshore(&["tasks", "list", "--json", "--action", "site"]);
    let site: Value = serde_json::from_slice(&sites.stdout).expect("JSON");
    let site = site[0]["task_id"].as_str().expect("an id").to_owned();
    let drawn = |arguments: &[&str]| {
        let output = longshore(&[&["tasks", "tree", &site], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        // without the ids
        let line = |line: &str| line.split(' ').filter(|word| word.len() != 36).collect::<Vec<_>>().join(" ");
        stdout(&output).lines().map(line).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        drawn(&["--breadth", "2"]),
        "site queued\n├─ part queued\n├─ part queued\n└─ … and 28 more, 28 of them open"
    );
    assert_eq!(drawn(&["--layers", "1"]), "site queued\n└─ … and 30 more, 30 of them open");
    crate::schedules::run(
        &database,
        "UPDATE tasks SET \"terminate\" = true WHERE action = 'part';
         INSERT INTO tasks (action, parent_task_id) SELECT 'below', task_id FROM tasks WHERE action = 'site'",
    )
    .await;
    let whole = drawn(&["--breadth", "31"]);
    assert!(whole.ends_with(
        "├─ part terminated failure (terminated)\n├─ last terminated failure (predecessor_failed)\n└─ below queued"
    ));
}

#[tokio::test]
async fn what_cannot_be_listed_is_wrong_usage_and_a_tree_that_is_not_there_exits_3() {
    let folder = Folder::new("nolist");
    let longshore = with(&folder, "SELECT 1").await;
    for arguments in [
        &["tasks", "list", "--status", "paused"][..],
        &["tasks", "list", "--limit", "0"],
        &["tasks", "list", "--parent", "42"],
        &["tasks", "list", "everything"],
        &["tasks", "tree"],
    ] {
        assert_eq!(longshore(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let id = "01890a5d-ac96-774b-8cce-b302099a8057";
    let none = longshore(&["tasks", "tree", id]);
    assert_eq!(
        (none.status.code(), stderr(&none)),
        (Some(3), format!("longshore: there is no task {id}: it was never inserted here, or has been pruned\n"))
    );
    assert_eq!(stdout(&longshore(&["tasks", "list", "--root", id])), "");
}
