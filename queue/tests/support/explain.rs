//! Plans and what they cost, of the crate's own statements under the settings of its own sessions.

use std::collections::BTreeSet;

use longshore_queue::Session;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

/// A statement of the crate: its name, its text, the SQL of its arguments.
#[derive(Debug, Clone)]
pub struct Statement {
    pub name: &'static str,
    pub sql: &'static str,
    pub arguments: String,
}

/// What a run of a statement took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub rows: i64,
    pub buffers: i64,
    pub wal_bytes: i64,
    /// Page images among those bytes: one a page after a checkpoint.
    pub wal_images: i64,
}

/// Runs SQL that returns nothing, by the simple protocol.
pub async fn run(session: &mut Session, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(session.step().await.unwrap().db()).await.unwrap();
}

/// The plan that the server keeps for a prepared statement; with `analyze` it is also run.
pub async fn plan(session: &mut Session, statement: &Statement, analyze: bool) -> Value {
    explain(session, statement, if analyze { "ANALYZE, BUFFERS, WAL, TIMING off, " } else { "" }).await
}

/// That plan with all that it computes.
pub async fn plan_in_full(session: &mut Session, statement: &Statement) -> Value {
    explain(session, statement, "VERBOSE, ").await
}

async fn explain(session: &mut Session, statement: &Statement, options: &str) -> Value {
    run(session, &format!("PREPARE {} AS {}", statement.name, statement.sql)).await;
    let explain = format!("EXPLAIN ({options}FORMAT JSON) EXECUTE {}({})", statement.name, statement.arguments);
    let row = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_one(session.step().await.unwrap().db()).await.unwrap();
    run(session, &format!("DEALLOCATE {}", statement.name)).await;
    let text: String = row.try_get_unchecked(0).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[0]["Plan"].clone()
}

/// All nodes of a plan.
pub fn nodes(plan: &Value) -> Vec<&Value> {
    let mut found = vec![plan];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        found.extend(nodes(child));
    }
    found
}

/// Runs a statement and adds up what it took. A CTE that writes and that nothing reads runs after the rest of the
/// statement, so its cost is not part of the root's.
pub async fn cost(session: &mut Session, statement: &Statement) -> Cost {
    let plan = plan(session, statement, true).await;
    let read: BTreeSet<String> =
        nodes(&plan).iter().filter_map(|node| node["CTE Name"].as_str()).map(|name| format!("CTE {name}")).collect();
    let mut cost = Cost { rows: plan["Actual Rows"].as_f64().unwrap() as i64, ..Cost::default() };
    for node in nodes(&plan) {
        let root = std::ptr::eq(node, &raw const plan);
        let apart = node["Subplan Name"].as_str().is_some_and(|name| name.starts_with("CTE ") && !read.contains(name));
        if root || apart {
            let number = |key: &str| node[key].as_i64().unwrap_or(0);
            cost.buffers += number("Shared Hit Blocks") + number("Shared Read Blocks");
            cost.wal_bytes += number("WAL Bytes");
            cost.wal_images += number("WAL FPI");
        }
    }
    cost
}
