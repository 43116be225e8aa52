//! Trees from INSERT to the end of their roots: order, policies, suspension.

use longshore_queue::{ResultStatus, Suspension, Wait};

use sqlx::Connection;

use crate::support::database;
use crate::support::trees::{Player, result};

#[tokio::test]
async fn a_diamond_in_one_insert_runs_in_its_order_and_its_root_ends_last() {
    let database = database().await;
    database.tree(&["root", "a < root", "b < root after a", "c < root after a", "d < root after b c"]).await;
    let mut player = Player::enter(&database).await;
    assert_eq!(player.claim().await, "a root");
    assert_eq!(database.states().await, "a running, b requested, c requested, d requested, root running");
    player.succeed("root").await;
    player.succeed("a").await;
    assert_eq!(player.claim().await, "b c");
    player.succeed("b").await;
    assert_eq!(player.claim().await, "");
    player.succeed("c").await;
    assert_eq!(player.claim().await, "d");
    assert_eq!(
        database.states().await,
        "a complete success, b complete success, c complete success, d running, root requested"
    );
    player.succeed("d").await;
    assert_eq!(
        database.states().await,
        "a complete success, b complete success, c complete success, d complete success, root complete success"
    );
}

/// What is left of a tree of six when `b` has failed while `c` and `g` run: `d` waits for `b`, `e` for `d`, `f` for `c`.
async fn after_a_failure(policy: &str) -> String {
    let database = database().await;
    let root = format!("root{policy}");
    let lines = ["b < root", "c < root", "d < root after b", "e < root after d", "f < root after c"];
    let mut names = database.tree(&[&root]).await;
    database.add(&mut names, &lines).await.unwrap();
    let mut player = Player::enter(&database).await;
    assert_eq!(player.claim().await, "b c root");
    database.add(&mut names, &["g < root"]).await.unwrap();
    player.succeed("root").await;
    player.fail("b").await;
    let after = database.states().await;
    for _ in 0..3 {
        let names = player.claim().await;
        let running: Vec<String> = database.values("SELECT payload #>> '{}' FROM tasks WHERE status IN ('running', 'terminating') AND claim_token IS NOT NULL").await;
        drop(names);
        player.succeed(&running.join(" ")).await;
    }
    format!("{after}\n{}", database.states().await)
}

#[tokio::test]
async fn a_failure_terminates_its_dependants_and_theirs_by_default() {
    let expected = "b complete failure, c running, d terminated failure, e terminated failure, f requested, g queued, root requested\n\
         b complete failure, c complete success, d terminated failure, e terminated failure, f complete success, g complete success, root complete partial_success";
    assert_eq!(after_a_failure("").await, expected);
    assert_eq!(after_a_failure(" !terminate_dependants").await, expected);
}

#[tokio::test]
async fn a_failure_releases_its_dependants_all_the_same_where_the_policy_is_to_continue() {
    assert_eq!(
        after_a_failure(" !continue").await,
        "b complete failure, c running, d queued, e requested, f requested, g queued, root requested\n\
         b complete failure, c complete success, d complete success, e complete success, f complete success, g complete success, root complete partial_success"
    );
}

#[tokio::test]
async fn a_failure_ends_all_that_waits_for_another_where_the_policy_is_to_stop() {
    assert_eq!(
        after_a_failure(" !stop").await,
        "b complete failure, c running, d terminated failure, e terminated failure, f terminated failure, g queued, root requested\n\
         b complete failure, c complete success, d terminated failure, e terminated failure, f terminated failure, g complete success, root complete partial_success"
    );
}

#[tokio::test]
async fn a_failure_ends_all_others_where_the_policy_is_to_terminate_the_rest() {
    assert_eq!(
        after_a_failure(" !terminate_rest").await,
        "b complete failure, c terminating, d terminated failure, e terminated failure, f terminated failure, g terminated failure, root requested\n\
         b complete failure, c terminated failure, d terminated failure, e terminated failure, f terminated failure, g terminated failure, root complete failure"
    );
}

#[tokio::test]
async fn a_suspended_task_runs_again_when_all_its_subtasks_have_ended_with_its_attempt_unburnt() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.add(&mut names, &["a < root", "b < root"]).await.unwrap();
    player.suspend("root", Wait::All, 0).await;
    assert_eq!(database.states().await, "a queued, b queued, root requested");
    assert_eq!(player.claim().await, "a b");
    player.succeed("a").await;
    assert_eq!(player.claim().await, "");
    player.fail("b").await;
    assert_eq!(player.claim().await, "root");
    assert_eq!(database.value::<i16>("SELECT attempt FROM tasks WHERE parent_task_id IS NULL").await, 1);
    // it has seen them all: its own word is final
    player.succeed("root").await;
    assert_eq!(database.states().await, "a complete success, b complete failure, root complete success");
}

