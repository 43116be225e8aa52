//! The producer's contract: every form of INSERT gives the same tasks.

use longshore_queue::{NewTask, insert_many};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::support::actor::Actor;
use crate::support::{Database, database};

/// What a producer's statement leaves, as the worker sees it: the payloads, in the order of the queue.
async fn arrived(database: &Database) -> Vec<String> {
    Actor::enter(database).await.claim(10_000).await.names
}

async fn count(database: &Database) -> i64 {
    database.value("SELECT count(*) FROM tasks").await
}

#[tokio::test]
async fn action_is_the_only_required_column_and_the_rest_has_defaults() {
    let database = database().await;
    database.run("INSERT INTO tasks (action) VALUES ('work')").await;
    let row: String = database
        .value(
            "SELECT concat_ws(' ', queue, priority, payload, run_at = created, max_attempts, unique_until,
                 created_by = session_user, status, attempt, \"terminate\")
             FROM tasks",
        )
        .await;
    assert_eq!(row, "default 5 {} t 20 claimed t queued 0 f");
}

#[tokio::test]
async fn one_row_many_rows_copy_and_the_crate_leave_the_same_tasks() {
    let database = database().await;
    database.run("INSERT INTO tasks (action, payload) VALUES ('work', '\"single\"')").await;
    database.run("INSERT INTO tasks (action, payload) VALUES ('work', '\"row 1\"'), ('work', '\"row 2\"')").await;
    database.run("INSERT INTO tasks (action, payload) SELECT 'work', to_jsonb('from a query'::text)").await;
    let mut conn = database.conn().await;
    let mut copy = conn.copy_in_raw("COPY tasks (action, payload) FROM STDIN").await.unwrap();
    copy.send(&b"work\t\"copy 1\"\nwork\t\"copy 2\"\n"[..]).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    database.insert(&["crate 1", "crate 2"]).await;
    assert_eq!(
        database
            .value::<i64>("SELECT count(DISTINCT (status, attempt, queue, priority, max_attempts)) FROM tasks")
            .await,
        1
    );
    assert_eq!(
        arrived(&database).await,
        ["single", "row 1", "row 2", "from a query", "copy 1", "copy 2", "crate 1", "crate 2"]
    );
}

#[tokio::test]
async fn a_transaction_rolled_back_leaves_no_task_and_a_committed_one_all_of_them() {
    let database = database().await;
    let mut conn = database.conn().await;
    for (word, kept) in [("lost", false), ("kept", true)] {
        let mut transaction = conn.begin().await.unwrap();
        for number in 1..=2 {
            let task = NewTask::new("work").payload(format!("{word} {number}").into());
            insert_many(&mut *transaction, &[task]).await.unwrap();
        }
        assert_eq!(arrived(&database).await, Vec::<String>::new(), "before the commit");
        if kept { transaction.commit().await } else { transaction.rollback().await }.unwrap();
    }
    assert_eq!(arrived(&database).await, ["kept 1", "kept 2"]);
}

#[tokio::test]
async fn a_trigger_on_a_users_table_and_a_stored_procedure_insert_and_terminate() {
    let database = database().await;
    database
        .run(
            "CREATE TABLE orders (order_id int PRIMARY KEY, task_id uuid);
             CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO tasks (action, payload) VALUES ('work', to_jsonb('order ' || NEW.order_id))
                 RETURNING task_id INTO NEW.task_id;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER enqueue BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION enqueue();
             CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 UPDATE tasks SET \"terminate\" = true WHERE task_id = OLD.task_id;
                 RETURN OLD;
             END $$;
             CREATE TRIGGER cancel AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION cancel();
             CREATE PROCEDURE nightly(INOUT task_id uuid) LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO tasks (action, payload) VALUES ('work', '\"nightly\"')
                 RETURNING tasks.task_id INTO nightly.task_id;
             END $$;
             INSERT INTO orders VALUES (1), (2), (3);
             DELETE FROM orders WHERE order_id = 2;",
        )
        .await;
    let nightly: Uuid = database.value("CALL nightly(NULL)").await;
    assert_eq!(
        database.history().await,
        "nightly queued attempt 0\n\
         order 1 queued attempt 0\n\
         order 2 terminated attempt 0 failure terminated by longshore\n\
         order 3 queued attempt 0"
    );
    let newest: Uuid = database.value("SELECT task_id FROM tasks ORDER BY task_id DESC LIMIT 1").await;
    assert_eq!(nightly, newest);
}

