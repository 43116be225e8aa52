//! How the results of subtasks become their parent's: the rules of the task model, one by one.

use longshore_queue::{Bubble, ResultStatus, RetryFailed, TaskResult};

use crate::support::trees::{Names, Player, result};
use crate::support::{Database, database};
use ResultStatus::{Failure, Incomplete, PartialSuccess, Success};

/// A subtask: name, action, retry sequence, result, successes, failures.
type Ended<'a> = (&'a str, &'a str, i16, ResultStatus, &'a [&'a str], &'a [&'a str]);

/// A parent whose subtasks have ended.
async fn ended_with(subtasks: &[Ended<'_>], retry: i16) -> (Database, Player) {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.actor.actions.push("other".to_owned());
    player.claim().await;
    for (name, action, retry, status, successes, failures) in subtasks {
        database.add(&mut names, &[&format!("{name} < root")]).await.unwrap();
        database
            .run(&format!("UPDATE tasks SET action = '{action}', retry = {retry} WHERE task_id = '{}'", names[*name]))
            .await;
        player.claim().await;
        player.say(name, result(*status, successes, failures)).await;
    }
    database.run(&format!("UPDATE tasks SET retry = {retry} WHERE task_id = '{}'", names["root"])).await;
    (database, player)
}

const ROOT: &str = "SELECT concat_ws(' ', status, result_status, coalesce(result_successes::text, '-'),
    coalesce(result_failures::text, '-'), 'retry ' || retry, result_reason) FROM tasks WHERE parent_task_id IS NULL";

/// What a parent without a word of its own becomes.
async fn bubbled(subtasks: &[Ended<'_>], retry: i16, action: Option<&str>) -> String {
    let (database, mut player) = ended_with(subtasks, retry).await;
    let bubble = Bubble { action: action.map(str::to_owned) };
    player.say("root", TaskResult { bubble: Some(bubble), ..TaskResult::default() }).await;
    database.value::<String>(ROOT).await.replacen("complete ", "", 1).replace(&format!(" retry {retry}"), "")
}

#[tokio::test]
async fn results_bubble_up_and_align() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let bad = ("b", "work", 0, Failure, &[][..], &["b"][..]);
    let half = ("c", "work", 0, PartialSuccess, &["a", "c"][..], &["b", "d"][..]);
    let silent = ("d", "work", 0, Incomplete, &[][..], &[][..]);
    assert_eq!(bubbled(&[], 0, None).await, "success - -", "no subtasks at all");
    assert_eq!(bubbled(&[good], 0, None).await, "success {a} -");
    assert_eq!(bubbled(&[bad], 0, None).await, "failure - {b}");
    assert_eq!(bubbled(&[good, bad], 0, None).await, "partial_success {a} {b}");
    assert_eq!(bubbled(&[half], 0, None).await, "partial_success {a,c} {b,d}");
    // each name once, in the order of the subtasks
    assert_eq!(bubbled(&[good, bad, half], 0, None).await, "partial_success {a,c} {b,d}");
    assert_eq!(bubbled(&[silent], 0, None).await, "incomplete - -");
}

#[tokio::test]
async fn failures_count_only_in_their_own_retry_sequence_and_successes_always() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let bad = ("b", "work", 0, Failure, &[][..], &["b"][..]);
    let again = ("c", "work", 1, Failure, &[][..], &["b"][..]);
    // the example of the specification
    assert_eq!(bubbled(&[good, bad], 1, None).await, "success {a} -");
    assert_eq!(bubbled(&[good, bad, again], 1, None).await, "partial_success {a} {b}");
    assert_eq!(bubbled(&[bad], 1, None).await, "incomplete - -");
    assert_eq!(bubbled(&[again], 0, None).await, "failure - {b}", "the first sequence takes all");
}

#[tokio::test]
async fn an_action_filters_status_and_successes_and_takes_failures_of_all() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let other = ("b", "other", 0, Success, &["b"][..], &[][..]);
    let bad = ("c", "other", 0, Failure, &[][..], &["c"][..]);
    assert_eq!(bubbled(&[good, other], 0, Some("work")).await, "success {a} -");
    assert_eq!(bubbled(&[good, other, bad], 0, Some("work")).await, "success {a} {c}");
    assert_eq!(bubbled(&[good, bad], 0, Some("other")).await, "failure - {c}");
    assert_eq!(bubbled(&[good], 0, Some("none")).await, "incomplete - -", "a filter that matches none");
}

