//! Pauses: what a claim leaves alone, and from when on; and who may make them.

use std::fmt::Write;
use std::time::Duration;

use longshore_queue::{
    NewTask, Pause, PauseEnd, Paused, drain_worker, heartbeat, insert_many, pause, pauses, register, resume, workers,
};
use uuid::Uuid;

use crate::roles::{SCHEMA_CHANGES, refusals};
use crate::support::actor::{Actor, FROM_START};
use crate::support::explain::{Statement, cost};
use crate::support::{Database, database};

const HOUR: Duration = Duration::from_secs(3600);

fn of(queue: Option<&str>, action: Option<&str>) -> Paused {
    Paused { queue: queue.map(str::to_owned), action: action.map(str::to_owned) }
}

async fn pause_now(database: &Database, paused: &Paused, end: PauseEnd) {
    pause(&mut database.conn().await, paused, Some("why"), Some("ann"), end).await.unwrap();
}

/// Lets two hours pass for all pauses.
async fn two_hours_later(database: &Database) {
    let pass = "UPDATE pauses SET paused_at = paused_at - interval '2 h', \"until\" = \"until\" - interval '2 h'";
    database.run(pass).await;
}

/// A task of each of these actions, whose payload is its action.
async fn insert(database: &Database, actions: &[&str]) {
    let tasks: Vec<NewTask> = actions.iter().map(|action| NewTask::new(*action).payload((*action).into())).collect();
    insert_many(&mut database.conn().await, &tasks).await.unwrap();
}

async fn claimer(database: &Database) -> Actor {
    Actor { actions: ["a", "b", "c"].map(str::to_owned).to_vec(), ..Actor::enter(database).await }
}

#[tokio::test]
async fn a_claim_leaves_alone_what_is_paused_until_that_ends() {
    let database = database().await;
    let mut actor = claimer(&database).await;
    let mut story = Vec::new();
    for (paused, others) in [
        (of(Some("default"), None), of(Some("mail"), None)),
        (of(None, Some("b")), of(None, Some("d"))),
        (of(Some("default"), Some("c")), of(Some("mail"), Some("c"))),
    ] {
        insert(&database, &["a", "b", "c"]).await;
        pause_now(&database, &others, PauseEnd::Open).await;
        pause_now(&database, &paused, PauseEnd::Open).await;
        insert(&database, &["a", "b", "c"]).await;
        let first = actor.claim(10).await.names.join("");
        assert!(resume(&mut database.conn().await, &paused).await.unwrap());
        story.push(format!("{first:?}, then {:?}", actor.claim(10).await.names.join("")));
        assert!(!resume(&mut database.conn().await, &paused).await.unwrap(), "it was ended already");
    }
    assert_eq!(story, ["\"\", then \"abcabc\"", "\"acac\", then \"bb\"", "\"abab\", then \"cc\""]);
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_is_written_anew_by_another_of_the_same() {
    let database = database().await;
    let mut actor = claimer(&database).await;
    insert(&database, &["a"]).await;
    let default = of(Some("default"), None);
    pause_now(&database, &default, PauseEnd::Open).await;
    pause_now(&database, &default, PauseEnd::After(HOUR)).await;
    pause_now(&database, &of(None, Some("z")), PauseEnd::Open).await;
    let seen: Vec<Pause> = pauses(&mut database.conn().await).await.unwrap();
    assert_eq!((seen.len(), seen[0].queue.as_deref(), seen[0].paused_by.as_str()), (2, Some("default"), "ann"));
    assert!(seen[0].holds("default", "a") && !seen[0].holds("mail", "a") && seen[1].holds("mail", "z"));
    assert_eq!(actor.claim(10).await.held.len(), 0);
    two_hours_later(&database).await;
    assert_eq!(actor.claim(10).await.held.len(), 1);
    assert_eq!(pauses(&mut database.conn().await).await.unwrap().len(), 1);
    assert!(!resume(&mut database.conn().await, &default).await.unwrap(), "it had ended by itself");
    // cleared away by the next pause
    pause_now(&database, &of(None, Some("z")), PauseEnd::After(HOUR)).await;
    two_hours_later(&database).await;
    pause_now(&database, &of(None, Some("y")), PauseEnd::Open).await;
    assert_eq!(database.value::<i64>("SELECT count(*) FROM pauses").await, 1);
}

#[tokio::test]
async fn nothing_is_claimed_later_than_the_commit_of_its_pause() {
    let database = database().await;
    database.run("INSERT INTO tasks (action) SELECT 'a' FROM generate_series(1, 4000)").await;
    let claimers = (0..4).map(|_| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut actor = claimer(&database).await;
            // until it is paused
            while !actor.claim_from(1, &FROM_START).await.held.is_empty() {}
        })
    });
    let claimers: Vec<_> = claimers.collect();
    database.until("SELECT EXISTS (SELECT FROM tasks WHERE status = 'running')").await;
    pause_now(&database, &of(Some("default"), None), PauseEnd::Open).await;
    let committed: String = database.value("SELECT clock_timestamp()::text").await;
    for claimer in claimers {
        claimer.await.unwrap();
    }
    let (before, later): (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT count(*) FILTER (WHERE started_at < '{committed}'), count(*) FILTER (WHERE started_at >= '{committed}') FROM tasks"
    )))
    .fetch_one(&mut database.conn().await)
    .await
    .unwrap();
    assert!(before > 0 && before < 4000, "{before} were claimed before it");
    assert_eq!(later, 0);
}

