//! The life of a task, from the claim to its end, one step at a time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_queue::{
    Completion, Fate, Held, Key, LastOf, Locked, NewTask, Requeue, ResultStatus, TaskResult, fates, forgotten,
    insert_many, read,
};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::actor::{Actor, FROM_START, back, named, success};
use crate::support::{Database, database};

/// An empty list of ids.
const NO_TASK: [Uuid; 0] = [];

async fn fate(actor: &mut Actor, held: Held) -> Fate {
    fates(actor.session.step().await.unwrap().db(), "default", &[held]).await.unwrap()[0].1
}

async fn open_claims(database: &Database) -> i64 {
    database.value("SELECT count(*) FROM claims").await
}

#[tokio::test]
async fn a_claim_takes_by_priority_then_run_at_then_id_and_leaves_what_is_not_due() {
    let database = database().await;
    let now = Utc::now();
    let at = |name: &str, priority: i16, seconds: i64| NewTask {
        priority: Some(priority),
        run_at: Some(now + TimeDelta::seconds(seconds)),
        ..named(name)
    };
    let tasks = [
        at("5 a minute ago, first id", 5, -60),
        at("5 a minute ago, second id", 5, -60),
        at("5 an hour ago", 5, -3600),
        at("5 in an hour", 5, 3600),
        at("0 a second ago", 0, -1),
        at("0 in an hour", 0, 3600),
        at("9 a day ago", 9, -86400),
    ];
    insert_many(&mut database.conn().await, &tasks).await.unwrap();
    let mut actor = Actor::enter(&database).await;
    let expected =
        ["0 a second ago", "5 an hour ago", "5 a minute ago, first id", "5 a minute ago, second id", "9 a day ago"];
    assert_eq!(actor.claim(2).await.names, expected[..2]);
    assert_eq!(actor.claim(100).await.names, expected[2..]);
    assert_eq!(actor.claim(100).await.names, Vec::<String>::new());
}

#[tokio::test]
async fn a_delayed_task_is_claimed_once_its_time_has_come_without_any_promoter() {
    let database = database().await;
    let soon = NewTask { run_at: Some(Utc::now() + TimeDelta::seconds(2)), ..named("soon") };
    insert_many(&mut database.conn().await, &[soon]).await.unwrap();
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(1).await.names, Vec::<String>::new());
    database.until("SELECT run_at <= now() FROM tasks").await;
    assert_eq!(actor.claim(1).await.names, ["soon"]);
}

#[tokio::test]
async fn an_unknown_action_and_another_queue_wait() {
    let database = database().await;
    let elsewhere = NewTask { queue: Some("other".to_owned()), ..named("other queue") };
    let unknown = NewTask { action: "paint".to_owned(), ..named("unknown") };
    insert_many(&mut database.conn().await, &[elsewhere, unknown, named("mine")]).await.unwrap();
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(10).await.names, ["mine"]);
    assert_eq!(
        database.history().await,
        "mine running attempt 1\nother queue queued attempt 0\nunknown queued attempt 0"
    );
    actor.actions.push("paint".to_owned());
    assert_eq!(actor.claim(10).await.names, ["unknown"]);
}

#[tokio::test]
async fn a_claim_from_keys_takes_only_what_lies_behind_them() {
    let database = database().await;
    let ids = database.insert(&["a", "b", "c"]).await;
    let run_at: DateTime<Utc> = database.value("SELECT run_at FROM tasks LIMIT 1").await;
    let mut actor = Actor::enter(&database).await;
    let mut keys = FROM_START;
    keys[5] = Key { run_at, task_id: ids[1] };
    assert_eq!(actor.claim_from(10, &keys).await.names, ["c"]);
    keys[5] = Key { run_at: run_at + TimeDelta::microseconds(1), task_id: Uuid::nil() };
    assert_eq!(actor.claim_from(10, &keys).await.names, Vec::<String>::new());
    assert_eq!(actor.claim(10).await.names, ["a", "b"]);
}

