//! Every value that a schedule refuses: its section of `queue/CONTRACT.md`, row by row; and whom it refuses.

use std::fmt::Write;

use crate::roles::{SCHEMA_CHANGES, refusals};
use crate::support::database;

/// Columns and values beside name and action, the SQLSTATE, the constraint, and the remedy.
type Refusal = (&'static str, &'static str, &'static str, &'static str, &'static str);

const CHECK: &str = "23514";
const FIELDS: &str = "write 5 fields, minute to weekday, or 6 with seconds first, or `@daily` and the like";
const BOUNDS: &str = "seconds and minutes go to 59, hours to 23, days from 1 to 31, months from 1 to 12, weekdays to 7";
const EITHER: &str = "set one of `cron` and `every`";
const STEADY: &str = "write weeks, days, hours, minutes or seconds; months differ in length, so `cron` counts them";

/// One row a value; a schedule's own columns, those of its task are the table's above.
const REFUSALS: &[Refusal] = &[
    ("cron", "NULL", CHECK, "schedule_has_either_cron_or_every", EITHER),
    ("cron, every", "'@daily', '1 day'", CHECK, "schedule_has_either_cron_or_every", EITHER),
    ("cron", "''", CHECK, "cron_has_5_or_6_fields", FIELDS),
    ("cron", "'* * * *'", CHECK, "cron_has_5_or_6_fields", FIELDS),
    ("cron", "'0 0 0 1 1 * 2030'", CHECK, "cron_has_5_or_6_fields", FIELDS),
    ("cron", "'* * * * ' || repeat('1,', 200) || '1'", CHECK, "cron_is_at_most_256_bytes", "use several schedules"),
    ("cron", "'@midnight'", CHECK, "cron_can_be_read", "`@yearly`, `@monthly`, `@weekly`, `@daily` or `@hourly`"),
    ("cron", "'0 25 * * *'", CHECK, "cron_can_be_read", BOUNDS),
    ("cron", "'0 0 0 0 * *'", CHECK, "cron_can_be_read", BOUNDS),
    ("cron", "'0 0 * 13 *'", CHECK, "cron_can_be_read", BOUNDS),
    ("cron", "'0 0 * * MOON'", CHECK, "cron_can_be_read", "names have three letters"),
    ("cron", "'0 $ * * *'", CHECK, "cron_can_be_read", "numbers, names, and `* ? / , # -`"),
    ("cron, time_zone", "'@daily', 'CEST'", CHECK, "time_zone_is_known", "an abbreviation is not a name"),
    ("cron, time_zone", "'@daily', 'UTC+3'", CHECK, "time_zone_is_known", "write a name of the IANA database"),
    ("cron, time_zone", "'@daily', 'Europe/Berlinn'", CHECK, "time_zone_is_known", "write a name of the IANA database"),
    ("cron, time_zone", "'@daily', NULL", "23502", "", "leave it out for `UTC`"),
    ("every", "'0'", CHECK, "every_is_1_second_to_366_days", "at least a second"),
    ("every", "'-1 h'", CHECK, "every_is_1_second_to_366_days", "at least a second"),
    ("every", "'367 days'", CHECK, "every_is_1_second_to_366_days", "use `cron`"),
    ("every", "'1 month'", CHECK, "every_counts_no_months", STEADY),
    ("every", "'often'", "22007", "", STEADY),
    ("every, starts_at", "'1 h', 'infinity'", CHECK, "starts_at_is_between_2000_and_2200", "leave it out for now"),
    ("every, request_context", "'1 h', '[]'", CHECK, "schedule_request_context_is_an_object", "send an object"),
    (
        "every, request_context",
        "'1 h', jsonb_build_object('k', repeat('x', 15361))",
        CHECK,
        "schedule_request_context_is_at_most_15_kib",
        "store it elsewhere and send a reference",
    ),
    ("every, overlap", "'1 h', 'wait'", "22P02", "", "`skip`, `queue` or `replace`"),
    ("every, missed", "'1 h', 'some'", "22P02", "", "`once`, `all` or `none`"),
    ("every, missed_max", "'1 h', 0", CHECK, "missed_max_is_1_to_1000", "for none say `missed = 'none'`"),
    ("every, missed_max", "'1 h', 1001", CHECK, "missed_max_is_1_to_1000", "insert the tasks yourself"),
    ("every, missed_after", "'1 h', '0'", CHECK, "missed_after_is_1_second_to_10_minutes", "a leader takes a moment"),
    ("every, missed_after", "'1 h', '1 h'", CHECK, "missed_after_is_1_second_to_10_minutes", "at most ten minutes"),
    ("every, payload", "'1 h', to_jsonb(repeat('x', 262143))", CHECK, "payload_is_at_most_256_kib", "as for a task"),
];

/// The section of the page.
pub(crate) fn section() -> String {
    let mut page = String::from(
        "
# What a schedule refuses

A row of `schedules` is judged likewise; the columns of its task refuse what those of `tasks` do. What SQL cannot judge,
an expression that makes no sense otherwise, the active instance writes into the row's `error`, with the remedy.

| columns | refused | SQLSTATE | constraint | remedy |
|---|---|---|---|---|
",
    );
    for (columns, values, sqlstate, constraint, remedy) in REFUSALS {
        let constraint = if constraint.is_empty() { String::new() } else { format!("`{constraint}`") };
        writeln!(page, "| {columns} | `{}` | {sqlstate} | {constraint} | {remedy} |", values.replace('|', "\\|"))
            .unwrap();
    }
    page.push_str(
        "| name | `''` | 23514 | `schedule_name_is_1_to_128_bytes` | name it |
| name | one that is taken | 23505 | `schedules_pkey` | UPDATE that one |
",
    );
    page
}

#[tokio::test]
async fn each_wrong_schedule_is_refused_by_name_and_leaves_nothing() {
    let database = database().await;
    let mut wrong = Vec::new();
    for (columns, values, sqlstate, constraint, _) in REFUSALS {
        let insert = format!("INSERT INTO schedules (name, action, {columns}) VALUES ('s', 'work', {values})");
        let (found, by) = database.refusal(&insert).await;
        if (found.as_str(), by.as_str()) != (*sqlstate, *constraint) {
            wrong.push(format!("{insert}: {found} {by}"));
            database.run("DELETE FROM schedules").await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let insert = |name| format!("INSERT INTO schedules (name, every, action) VALUES ('{name}', '1 s', 'work')");
    assert_eq!(database.refusal(&insert("")).await.1, "schedule_name_is_1_to_128_bytes");
    assert_eq!(database.refusal(&insert("s")).await.0, "00000");
    assert_eq!(database.refusal(&insert("s")).await, ("23505".to_owned(), "schedules_pkey".to_owned()));
    let edit = database.refusal("UPDATE schedules SET time_zone = 'Nowhere/At All'").await;
    assert_eq!(edit, ("23514".to_owned(), "time_zone_is_known".to_owned()));
}

#[tokio::test]
async fn the_schedules_beside_the_refused_ones_are_accepted() {
    let database = database().await;
    for (number, (columns, values)) in [
        ("cron", "'*/5 * * * *'"),
        ("cron", "'0 */5 * * * *'"),
        ("cron, time_zone", "'@hourly', 'America/Argentina/Buenos_Aires'"),
        ("every", "'1 s'"),
        ("every", "'366 days'"),
        ("every, missed_max, missed_after", "'2 weeks', 1000, '10 minutes'"),
        ("every, request_context", "'1 h', jsonb_build_object('k', repeat('x', 15300))"),
    ]
    .into_iter()
    .enumerate()
    {
        let insert = format!("INSERT INTO schedules (name, action, {columns}) VALUES ('{number}', 'work', {values})");
        assert_eq!(database.refusal(&insert).await.0, "00000", "{insert}");
        let run = format!("SELECT task_id FROM run_schedule('{number}')");
        assert!(database.value::<Option<uuid::Uuid>>(&run).await.is_some(), "{insert}");
    }
}

#[tokio::test]
async fn a_scheduler_role_writes_and_runs_schedules_and_touches_nothing_else() {
    let database = database().await;
    database.grant_roles().await;
    let scheduler = database.login("longshore_scheduler").await;
    scheduler
        .run(
            "INSERT INTO schedules (name, every, action) VALUES ('s', '1 h', 'work'), ('t', '1 h', 'work');
             UPDATE schedules SET every = '2 h', payload = '\"s\"', paused = true WHERE name = 's';
             SELECT run_schedule('s');
             DELETE FROM schedules WHERE name = 't'",
        )
        .await;
    assert_eq!(scheduler.value::<String>("SELECT outcome::text FROM schedule_ticks").await, "fired");
    assert_eq!(database.history().await, "s queued attempt 0");
    assert_eq!(
        refusals(
            &scheduler,
            &[
                "INSERT INTO schedules (name, every, action, ticked_to) VALUES ('u', '1 h', 'work', now())",
                "INSERT INTO schedules (name, every, action, revision) VALUES ('u', '1 h', 'work', 1)",
                "UPDATE schedules SET ticked_to = now()",
                "UPDATE schedules SET created_by = 'somebody'",
                "INSERT INTO schedule_ticks VALUES ('s', now(), 'fired')",
                "DELETE FROM schedule_ticks",
                "SELECT tick_schedule(gen_random_uuid(), 1, 's', 1, now(), '{}', NULL, now(), now())",
                "SELECT task_id FROM tasks",
                "INSERT INTO tasks (action) VALUES ('work')",
                "SELECT FROM active_instance",
            ]
        )
        .await,
        Vec::<String>::new()
    );
    assert_eq!(refusals(&scheduler, &SCHEMA_CHANGES).await, Vec::<String>::new());
}

#[tokio::test]
async fn every_form_of_an_expression_and_every_name_of_a_zone_is_let_in() {
    let database = database().await;
    for (cron, zone) in [
        ("30 2 * * *", "Europe/Berlin"),
        ("*/20 2,3 * * 1-5", "Asia/Kathmandu"),
        ("5-59/20 * * * * *", "UTC"),
        ("0 0 L * ?", "Etc/UTC"),
        ("0 0 LW JAN-mar,12 *", "japan"),
        ("0 0 15W * MON#2,5L", "GMT"),
        ("59 23 31 12 7", "utc"),
        ("0 */90 * * sun", "America/Argentina/ComodRivadavia"),
        ("@Hourly", "EST5EDT"),
    ] {
        let insert = format!(
            "INSERT INTO schedules (name, action, cron, time_zone) VALUES ('{cron}', 'work', '{cron}', '{zone}')"
        );
        database.run(&insert).await;
    }
    let edit = database.refusal("UPDATE schedules SET cron = '60 * * * *' WHERE name = '@Hourly'").await;
    assert_eq!(edit, ("23514".to_owned(), "cron_can_be_read".to_owned()));
    database.run("UPDATE schedules SET paused = true").await;
}
