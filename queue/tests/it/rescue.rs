//! Workers that stop reporting, and what becomes of their tasks.

use longshore_queue::{
    ClaimRequest, Leadership, NewTask, Rescued, claim, heartbeat, insert_many, leave, orphaned_queues, record_designs,
    rescue, terminate,
};
use sqlx::{AssertSqlSafe, Connection};

use crate::support::actor::{Actor, Batch, FROM_START, LEASE, named, success};
use crate::support::{Database, database};

/// A leader that may testify, and a worker that holds the named tasks and has been silent for longer than its lease.
async fn dead_with(database: &Database, tasks: &[NewTask]) -> (Actor, i64, Actor, Batch) {
    let (mut leader, mut dead) = (Actor::enter(database).await, Actor::enter(database).await);
    insert_many(&mut database.conn().await, tasks).await.unwrap();
    let batch = dead.claim(tasks.len()).await;
    assert_eq!(batch.held.len(), tasks.len());
    database.silence(&dead, 16).await;
    database.age(&leader, 16).await;
    let epoch = leader.lead().await.epoch;
    (leader, epoch, dead, batch)
}

fn told(rescued: &[Rescued]) -> Vec<&str> {
    let mut statuses: Vec<&str> = rescued.iter().map(|task| task.status.as_str()).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn a_dead_workers_tasks_run_again_or_end_and_its_claim_and_row_go() {
    let database = database().await;
    let last_try = NewTask { max_attempts: Some(1), ..named("last try") };
    let (mut leader, epoch, _dead, batch) =
        dead_with(&database, &[last_try, named("retried"), named("settled"), named("terminating")]).await;
    let held = |name: &str| batch.held[batch.names.iter().position(|other| other == name).unwrap()];
    terminate(&mut database.conn().await, held("terminating").task_id, Some("ann")).await.unwrap();
    leader.complete(&[success(held("settled"))], &Default::default()).await.unwrap();
    assert_eq!(told(&leader.rescue(epoch).await), ["complete", "queued", "terminated"]);
    assert_eq!(
        database.history().await,
        "last try complete attempt 1 failure worker_died\n\
         retried queued attempt 1 worker_died\n\
         settled complete attempt 1 success\n\
         terminating terminated attempt 1 failure terminated by ann"
    );
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 0);
    assert_eq!(told(&leader.rescue(epoch).await), Vec::<&str>::new());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM workers").await, 1, "the dead one is buried");
    let again = leader.claim(10).await;
    assert_eq!(again.names, ["retried"]);
    assert_eq!(database.value::<i16>("SELECT attempt FROM tasks WHERE status = 'running'").await, 2);
}

#[tokio::test]
async fn a_poison_task_that_kills_every_worker_ends_after_its_attempts() {
    let database = database().await;
    insert_many(&mut database.conn().await, &[NewTask { max_attempts: Some(3), ..named("poison") }]).await.unwrap();
    let mut leader = Actor::enter(&database).await;
    let mut story = Vec::new();
    for _ in 0..3 {
        let mut victim = Actor::enter(&database).await;
        assert_eq!(victim.claim(1).await.held.len(), 1);
        database.silence(&victim, 16).await;
        database.age(&leader, 16).await;
        let epoch = leader.lead().await.epoch;
        leader.rescue(epoch).await;
        story.push(database.history().await);
    }
    assert_eq!(
        story.join("\n"),
        "poison queued attempt 1 worker_died\n\
         poison queued attempt 2 worker_died\n\
         poison complete attempt 3 failure worker_died"
    );
    assert_eq!(leader.claim(1).await.held.len(), 0);
}

#[tokio::test]
async fn a_worker_is_dead_only_after_its_lease_and_a_rescued_claim_is_lost() {
    let database = database().await;
    let (mut leader, epoch, mut slow, batch) = dead_with(&database, &[named("a")]).await;
    database
        .run("UPDATE workers SET heartbeat_at = now() - interval '14 s' WHERE heartbeat_at < now() - interval '15 s'")
        .await;
    assert_eq!(told(&leader.rescue(epoch).await), Vec::<&str>::new());
    database.silence(&slow, 2).await;
    assert_eq!(told(&leader.rescue(epoch).await), ["queued"]);
    assert_eq!(slow.succeed(&batch).await.len(), 0);
    assert_eq!(database.history().await, "a queued attempt 1 worker_died");
}

