//! The figures that do not depend on the machine: plans, WAL, buffers, HOT updates, statements. Each test prints what it
//! saw: `cargo test -p longshore-queue figures -- --nocapture`.

use std::sync::atomic::{AtomicU32, Ordering};

use longshore_queue::{
    ClaimRequest, Completion, Held, LastOf, Locked, OUTPUT_IN_ROW_MAX_BYTES, Session, TaskResult, claim, complete,
    heartbeat, insert_many, last_messages, record, register, requeue,
};
use sqlx::Connection;
use uuid::Uuid;

use crate::support::actor::{Actor, FROM_START, LEASE, back, named, notes, success};
use crate::support::counting::Counting;
use crate::support::explain::{Cost, Statement, cost, nodes, plan, run};
use crate::support::{Database, database};

/// As many tasks as a worker claims at once.
const BATCH: usize = 500;

/// A database in which no autovacuum runs in between, with so many queued tasks of 100 bytes of payload.
pub(crate) async fn with_tasks(count: u32) -> Database {
    let database = database().await;
    let tables: Vec<String> =
        database.values("SELECT relid::regclass::text FROM pg_partition_tree('tasks') WHERE isleaf").await;
    for table in tables {
        database.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
    }
    insert(&database, count).await;
    database
}

async fn insert(database: &Database, count: u32) {
    database
        .run(&format!(
            "INSERT INTO tasks (action, payload)
             SELECT 'work', jsonb_build_object('n', n, 'text', repeat('x', 76)) FROM generate_series(1, {count}) AS n"
        ))
        .await;
}

/// A claim of this many tasks from the start, under this token.
fn claiming(limit: usize, claim_token: Uuid) -> Statement {
    Statement {
        name: "claim",
        sql: include_str!("../../src/sql/claim.sql"),
        arguments: format!(
            "'default', '{{work}}', {limit}, '{claim_token}', gen_random_uuid(), '{{0,1,2,3,4,5,6,7,8,9}}',
             array_fill('epoch'::timestamptz, '{{10}}'),
             array_fill('00000000-0000-0000-0000-000000000000'::uuid, '{{10}}')"
        ),
    }
}

/// Ids and tokens as two SQL arrays.
fn arrays(held: &[Held]) -> String {
    let list = |ids: Vec<String>| format!("'{{{}}}'", ids.join(","));
    format!(
        "{}, {}",
        list(held.iter().map(|held| held.task_id.to_string()).collect()),
        list(held.iter().map(|held| held.claim_token.to_string()).collect())
    )
}

/// A completion of these in success, the last of their claim.
fn completing(held: &[Held], locked: Locked) -> Statement {
    let count = held.len();
    Statement {
        name: "complete",
        sql: include_str!("../../src/sql/complete.sql"),
        arguments: format!(
            "{}, array_fill('success'::text, '{{{count}}}'), array_fill(0, '{{{count}}}'),
             array_fill(NULL::jsonb, '{{{count}}}'), '{{{}}}', '{{{count}}}', {OUTPUT_IN_ROW_MAX_BYTES}, {},
             'default'",
            arrays(held),
            held[0].claim_token,
            locked == Locked::Skip
        ),
    }
}

/// Every statement that runs for a batch of tasks or for a worker's claims.
pub(crate) fn hot(held: &[Held]) -> Vec<Statement> {
    let none = "'{}', '{}'";
    let one = |name, sql, arguments: String| Statement { name, sql, arguments };
    let pair = arrays(held);
    let ids = pair.split(", ").next().unwrap().to_owned();
    vec![
        claiming(BATCH, Uuid::new_v4()),
        completing(held, Locked::Wait),
        completing(held, Locked::Skip),
        one(
            "requeue",
            include_str!("../../src/sql/requeue.sql"),
            format!("{pair}, '{{0}}', '{{f}}', '{{r}}', '{{m}}', '{{0}}', {none}, 'default'"),
        ),
        one(
            "record",
            include_str!("../../src/sql/record.sql"),
            format!("{pair}, {ids}, '{{1}}', '{{f}}', '{{m}}', '{{c}}', '{{t}}', '{{1}}', 'default'"),
        ),
        one(
            "record_designs",
            include_str!("../../src/sql/record_designs.sql"),
            format!("{pair}, '{{\\\\x00}}', 'default'"),
        ),
        one(
            "record_build_data",
            include_str!("../../src/sql/record_build_data.sql"),
            "gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'n', NULL, 'g', 'f', 'e', 'default'".to_owned(),
        ),
        one(
            "insert_subtasks",
            include_str!("../../src/sql/insert_subtasks.sql"),
            format!("{}, gen_random_uuid(), gen_random_uuid(), 'default'", ["'{}'"; 16].join(", ")),
        ),
        one("last_messages", include_str!("../../src/sql/last_messages.sql"), ids.clone()),
        one("fates", include_str!("../../src/sql/fates.sql"), format!("{pair}, 'default'")),
        one(
            "rescue",
            include_str!("../../src/sql/rescue.sql"),
            "gen_random_uuid(), 1, gen_random_uuid(), 20, 'default'".to_owned(),
        ),
        one(
            "heartbeat",
            include_str!("../../src/sql/heartbeat.sql"),
            "gen_random_uuid(), false, '{q}', '{1}', '{1}', '{1}', '{1}'".to_owned(),
        ),
        one("read", include_str!("../../src/sql/read.sql"), "gen_random_uuid()".to_owned()),
        one("messages", include_str!("../../src/sql/messages.sql"), "gen_random_uuid(), 0, 100".to_owned()),
    ]
}