const CHECK: &str = "23514";

/// Columns, values, and with which constraint they are refused, with the remedy.
const REFUSALS: &[(&str, &str, &str, &str, &str)] = &[
    ("reason", "'why'", CHECK, "pauses_name_a_queue_or_an_action", "name one, or both"),
    ("queue", "''", CHECK, "queue_is_1_to_64_bytes", "leave it out for every queue"),
    ("action", "''", CHECK, "action_is_1_to_128_bytes", "leave it out for every action"),
    ("queue, reason", "'q', repeat('r', 1001)", CHECK, "pause_reason_is_at_most_1000_bytes", "shorten it"),
    ("queue, until", "'q', now()", CHECK, "pauses_until_is_later_and_before_2200", "leave it out for an open end"),
    ("queue, until", "'q', 'infinity'", CHECK, "pauses_until_is_later_and_before_2200", "leave it out for an open end"),
    ("queue", "'q'), ('q'", "23505", "pauses_are_one_a_queue_and_action", "UPDATE the one that is there"),
    ("action", "'a'), ('a'", "23505", "pauses_are_one_a_queue_and_action", "UPDATE the one that is there"),
];

/// The section of `queue/CONTRACT.md`.
pub(crate) fn section() -> String {
    let mut page = String::from(
        "
# What a pause promises

A row of `pauses` keeps tasks from being claimed: those of a queue, of an action, or of an action of a queue (`queue` or
`action` NULL is any). It holds from its commit on, for every worker, until the row is deleted or its `until` has come: no
task has a `started_at` later than the commit of a pause of it, as long as that holds. What was claimed before goes on, and
is retried only after it; INSERT, termination and the ends of trees work as always. Once its row is deleted, workers are
notified and claim what has waited; where they are not, and when `until` has come, at their next look.

```sql
INSERT INTO pauses (queue, reason) VALUES ('mail', 'the relay is down');
INSERT INTO pauses (action, \"until\") VALUES ('send_email', now() + interval '2 h');
DELETE FROM pauses WHERE queue = 'mail' AND action IS NULL;
```

| columns | refused | SQLSTATE | constraint | remedy |
|---|---|---|---|---|
",
    );
    for (columns, values, sqlstate, constraint, remedy) in REFUSALS {
        writeln!(page, "| {columns} | `{values}` | {sqlstate} | `{constraint}` | {remedy} |").unwrap();
    }
    page
}

#[tokio::test]
async fn a_pause_that_cannot_be_is_refused_by_name() {
    let database = database().await;
    for (columns, values, sqlstate, constraint, _) in REFUSALS {
        let insert = format!("INSERT INTO pauses ({}) VALUES ({values})", columns.replace("until", "\"until\""));
        let (found, by) = database.refusal(&insert).await;
        assert_eq!((found.as_str(), by.as_str()), (*sqlstate, *constraint), "{insert}");
    }
}