#[tokio::test]
async fn four_claimers_share_four_thousand_tasks_and_no_task_twice() {
    let database = database().await;
    database
        .run("INSERT INTO tasks (action, payload) SELECT 'work', to_jsonb(n) FROM generate_series(1, 4000) AS n")
        .await;
    let claimers = (0..4).map(|_| async {
        let mut actor = Actor::enter(&database).await;
        let mut names = Vec::new();
        loop {
            let batch = actor.claim(50).await;
            // rows that the others hold are passed over, so a short batch is not the end yet
            if batch.held.is_empty() {
                return names;
            }
            names.extend(batch.names);
        }
    });
    let shares = futures_util::future::join_all(claimers).await;
    let mut all: Vec<u32> = shares.iter().flatten().map(|name| name.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=4000).collect::<Vec<u32>>());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM tasks WHERE attempt <> 1").await, 0);
}

#[tokio::test]
async fn a_claim_passes_over_a_row_that_somebody_holds() {
    let database = database().await;
    let ids = database.insert(&["a", "b", "c"]).await;
    let mut other = database.conn().await;
    let mut other = other.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR SHARE").bind(ids[0]).execute(&mut *other).await.unwrap();
    let mut actor = Actor::enter(&database).await;
    assert_eq!(actor.claim(2).await.names, ["b", "c"]);
    other.rollback().await.unwrap();
    assert_eq!(actor.claim(2).await.names, ["a"]);
}

#[tokio::test]
async fn a_lost_claim_cannot_complete_record_or_requeue() {
    let database = database().await;
    database.insert(&["a"]).await;
    let (mut first, mut second) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let lost = first.claim(1).await;
    second.requeue(&[back(lost.held[0], false)], &lost.last()).await.unwrap();
    let held = second.claim(1).await;
    let late = lost.held[0];
    let message = crate::support::actor::notes(late.task_id, 2, &["too late"]);
    assert_eq!(first.complete(&[success(late)], &lost.last()).await.unwrap(), NO_TASK);
    assert_eq!(first.requeue(&[back(late, true)], &lost.last()).await.unwrap(), NO_TASK);
    assert_eq!(first.record(&lost.held, &message).await.unwrap(), NO_TASK);
    assert_eq!(fate(&mut first, late).await, Fate::Lost);
    assert_eq!(fate(&mut second, held.held[0]).await, Fate::Held);
    assert_eq!(database.history().await, "a running attempt 2");
    // that of the first attempt alone
    assert_eq!(database.values::<String>("SELECT context FROM result_message").await, ["attempt 1"]);
    assert_eq!(second.succeed(&held).await, [late.task_id]);
    assert_eq!(database.history().await, "a complete attempt 2 success");
}

