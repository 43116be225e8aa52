//! What a database distributed by queue asks of the hot statements: each names one queue by equality wherever it looks at
//! tasks and claims, and calls nothing volatile. What else is missing there the page for operators says.

use std::collections::BTreeSet;

use longshore_queue::Held;
use serde_json::Value;
use uuid::Uuid;

use crate::figures::{detours, hot, with_tasks};
use crate::support::actor::Actor;
use crate::support::explain::{nodes, plan_in_full, run};

const PREPARATION: &str = include_str!("../../../deploy/citus.sql");

/// Whether every place where the plan looks at tasks or claims is limited to one queue.
fn names_its_queue(plan: &Value) -> bool {
    let looks = nodes(plan).into_iter().filter(|node| {
        let scans = node["Node Type"].as_str().is_some_and(|kind| kind.contains("Scan"));
        let has_queue = |name: &str| name == "claims" || name.starts_with("tasks");
        scans && node["Relation Name"].as_str().is_some_and(has_queue)
    });
    looks.into_iter().all(|node| {
        let conditions = ["Index Cond", "Filter", "Recheck Cond"].map(|key| node[key].as_str().unwrap_or_default());
        conditions.iter().any(|condition| condition.contains("queue)::text = $"))
    })
}

/// The names that are called in a plan.
fn calls(plan: &Value) -> BTreeSet<String> {
    let text = plan.to_string();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('(') {
        let name = text[..at].rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        if !name.is_empty() {
            found.insert(name.to_owned());
        }
    }
    found
}

#[tokio::test]
async fn every_hot_statement_names_one_queue_and_calls_nothing_volatile() {
    let database = with_tasks(100).await;
    let mut actor = Actor::enter(&database).await;
    let held = [Held { task_id: Uuid::now_v7(), claim_token: Uuid::new_v4() }];
    let (mut lacking, mut volatile, mut checked) = (BTreeSet::new(), BTreeSet::new(), 0);
    for statement in hot(&held) {
        let plan = plan_in_full(&mut actor.session, &statement).await;
        let called: Vec<String> = calls(&plan).into_iter().map(|name| format!("'{name}'")).collect();
        let calls_volatile = format!(
            "SELECT EXISTS (SELECT FROM pg_proc
                WHERE provolatile = 'v' AND pg_function_is_visible(oid) AND proname = ANY (ARRAY[{}]::text[]))",
            called.join(", ")
        );
        checked += called.len();
        if database.value(&calls_volatile).await {
            volatile.insert(statement.name);
        }
        if !names_its_queue(&plan) {
            lacking.insert(statement.name);
        }
    }
    assert!(checked > 10, "{checked} calls: the plans were not read");
    // it shows one task to whoever has no more than its id, and locks nothing: any node may be asked
    assert_eq!(lacking, BTreeSet::from(["read"]));
    assert_eq!(volatile, BTreeSet::new());
}

#[tokio::test]
async fn with_the_keys_that_citus_asks_for_all_hot_statements_still_walk_indexes() {
    let database = with_tasks(1_000).await;
    let mut actor = Actor::enter(&database).await;
    let (prepared, on_citus) = PREPARATION.split_once("-- From here on Citus.").unwrap();
    let (_, statements) = prepared.split_once("\\set ON_ERROR_STOP on\n").unwrap();
    run(&mut actor.session, statements).await;
    let triggers: i64 = database
        .value(
            "SELECT count(*) FROM pg_trigger
             WHERE (tgrelid IN (SELECT relid FROM pg_partition_tree('tasks')) OR tgrelid = 'claims'::regclass)
               AND NOT tgisinternal",
        )
        .await;
    assert_eq!(triggers, 0);
    let without_queue: Vec<String> = database
        .values(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index
             WHERE (indrelid IN (SELECT relid FROM pg_partition_tree('tasks')) OR indrelid = 'claims'::regclass)
               AND indisunique AND pg_get_indexdef(indexrelid) NOT LIKE '% USING btree (%_id, queue)'
               AND pg_get_indexdef(indexrelid) NOT LIKE '% USING btree (claim_token, queue)'",
        )
        .await;
    assert_eq!(without_queue, Vec::<String>::new());
    let held = [Held { task_id: Uuid::now_v7(), claim_token: Uuid::new_v4() }];
    let mut beside = BTreeSet::new();
    for statement in hot(&held) {
        let plan = plan_in_full(&mut actor.session, &statement).await;
        assert_eq!(detours(&plan), Vec::<String>::new(), "{}: {plan:#}", statement.name);
        let tables = nodes(&plan).into_iter().filter_map(|node| node["Relation Name"].as_str().map(str::to_owned));
        beside.extend(tables.filter(|name| name != "tasks" && !name.starts_with("tasks_")));
    }
    assert!(beside.contains("pauses") && beside.contains("worker_queues"), "{beside:?}");
    let is_partition = |name: &str| ["result_message_", "task_output_"].iter().any(|of| name.starts_with(of));
    let forgotten = beside.iter().filter(|name| !is_partition(name) && !on_citus.contains(*name));
    assert_eq!(forgotten.collect::<Vec<_>>(), Vec::<&String>::new());
}