/// What in a plan is not a walk along an index of a table that grows with the number of tasks.
pub(crate) fn detours(plan: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    for node in nodes(plan) {
        let kind = node["Node Type"].as_str().unwrap();
        let table = node["Relation Name"].as_str().unwrap_or_default();
        let grows = ["tasks", "result_message", "task_output"].iter().any(|name| table.starts_with(name));
        let walks = matches!(kind, "Index Scan" | "Index Only Scan" | "ModifyTable");
        if grows && !walks || matches!(kind, "Sort" | "Incremental Sort" | "Hash" | "Hash Join" | "Bitmap Heap Scan") {
            found.push(format!("{kind} {table}"));
        }
    }
    found
}

#[tokio::test]
async fn hot_statements_walk_indexes_whatever_the_tables_hold_and_the_statistics_say() {
    let database = with_tasks(0).await;
    let mut actor = Actor::enter(&database).await;
    let held = [Held { task_id: Uuid::now_v7(), claim_token: Uuid::new_v4() }];
    let mut checked = 0;
    for (state, count, analyze) in [
        ("empty", 0, false),
        ("empty, analyzed", 0, true),
        ("100 tasks, statistics of none", 100, false),
        ("100 tasks, analyzed", 0, true),
        ("200,000 tasks, statistics of 100", 199_900, false),
        ("200,000 tasks, analyzed", 0, true),
    ] {
        insert(&database, count).await;
        if analyze {
            database.run("ANALYZE").await;
        }
        for statement in hot(&held) {
            let plan = plan(&mut actor.session, &statement, false).await;
            assert_eq!(detours(&plan), Vec::<String>::new(), "{} with {state}: {plan:#}", statement.name);
            checked += 1;
        }
    }
    println!("{checked} plans, all along indexes");
}

/// Claims a batch and completes it; what the two took.
async fn turn(session: &mut Session) -> (Cost, Cost) {
    let claim_token = Uuid::new_v4();
    let claimed = cost(session, &claiming(BATCH, claim_token)).await;
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT unnest(task_ids) FROM claims WHERE claim_token = $1")
        .bind(claim_token)
        .fetch_all(session.step().await.unwrap().db())
        .await
        .unwrap();
    assert_eq!(ids.len(), BATCH);
    let held: Vec<Held> = ids.into_iter().map(|task_id| Held { task_id, claim_token }).collect();
    let completed = cost(session, &completing(&held, Locked::Wait)).await;
    assert_eq!((claimed.rows, completed.rows), (BATCH as i64, BATCH as i64));
    (claimed, completed)
}

#[tokio::test]
async fn claim_and_completion_write_at_most_500_bytes_of_wal_a_task() {
    let database = with_tasks(20_000).await;
    let mut session = database.connect.session("figures").await.unwrap();
    let per_task = |cost: Cost| cost.wal_bytes as f64 / BATCH as f64;
    let mut quiet = Vec::new();
    for _ in 0..20 {
        let (claimed, completed) = turn(&mut session).await;
        // a checkpoint of this server, which other tests share, brings page images in
        if claimed.wal_images + completed.wal_images == 0 {
            quiet.push((per_task(claimed), per_task(completed)));
        }
    }
    let mean = |of: fn(&(f64, f64)) -> f64| quiet.iter().map(of).sum::<f64>() / quiet.len() as f64;
    let (claimed, completed) = (mean(|pair| pair.0), mean(|pair| pair.1));
    println!(
        "WAL a task, without page images: claim {claimed:.0} B, completion {completed:.0} B, of {} batches",
        quiet.len()
    );
    assert!(!quiet.is_empty() && claimed + completed <= 500.0);

    database.run("CHECKPOINT").await;
    let (claimed, completed) = turn(&mut session).await;
    println!(
        "WAL a task, first batch after a checkpoint: claim {:.0} B with {} page images, completion {:.0} B with {}",
        per_task(claimed),
        claimed.wal_images,
        per_task(completed),
        completed.wal_images
    );
    assert!(completed.wal_images <= claimed.wal_images, "the completion finds the pages of the claim");
}

