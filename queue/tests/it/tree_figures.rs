//! What trees cost, in figures that do not depend on the machine.

use longshore_queue::{Held, Session};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::actor::Actor;
use crate::support::explain::{Statement, cost};
use crate::support::{Database, database};

const BATCH: usize = 500;

/// One parent with so many open subtasks, and a claimed batch of others that are to end.
async fn with_open(actor: &mut Actor, database: &Database, open: u32) -> Vec<Held> {
    database
        .run(&format!(
            "INSERT INTO tasks (action, payload) VALUES ('other', '\"root\"');
             INSERT INTO tasks (action, payload, parent_task_id)
             SELECT CASE WHEN n % 5 = 0 AND n <= 5 * {BATCH} THEN 'work' ELSE 'other' END, to_jsonb(n),
                 (SELECT task_id FROM tasks ORDER BY task_id DESC LIMIT 1)
             FROM generate_series(1, {open}) AS n;
             UPDATE tasks SET status = 'requested', waits_for = 'all' WHERE parent_task_id IS NULL"
        ))
        .await;
    actor.claim(BATCH).await.held
}

fn settling(held: &[Held]) -> Statement {
    let ids = held.iter().map(|held| held.task_id.to_string()).collect::<Vec<_>>().join(",");
    let tokens = held.iter().map(|held| held.claim_token.to_string()).collect::<Vec<_>>().join(",");
    Statement {
        name: "settle_tree",
        sql: include_str!("../../src/sql/settle_tree.sql"),
        arguments: format!(
            "'{{{ids}}}', '{{{tokens}}}',
             array_fill('{{\"step\": \"complete\", \"error_count\": 0, \"result\": {{\"status\": \"success\"}}}}'::jsonb, '{{{}}}'),
             256, '{{}}', '{{}}'",
            held.len()
        ),
    }
}

/// Ends the batch, a tenth at a time; buffers a task, of the first and the last tenth.
async fn spent(session: &mut Session, held: &[Held]) -> Vec<f64> {
    let mut spent = Vec::new();
    for some in held.chunks(BATCH / 10) {
        let cost = cost(session, &settling(some)).await;
        assert_eq!(cost.rows, some.len() as i64);
        spent.push(cost.buffers as f64 / some.len() as f64);
    }
    spent
}

#[tokio::test]
async fn a_completion_costs_the_same_however_many_siblings_are_open_also_while_an_old_snapshot_is_held() {
    let mut story = Vec::new();
    for (state, pinned) in [("", false), (", pinned", true)] {
        for open in [2_500, 10_000] {
            let database = database().await;
            let mut onlooker = database.conn().await;
            let mut onlooker = onlooker.begin().await.unwrap();
            if pinned {
                sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *onlooker).await.unwrap();
                sqlx::query("SELECT FROM tasks LIMIT 1").execute(&mut *onlooker).await.unwrap();
            }
            let mut actor = Actor::enter(&database).await;
            let held = with_open(&mut actor, &database, open).await;
            let mut session = database.connect.session("figures").await.unwrap();
            let spent = spent(&mut session, &held).await;
            let mean = spent[1..].iter().sum::<f64>() / 9.0;
            println!("buffers a completion with {open} siblings{state}: mean {mean:.1}, last {:.1}", spent[9]);
            story.push((mean, spent[9]));
        }
    }
    for pair in story.chunks(2) {
        assert!(pair[1].0 <= pair[0].0 * 1.2 + 2.0, "{story:?}");
    }
    for (mean, last) in &story {
        assert!(*mean <= 13.0 && *last <= mean * 1.5 + 2.0, "{story:?}");
    }
}

#[tokio::test]
async fn a_context_of_the_parent_costs_a_subtask_nothing_and_a_trace_one_look_at_it() {
    let database = database().await;
    let mut session = database.connect.session("figures").await.unwrap();
    let trace = r#"'{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}'"#;
    let mut spent = Vec::new();
    for context in ["NULL", r#"'{"tenant": 7}'"#, trace] {
        let parent = Uuid::now_v7();
        let insert =
            format!("INSERT INTO tasks (task_id, action, request_context) VALUES ('{parent}', 'work', {context})");
        database.run(&insert).await;
        let inserting = Statement {
            name: "subtasks",
            sql: "INSERT INTO tasks (action, parent_task_id) SELECT 'work', $1::uuid FROM generate_series(1, 1000)",
            arguments: format!("'{parent}'"),
        };
        // the first fills the caches of the session, and marks the parent
        cost(&mut session, &inserting).await;
        spent.push(cost(&mut session, &inserting).await.buffers as f64 / 1000.0);
    }
    println!("buffers a subtask whose parent has no context, one without a trace, one with: {spent:.1?}");
    assert!(spent[1] <= spent[0] + 0.5 && spent[2] <= spent[0] + 4.0, "{spent:?}");
}