#[tokio::test]
async fn after_an_outage_nobody_is_rescued_before_everybody_has_had_one_lease_to_report() {
    let database = database().await;
    let (mut leader, epoch, silent, _batch) = dead_with(&database, &[named("a")]).await;
    // the database was away for an hour: nobody could report, the leader neither
    for actor in [&leader, &silent] {
        database.silence(actor, 3600).await;
    }
    let mut story = vec![told(&leader.rescue(epoch).await).len()];
    let id = leader.worker_id;
    assert!(heartbeat(leader.session.step().await.unwrap().db(), id, false, &[]).await.unwrap().is_some());
    story.push(told(&leader.rescue(epoch).await).len());
    // the leader has reported without a gap for less, and then for more than a lease
    database.age(&leader, 14).await;
    story.push(told(&leader.rescue(epoch).await).len());
    database.age(&leader, 2).await;
    story.push(told(&leader.rescue(epoch).await).len());
    assert_eq!(story, [0, 0, 0, 1]);
    assert_eq!(LEASE.as_secs(), 15);
}

#[tokio::test]
async fn a_worker_declared_dead_is_told_by_its_next_heartbeat() {
    let database = database().await;
    let (mut leader, epoch, mut dead, _batch) = dead_with(&database, &[named("a")]).await;
    let id = dead.worker_id;
    assert_eq!(leader.rescue(epoch).await.len(), 1);
    assert_eq!(leader.rescue(epoch).await.len(), 0);
    assert_eq!(heartbeat(dead.session.step().await.unwrap().db(), id, false, &[]).await.unwrap(), None);
}

#[tokio::test]
async fn a_task_that_somebody_holds_is_rescued_by_a_later_call_and_its_claim_waits_for_it() {
    let database = database().await;
    let (mut leader, epoch, _dead, batch) = dead_with(&database, &[named("a"), named("b"), named("c")]).await;
    let mut other = database.conn().await;
    let mut other = other.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE")
        .bind(batch.held[1].task_id)
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(leader.rescue(epoch).await.len(), 2);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 1);
    other.rollback().await.unwrap();
    assert_eq!(leader.rescue(epoch).await.len(), 1);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 0);
}

#[tokio::test]
async fn one_call_rescues_twenty_claims_and_the_next_the_rest() {
    let database = database().await;
    let (mut leader, epoch, mut dead, _batch) = dead_with(&database, &[named("0")]).await;
    for n in 1..25 {
        database.insert(&[&n.to_string()]).await;
        assert_eq!(dead.claim(1).await.held.len(), 1);
    }
    assert_eq!(
        [leader.rescue(epoch).await.len(), leader.rescue(epoch).await.len(), leader.rescue(epoch).await.len()],
        [20, 5, 0]
    );
}

