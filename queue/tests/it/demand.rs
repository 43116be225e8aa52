//! What an autoscaler asks: `queue_demand` and `queue_wait_seconds`.

use sqlx::Row;

use crate::support::actor::Actor;
use crate::support::{Database, database};

/// Demand and wait of the queue `default` for the actions `work` and `rest`.
async fn asked(database: &Database) -> (i64, i64) {
    let ask = "SELECT queue_demand('default', '{work,rest}'), queue_wait_seconds('default', '{work,rest}')";
    let row = sqlx::query(ask).fetch_one(&mut database.conn().await).await.unwrap();
    (row.get(0), row.get(1))
}

const WAITED: &str =
    "INSERT INTO tasks (action, run_at) SELECT 'work', now() - interval '10.5 s' FROM generate_series(1, 7)";

#[tokio::test]
async fn what_runs_and_what_has_waited_are_counted_and_what_has_just_come_is_one() {
    let database = database().await;
    assert_eq!(asked(&database).await, (0, 0));
    database.insert(&["one", "two", "three"]).await;
    assert_eq!(asked(&database).await.0, 1, "something is due, which a worker may take before another one starts");
    database.run(WAITED).await;
    assert_eq!(asked(&database).await, (7, 10));
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(8).await.held.len(), 8);
    assert_eq!(asked(&database).await.0, 8, "eight run, of which seven had waited");
    database.run("INSERT INTO tasks (action, run_at) VALUES ('work', now() + interval '1 hour')").await;
    database.run(WAITED).await;
    assert_eq!(asked(&database).await, (15, 10), "what is due later asks for nobody");
    let few: i64 = database.value("SELECT queue_demand('default', '{work,rest}', bound => 3)").await;
    assert_eq!(few, 6, "each of the two counts ends at the bound");
}

#[tokio::test]
async fn what_no_worker_would_take_asks_for_none() {
    let database = database().await;
    database.run("INSERT INTO tasks (action, run_at) VALUES ('unknown', now() - interval '1 hour')").await;
    database.run("INSERT INTO tasks (action, queue, run_at) VALUES ('work', 'other', now() - interval '1 hour')").await;
    assert_eq!(asked(&database).await, (0, 0));
    database.run(WAITED).await;
    database.run("INSERT INTO tasks (action, run_at) VALUES ('rest', now() - interval '20.5 s')").await;
    assert_eq!(asked(&database).await, (8, 20));
    database.run("INSERT INTO pauses (queue, action) VALUES (NULL, 'work')").await;
    assert_eq!(asked(&database).await, (1, 20), "one action is paused, the other is not");
    database.run("UPDATE pauses SET paused_at = now() - interval '1 hour', \"until\" = now() - interval '1 s'").await;
    assert_eq!(asked(&database).await, (8, 20), "the pause is over");
}

#[tokio::test]
async fn a_schedule_that_is_due_soon_asks_for_one_worker_and_a_paused_or_distant_one_for_none() {
    let database = database().await;
    database.run("INSERT INTO schedules (name, every, action) VALUES ('often', '10 s', 'work')").await;
    assert_eq!(asked(&database).await, (1, 0), "nobody has looked at it yet");
    database.run("UPDATE schedules SET next_at = now() + interval '1 hour'").await;
    assert_eq!(asked(&database).await, (0, 0));
    database.run("UPDATE schedules SET next_at = now() + interval '20 s'").await;
    assert_eq!(asked(&database).await, (1, 0));
    database.run("UPDATE schedules SET paused = true").await;
    assert_eq!(asked(&database).await, (0, 0));
}

#[tokio::test]
async fn a_scaler_role_asks_and_can_do_nothing_else() {
    let database = database().await;
    database.grant_roles().await;
    database.run(WAITED).await;
    let scaler = database.login("longshore_scaler").await;
    assert_eq!(asked(&scaler).await, (7, 10));
    let others = [
        "SELECT FROM tasks",
        "SELECT FROM claims",
        "SELECT FROM schedules",
        "SELECT FROM pauses",
        "SELECT claimable_actions('default', '{work}')",
        "SELECT oldest_claimable('default', '{work}')",
        "INSERT INTO tasks (action) VALUES ('work')",
        "SELECT terminate_task(task_uuidv7())",
    ];
    assert_eq!(crate::roles::refusals(&scaler, &others).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_reads_a_few_pages_however_much_else_there_is() {
    let database = database().await;
    database
        .run(
            "INSERT INTO tasks (action, queue, run_at)
             SELECT 'work', CASE WHEN n % 2 = 0 THEN 'other' ELSE 'default' END, now() + interval '1 hour'
             FROM generate_series(1, 40000) AS n",
        )
        .await;
    database.run(WAITED).await;
    for freshly in ["", "ANALYZE tasks"] {
        database.run(freshly).await;
        for ask in ["queue_demand", "queue_wait_seconds"] {
            let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {ask}('default', '{{work,rest}}')");
            let mut conn = database.conn().await;
            // the first call of a session plans, and reads the catalogue for it
            for call in ["first", "second"] {
                let row = sqlx::raw_sql(sqlx::AssertSqlSafe(explain.clone())).fetch_one(&mut conn).await.unwrap();
                let plan: serde_json::Value = serde_json::from_str(row.try_get_unchecked(0).unwrap()).unwrap();
                let root = &plan[0]["Plan"];
                let pages = root["Shared Hit Blocks"].as_i64().unwrap() + root["Shared Read Blocks"].as_i64().unwrap();
                // all of the table are about 3,000
                assert!(call == "first" || pages < 300, "{ask} read {pages} pages");
            }
        }
    }
}
