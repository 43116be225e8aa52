//! Build data: a history per node that outlives its tasks.

use std::fmt::Write;
use std::time::{Duration, Instant};

use longshore_queue::{
    BuildData, BuildView, Held, Leadership, NewBuildData, Status, builds, builds_of_node, builds_of_task,
    insert_build_data, prune_build_data, record_build_data,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::actor::Actor;
use crate::support::{Database, database};

const SUMMARY: BuildView = BuildView { latest: false, full: false, limit: 100 };
const LATEST: BuildView = BuildView { latest: true, ..SUMMARY };
const FULL: BuildView = BuildView { full: true, ..SUMMARY };

/// An entry of a node, from a generator, collected on this day of January 2026.
fn entry(node: &str, task_id: Uuid, generator: &str, day: u32) -> NewBuildData {
    let collected_date = Some(format!("2026-01-{day:02}T12:00:00Z").parse().unwrap());
    NewBuildData { collected_date, ..NewBuildData::new(node, task_id, generator, "text/plain", format!("day {day}")) }
}

async fn add(database: &Database, entries: &[NewBuildData]) {
    let mut conn = database.conn().await;
    for entry in entries {
        insert_build_data(&mut conn, entry).await.unwrap();
    }
}

/// Generator and day, in the order read.
fn told(found: &[BuildData]) -> Vec<String> {
    found
        .iter()
        .map(|data| format!("{} {} {}", data.node_name, data.generator, data.collected_date.format("%d")))
        .collect()
}

#[tokio::test]
async fn a_nodes_history_is_read_whole_or_the_latest_of_each_generator_or_that_of_a_task() {
    let database = database().await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    add(
        &database,
        &[
            entry("n1", first, "lshw", 1),
            entry("n1", first, "dmidecode", 2),
            // arrives later, and was collected before
            entry("n1", second, "dmidecode", 1),
            entry("n1", second, "lshw", 3),
            entry("n2", second, "lshw", 2),
        ],
    )
    .await;
    let mut conn = database.conn().await;
    let of_node = builds_of_node(&mut conn, "n1", None, SUMMARY).await.unwrap();
    assert_eq!(told(&of_node), ["n1 lshw 03", "n1 dmidecode 02", "n1 dmidecode 01", "n1 lshw 01"]);
    assert!(of_node.iter().all(|data| data.data_element.is_none() && data.data_bytes == 5));
    let latest = builds_of_node(&mut conn, "n1", None, LATEST).await.unwrap();
    assert_eq!(told(&latest), ["n1 lshw 03", "n1 dmidecode 02"]);
    let of_both = builds_of_node(&mut conn, "n1", Some(second), SUMMARY).await.unwrap();
    assert_eq!(told(&of_both), ["n1 lshw 03", "n1 dmidecode 01"]);
    let of_task = builds_of_task(&mut conn, second, FULL).await.unwrap();
    assert_eq!(told(&of_task), ["n1 lshw 03", "n2 lshw 02", "n1 dmidecode 01"]);
    assert_eq!(of_task[1].data_element.as_deref(), Some("day 2"));
    assert_eq!(told(&builds_of_task(&mut conn, second, LATEST).await.unwrap()), ["n1 lshw 03", "n2 lshw 02"]);
    let all = builds(&mut conn, BuildView { latest: true, limit: 2, ..SUMMARY }).await.unwrap();
    assert_eq!(told(&all), ["n2 lshw 02", "n1 lshw 03"]);
    assert_eq!(builds_of_node(&mut conn, "n3", None, SUMMARY).await.unwrap(), []);
    assert_eq!(builds_of_task(&mut conn, Uuid::now_v7(), SUMMARY).await.unwrap(), []);
}

#[tokio::test]
async fn the_document_has_six_keys_and_its_summary_five() {
    let database = database().await;
    let task_id = Uuid::now_v7();
    add(&database, &[entry("n1", task_id, "lshw", 1)]).await;
    let mut conn = database.conn().await;
    let document = serde_json::to_value(builds_of_task(&mut conn, task_id, FULL).await.unwrap()).unwrap();
    let mut expected = json!([{
        "node_name": "n1", "task_id": task_id, "collected_date": "2026-01-01T12:00:00.000000Z", "generator": "lshw",
        "data_format": "text/plain", "data_element": "day 1"
    }]);
    assert_eq!(document, expected);
    expected[0].as_object_mut().unwrap().remove("data_element");
    assert_eq!(serde_json::to_value(builds_of_task(&mut conn, task_id, SUMMARY).await.unwrap()).unwrap(), expected);
}

#[tokio::test]
async fn an_entry_sent_twice_is_there_once_and_duplicates_of_different_entries_are_kept() {
    let database = database().await;
    let one = entry("n1", Uuid::now_v7(), "lshw", 1);
    add(&database, &[one.clone(), one.clone(), NewBuildData { build_id: Uuid::now_v7(), ..one }]).await;
    assert_eq!(database.value::<i64>("SELECT count(*) FROM build_data").await, 2);
}

#[tokio::test]
async fn a_held_task_records_and_a_lost_claim_does_not() {
    let database = database().await;
    database.insert(&["a"]).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let held = batch.held[0];
    let entry = entry("n1", Uuid::now_v7(), "lshw", 1);
    let mut conn = database.conn().await;
    let lost = Held { claim_token: Uuid::new_v4(), ..held };
    assert!(!record_build_data(&mut conn, "default", lost, &entry).await.unwrap());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM build_data").await, 0);
    for _ in 0..2 {
        assert!(record_build_data(&mut conn, "default", held, &entry).await.unwrap(), "also when it is sent again");
    }
    let found = builds_of_task(&mut conn, held.task_id, SUMMARY).await.unwrap();
    assert_eq!(told(&found), ["n1 lshw 01"], "under the task that is held");
    actor.succeed(&batch).await;
    assert!(!record_build_data(&mut conn, "default", held, &entry).await.unwrap(), "the task has ended");
}

#[tokio::test]
async fn the_history_stays_when_the_tasks_of_a_node_are_gone_and_it_is_deployed_again() {
    let database = database().await;
    let ids = database.insert(&["deploy", "destroy", "deploy again"]).await;
    for (day, id) in (1..).zip(&ids) {
        add(&database, &[entry("n1", *id, "lshw", day)]).await;
    }
    database.run("DELETE FROM tasks").await;
    let found = builds_of_node(&mut database.conn().await, "n1", None, SUMMARY).await.unwrap();
    assert_eq!(found.iter().map(|data| data.task_id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
}

#[tokio::test]
async fn retention_never_takes_the_latest_of_a_node_and_generator() {
    let database = database().await;
    let task = Uuid::now_v7();
    let mut entries: Vec<NewBuildData> = (1..=9).map(|day| entry("n1", task, "lshw", day)).collect();
    entries.extend([entry("n1", task, "dmidecode", 1), entry("n2", task, "lshw", 1)]);
    add(&database, &entries).await;
    // recorded long ago, but for the fifth, and with ids of then
    database
        .run(
            "UPDATE build_data SET recorded_at = now() - interval '40 days',
                 build_id = overlay(overlay(task_id_floor(now() - interval '40 days' + extract(day FROM collected_date)
                     * interval '1 s' + length(generator) * interval '10 ms' + length(node_name || generator) * interval '1 ms')::text
                     PLACING '7' FROM 15) PLACING substr('8' || md5(build_id::text), 1, 4) FROM 20)::uuid
             WHERE NOT (generator = 'lshw' AND collected_date = '2026-01-05 12:00Z')",
        )
        .await;
    let mut leader = Actor::enter(&database).await;
    let leadership = Leadership { identity: leader.worker_id, epoch: leader.lead().await.epoch };
    let month = Duration::from_secs(30 * 86_400);
    let mut conn = database.conn().await;
    let pruned = prune_build_data(&mut conn, leadership, month, Uuid::nil()).await.unwrap();
    assert_eq!(pruned.deleted, 7);
    let end = prune_build_data(&mut conn, leadership, month, pruned.next.unwrap()).await.unwrap();
    assert_eq!((end.deleted, end.next), (0, None));
    let mut left = told(&builds(&mut conn, SUMMARY).await.unwrap());
    left.sort();
    assert_eq!(left, ["n1 dmidecode 01", "n1 lshw 05", "n1 lshw 09", "n2 lshw 01"]);
    let deposed = Leadership { epoch: leadership.epoch + 1, ..leadership };
    let nothing = prune_build_data(&mut conn, deposed, Duration::ZERO, Uuid::nil()).await.unwrap();
    assert_eq!((nothing.deleted, nothing.next), (0, None));
}

#[tokio::test]
async fn ten_megabytes_are_kept_as_they_are_beside_a_queue_that_goes_on() {
    let database = database().await;
    let element: String = (0..10 * 1024 * 1024 / 16).map(|n| format!("{n:015}\n")).collect();
    let names: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    database.insert(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut actor = Actor::enter(&database).await;
    let batch = actor.claim(1).await;
    let mut conn = database.conn().await;
    let began = Instant::now();
    let wide = NewBuildData::new("n1", batch.held[0].task_id, "lshw", "text/plain", element.clone());
    let recording = record_build_data(&mut conn, "default", batch.held[0], &wide);
    let working = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let began = Instant::now();
            let batch = actor.claim(1).await;
            actor.succeed(&batch).await;
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (recorded, slowest) = tokio::join!(recording, working);
    assert!(recorded.unwrap());
    println!(
        "figure: 10 MB recorded within {:?}; the slowest claim and completion beside it {slowest:?}",
        began.elapsed()
    );
    assert_eq!(
        database.value::<String>("SELECT status::text FROM tasks ORDER BY task_id LIMIT 1").await,
        Status::Running.as_str()
    );
    let found = builds_of_node(&mut conn, "n1", None, FULL).await.unwrap();
    assert!(found[0].data_element.as_deref() == Some(element.as_str()));
    // nothing of it lies among the rows, so that summaries read none of it
    let heap: i64 = database.value("SELECT pg_relation_size('build_data')").await;
    assert!(heap <= 8192, "{heap}");
}

/// Column, value, SQLSTATE, constraint, remedy.
type Refusal = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CHECK: &str = "23514";
const NULL: &str = "23502";
const ALL: &str = "it is mandatory";

const REFUSALS: &[Refusal] = &[
    ("node_name", "NULL", NULL, "", ALL),
    ("node_name", "''", CHECK, "node_name_is_1_to_253_characters", ALL),
    ("node_name", "repeat('n', 254)", CHECK, "node_name_is_1_to_253_characters", "shorten it"),
    ("task_id", "NULL", NULL, "", ALL),
    ("task_id", "'42'", "22P02", "", "write a UUID"),
    ("collected_date", "NULL", NULL, "", "leave it out for now"),
    ("collected_date", "'infinity'", CHECK, "collected_date_is_between_2000_and_2200", "leave it out for now"),
    ("generator", "NULL", NULL, "", ALL),
    ("generator", "''", CHECK, "generator_is_1_to_256_characters", ALL),
    ("generator", "repeat('g', 257)", CHECK, "generator_is_1_to_256_characters", "shorten it"),
    ("data_format", "NULL", NULL, "", ALL),
    ("data_format", "''", CHECK, "data_format_is_1_to_32_characters", ALL),
    ("data_format", "repeat('f', 33)", CHECK, "data_format_is_1_to_32_characters", "shorten it"),
    ("data_element", "NULL", NULL, "", ALL),
    ("data_element", "''", CHECK, "data_element_is_1_byte_to_64_mib", ALL),
    ("data_element", "repeat('x', 67108865)", CHECK, "data_element_is_1_byte_to_64_mib", "store it elsewhere"),
    ("build_id", "gen_random_uuid()", CHECK, "build_id_is_a_uuidv7", "leave it out, or make a UUIDv7 (RFC 9562)"),
];

/// The section of `queue/CONTRACT.md`.
pub(crate) fn section() -> String {
    let mut page = String::from(
        "
# What build data refuses

| column | refused | SQLSTATE | constraint | remedy |
|---|---|---|---|---|
",
    );
    for (column, value, sqlstate, constraint, remedy) in REFUSALS {
        let constraint = if constraint.is_empty() { String::new() } else { format!("`{constraint}`") };
        writeln!(page, "| {column} | `{value}` | {sqlstate} | {constraint} | {remedy} |").unwrap();
    }
    page
}

#[tokio::test]
async fn each_wrong_entry_is_refused_by_name_and_the_one_beside_it_accepted() {
    let database = database().await;
    let insert = |column: &str, value: &str| {
        let of = |name, right| if name == column { value } else { right };
        format!(
            "INSERT INTO build_data (node_name, task_id, collected_date, generator, data_format, data_element, build_id)
             VALUES ({}, {}, {}, {}, {}, {}, {})",
            of("node_name", "repeat('é', 253)"),
            of("task_id", "gen_random_uuid()"),
            of("collected_date", "now()"),
            of("generator", "repeat('é', 256)"),
            of("data_format", "repeat('é', 32)"),
            of("data_element", "'x'"),
            of("build_id", "task_uuidv7()"),
        )
    };
    assert_eq!(database.refusal(&insert("", "")).await.0, "00000");
    let mut wrong = Vec::new();
    for (column, value, sqlstate, constraint, _) in REFUSALS {
        let found = database.refusal(&insert(column, value)).await;
        if (found.0.as_str(), found.1.as_str()) != (*sqlstate, *constraint) {
            wrong.push(format!("{column} {value}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
