//! Which version of its design a task works with: noted by the holder, under the fence, on the task's own page.

use longshore_queue::{Held, read, record_designs};
use uuid::Uuid;

use crate::support::actor::{Actor, back};
use crate::support::{Database, database};

const ONE: [u8; 32] = [1; 32];
const TWO: [u8; 32] = [2; 32];

async fn record(actor: &mut Actor, designs: &[(Held, [u8; 32])]) -> Vec<Uuid> {
    record_designs(actor.session.step().await.unwrap().db(), designs).await.unwrap()
}

async fn hash(database: &Database, task_id: Uuid) -> Option<Vec<u8>> {
    read(&mut database.conn().await, task_id).await.unwrap().unwrap().design_hash
}

#[tokio::test]
async fn the_version_of_the_last_attempt_stays_with_the_task() {
    let database = database().await;
    let id = database.insert(&["a"]).await[0];
    let mut actor = Actor::enter(&database).await;
    assert_eq!(hash(&database, id).await, None);
    for version in [ONE, TWO] {
        let batch = actor.claim(1).await;
        assert_eq!(record(&mut actor, &[(batch.held[0], version)]).await, [id]);
        assert_eq!(record(&mut actor, &[(batch.held[0], version)]).await, [id], "sent again, it says so already");
        assert_eq!(hash(&database, id).await, Some(version.to_vec()));
        actor.requeue(&[back(batch.held[0], false)], &batch.last()).await.unwrap();
    }
    let batch = actor.claim(1).await;
    assert_eq!(actor.succeed(&batch).await, [id]);
    assert_eq!(hash(&database, id).await, Some(TWO.to_vec()), "an end leaves it");
}

#[tokio::test]
async fn a_lost_claim_notes_nothing_and_neither_does_an_ended_task() {
    let database = database().await;
    let ids = database.insert(&["lost", "ended", "held"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(3).await;
    actor.requeue(&[back(batch.held[0], false)], &Default::default()).await.unwrap();
    actor.complete(&[crate::support::actor::success(batch.held[1])], &Default::default()).await.unwrap();
    let all: Vec<(Held, [u8; 32])> = batch.held.iter().map(|held| (*held, ONE)).collect();
    assert_eq!(record(&mut actor, &all).await, [ids[2]]);
    let again = actor.claim(1).await;
    assert_eq!(again.held[0].task_id, ids[0]);
    assert_eq!(record(&mut actor, &all).await, [ids[2]], "the old claim's token is not the new one's");
    let noted: Vec<bool> = database.values("SELECT design_hash IS NOT NULL FROM tasks ORDER BY task_id").await;
    assert_eq!(noted, [false, false, true]);
}

#[tokio::test]
async fn a_task_that_somebody_has_locked_is_passed_over() {
    let database = database().await;
    let ids = database.insert(&["locked", "free"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(2).await;
    let mut other = database.conn().await;
    let mut other = sqlx::Connection::begin(&mut other).await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE").bind(ids[0]).execute(&mut *other).await.unwrap();
    let all: Vec<(Held, [u8; 32])> = batch.held.iter().map(|held| (*held, ONE)).collect();
    assert_eq!(record(&mut actor, &all).await, [ids[1]]);
    other.rollback().await.unwrap();
    assert_eq!(record(&mut actor, &all).await, ids);
}