#[tokio::test]
async fn a_claim_without_a_worker_is_rescued_after_a_minute() {
    let database = database().await;
    let (mut leader, epoch, dead, _batch) = dead_with(&database, &[named("a")]).await;
    database.run(&format!("DELETE FROM workers WHERE worker_id = '{}'", dead.worker_id)).await;
    assert_eq!(leader.rescue(epoch).await.len(), 0);
    database.run("UPDATE claims SET claimed_at = now() - interval '61 s'").await;
    assert_eq!(leader.rescue(epoch).await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_leaves_with_tasks_in_hand_stays_to_be_rescued() {
    let database = database().await;
    let (mut leader, _, mut leaving, batch) = dead_with(&database, &[named("a")]).await;
    let id = leaving.worker_id;
    leave(leaving.session.step().await.unwrap().db(), id).await.unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM workers").await, 2);
    leader.succeed(&batch).await;
    leave(leaving.session.step().await.unwrap().db(), id).await.unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM workers").await, 1);
}

#[tokio::test]
async fn a_deposed_leaders_rescue_changes_nothing() {
    let database = database().await;
    let (mut deposed, epoch, _dead, _batch) = dead_with(&database, &[named("a")]).await;
    database.run("UPDATE active_instance SET lease_expires_at = now()").await;
    assert_eq!(deposed.rescue(epoch).await.len(), 0, "its lease has run out");
    let mut next = Actor::enter(&database).await;
    assert!(next.lead().await.leads);
    assert_eq!(deposed.rescue(epoch).await.len(), 0, "another one leads");
    assert_eq!(deposed.rescue(epoch + 1).await.len(), 0, "the epoch alone is no proof");
    assert_eq!(database.history().await, "a running attempt 1");
    database.age(&next, 16).await;
    assert_eq!(next.rescue(epoch + 1).await.len(), 1);
}

#[tokio::test]
async fn a_takeover_that_commits_between_the_start_of_a_rescue_and_its_write_stops_it() {
    let database = database().await;
    let (deposed, epoch, _dead, _batch) = dead_with(&database, &[named("a")]).await;
    let mut takeover = database.conn().await;
    let mut takeover = takeover.begin().await.unwrap();
    sqlx::query("UPDATE active_instance SET identity = gen_random_uuid(), epoch = epoch + 1")
        .execute(&mut *takeover)
        .await
        .unwrap();
    let committing = async {
        database.until_one_waits().await;
        takeover.commit().await.unwrap();
    };
    let leadership = Leadership { identity: deposed.worker_id, epoch };
    let mut conn = database.conn().await;
    let rescuing = rescue(&mut conn, leadership, deposed.worker_id, "default");
    let (rescued, ()) = tokio::join!(rescuing, committing);
    assert_eq!(rescued.unwrap(), []);
    assert_eq!(database.history().await, "a running attempt 1");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 1);
}

#[tokio::test]
async fn a_takeover_waits_for_a_rescue_that_has_begun_to_write() {
    let database = database().await;
    let (leader, epoch, _dead, _batch) = dead_with(&database, &[named("a")]).await;
    let mut writing = database.conn().await;
    let mut writing = writing.begin().await.unwrap();
    let leadership = Leadership { identity: leader.worker_id, epoch };
    assert_eq!(rescue(&mut *writing, leadership, leader.worker_id, "default").await.unwrap().len(), 1);
    let mut conn = database.conn().await;
    let takeover = sqlx::query("UPDATE active_instance SET epoch = epoch + 1").execute(&mut conn);
    let committing = async {
        database.until_one_waits().await;
        let seen = database.history().await;
        writing.commit().await.unwrap();
        seen
    };
    let (taken, seen) = tokio::join!(takeover, committing);
    assert_eq!((taken.unwrap().rows_affected(), seen.as_str()), (1, "a running attempt 1"));
    assert_eq!(database.history().await, "a queued attempt 1 worker_died");
}

#[tokio::test]
async fn each_queue_is_rescued_by_itself() {
    let database = database().await;
    let (leader, epoch, mut dead, _batch) = dead_with(&database, &[named("a")]).await;
    let mut conn = database.conn().await;
    let other = NewTask { queue: Some("other".to_owned()), ..named("b") };
    insert_many(&mut conn, &[other]).await.unwrap();
    let request = ClaimRequest {
        queue: "other",
        actions: &["work".to_owned()],
        limit: 1,
        worker_id: dead.worker_id,
        claim_token: uuid::Uuid::new_v4(),
        keys: &FROM_START,
    };
    assert_eq!(claim(dead.session.step().await.unwrap().db(), &request).await.unwrap().tasks.len(), 1);
    let (identity, witness) = (leader.worker_id, leader.worker_id);
    let leadership = Leadership { identity, epoch };
    assert_eq!(orphaned_queues(&mut conn, leadership, witness).await.unwrap(), ["default", "other"]);
    let rescued = rescue(&mut conn, leadership, witness, "other").await.unwrap();
    assert_eq!(rescued.iter().map(|task| task.queue.as_str()).collect::<Vec<_>>(), ["other"]);
    assert_eq!(database.history().await, "a running attempt 1\nb queued attempt 1 worker_died");
    assert_eq!(orphaned_queues(&mut conn, leadership, witness).await.unwrap(), ["default"]);
}

#[tokio::test]
async fn a_rescue_whose_notice_meets_a_message_of_its_number_comes_with_the_next_call() {
    let database = database().await;
    let (mut leader, epoch, _dead, batch) = dead_with(&database, &[named("a")]).await;
    let mut late = database.conn().await;
    let mut late = late.begin().await.unwrap();
    // of a worker that was only slow, and whose statement began before the rescue's
    sqlx::query("INSERT INTO result_message (task_id, sequence, error, message) VALUES ($1, 1, false, 'still here')")
        .bind(batch.held[0].task_id)
        .execute(&mut *late)
        .await
        .unwrap();
    let committing = async {
        database.until_one_waits().await;
        late.commit().await.unwrap();
    };
    let (rescued, ()) = tokio::join!(leader.rescue(epoch), committing);
    assert_eq!(rescued, []);
    assert_eq!(told(&leader.rescue(epoch).await), ["queued"]);
    let log = "SELECT string_agg(sequence || ' ' || error, ', ' ORDER BY sequence) FROM result_message";
    assert_eq!(database.value::<String>(log).await, "1 false, 2 true");
}

#[tokio::test]
async fn a_claim_of_a_worker_that_does_not_say_its_queue_is_rescued() {
    let database = database().await;
    let (mut leader, epoch, _dead, _batch) = dead_with(&database, &[named("a")]).await;
    // as the claim of the version before 0015 writes it
    database
        .run(
            "WITH known AS (DELETE FROM claims RETURNING claim_token, worker_id, task_ids)
             INSERT INTO claims (claim_token, worker_id, task_ids) SELECT claim_token, worker_id, task_ids FROM known",
        )
        .await;
    assert_eq!(database.value::<String>("SELECT queue::text FROM claims").await, "default");
    assert_eq!(told(&leader.rescue(epoch).await), ["queued"]);
}

#[tokio::test]
async fn what_changes_between_the_start_of_a_rescue_and_its_write_is_rescued_as_it_is_then() {
    let database = database().await;
    let (mut leader, epoch, mut slow, batch) = dead_with(&database, &[named("a"), named("b")]).await;
    // a rescue that has begun waits here
    let mut lead = database.conn().await;
    let mut lead = lead.begin().await.unwrap();
    sqlx::query("SELECT FROM active_instance FOR UPDATE").execute(&mut *lead).await.unwrap();
    let leadership = Leadership { identity: leader.worker_id, epoch };
    let mut conn = database.conn().await;
    let rescuing = rescue(&mut conn, leadership, leader.worker_id, "default");
    let changing = async {
        database.until_one_waits().await;
        let noted = [(batch.held[1], [7; 32])];
        let noted = record_designs(slow.session.step().await.unwrap().db(), "default", &noted).await.unwrap();
        assert_eq!(noted, [batch.held[1].task_id]);
        terminate(&mut database.conn().await, batch.held[0].task_id, Some("ann")).await.unwrap();
        lead.rollback().await.unwrap();
    };
    let (rescued, ()) = tokio::join!(rescuing, changing);
    assert_eq!(told(&rescued.unwrap()), ["queued", "terminated"]);
    assert_eq!(
        database.history().await,
        "a terminated attempt 1 failure terminated by ann\nb queued attempt 1 worker_died"
    );
    assert_eq!(told(&leader.rescue(epoch).await), Vec::<&str>::new());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 0);
}

#[tokio::test]
async fn a_held_task_stays_in_its_queue_and_one_that_waits_may_leave_it() {
    let database = database().await;
    let mut actor = Actor::enter(&database).await;
    database.insert(&["held"]).await;
    let batch = actor.claim(1).await;
    database.insert(&["waits"]).await;
    let moved = |who: &str| format!("UPDATE tasks SET queue = 'other' {who}");
    let mut conn = database.conn().await;
    let refused = sqlx::query(AssertSqlSafe(moved(""))).execute(&mut conn).await.unwrap_err();
    let refused = refused.as_database_error().unwrap();
    assert_eq!(refused.constraint(), Some("held_task_stays_in_its_queue"));
    database.run(&moved("WHERE status = 'queued'")).await;
    assert_eq!(actor.succeed(&batch).await.len(), 1);
    assert_eq!(database.history().await, "held complete attempt 1 success\nwaits queued attempt 0");
    assert_eq!(database.value::<String>("SELECT queue::text FROM tasks WHERE status = 'queued'").await, "other");
    database.run(&moved("")).await;
}