#[tokio::test]
async fn a_completion_sent_twice_has_no_second_effect() {
    let database = database().await;
    database.insert(&["a"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    assert_eq!(actor.succeed(&batch).await.len(), 1);
    let failed = TaskResult { status: ResultStatus::Failure, ..TaskResult::default() };
    let again = Completion { held: batch.held[0], result: failed, error_count: 3, design_hash: None };
    assert_eq!(actor.complete(&[again], &batch.last()).await.unwrap(), NO_TASK);
    assert_eq!(fate(&mut actor, batch.held[0]).await, Fate::Settled);
    assert_eq!(database.history().await, "a complete attempt 1 success");
}

#[tokio::test]
async fn a_task_that_somebody_holds_is_left_out_while_the_other_99_are_settled() {
    let database = database().await;
    let names: Vec<String> = (0..100).map(|n| format!("{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for step in ["complete", "requeue"] {
        let ids = database.insert(&names).await;
        let mut actor = Actor::enter(&database).await;
        let batch = actor.claim(100).await;
        let mut other = database.conn().await;
        let mut other = other.begin().await.unwrap();
        actor.locked = Locked::Skip;
        sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE")
            .bind(ids[42])
            .execute(&mut *other)
            .await
            .unwrap();
        let done = if step == "complete" {
            actor.succeed(&batch).await
        } else {
            let requeues: Vec<Requeue> = batch.held.iter().map(|held| back(*held, true)).collect();
            actor.requeue(&requeues, &batch.last()).await.unwrap()
        };
        assert_eq!(done.len(), 99, "{step}");
        assert!(!done.contains(&ids[42]), "{step}");
        assert_eq!(open_claims(&database).await, 1, "{step}: the claim is still open");
        assert_eq!(fate(&mut actor, batch.held[42]).await, Fate::Held);
        other.rollback().await.unwrap();
        let mut last = LastOf::default();
        last.push(batch.claim_token, 1);
        assert_eq!(actor.complete(&[success(batch.held[42])], &last).await.unwrap(), [ids[42]]);
        assert_eq!(open_claims(&database).await, 0, "{step}");
        database.run("DELETE FROM tasks").await;
    }
}

#[tokio::test]
async fn a_completion_that_waits_for_a_lock_ends_nothing_when_it_has_waited_long_enough() {
    let database = database().await;
    let ids = database.insert(&["free", "held"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(2).await;
    actor.session =
        database.connect.clone().waiting_for_locks(Duration::from_millis(20)).session("brief").await.unwrap();
    let mut other = database.conn().await;
    let mut other = other.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE").bind(ids[1]).execute(&mut *other).await.unwrap();
    let completions: Vec<Completion> = batch.held.iter().copied().map(success).collect();
    let refused = actor.complete(&completions, &batch.last()).await.unwrap_err();
    assert!(refused.is_lock_timeout() && refused.is_passing(), "{refused}");
    assert_eq!(fate(&mut actor, batch.held[0]).await, Fate::Held);
    other.rollback().await.unwrap();
    assert_eq!(actor.succeed(&batch).await.len(), 2);
}

#[tokio::test]
async fn batches_in_opposite_orders_never_deadlock() {
    let database = database().await;
    let names: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut one, mut two) = (Actor::enter(&database).await, Actor::enter(&database).await);
    for _ in 0..20 {
        database.insert(&names).await;
        let batch = one.claim(50).await;
        let forward: Vec<Completion> = batch.held.iter().copied().map(success).collect();
        let backward: Vec<Requeue> = batch.held.iter().rev().map(|held| back(*held, false)).collect();
        let none = LastOf::default();
        let (completed, requeued) = tokio::join!(one.complete(&forward, &none), two.requeue(&backward, &none));
        let (completed, requeued) = (completed.unwrap(), requeued.unwrap());
        assert!(completed.iter().all(|id| !requeued.contains(id)), "no task is settled twice");
        database.run("DELETE FROM tasks; DELETE FROM claims").await;
    }
}

#[tokio::test]
async fn a_retry_counts_a_release_gives_the_attempt_back_and_both_get_a_fresh_run_at() {
    let database = database().await;
    database.insert(&["released", "retried", "snoozed"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(3).await;
    let before: DateTime<Utc> = database.value("SELECT max(run_at) FROM tasks").await;
    let retried =
        Requeue { reason: Some("exit".to_owned()), message: Some("exit 1".to_owned()), ..back(batch.held[1], false) };
    let snoozed = Requeue { delay: Duration::from_secs(3600), ..back(batch.held[2], true) };
    actor.requeue(&[back(batch.held[0], true), retried, snoozed], &batch.last()).await.unwrap();
    assert_eq!(
        database.history().await,
        "released queued attempt 0\nretried queued attempt 1 exit\nsnoozed queued attempt 0"
    );
    let stale: i64 = database.value(&format!("SELECT count(*) FROM tasks WHERE run_at <= '{before}'")).await;
    assert_eq!(stale, 0);
    assert_eq!(actor.claim(10).await.names, ["released", "retried"]);
}

#[tokio::test]
async fn a_claims_row_goes_with_the_last_of_its_tasks() {
    let database = database().await;
    database.insert(&["a", "b", "c"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(3).await;
    let mut story = vec![open_claims(&database).await];
    actor.complete(&[success(batch.held[0])], &LastOf::default()).await.unwrap();
    story.push(open_claims(&database).await);
    actor.requeue(&[back(batch.held[1], true)], &LastOf::default()).await.unwrap();
    story.push(open_claims(&database).await);
    let mut last = LastOf::default();
    last.push(batch.claim_token, 1);
    actor.complete(&[success(batch.held[2])], &last).await.unwrap();
    story.push(open_claims(&database).await);
    assert_eq!(story, [1, 1, 1, 0]);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_found_at_once_if_that_is_known_and_else_once_none_can_be_on_its_way() {
    let database = database().await;
    database.insert(&["known", "failed", "unknown"]).await;
    let mut actor = Actor::enter(&database).await;
    let (known, failed, unknown) = (actor.claim(1).await, actor.claim(1).await, actor.claim(1).await);
    let id = actor.worker_id;
    let found = async |actor: &mut Actor| -> Vec<Uuid> {
        let mut step = actor.session.step().await.unwrap();
        let found = forgotten(step.db(), id, &[known.claim_token], &[failed.claim_token]).await.unwrap();
        found.iter().flat_map(|claim| claim.task_ids.clone()).collect()
    };
    assert_eq!(found(&mut actor).await, [failed.held[0].task_id]);
    database.run("UPDATE claims SET claimed_at = claimed_at - interval '14 s'").await;
    let mut all = found(&mut actor).await;
    all.sort_unstable();
    assert_eq!(all, [failed.held[0].task_id, unknown.held[0].task_id]);
}

#[tokio::test]
async fn a_result_is_kept_with_all_its_details_and_a_wide_output_in_a_row_of_its_own() {
    let database = database().await;
    let ids = database.insert(&["narrow", "wide"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(2).await;
    let raw = |json: &str| serde_json::value::RawValue::from_string(json.to_owned()).unwrap();
    let wide = format!("\"{}\"", (0..300).map(|n| format!("{n:x}")).collect::<String>());
    let result = |output: &str| TaskResult {
        status: ResultStatus::PartialSuccess,
        message: Some("1 of 2".to_owned()),
        reason: Some("partly".to_owned()),
        successes: vec!["node1".to_owned()],
        failures: vec!["node2".to_owned()],
        links: Some(raw(r#"{"log": ["https://host/log"]}"#)),
        output: Some(raw(output)),
        bubble: None,
    };
    let completions = [r#"{"n": 1}"#, wide.as_str()]
        .iter()
        .zip(&batch.held)
        .map(|(output, held)| Completion { held: *held, result: result(output), error_count: 2, design_hash: None })
        .collect::<Vec<_>>();
    actor.complete(&completions, &batch.last()).await.unwrap();
    for (id, output) in ids.iter().zip([r#"{"n":1}"#, wide.as_str()]) {
        let state = read(&mut database.conn().await, *id).await.unwrap().unwrap();
        assert_eq!(
            (
                state.status.as_str(),
                state.result_status.as_str(),
                state.result_message.as_deref(),
                state.result_reason.as_deref()
            ),
            ("complete", "partial_success", Some("1 of 2"), Some("partly"))
        );
        assert_eq!(
            (state.result_successes, state.result_failures),
            (vec!["node1".to_owned()], vec!["node2".to_owned()])
        );
        assert_eq!((state.output.unwrap().to_string(), state.result_error_count), (output.to_owned(), 2));
        assert!(state.started_at.unwrap() <= state.finished_at.unwrap());
    }
    assert_eq!(database.values::<Uuid>("SELECT task_id FROM task_output").await, [ids[1]]);
}
