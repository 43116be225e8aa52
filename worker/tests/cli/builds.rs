use serde_json::{Value, json};

use crate::schedules::with;
use crate::{Folder, stderr, stdout};

const ROWS: &str =
    "INSERT INTO build_data (node_name, task_id, collected_date, generator, data_format, data_element) VALUES
    ('n1', '01890a5d-ac96-774b-8cce-b302099a8057', '2026-01-01 12:00Z', 'lshw', 'text/plain', 'old'),
    ('n1', '01890a5d-ac96-774b-8cce-b302099a8058', '2026-01-02 12:00Z', 'lshw', 'text/plain', 'new'),
    ('n2', '01890a5d-ac96-774b-8cce-b302099a8058', '2026-01-02 12:00Z', 'dmidecode', 'text/plain', E'a\\nb\\n')";

#[tokio::test]
async fn build_data_is_listed_and_shown_by_node_and_task() {
    let folder = Folder::new("builds");
    let longshore = with(&folder, ROWS).await;
    let listed = longshore(&["builds", "list", "--node", "n1"]);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    assert_eq!(
        stdout(&listed),
        "n1\tlshw\t2026-01-02T12:00:00Z\ttext/plain\t3\t01890a5d-ac96-774b-8cce-b302099a8058\n\
         n1\tlshw\t2026-01-01T12:00:00Z\ttext/plain\t3\t01890a5d-ac96-774b-8cce-b302099a8057\n"
    );
    assert_eq!(stdout(&longshore(&["builds", "list", "--latest"])).lines().count(), 2);
    assert_eq!(stdout(&longshore(&["builds", "show", "--node", "n1", "--latest"])), "new\n");
    let task = "01890a5d-ac96-774b-8cce-b302099a8058";
    assert_eq!(stdout(&longshore(&["builds", "show", "--task", task, "--node", "n2"])), "a\nb\n");
    let shown = longshore(&["builds", "show", "--task", "01890a5d-ac96-774b-8cce-b302099a8057", "--json"]);
    let document = json!([{
        "node_name": "n1", "task_id": "01890a5d-ac96-774b-8cce-b302099a8057",
        "collected_date": "2026-01-01T12:00:00.000000Z", "generator": "lshw", "data_format": "text/plain",
        "data_element": "old"
    }]);
    assert_eq!(serde_json::from_slice::<Value>(&shown.stdout).expect("JSON"), document);
}

#[tokio::test]
async fn an_empty_list_exits_0_nothing_to_show_3_and_wrong_usage_2() {
    let folder = Folder::new("nobuilds");
    let longshore = with(&folder, "SELECT 1").await;
    let none = longshore(&["builds", "list", "--node", "n1", "--json"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(0), "[]\n"));
    let none = longshore(&["builds", "show", "--node", "n1"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(3), ""));
    for arguments in [&["builds"][..], &["builds", "show", "--task", "42"], &["builds", "list", "--limit", "0"]] {
        assert_eq!(longshore(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
