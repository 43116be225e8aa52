//! The table of legal steps against the SQL that takes them.

use longshore_queue::{Held, LastOf, Status, Step, Suspension, TreeOutcome, settle_tree, settle_unique};
use uuid::Uuid;

use crate::support::actor::{Actor, back, success};
use crate::support::{Database, database};

/// Puts one task into this state, as if `holder` had claimed it, so that only its state decides.
async fn task_in(database: &Database, status: Status, holder: Uuid) -> Held {
    database.run("DELETE FROM tasks; DELETE FROM claims").await;
    let task_id = database.insert(&["task"]).await[0];
    let claim_token = Uuid::new_v4();
    database
        .run(&format!(
            "UPDATE tasks SET status = '{status}', claim_token = '{claim_token}', attempt = 1;
             INSERT INTO claims VALUES ('{claim_token}', '{holder}', now() - interval '2 minutes', '{{{task_id}}}')"
        ))
        .await;
    Held { task_id, claim_token }
}

async fn status(database: &Database, held: Held) -> Status {
    let status = format!("SELECT status::text FROM tasks WHERE task_id = '{}'", held.task_id);
    Status::parse(&database.value::<String>(&status).await).unwrap()
}

async fn settle(actor: &mut Actor, outcome: TreeOutcome) -> Vec<Uuid> {
    settle_tree(actor.session.step().await.unwrap().db(), &[outcome], &LastOf::default()).await.unwrap()
}

/// Gives the task an open subtask; one that waits for it to end is held by nobody.
async fn with_subtask(database: &Database, held: Held, before: Status, waits_for: &str) {
    let task_id = held.task_id;
    database
        .run(&format!(
            "UPDATE tasks SET status = 'queued', \"terminate\" = false WHERE task_id = '{task_id}';
             INSERT INTO tasks (action, parent_task_id) VALUES ('other', '{task_id}');
             UPDATE tasks SET status = '{before}', waits_for = {waits_for}, own_result = 'success'
             WHERE task_id = '{task_id}';
             UPDATE tasks SET claim_token = NULL
             WHERE task_id = '{task_id}' AND waits_for IS NOT NULL AND status IN ('requested', 'terminating')"
        ))
        .await;
}

/// Gives the task a key that another running task has, and lets whichever of the two was just claimed settle it.
async fn with_duplicate(database: &Database, actor: &mut Actor, held: Held, before: Status) {
    let task_id = held.task_id;
    let other = Held { task_id: database.insert(&["other"]).await[0], claim_token: Uuid::new_v4() };
    database
        .run(&format!(
            "UPDATE tasks SET unique_key = 'key', unique_until = 'ended';
             UPDATE tasks SET status = 'running', claim_token = '{}', attempt = 1 WHERE task_id <> '{task_id}'",
            other.claim_token
        ))
        .await;
    let claimed = if before == Status::Running { held } else { other };
    let mut step = actor.session.step().await.unwrap();
    drop(settle_unique(step.db(), &[claimed.task_id], claimed.claim_token).await.unwrap());
}

async fn end_subtask(database: &Database) {
    database.run("SELECT terminate_task(task_id) FROM tasks WHERE parent_task_id IS NOT NULL").await;
}

#[tokio::test]
async fn the_sql_takes_exactly_the_steps_of_the_table() {
    let database = database().await;
    let mut actor = Actor::enter(&database).await;
    let none = LastOf::default();
    let mut story = Vec::new();
    for before in Status::ALL {
        for (step, by) in [
            (Step::Claim, "claim"),
            (Step::Complete, "complete"),
            (Step::Requeue, "requeue"),
            (Step::Requeue, "rescue"),
            (Step::Terminate, "terminate"),
            (Step::Terminate, "terminate_task()"),
            (Step::Complete, "settle_tree complete"),
            (Step::Requeue, "settle_tree requeue"),
            (Step::Suspend, "settle_tree suspend"),
            (Step::Settle, "the end of its last subtask"),
            (Step::Deduplicate, "settle_unique"),
        ] {
            let holder = if by == "rescue" { Uuid::nil() } else { actor.worker_id };
            let held = task_in(&database, before, holder).await;
            match by {
                "claim" => drop(actor.claim(1).await),
                "complete" => drop(actor.complete(&[success(held)], &none).await.unwrap()),
                "requeue" => drop(actor.requeue(&[back(held, false)], &none).await.unwrap()),
                "rescue" => {
                    let epoch = actor.lead().await.epoch;
                    drop(actor.rescue(epoch).await);
                }
                "settle_tree complete" => drop(settle(&mut actor, success(held).into()).await),
                "settle_tree requeue" => drop(settle(&mut actor, back(held, false).into()).await),
                "settle_tree suspend" => {
                    with_subtask(&database, held, before, "NULL").await;
                    let wait = longshore_queue::Wait::All;
                    let wait = Suspension { held, wait, timeout: None, seen: 0, error_count: 0 };
                    drop(settle(&mut actor, wait.into()).await);
                    if before == Status::Terminating {
                        // it ends with its subtask
                        end_subtask(&database).await;
                    }
                }
                "the end of its last subtask" => {
                    with_subtask(&database, held, before, "'end'").await;
                    end_subtask(&database).await;
                }
                "settle_unique" => with_duplicate(&database, &mut actor, held, before).await,
                "terminate" => database.run("UPDATE tasks SET \"terminate\" = true").await,
                _ => database.run("SELECT terminate_task(task_id) FROM tasks").await,
            }
            let after = status(&database, held).await;
            assert_eq!(after, before.after(step).unwrap_or(before), "{by} of a {before} task");
            if after != before {
                story.push(format!("{before} -{by}-> {after}"));
            }
        }
    }
    assert_eq!(
        story.join("\n"),
        "requested -terminate-> terminated\n\
         requested -terminate_task()-> terminated\n\
         requested -the end of its last subtask-> complete\n\
         requested -settle_unique-> terminated\n\
         queued -claim-> running\n\
         queued -terminate-> terminated\n\
         queued -terminate_task()-> terminated\n\
         queued -settle_unique-> terminated\n\
         running -complete-> complete\n\
         running -requeue-> queued\n\
         running -rescue-> queued\n\
         running -terminate-> terminating\n\
         running -terminate_task()-> terminating\n\
         running -settle_tree complete-> complete\n\
         running -settle_tree requeue-> queued\n\
         running -settle_tree suspend-> requested\n\
         running -settle_unique-> terminated\n\
         terminating -complete-> terminated\n\
         terminating -requeue-> terminated\n\
         terminating -rescue-> terminated\n\
         terminating -settle_tree complete-> terminated\n\
         terminating -settle_tree requeue-> terminated\n\
         terminating -settle_tree suspend-> terminated\n\
         terminating -the end of its last subtask-> terminated"
    );
}

#[test]
fn no_step_leaves_a_state_in_which_a_task_has_ended() {
    for status in Status::ALL.into_iter().filter(|status| status.has_ended()) {
        for step in Step::ALL {
            assert_eq!(status.after(step), None, "{step:?} of a {status} task");
        }
    }
}

#[tokio::test]
async fn the_names_of_states_and_results_are_those_of_the_database_in_its_order() {
    let database = database().await;
    let statuses: Vec<String> = database.values("SELECT unnest(enum_range(NULL::task_status))::text").await;
    assert_eq!(statuses, Status::ALL.map(Status::as_str));
    let results: Vec<String> = database.values("SELECT unnest(enum_range(NULL::task_result_status))::text").await;
    assert_eq!(results, longshore_queue::ResultStatus::ALL.map(longshore_queue::ResultStatus::as_str));
}
