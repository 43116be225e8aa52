//! What may be inserted into a tree, and when.

use crate::support::database;

#[tokio::test]
async fn a_row_without_a_place_in_a_tree_is_refused_by_name() {
    let database = database().await;
    let names = database.tree(&["root", "a < root", "other", "x < other"]).await;
    let [root, a, other, x] = ["root", "a", "other", "x"].map(|name| names[name].to_string());
    database.run(&format!("SELECT terminate_task('{other}')")).await;
    let insert = |parent: &str, after: &str| {
        format!("INSERT INTO tasks (action, parent_task_id, \"after\") VALUES ('work', {parent}, {after})")
    };
    let quoted = |id: &str| format!("'{id}'");
    let list = |id: &str| format!("'{{{id}}}'");
    for (parent, after, constraint) in [
        ("task_uuidv7()".to_owned(), "NULL".to_owned(), "parent_task_id_exists"),
        (quoted(&other), "NULL".to_owned(), "parent_has_not_ended"),
        ("NULL".to_owned(), list(&a), "after_needs_a_parent"),
        (quoted(&root), list(&x), "after_names_earlier_siblings"),
        (quoted(&root), list(&root), "after_names_earlier_siblings"),
        (quoted(&root), "ARRAY[task_uuidv7()]".to_owned(), "after_names_earlier_siblings"),
        (quoted(&root), "'{NULL}'".to_owned(), "after_names_earlier_siblings"),
    ] {
        let (_, refused) = database.refusal(&insert(&parent, &after)).await;
        assert_eq!(refused, constraint, "{parent} {after}");
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks").await, 4);
}

#[tokio::test]
async fn a_cycle_or_a_forward_reference_is_refused_and_nothing_of_its_statement_is_inserted() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let root = names["root"];
    for rows in [
        // two of each other; the first names the second
        "('018f0000-0000-7000-8000-000000000001', '{018f0000-0000-7000-8000-000000000002}'),
         ('018f0000-0000-7000-8000-000000000002', '{018f0000-0000-7000-8000-000000000001}')",
        "('018f0000-0000-7000-8000-000000000001', '{018f0000-0000-7000-8000-000000000002}'),
         ('018f0000-0000-7000-8000-000000000002', NULL)",
    ] {
        let sql = format!(
            "INSERT INTO tasks (action, parent_task_id, task_id, \"after\")
             SELECT 'work', '{root}', id::uuid, predecessors::uuid[] FROM (VALUES {rows}) AS row (id, predecessors)"
        );
        // ids of this time, in the same order
        let prefix = &uuid::Uuid::now_v7().to_string()[..8];
        let sql = sql.replace("018f0000", prefix);
        assert_eq!(
            database.refusal(&sql).await,
            ("23503".to_owned(), "after_names_earlier_siblings".to_owned()),
            "{sql}"
        );
    }
    let itself = format!(
        "INSERT INTO tasks (action, parent_task_id, task_id, \"after\")
         SELECT 'work', '{root}', id, ARRAY[id] FROM task_uuidv7() AS id"
    );
    assert_eq!(database.refusal(&itself).await, ("23514".to_owned(), "after_names_others".to_owned()));
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks").await, 1);
    database.add(&mut names, &["a < root", "b < root after a"]).await.unwrap();
}

#[tokio::test]
async fn a_tree_is_at_most_32_levels_deep_below_its_root() {
    let database = database().await;
    let mut names = database.tree(&["0"]).await;
    for level in 1..=32 {
        database.add(&mut names, &[&format!("{level} < {}", level - 1)]).await.unwrap();
    }
    let refused = database.add(&mut names, &["33 < 32"]).await.unwrap_err();
    assert!(refused.to_string().contains("32 levels deep"), "{refused}");
    assert_eq!(database.value::<i16>("SELECT max(depth) FROM tasks").await, 32);
}

#[tokio::test]
async fn a_task_without_a_tree_keeps_its_row_as_it_was() {
    let database = database().await;
    database.insert(&["a"]).await;
    let columns = "root_task_id, depth, has_subtasks, has_dependants, first_open_subtask, subtasks_stopped, waits_for, own_result, bubble_action, on_subtask_failure";
    assert_eq!(database.value::<i32>(&format!("SELECT num_nonnulls({columns}) FROM tasks")).await, 0);
}
