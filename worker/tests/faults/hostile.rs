//! Rows with any values that the constraints let through.

use std::time::{Duration, Instant};

use fastrand::Rng;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::chaos::seed;
use crate::rig::{Rig, Setup};
use crate::support::PATIENCE;

/// Rows to be accepted; several times as many are tried.
const ACCEPTED: u64 = 2000;
const TRIED_MAX: u64 = 20 * ACCEPTED;

const TEXTS: [&str; 12] = [
    "noop",
    "default",
    "",
    " ",
    "'; DROP TABLE tasks; --",
    "\u{202e}\u{200d}\u{feff}",
    "\u{1f469}\u{200d}\u{1f680}",
    "\u{10ffff}",
    "a\tb\r\nc\u{1}\u{7f}",
    "null",
    "\\\\x00 %s {} $1",
    "İstanbul ß ﬃ",
];
const RUN_AT: [&str; 8] = [
    "now()",
    "'2000-01-01 00:00:00+00'",
    "'2199-12-31 23:59:59.999999+00'",
    "'infinity'",
    "'-infinity'",
    "'1999-12-31'",
    "now() - interval '20 years'",
    "clock_timestamp() + interval '1 microsecond'",
];
const TIMEOUTS: [&str; 11] = [
    "NULL",
    "'1 microsecond'",
    "'31 days'",
    "'1 month'",
    "'-100 years 36001 days'",
    "'100 years -35999 days'",
    "'1000000 years -359999999 days'",
    "'0'",
    "'-1 s'",
    "'1 month -29 days -23:59:59.999999'",
    "'2 s'",
];
const PAYLOADS: [&str; 11] = [
    "'null'",
    "'0'",
    "'1e130000'::jsonb",
    "'-1e-16000'",
    "('9' || repeat('9', 100000))::jsonb",
    "(repeat('[', 5000) || repeat(']', 5000))::jsonb",
    "(repeat('{\"a\":', 2000) || '1' || repeat('}', 2000))::jsonb",
    "to_jsonb(repeat('x', 262142))",
    "to_jsonb(repeat(E'\\x01', 40000))",
    "to_jsonb(repeat('😀', 65535))",
    "'{\"ms\": -1, \"say\": \"x\", \"good_attempt\": 1e99, \"\\ud83d\\ude00\": {\"\": []}}'",
];
const CREATED: [&str; 6] =
    ["now()", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59+00'", "'1970-01-01'"];
const REFERENCES: [&str; 5] =
    ["NULL", "'file:/etc/passwd'", "'javascript:alert(1)'", "'x:%00%ff'", "'deckhand+http://' || repeat('a', 2000)"];

/// One of these, as SQL; mostly the first, so that most rows have one oddity or two.
fn any<'a>(random: &mut Rng, of: &[&'a str]) -> &'a str {
    if random.u8(..5) == 0 { of[random.usize(..of.len())] } else { of[0] }
}

/// A text as a literal, repeated up to and beyond any bound.
fn text(random: &mut Rng, usual: &str) -> String {
    if random.u8(..6) > 0 {
        return format!("'{usual}'");
    }
    let text = TEXTS[random.usize(..TEXTS.len())].replace('\'', "''");
    let times = [1, 1, 1, 2, 13, 64][random.usize(..6)];
    format!("repeat('{text}', {times})")
}

/// An id of version 7, of any time.
fn task_id(random: &mut Rng) -> String {
    match random.u8(..8) {
        0 => {
            let time = [0, 1, (1 << 48) - 1, 1 << 47, random.u64(..1 << 48)][random.usize(..5)];
            let id = u128::from(time) << 80 | 7 << 76 | u128::from(random.u64(..) >> 2) | 2 << 62;
            format!("'{}'", Uuid::from_u128(id))
        }
        _ => "task_uuidv7()".to_owned(),
    }
}

fn row(random: &mut Rng) -> String {
    let action = if random.bool() { "noop" } else { "cat" };
    let timeout = any(random, &TIMEOUTS);
    // an attempt of a microsecond fails for ever
    let attempts = if timeout == "NULL" { any(random, &["3", "1", "1000", "0", "1001"]) } else { "2" };
    format!(
        "INSERT INTO tasks (task_id, action, queue, priority, run_at, max_attempts, timeout, payload, node_filter,
            request_context, design_ref, created, created_by, unique_key, unique_until)
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, '{}')",
        task_id(random),
        text(random, action),
        text(random, "default"),
        any(random, &["5", "0", "9", "-1", "10"]),
        any(random, &RUN_AT),
        attempts,
        timeout,
        any(random, &PAYLOADS),
        if random.u8(..5) == 0 { PAYLOADS[random.usize(..PAYLOADS.len())] } else { "NULL" },
        if random.u8(..5) == 0 { PAYLOADS[random.usize(..PAYLOADS.len())] } else { "NULL" },
        any(random, &REFERENCES),
        any(random, &CREATED),
        text(random, "somebody"),
        if random.u8(..4) == 0 { text(random, "key") } else { "NULL".to_owned() },
        ["claimed", "ended"][random.usize(..2)],
    )
}

pub(crate) async fn any_row_that_is_accepted_ends_and_no_worker_is_harmed() {
    let seed = seed();
    println!("hostile rows: LONGSHORE_CHAOS_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let rig = Rig::new().await;
    // reads its task, and says how long it was
    let cat = "[actions.cat]\nexecutor = \"command\"\nargv = [\"wc\", \"-c\"]\n\
               retry = { base = \"0s\", factor = 1.0, max = \"1s\" }\n";
    let mut workers = ["one", "two"].map(|name| {
        rig.start(Setup { name, binary: true, concurrency: 64, sections: cat.to_owned(), ..Setup::default() })
    });
    let mut producer = PgConnection::connect(&rig.database.url).await.unwrap();
    let (mut accepted, mut tried) = (0, 0);
    while accepted < ACCEPTED && tried < TRIED_MAX {
        tried += 1;
        let done = sqlx::query(AssertSqlSafe(row(&mut random))).execute(&mut producer).await;
        accepted += done.map_or(0, |done| done.rows_affected());
    }
    println!("hostile rows: {accepted} of {tried} were accepted");
    assert_eq!(accepted, ACCEPTED);

    let since = Instant::now();
    let mut open = vec![String::new()];
    while !open.is_empty() {
        assert!(since.elapsed() < PATIENCE, "these do not end: {open:#?}");
        open = sqlx::query_scalar(
            "SELECT format('%s %s %s %s %s', task_id, action, status, attempt, timeout) FROM tasks
             WHERE queue = 'default' AND action IN ('noop', 'cat') AND run_at < now() + interval '1 hour'
                AND status NOT IN ('complete', 'terminated') LIMIT 20",
        )
        .fetch_all(&mut producer)
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let untouched: bool = rig
        .database
        .value(
            "SELECT bool_and(status = 'queued' OR result_reason = 'duplicate') FROM tasks
             WHERE queue <> 'default' OR action NOT IN ('noop', 'cat') OR run_at > now() + interval '1 hour'",
        )
        .await;
    assert!(untouched, "a task was touched that is not due, or not for these workers");
    for worker in &mut workers {
        assert!(worker.is_running());
        assert!(worker.said("ERROR").is_empty() && worker.said("panic").is_empty(), "{:?}", worker.said("ERROR"));
        assert!(worker.said("WARN").is_empty(), "{:?}", worker.said("WARN"));
    }
    rig.database.run("DELETE FROM tasks WHERE status = 'queued'").await;
    rig.judge(&[]).await;
}