#[tokio::test]
async fn a_claim_touches_no_more_buffers_with_more_tasks_queued_but_for_a_deeper_index() {
    let database = with_tasks(0).await;
    let mut session = database.connect.session("figures").await.unwrap();
    let mut spent = Vec::new();
    let mut queued = 0;
    for count in [10_000, 100_000, 200_000] {
        insert(&database, count - queued).await;
        queued = count;
        let mut least = [f64::MAX; 2];
        // the first fills the caches of the session
        for _ in 0..5 {
            let (claimed, completed) = turn(&mut session).await;
            queued -= BATCH as u32;
            for (least, cost) in least.iter_mut().zip([claimed, completed]) {
                *least = least.min(cost.buffers as f64 / BATCH as f64);
            }
        }
        println!("buffers a task with {count} queued: claim {:.2}, completion {:.2}", least[0], least[1]);
        spent.push(least);
    }
    for step in 0..2 {
        // Two more: an index level for two descents, from 10,000 on; or the two entries of the row before its claim, until
        // the snapshots of the whole server let them be known as dead.
        assert!(spent[2][step] <= spent[1][step] * 1.1 + 2.0, "{spent:?}");
        assert!(spent[2][step] <= spent[0][step] * 1.1 + 4.0, "{spent:?}");
        assert!(spent[2][step] <= 16.0, "{spent:?}");
    }
}

/// Completes a batch with an output of this many bytes, none for 0: updates, and how many of them were HOT.
async fn updates_of_completion(actor: &mut Actor, output_bytes: usize) -> (i64, i64) {
    let batch = actor.claim(BATCH).await;
    let output = (output_bytes > 0).then(|| serde_json::value::to_raw_value(&"o".repeat(output_bytes)).unwrap());
    let result = |held| TaskResult { output: output.clone(), ..success(held).result };
    let completions: Vec<Completion> =
        batch.held.iter().map(|held| Completion { result: result(*held), ..success(*held) }).collect();
    // within a transaction, so that the session's own counters are not reported and set back in between
    run(&mut actor.session, "BEGIN").await;
    let before = updates(&mut actor.session).await;
    assert_eq!(actor.complete(&completions, &batch.last()).await.unwrap().len(), BATCH);
    let after = updates(&mut actor.session).await;
    run(&mut actor.session, "COMMIT").await;
    (after.0 - before.0, after.1 - before.1)
}

/// Updates of tasks that this session has not reported yet, and how many of them were HOT.
async fn updates(session: &mut Session) -> (i64, i64) {
    sqlx::query_as(
        "SELECT sum(pg_stat_get_xact_tuples_updated(relid))::bigint, sum(pg_stat_get_xact_tuples_hot_updated(relid))::bigint
         FROM pg_partition_tree('tasks') WHERE isleaf",
    )
    .fetch_one(session.step().await.unwrap().db())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_completion_is_hot_also_while_an_old_snapshot_is_held_unless_its_output_fills_the_page() {
    let mut story = Vec::new();
    for (state, pinned) in [("", false), (", pinned", true)] {
        let database = with_tasks(10_000).await;
        let mut onlooker = database.conn().await;
        let mut onlooker = onlooker.begin().await.unwrap();
        if pinned {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *onlooker).await.unwrap();
            sqlx::query("SELECT FROM tasks LIMIT 1").execute(&mut *onlooker).await.unwrap();
        }
        let mut actor = Actor::enter(&database).await;
        for output_bytes in [0, 100, 1000] {
            let (mut updated, mut hot) = (0, 0);
            for _ in 0..6 {
                let (more, hot_more) = updates_of_completion(&mut actor, output_bytes).await;
                (updated, hot) = (updated + more, hot + hot_more);
            }
            story.push(format!("{output_bytes} B of output{state}: {hot} of {updated}"));
            // a narrow output lies in the row, and ten rows a page have no room for all of them before a pruning, which
            // nothing but the snapshots of the whole server decides
            let least = if output_bytes == 100 { 2400 } else { 3000 };
            assert!(updated == 3000 && hot >= least, "{story:?}");
        }
    }
    println!("HOT completions:\n{}", story.join("\n"));
}

