//! The active instance: one row, one leader, an epoch that only grows.

use longshore_queue::{Lead, Leadership, abdicate, lead};
use sqlx::Connection;

use crate::support::actor::{Actor, LEASE};
use crate::support::database;

fn told(lead: Lead) -> String {
    format!("{} {}", if lead.leads { "leads" } else { "follows" }, lead.epoch)
}

#[tokio::test]
async fn the_lead_changes_only_after_the_lease_and_the_epoch_grows_with_each_change() {
    let database = database().await;
    let (mut one, mut two) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let mut story = vec![told(one.lead().await), told(two.lead().await), told(one.lead().await)];
    let remaining = two.lead().await.remaining;
    assert!(remaining > 0.0 && remaining <= LEASE.as_secs_f64(), "{remaining}");
    database.run("UPDATE active_instance SET lease_expires_at = now() + interval '1 s'").await;
    story.push(told(two.lead().await));
    database.run("UPDATE active_instance SET lease_expires_at = now() - interval '1 us'").await;
    story.extend([told(two.lead().await), told(one.lead().await)]);
    // late, and nobody has taken it: the same leader goes on under the same epoch
    database.run("UPDATE active_instance SET lease_expires_at = now() - interval '1 day'").await;
    story.push(told(two.lead().await));
    assert_eq!(story, ["leads 1", "follows 1", "leads 1", "follows 1", "leads 2", "follows 2", "leads 2"]);
}

#[tokio::test]
async fn who_abdicates_is_followed_at_once_and_only_the_leader_can() {
    let database = database().await;
    let (mut one, mut two) = (Actor::enter(&database).await, Actor::enter(&database).await);
    let first = one.lead().await;
    for (identity, epoch) in [(two.worker_id, first.epoch), (one.worker_id, first.epoch + 1)] {
        abdicate(&mut database.conn().await, Leadership { identity, epoch }).await.unwrap();
    }
    let mut story = vec![told(two.lead().await)];
    let leadership = Leadership { identity: one.worker_id, epoch: first.epoch };
    abdicate(&mut database.conn().await, leadership).await.unwrap();
    story.extend([told(two.lead().await), told(one.lead().await)]);
    abdicate(&mut database.conn().await, leadership).await.unwrap();
    story.push(told(one.lead().await));
    assert_eq!(story, ["follows 1", "leads 2", "follows 2", "follows 2"]);
}

#[tokio::test]
async fn of_ten_candidates_at_once_one_leads_and_none_fails() {
    let database = database().await;
    let mut candidates = Vec::new();
    for _ in 0..10 {
        candidates.push(Actor::enter(&database).await);
    }
    for epoch in 1..=10 {
        let told = futures_util::future::join_all(candidates.iter_mut().map(Actor::lead)).await;
        let leaders: Vec<usize> = (0..10).filter(|n| told[*n].leads).collect();
        assert_eq!(leaders.len(), 1, "{told:?}");
        let identity = candidates[leaders[0]].worker_id;
        abdicate(&mut database.conn().await, Leadership { identity, epoch }).await.unwrap();
    }
}

#[tokio::test]
async fn a_candidate_that_waited_for_another_follows() {
    let database = database().await;
    let (one, mut two) = (Actor::enter(&database).await, Actor::enter(&database).await);
    for change in ["the first lead", "after an abdication"] {
        let mut conn = database.conn().await;
        let mut taking = conn.begin().await.unwrap();
        let first = lead(&mut *taking, one.worker_id, LEASE).await.unwrap();
        assert!(first.leads);
        let committing = async {
            database.until_one_waits().await;
            taking.commit().await.unwrap();
        };
        let (second, ()) = tokio::join!(two.lead(), committing);
        assert!(!second.leads, "{change}");
        let leadership = Leadership { identity: one.worker_id, epoch: first.epoch };
        abdicate(&mut database.conn().await, leadership).await.unwrap();
    }
}