#[tokio::test]
async fn a_task_that_waits_for_any_subtask_runs_again_at_each_end_that_it_has_not_seen() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.add(&mut names, &["a < root", "b < root", "c < root"]).await.unwrap();
    player.suspend("root", Wait::Any, 0).await;
    assert_eq!(player.claim().await, "a b c");
    player.succeed("a").await;
    assert_eq!(player.claim().await, "root");
    // one has ended, it knows of one: it waits
    player.suspend("root", Wait::Any, 1).await;
    assert_eq!(player.claim().await, "");
    player.succeed("b").await;
    assert_eq!(player.claim().await, "root");
    // two have ended, it knows of one: it does not miss the other
    player.suspend("root", Wait::Any, 1).await;
    assert_eq!(player.claim().await, "root");
    player.succeed("c").await;
    player.suspend("root", Wait::Any, 3).await;
    assert_eq!(player.claim().await, "root", "there is none left to wait for");
    player.succeed("root").await;
    assert_eq!(database.value::<i16>("SELECT attempt FROM tasks WHERE parent_task_id IS NULL").await, 1);
}

#[tokio::test]
async fn a_wait_ends_at_its_timeout_and_a_resumed_task_keeps_its_own_backoff() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.add(&mut names, &["a < root"]).await.unwrap();
    let suspension = |player: &Player, seconds| Suspension {
        held: player.held["root"],
        wait: Wait::All,
        timeout: Some(std::time::Duration::from_secs(seconds)),
        seen: 0,
        error_count: 0,
    };
    let outcome = suspension(&player, 3600).into();
    player.settle(&[outcome]).await.unwrap();
    assert_eq!(player.claim().await, "a");
    // an hour later
    database.run("UPDATE tasks SET run_at = run_at - interval '1 hour' WHERE parent_task_id IS NULL").await;
    assert_eq!(player.claim().await, "root");
    let outcome = suspension(&player, 3600).into();
    player.settle(&[outcome]).await.unwrap();
    player.succeed("a").await;
    assert_eq!(player.claim().await, "root", "before the timeout");
    let back = longshore_queue::Requeue {
        delay: std::time::Duration::from_secs(3600),
        ..crate::support::actor::back(player.held["root"], false)
    };
    assert_eq!(player.actor.requeue(&[back], &Default::default()).await.unwrap().len(), 1);
    database.add(&mut names, &["b < root"]).await.unwrap();
    assert_eq!(player.claim().await, "b");
    player.succeed("b").await;
    assert_eq!(player.claim().await, "", "a retry's delay is not a wait for subtasks");
}

#[tokio::test]
async fn a_task_suspended_without_subtasks_fails_instead_of_running_for_ever() {
    let database = database().await;
    database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.suspend("root", Wait::All, 0).await;
    assert_eq!(database.history().await, "root complete attempt 1 failure nothing_to_wait_for");
}

#[tokio::test]
async fn a_parent_that_ends_before_its_subtasks_takes_their_results() {
    for (own, a, b, expected) in [
        (ResultStatus::Success, ResultStatus::Success, ResultStatus::Success, "success {own,a,b} NULL"),
        (ResultStatus::Success, ResultStatus::Success, ResultStatus::Failure, "partial_success {own,a} {b}"),
        (ResultStatus::Success, ResultStatus::Failure, ResultStatus::Failure, "failure {own} {a,b}"),
        (ResultStatus::Failure, ResultStatus::Success, ResultStatus::Success, "partial_success {a,b} {own}"),
    ] {
        let database = database().await;
        database.tree(&["root", "a < root", "b < root"]).await;
        let mut player = Player::enter(&database).await;
        player.claim().await;
        for (name, status) in [("own", own), ("a", a), ("b", b)] {
            let task = if name == "own" { "root" } else { name };
            let named = match status {
                ResultStatus::Failure => result(status, &[], &[name]),
                _ => result(status, &[name], &[]),
            };
            player.say(task, named).await;
        }
        let row = "SELECT concat_ws(' ', result_status, coalesce(result_successes::text, 'NULL'), coalesce(result_failures::text, 'NULL'))
                   FROM tasks WHERE parent_task_id IS NULL";
        assert_eq!(database.value::<String>(row).await, expected);
    }
}

#[tokio::test]
async fn a_subtask_that_ends_as_a_duplicate_does_not_keep_its_parent_waiting() {
    let database = database().await;
    let names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    let insert = "INSERT INTO tasks (action, payload, parent_task_id, unique_key, unique_until)
                  VALUES ('work', to_jsonb($1::text), $2, 'key', 'ended')";
    let (mut one, mut other) = (database.conn().await, database.conn().await);
    let (mut one, mut other) = (one.begin().await.unwrap(), other.begin().await.unwrap());
    database.run("UPDATE tasks SET has_subtasks = true").await;
    for (transaction, name) in [(&mut one, "a"), (&mut other, "b")] {
        sqlx::query(insert).bind(name).bind(names["root"]).execute(&mut **transaction).await.unwrap();
    }
    one.commit().await.unwrap();
    other.commit().await.unwrap();
    player.suspend("root", Wait::All, 0).await;
    let batch = player.actor.claim(1).await;
    let mut session = database.connect.session("settle").await.unwrap();
    let ids = [batch.held[0].task_id];
    let none =
        longshore_queue::settle_unique(session.step().await.unwrap().db(), &ids, batch.claim_token).await.unwrap();
    assert_eq!(none.len(), 0);
    player.held.insert(batch.names[0].clone(), batch.held[0]);
    player.succeed(&batch.names[0]).await;
    assert_eq!(player.claim().await, "root");
}