#[tokio::test]
async fn a_batch_takes_two_statements_whatever_its_size_and_one_with_messages_four() {
    let database = database().await;
    let mut conn = database.conn().await;
    let sent = AtomicU32::new(0);
    let mut story = Vec::new();
    macro_rules! send {
        ($db:ident => $call:expr) => {{
            let $db = Counting { conn: &mut conn, sent: &sent };
            $call.await.unwrap()
        }};
    }
    let worker_id = Uuid::new_v4();
    send!(db => register(db, worker_id, "counted", LEASE, false, &[]));
    assert_eq!(send!(db => heartbeat(db, worker_id, false, &[])), Some(false));
    for (count, words) in [(1, &[][..]), (BATCH, &[]), (BATCH, &["a", "b", "c"])] {
        let tasks = vec![named("t"); count];
        sent.store(0, Ordering::Relaxed);
        send!(db => insert_many(db, &tasks));
        let inserted = sent.swap(0, Ordering::Relaxed);
        let claim_token = Uuid::new_v4();
        let actions = ["work".to_owned()];
        let request = ClaimRequest {
            queue: "default",
            actions: &actions,
            limit: count,
            worker_id,
            claim_token,
            keys: &FROM_START,
        };
        let claimed = send!(db => claim(db, &request));
        let held: Vec<Held> = claimed.tasks.iter().map(|task| Held { task_id: task.task_id, claim_token }).collect();
        if !words.is_empty() {
            let ids: Vec<Uuid> = held.iter().map(|held| held.task_id).collect();
            assert_eq!(send!(db => last_messages(db, &ids)).len(), count);
            let said: Vec<_> = ids.iter().flat_map(|id| notes(*id, 1, words)).collect();
            assert_eq!(send!(db => record(db, "default", &held, &said)).len(), count);
        }
        let (first, rest) = held.split_first().unwrap();
        let mut last = LastOf::default();
        last.push(claim_token, i32::try_from(rest.len()).unwrap());
        if rest.is_empty() {
            send!(db => requeue(db, "default", &[back(*first, true)], &LastOf::default()));
        } else {
            let completions: Vec<Completion> = rest.iter().copied().map(success).collect();
            send!(db => complete(db, "default", &completions, &last, Locked::Wait));
        }
        story.push(format!(
            "{count} tasks, {} messages each: {inserted} to insert, {} to work",
            words.len(),
            sent.load(Ordering::Relaxed)
        ));
        database.run("DELETE FROM tasks").await;
    }
    println!("statements:\n{}", story.join("\n"));
    assert_eq!(
        story,
        [
            "1 tasks, 0 messages each: 1 to insert, 2 to work",
            "500 tasks, 0 messages each: 1 to insert, 2 to work",
            "500 tasks, 3 messages each: 1 to insert, 4 to work"
        ]
    );
}

#[tokio::test]
async fn a_thousand_messages_of_a_few_tasks_are_one_statement_of_at_most_400_bytes_of_wal_each() {
    const TEXT: &str = "node-17: 128 of 4096 blocks written to the disk, about 3 minutes are left, none of them failed";
    let database = with_tasks(8).await;
    let mut actor = Actor::enter(&database).await;
    let held = actor.claim(8).await.held;
    let mut quiet = Vec::new();
    for turn in 0..20 {
        let numbered = held.iter().flat_map(|held| (1..=125).map(move |number| (held.task_id, turn * 125 + number)));
        let (ids, numbers): (Vec<String>, Vec<String>) =
            numbered.map(|(id, number)| (id.to_string(), number.to_string())).unzip();
        let recording = Statement {
            name: "record",
            sql: include_str!("../../src/sql/record.sql"),
            arguments: format!(
                "{}, '{{{}}}', '{{{}}}', array_fill(false, '{{1000}}'), array_fill('{TEXT}'::text, '{{1000}}'),
                 array_fill(NULL::text, '{{1000}}'), array_fill(NULL::text, '{{1000}}'), array_fill(NULL::jsonb, '{{1000}}'),
                 'default'",
                arrays(&held),
                ids.join(","),
                numbers.join(",")
            ),
        };
        let cost = cost(&mut actor.session, &recording).await;
        assert_eq!(cost.rows, 8);
        if cost.wal_images == 0 {
            quiet.push((cost.wal_bytes as f64 / 1000.0, cost.buffers as f64 / 1000.0));
        }
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM result_message").await, 20_000);
    let mean = |of: fn(&(f64, f64)) -> f64| quiet.iter().map(of).sum::<f64>() / quiet.len() as f64;
    let (wal, buffers) = (mean(|pair| pair.0), mean(|pair| pair.1));
    println!("a message of {} B, of {} batches: WAL {wal:.0} B, {buffers:.2} buffers", TEXT.len(), quiet.len());
    assert!(!quiet.is_empty() && wal <= 400.0 && buffers <= 8.0);
}
