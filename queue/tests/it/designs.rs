//! Which version of its design a task works with: noted by the holder, under the fence, on the task's own page.

use longshore_queue::{Completion, Held, read, record_designs};
use uuid::Uuid;

use crate::support::actor::{Actor, back, success};
use crate::support::explain::run;
use crate::support::{Database, database};

const ONE: [u8; 32] = [1; 32];
const TWO: [u8; 32] = [2; 32];

async fn record(actor: &mut Actor, designs: &[(Held, [u8; 32])]) -> Vec<Uuid> {
    record_designs(actor.session.step().await.unwrap().db(), "default", designs).await.unwrap()
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
    actor.complete(&[success(batch.held[1])], &Default::default()).await.unwrap();
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

/// Updates of tasks in this transaction, and how many of them stayed on their page.
async fn updates(actor: &mut Actor) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(pg_stat_get_xact_tuples_updated(relid))::bigint, sum(pg_stat_get_xact_tuples_hot_updated(relid))::bigint
         FROM pg_partition_tree('tasks') WHERE isleaf",
    )
    .fetch_one(actor.session.step().await.unwrap().db())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_completion_notes_the_version_and_stays_on_its_page() {
    let database = database().await;
    // rows as tasks with a design have them: a tenth of a page has room for what all of its rows grow by
    database
        .run(
            "INSERT INTO tasks (action, payload, design_ref)
             SELECT 'work', jsonb_build_object('n', n, 'text', repeat('x', 76)),
                 'deckhand+http://deckhand.example:9000/api/v1.0/revisions/5/rendered-documents'
             FROM generate_series(1, 2000) AS n",
        )
        .await;
    let mut actor = Actor::enter(&database).await;
    let mut story = Vec::new();
    for _ in 0..4 {
        let batch = actor.claim(500).await;
        let noting = |held| Completion { design_hash: Some(ONE), ..success(held) };
        let completions: Vec<Completion> = batch.held.iter().copied().map(noting).collect();
        // within a transaction, so that the session's own counters are not reported and set back in between
        run(&mut actor.session, "BEGIN").await;
        let before = updates(&mut actor).await;
        assert_eq!(actor.complete(&completions, &batch.last()).await.unwrap().len(), 500);
        let after = updates(&mut actor).await;
        run(&mut actor.session, "COMMIT").await;
        story.push((after.0 - before.0, after.1 - before.1));
    }
    println!("completions that note a version, and HOT ones: {story:?}");
    assert!(story.iter().all(|(updated, hot)| (*updated, *hot) == (500, 500)), "{story:?}");
    let noted: i64 =
        database.value("SELECT count(*) FROM tasks WHERE design_hash = decode(repeat('01', 32), 'hex')").await;
    assert_eq!(noted, 2000);
}

#[tokio::test]
async fn whoever_wrote_results_before_the_migration_writes_versions_after_it() {
    let database = database().await;
    let script = include_str!("../../../migrations/0010_design_hash.sql");
    database.run("ALTER TABLE tasks DROP COLUMN design_hash").await;
    database.run("CREATE ROLE \"older worker\"; GRANT UPDATE (result_links) ON tasks TO \"older worker\"").await;
    database.run(script).await;
    let may = "SELECT has_column_privilege('older worker', 'tasks', 'design_hash', 'UPDATE')";
    assert!(database.value::<bool>(may).await);
    let others = "SELECT has_column_privilege('older worker', 'tasks', 'payload', 'UPDATE')";
    assert!(!database.value::<bool>(others).await);
    database.run("DROP OWNED BY \"older worker\"; DROP ROLE \"older worker\"").await;
}