#[tokio::test]
async fn a_role_with_nothing_but_insert_inserts_without_returning() {
    let database = database().await;
    database
        .run(
            "CREATE ROLE only_insert NOLOGIN;
             GRANT INSERT (action, payload, unique_key) ON tasks TO only_insert",
        )
        .await;
    database
        .run(
            "SET ROLE only_insert;
             INSERT INTO tasks (action, payload) VALUES ('work', '\"plain\"');
             INSERT INTO tasks (action, payload, unique_key) VALUES ('work', '\"keyed\"', 'k'), ('work', '\"twice\"', 'k')",
        )
        .await;
    assert_eq!(arrived(&database).await, ["plain", "keyed"]);
}

#[tokio::test]
async fn ids_increase_within_a_statement_of_a_thousand_rows_and_from_one_statement_to_the_next() {
    let database = database().await;
    let mut conn = database.conn().await;
    let mut ids: Vec<Uuid> = Vec::new();
    for _ in 0..3 {
        let batch: Vec<Uuid> = sqlx::query_scalar(
            "INSERT INTO tasks (action, payload) SELECT 'work', to_jsonb(n) FROM generate_series(1, 1000) AS n RETURNING task_id",
        )
        .fetch_all(&mut conn)
        .await
        .unwrap();
        ids.extend(batch);
    }
    assert_eq!(ids.len(), 3000);
    let falls = ids.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    assert_eq!(falls, 0, "of 3000 ids");
    assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    let off: i64 = database
        .value("SELECT count(*) FROM tasks WHERE abs(extract(epoch FROM task_id_instant(task_id) - created)) > 60")
        .await;
    assert_eq!(off, 0, "ids whose time is not that of the insert");
}

#[tokio::test]
async fn a_thousand_rows_of_one_statement_are_claimed_in_the_order_of_insertion() {
    let database = database().await;
    database
        .run("INSERT INTO tasks (action, payload) SELECT 'work', to_jsonb(n) FROM generate_series(1, 1000) AS n")
        .await;
    let expected: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    assert_eq!(arrived(&database).await, expected);
}

#[tokio::test]
async fn a_producers_own_uuidv7_is_kept_and_refused_the_second_time() {
    let database = database().await;
    let own = Uuid::now_v7();
    let task = NewTask { task_id: Some(own), ..NewTask::new("work") };
    assert_eq!(insert_many(&mut database.conn().await, std::slice::from_ref(&task)).await.unwrap(), [own]);
    let twice = insert_many(&mut database.conn().await, &[task]).await.unwrap_err();
    assert_eq!(twice.sqlstate().as_deref(), Some("23505"));
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn one_refused_row_refuses_its_whole_statement_and_leaves_others_alone() {
    let database = database().await;
    let refused =
        database.refusal("INSERT INTO tasks (action, priority) VALUES ('work', 1), ('work', 12), ('work', 2)").await;
    assert_eq!(refused, ("23514".to_owned(), "priority_is_0_to_9".to_owned()));
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn a_payload_of_any_depth_and_size_within_the_limit_reaches_the_worker_as_it_was_sent() {
    let database = database().await;
    let deep = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let wide = format!("\"{}\"", "x".repeat(262_142));
    let number = format!("1{}", "0".repeat(100_000));
    let mut conn = database.conn().await;
    for payload in [deep.as_str(), &wide, &number, "null", "\"😀 é\""] {
        sqlx::query("INSERT INTO tasks (action, payload) VALUES ('work', $1::text::jsonb)")
            .bind(payload)
            .execute(&mut conn)
            .await
            .unwrap();
    }
    let names = arrived(&database).await;
    let expected = [deep.as_str(), wide.trim_matches('"'), &number, "null", "😀 é"];
    assert_eq!(names.len(), expected.len());
    for (name, sent) in names.iter().zip(expected) {
        assert!(name == sent, "{}… is not {}…", &name[..name.len().min(40)], &sent[..sent.len().min(40)]);
    }
}

#[tokio::test]
async fn the_producers_search_path_does_not_matter() {
    let database = database().await;
    let mut conn: PgConnection = database.conn().await;
    conn.execute("SET search_path = pg_catalog").await.unwrap();
    conn.execute("INSERT INTO public.tasks (action, unique_key) VALUES ('work', 'k'), ('work', 'k')").await.unwrap();
    assert_eq!(count(&database).await, 1);
    let ended: bool = sqlx::query_scalar("SELECT public.terminate_task(task_id) FROM public.tasks")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(ended);
}