#[tokio::test]
async fn looking_at_pauses_costs_a_claim_at_most_three_buffers_and_a_paused_queue_is_not_walked() {
    let database = database().await;
    database.run("INSERT INTO tasks (action) SELECT 'work' FROM generate_series(1, 20000)").await;
    let mut actor = claimer(&database).await;
    let claiming = |actions: &str| Statement {
        name: "claim",
        sql: include_str!("../../src/sql/claim.sql"),
        arguments: format!(
            "'default', '{{{actions}}}', 1, '{}', gen_random_uuid(), '{{0,1,2,3,4,5,6,7,8,9}}',
             array_fill('epoch'::timestamptz, '{{10}}'),
             array_fill('00000000-0000-0000-0000-000000000000'::uuid, '{{10}}')",
            Uuid::new_v4()
        ),
    };
    let mut least = async |actions: &str| {
        let mut least = i64::MAX;
        for _ in 0..3 {
            least = least.min(cost(&mut actor.session, &claiming(actions)).await.buffers);
        }
        least
    };
    let unpaused = least("work").await;
    pause_now(&database, &of(Some("mail"), None), PauseEnd::Open).await;
    let elsewhere = least("work").await;
    pause_now(&database, &of(Some("default"), None), PauseEnd::Open).await;
    let paused = least("work").await;
    println!("buffers of a claim of one: {unpaused}, with a pause elsewhere {elsewhere}, paused {paused}");
    assert!(elsewhere <= unpaused + 3, "{elsewhere} buffers instead of {unpaused}");
    assert!(paused <= 4, "{paused} buffers");
}

#[tokio::test]
async fn an_operator_role_pauses_drains_and_reads_and_changes_nothing_else() {
    let database = database().await;
    database.grant_roles().await;
    let mut actor = Actor::enter(&database).await;
    database.insert(&["a"]).await;
    let operator = database.login("longshore_operator").await;
    let mut conn = operator.conn().await;
    let default = Paused { queue: Some("default".to_owned()), action: None };
    pause(&mut conn, &default, None, None, PauseEnd::Open).await.unwrap();
    assert_eq!(actor.claim(1).await.held.len(), 0);
    let user: String = operator.value("SELECT session_user::text").await;
    assert_eq!(pauses(&mut conn).await.unwrap()[0].paused_by, user);
    assert!(resume(&mut conn, &default).await.unwrap());
    assert_eq!(actor.claim(1).await.held.len(), 1);
    assert!(drain_worker(&mut conn, actor.worker_id).await.unwrap());
    assert!(!drain_worker(&mut conn, actor.worker_id).await.unwrap(), "it drains already");
    assert!(!drain_worker(&mut conn, Uuid::nil()).await.unwrap(), "there is none");
    let drains = heartbeat(actor.session.step().await.unwrap().db(), actor.worker_id, false, &[]).await.unwrap();
    assert_eq!(drains, Some(true));
    let workers = workers(&mut conn).await.unwrap();
    assert_eq!((workers[0].state.as_str(), workers[0].queues[0].actions[0].as_str()), ("draining", "work"));
    let again = Uuid::new_v4();
    let lease = Duration::from_secs(30);
    register(actor.session.step().await.unwrap().db(), again, "again", lease, true, &[]).await.unwrap();
    assert_eq!(heartbeat(actor.session.step().await.unwrap().db(), again, false, &[]).await.unwrap(), Some(true));
    assert_eq!(operator.history().await, "a running attempt 1");
    assert_eq!(
        refusals(
            &operator,
            &[
                "INSERT INTO tasks (action) VALUES ('work')",
                "UPDATE tasks SET \"terminate\" = true",
                "UPDATE workers SET draining_since = NULL",
                "DELETE FROM workers",
                "DELETE FROM claims",
                "DELETE FROM schedules",
            ]
        )
        .await,
        Vec::<String>::new()
    );
    assert_eq!(refusals(&operator, &SCHEMA_CHANGES).await, Vec::<String>::new());
}