#[tokio::test]
async fn only_direct_subtasks_bubble() {
    let database = database().await;
    database.tree(&["root", "a < root", "x < a"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.say("x", result(Success, &["x"], &[])).await;
    player.say("a", result(Success, &["a"], &[])).await;
    let all = TaskResult { bubble: Some(Bubble::default()), ..TaskResult::default() };
    player.say("root", all).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete success {a} - retry 0");
}

/// Asks the root to do once more what failed.
async fn retry_failed(player: &mut Player, max: Option<u16>) {
    let again = RetryFailed { held: player.held["root"], max, message: None, error_count: 0 };
    assert_eq!(player.settle(&[again.into()]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_retry_keeps_what_failed_and_runs_again_with_its_attempt_unburnt() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let bad = ("b", "work", 0, Failure, &[][..], &["b"][..]);
    let (database, mut player) = ended_with(&[good, bad], 0).await;
    retry_failed(&mut player, Some(2)).await;
    assert_eq!(database.value::<String>(ROOT).await, "queued success {a} {b} retry 1 retry_failed");
    assert_eq!(player.claim().await, "root");
    assert_eq!(database.value::<i16>("SELECT attempt FROM tasks WHERE parent_task_id IS NULL").await, 1);
    // its new subtask belongs to the new sequence
    let mut names: Names = Names::from([("root".to_owned(), player.held["root"].task_id)]);
    database.add(&mut names, &["c < root"]).await.unwrap();
    assert_eq!(database.value::<i16>("SELECT max(retry) FROM tasks WHERE parent_task_id IS NOT NULL").await, 1);
    player.claim().await;
    player.say("c", result(Failure, &[], &["b"])).await;
    retry_failed(&mut player, Some(2)).await;
    assert_eq!(database.value::<String>(ROOT).await, "queued success {a} {b} retry 2 retry_failed");
    player.claim().await;
    database.add(&mut names, &["d < root"]).await.unwrap();
    player.claim().await;
    player.say("d", result(Failure, &[], &["b"])).await;
    retry_failed(&mut player, Some(2)).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete partial_success {a} {b} retry 2 max_retries_reached");
    let notices =
        "SELECT concat_ws(' ', sequence, error, context_type, message, extra) FROM result_message ORDER BY sequence";
    assert_eq!(
        database.values::<String>(notices).await,
        [
            r#"1 f retry retry 1 of 2 of what failed: b {"max": 2, "retry": 1}"#,
            r#"2 f retry retry 2 of 2 of what failed: b {"max": 2, "retry": 2}"#,
            r#"3 f retry no further retry, 2 of 2 are done; failed: b {"max": 2, "retry": 2}"#,
        ]
    );
}

#[tokio::test]
async fn a_retry_without_failures_ends_the_task() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let (database, mut player) = ended_with(&[good], 0).await;
    retry_failed(&mut player, Some(2)).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete success {a} - retry 0");
}

#[tokio::test]
async fn a_subtask_that_failed_without_a_name_is_a_failure_to_retry_but_adds_no_name() {
    let good = ("a", "work", 0, Success, &["a"][..], &[][..]);
    let crashed = ("b", "work", 0, Failure, &[][..], &[][..]);
    let (database, mut player) = ended_with(&[good, crashed], 0).await;
    retry_failed(&mut player, Some(1)).await;
    assert_eq!(database.value::<String>(ROOT).await, "queued success {a} - retry 1 retry_failed");
    // the crash belongs to the sequence before: nothing is left to do once more
    player.claim().await;
    retry_failed(&mut player, Some(1)).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete success {a} - retry 1");
    let (database, mut player) = ended_with(&[crashed], 1).await;
    retry_failed(&mut player, Some(1)).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete incomplete - - retry 1", "of another sequence");
    let again = ("c", "work", 1, Failure, &[][..], &[][..]);
    let (database, mut player) = ended_with(&[crashed, again], 1).await;
    retry_failed(&mut player, Some(1)).await;
    assert_eq!(database.value::<String>(ROOT).await, "complete failure - - retry 1 max_retries_reached");
}
