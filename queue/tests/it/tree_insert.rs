//! What may be inserted into a tree, and when.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::support::actor::success;
use crate::support::database;
use crate::support::trees::Player;

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

/// Inserts subtasks of one parent in one transaction, which a producer may have prepared as it likes.
struct Producer<'a> {
    inserting: Transaction<'a, Postgres>,
    parent: Uuid,
}

impl<'a> Producer<'a> {
    async fn enter(conn: &'a mut PgConnection, parent: Uuid) -> Self {
        Self { inserting: conn.begin().await.unwrap(), parent }
    }

    async fn insert(&mut self, count: i32) -> Result<(), sqlx::Error> {
        let insert = "INSERT INTO tasks (action, parent_task_id) SELECT 'work', $1 FROM generate_series(1, $2)";
        sqlx::query(insert).bind(self.parent).bind(count).execute(&mut *self.inserting).await.map(drop)
    }

    async fn run(&mut self, sql: &str) {
        self.inserting.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    /// What the database has noted in settings that everybody can write.
    async fn noted(&mut self) -> [String; 2] {
        let settings = "SELECT ARRAY[coalesce(current_setting('longshore.sibling', true), ''),
                                     coalesce(current_setting('longshore.place', true), '')]";
        let noted: Vec<String> = sqlx::query_scalar(settings).fetch_one(&mut *self.inserting).await.unwrap();
        noted.try_into().unwrap()
    }

    async fn forge(&mut self, [sibling, place]: &[String; 2]) {
        self.run(&format!("SET LOCAL longshore.sibling = '{sibling}'; SET LOCAL longshore.place = '{place}'")).await;
    }

    async fn commit(self) {
        self.inserting.commit().await.unwrap();
    }

    async fn refusal(mut self) -> String {
        let refused = self.insert(1).await.unwrap_err();
        refused.into_database_error().unwrap().constraint().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_lock_that_was_rolled_back_is_taken_again() {
    for forged in [false, true] {
        let database = database().await;
        let names = database.tree(&["root"]).await;
        let mut player = Player::enter(&database).await;
        player.claim().await;
        let mut conn = database.conn().await;
        let mut producer = Producer::enter(&mut conn, names["root"]).await;
        producer.run("SAVEPOINT before").await;
        producer.insert(3).await.unwrap();
        let noted = producer.noted().await;
        producer.run("ROLLBACK TO before").await;
        player.succeed("root").await;
        assert_eq!(database.states().await, "root complete success");
        if forged {
            producer.forge(&noted).await;
        }
        assert_eq!(producer.refusal().await, "parent_has_not_ended");
    }
}

#[tokio::test]
async fn a_parent_does_not_end_behind_a_transaction_that_knows_a_place_below_it() {
    let database = database().await;
    let names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    let mut conn = database.conn().await;
    let mut producer = Producer::enter(&mut conn, names["root"]).await;
    producer.insert(3).await.unwrap();
    // knows it also within a savepoint, and still does when that is gone
    producer.run("SAVEPOINT later").await;
    producer.insert(1).await.unwrap();
    producer.run("ROLLBACK TO later").await;
    assert_eq!(player.settle(&[success(player.held["root"]).into()]).await.unwrap().len(), 0);
    producer.insert(1).await.unwrap();
    producer.commit().await;
    player.succeed("root").await;
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE status = 'requested'").await, 1);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE status = 'queued'").await, 4);
}

#[tokio::test]
async fn a_forged_place_is_no_place() {
    let database = database().await;
    let names = database.tree(&["root", "a < root", "other"]).await;
    let mut conn = database.conn().await;
    let mut producer = Producer::enter(&mut conn, names["a"]).await;
    producer.insert(3).await.unwrap();
    let [sibling, place] = producer.noted().await;
    assert!(place.contains(&names["root"].to_string()), "{sibling} {place}");
    // below another root, and a sibling that is none
    let elsewhere = place.replace(&names["root"].to_string(), &names["other"].to_string());
    producer.forge(&[sibling, elsewhere]).await;
    producer.insert(1).await.unwrap();
    producer.forge(&[names["other"].to_string(), String::new()]).await;
    producer.insert(1).await.unwrap();
    producer.commit().await;
    // nor one of a transaction that has ended
    let mut conn = database.conn().await;
    let mut producer = Producer::enter(&mut conn, names["a"]).await;
    producer.insert(2).await.unwrap();
    producer.forge(&[names["other"].to_string(), place]).await;
    producer.insert(1).await.unwrap();
    producer.commit().await;
    let below = format!("SELECT count(*) FROM tasks WHERE root_task_id = '{}' AND depth = 2", names["root"]);
    assert_eq!(database.value::<i64>(&below).await, 8);
}

#[tokio::test]
async fn a_place_is_known_until_the_tree_changes() {
    for forged in [false, true] {
        let database = database().await;
        let names = database.tree(&["root"]).await;
        let mut conn = database.conn().await;
        let mut producer = Producer::enter(&mut conn, names["root"]).await;
        producer.insert(3).await.unwrap();
        let noted = producer.noted().await;
        producer.run(&format!("SELECT terminate_task('{}')", names["root"])).await;
        if forged {
            producer.forge(&noted).await;
        }
        assert_eq!(producer.refusal().await, "parent_has_not_ended");
    }
}
