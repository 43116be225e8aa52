//! Every value that an INSERT refuses: the table of `queue/CONTRACT.md`, row by row.

use std::fmt::Write;

use crate::support::database;

/// A refused value.
struct Refusal {
    column: &'static str,
    /// What the page shows.
    shown: &'static str,
    /// What the test inserts.
    sql: &'static str,
    sqlstate: &'static str,
    /// Empty where Postgres's own check refuses.
    constraint: &'static str,
    remedy: &'static str,
}

const CHECK: &str = "23514";
const NULL: &str = "23502";
const TEXT: &str = "22P02";

const fn refusal(
    column: &'static str,
    sql: &'static str,
    sqlstate: &'static str,
    constraint: &'static str,
    remedy: &'static str,
) -> Refusal {
    Refusal { column, shown: sql, sql, sqlstate, constraint, remedy }
}

impl Refusal {
    /// Shows something shorter than the SQL.
    const fn shown(self, shown: &'static str) -> Self {
        Self { shown, ..self }
    }

    fn insert(&self) -> String {
        match self.column {
            "action" => format!("INSERT INTO tasks (action) VALUES ({})", self.sql),
            column => format!("INSERT INTO tasks (action, {column}) VALUES ('work', {})", self.sql),
        }
    }
}

const NOT_YOURS: &str = "leave the column out: it is the queue's";
const NAME_IT: &str = "say what to do";
const SHORTEN: &str = "shorten it";
const VERSION_7: &str = "leave it out, or make a UUIDv7 (RFC 9562)";
const DATE: &str = "give a time of this and the next two centuries; for `as soon as possible` leave it out";
const SECRET: &str = "take the credentials out; the worker's configuration holds them";
const URI: &str = "write a URI with its scheme, and percent-encode what a URI may not hold";
const SMALLER: &str = "store it elsewhere and send a reference";
const JSON: &str = "send valid JSON";
const FIRST: &str = "insert the parent before, or further up in the same statement";
const SIBLINGS: &str = "set parent_task_id: only subtasks of one task wait for one another";
const POLICY: &str = "`continue`, `stop`, `terminate_dependants` or `terminate_rest`";

/// One row a value.
const REFUSALS: &[Refusal] = &[
    refusal("action", "NULL", NULL, "", NAME_IT).shown("left out, or `NULL`"),
    refusal("action", "''", CHECK, "action_is_1_to_128_bytes", NAME_IT),
    refusal("action", "repeat('é', 65)", CHECK, "action_is_1_to_128_bytes", SHORTEN).shown("130 bytes"),
    refusal("queue", "NULL", NULL, "", "leave it out for the queue `default`"),
    refusal("queue", "''", CHECK, "queue_is_1_to_64_bytes", "leave it out for the queue `default`"),
    refusal("queue", "repeat('q', 65)", CHECK, "queue_is_1_to_64_bytes", SHORTEN).shown("65 bytes"),
    refusal("priority", "-1", CHECK, "priority_is_0_to_9", "0 comes first, 9 last"),
    refusal("priority", "10", CHECK, "priority_is_0_to_9", "0 comes first, 9 last"),
    refusal("priority", "70000", "22003", "", "0 comes first, 9 last"),
    refusal("priority", "'high'", TEXT, "", "0 comes first, 9 last"),
    refusal("payload", "NULL", NULL, "", "leave it out for `{}`, or send JSON's `null`"),
    refusal("payload", "'{to: a}'", TEXT, "", JSON),
    refusal("payload", "''", TEXT, "", JSON),
    refusal("payload", "'\"\\u0000\"'", "22P05", "", "Postgres stores no U+0000: encode binary data, as base64 say"),
    refusal("payload", "'\"\\ud83d\"'", TEXT, "", "send both halves of a surrogate pair"),
    refusal("payload", "to_jsonb(repeat('x', 262143))", CHECK, "payload_is_at_most_256_kib", SMALLER)
        .shown("262,145 bytes of text"),
    refusal("payload", "'[1e100000, 1e100000, 1e100000]'", CHECK, "payload_is_at_most_256_kib", SMALLER)
        .shown("`[1e100000, 1e100000, 1e100000]`: its digits count"),
    refusal("payload", "'1e200000'", "22003", "", "send such a number as a string"),
    refusal("payload", "repeat('[', 100000)::jsonb", "54001", "", "nest less").shown("100,000 levels of nesting"),
    refusal("node_filter", "to_jsonb(repeat('x', 65535))", CHECK, "node_filter_is_at_most_64_kib", SMALLER)
        .shown("65,537 bytes of text"),
    refusal("node_filter", "'{'", TEXT, "", JSON),
    refusal("request_context", "to_jsonb(repeat('x', 16383))", CHECK, "request_context_is_at_most_16_kib", SMALLER)
        .shown("16,385 bytes of text"),
    refusal("request_context", "'{'", TEXT, "", JSON),
    refusal("run_at", "NULL", NULL, "", DATE),
    refusal("run_at", "'infinity'", CHECK, "run_at_is_between_2000_and_2200", DATE),
    refusal("run_at", "'-infinity'", CHECK, "run_at_is_between_2000_and_2200", DATE),
    refusal("run_at", "'1999-12-31 23:59:59Z'", CHECK, "run_at_is_between_2000_and_2200", DATE),
    refusal("run_at", "'2200-01-01 00:00:00Z'", CHECK, "run_at_is_between_2000_and_2200", DATE),
    refusal("run_at", "'2300-01-01 00:00:00Z'", CHECK, "run_at_is_between_2000_and_2200", DATE),
    refusal("run_at", "'soon'", "22007", "", DATE),
    refusal("run_at", "'2024-02-30'", "22008", "", DATE),
    refusal("max_attempts", "0", CHECK, "max_attempts_is_1_to_1000", "1 runs it once"),
    refusal("max_attempts", "-1", CHECK, "max_attempts_is_1_to_1000", "1 runs it once"),
    refusal("max_attempts", "1001", CHECK, "max_attempts_is_1_to_1000", "1 runs it once"),
    refusal("timeout", "'0'", CHECK, "timeout_is_above_0_and_at_most_31_days", "leave it out for the action's own"),
    refusal("timeout", "'-1 s'", CHECK, "timeout_is_above_0_and_at_most_31_days", "leave it out for the action's own"),
    refusal("timeout", "'32 days'", CHECK, "timeout_is_above_0_and_at_most_31_days", "split the task"),
    refusal("timeout", "'long'", "22007", "", "write an interval: `'90 s'`"),
    refusal("unique_key", "''", CHECK, "unique_key_is_1_to_512_bytes", "leave it out for a task without a key"),
    refusal("unique_key", "repeat('k', 513)", CHECK, "unique_key_is_1_to_512_bytes", "use a hash of it")
        .shown("513 bytes"),
    refusal("unique_until", "'forever'", TEXT, "", "`claimed` or `ended`"),
    refusal("unique_until", "NULL", NULL, "", "`claimed` or `ended`"),
    // NULL belongs to no partition, and Postgres looks for that first
    refusal("task_id", "NULL", CHECK, "", VERSION_7),
    refusal("task_id", "'8b1c5c0e-2f4e-4c57-9d0a-6f0d3c1b2a19'", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("a UUIDv4"),
    refusal("task_id", "'1ef21d2f-1207-6660-8c4f-419efbd44d48'", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("a UUIDv6"),
    refusal("task_id", "'01890a5d-ac96-774b-0cce-b302099a8057'", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("version 7 of another variant"),
    refusal("task_id", "'00000000-0000-0000-0000-000000000000'", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("the nil UUID"),
    refusal("task_id", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("the max UUID"),
    refusal("task_id", "'01890a5d-ac96-774b-8cce-b302099a8057'", CHECK, "task_id_is_recent", VERSION_7)
        .shown("a UUIDv7 of long ago"),
    refusal("task_id", "task_id_floor(now() + interval '30 days')", CHECK, "task_id_is_a_uuidv7", VERSION_7)
        .shown("the bare time of one"),
    refusal(
        "task_id",
        "overlay(overlay(task_id_floor(now() + interval '30 days')::text PLACING '7' FROM 15) PLACING '8' FROM 20)::uuid",
        CHECK,
        "task_id_is_not_from_the_future",
        VERSION_7,
    )
    .shown("a UUIDv7 of next month"),
    refusal("task_id", "'42'", TEXT, "", VERSION_7),
    refusal("created", "'infinity'", CHECK, "created_is_between_2000_and_2200", "leave it out"),
    refusal("created", "'1999-12-31 23:59:59Z'", CHECK, "created_is_between_2000_and_2200", "leave it out"),
    refusal("created_by", "''", CHECK, "created_by_is_1_to_128_bytes", "leave it out for the session's user"),
    refusal("created_by", "repeat('n', 129)", CHECK, "created_by_is_1_to_128_bytes", SHORTEN).shown("129 bytes"),
    refusal("design_ref", "'https://user@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://user:pw@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'HTTPS://user:pw@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://:@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https:user:pw@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https:///user:pw@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https:\\\\user:pw@host\\design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https:/\\user:pw@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://user:pw\\@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://us%65r:p%77@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'https://a@b@host/design'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'deckhand+http://user:pw@host:9000/api'", CHECK, "design_ref_holds_no_credentials", SECRET),
    refusal("design_ref", "'/srv/design.yaml'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "'host/design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "'://host/design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "'https:'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "''", CHECK, "design_ref_is_a_uri", "leave it out for a task without a design"),
    refusal("design_ref", "'https://host/a design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "' https://host/design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "E'https://host/design\\n'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "E'https://ho\\tst/design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "E'https://host/\\x01'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "E'https://host/\\x7f'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "'https:\\\\host\\design'", CHECK, "design_ref_is_a_uri", URI),
    refusal("design_ref", "'https://h/' || repeat('d', 2039)", CHECK, "design_ref_is_at_most_2048_bytes", SHORTEN)
        .shown("2,049 bytes"),
    refusal("parent_task_id", "task_uuidv7()", "23503", "parent_task_id_exists", FIRST).shown("a task that is not there"),
    refusal("after", "ARRAY[task_uuidv7()]", CHECK, "after_needs_a_parent", SIBLINGS).shown("tasks, without a parent"),
    refusal("after", "'{}'", CHECK, "after_names_1_to_1000_tasks", "leave it out for a task that waits for none"),
    refusal("on_subtask_failure", "'never'", TEXT, "", POLICY),
    refusal("status", "'paused'", TEXT, "", NOT_YOURS),
    refusal("status", "'requested'", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("status", "'running'", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("status", "'complete'", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("attempt", "1", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("retry", "1", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("claim_token", "gen_random_uuid()", CHECK, "tasks_begin_queued", NOT_YOURS).shown("any token"),
    refusal("result_status", "'success'", CHECK, "tasks_begin_queued", NOT_YOURS),
    refusal("terminate", "true", CHECK, "tasks_begin_queued", "insert nothing, or end the task once it is there"),
    refusal("ready", "true", "428C9", "", NOT_YOURS),
];

/// The page: what precedes the table, the table, and what follows it.
fn page() -> String {
    let mut page = String::from(
        "# What an INSERT refuses

A value that a worker could not run is refused when it is inserted, by Postgres's own checks of its types or by a
constraint whose name says what is wrong. Nothing of the statement is inserted then. Each row below is a test.

| column | refused | SQLSTATE | constraint | remedy |
|---|---|---|---|---|
",
    );
    for refusal in REFUSALS {
        let shown = if refusal.shown == refusal.sql { format!("`{}`", refusal.sql) } else { refusal.shown.to_owned() };
        let constraint =
            if refusal.constraint.is_empty() { String::new() } else { format!("`{}`", refusal.constraint) };
        writeln!(
            page,
            "| {} | {} | {} | {constraint} | {} |",
            refusal.column,
            shown.replace('|', "\\|"),
            refusal.sqlstate,
            refusal.remedy
        )
        .unwrap();
    }
    page.push_str(
        "
Besides: a `task_id` that is taken gives 23505; a column that is not the producer's gives 42501 to a user with the role
`longshore_producer`, whatever the value. A task whose `unique_key` is taken is not refused but skipped: no row is
returned, and no error.

A task that has no place in its tree is refused as well, also while others change the tree: 23503
`after_names_earlier_siblings` for a predecessor that is no subtask of the same parent, or comes further down in the
statement (so no cycle can be written); 23514 `after_names_others` for a task after itself, `parent_has_not_ended`,
`parent_is_not_terminating` and `depth_is_at_most_32`, which counts from the root. A predecessor that has failed already ends the new task at once, unless
the parent's policy is to continue.
",
    );
    page.push_str(&crate::schedule_refusals::section());
    page.push_str(&crate::build_data::section());
    page.push_str(&crate::pauses::section());
    page
}

#[tokio::test]
async fn each_wrong_value_is_refused_by_name_and_leaves_nothing() {
    let database = database().await;
    let mut wrong = Vec::new();
    for refusal in REFUSALS {
        let (sqlstate, constraint) = database.refusal(&refusal.insert()).await;
        let left: i64 = database.value("SELECT count(*) FROM tasks").await;
        if (sqlstate.as_str(), constraint.as_str(), left) != (refusal.sqlstate, refusal.constraint, 0) {
            wrong.push(format!("{}: {sqlstate} {constraint}, {left} left", refusal.insert()));
            database.run("DELETE FROM tasks").await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_values_beside_the_refused_ones_are_accepted() {
    let database = database().await;
    for (column, values) in [
        ("queue", &["repeat('q', 64)"][..]),
        ("priority", &["0", "9"]),
        ("payload", &["to_jsonb(repeat('x', 262142))", "'null'", "'1e100000'"]),
        ("node_filter", &["to_jsonb(repeat('x', 65534))", "NULL"]),
        ("request_context", &["to_jsonb(repeat('x', 16382))", "NULL"]),
        ("run_at", &["'2000-01-01 00:00:00Z'", "'2199-12-31 23:59:59Z'"]),
        ("max_attempts", &["1", "1000"]),
        ("timeout", &["'1 us'", "'31 days'", "NULL"]),
        ("unique_key", &["repeat('k', 512)", "NULL"]),
        ("unique_until", &["'claimed'", "'ended'"]),
        ("task_id", &["task_uuidv7()"]),
        ("created_by", &["repeat('n', 128)"]),
        (
            "design_ref",
            &[
                "'file:///srv/design.yaml'",
                "'https://host/a@b'",
                "'https://host?who=a@b'",
                "'https://host#a@b'",
                "'deckhand+https://host:9000/api/v1.0/revisions/5/rendered-documents'",
                "'https://h/' || repeat('d', 2038)",
                "NULL",
            ],
        ),
    ] {
        for value in values {
            let insert = format!("INSERT INTO tasks (action, {column}) VALUES ('work', {value})");
            assert_eq!(database.refusal(&insert).await.0, "00000", "{insert}");
        }
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_producer_in_rust_with_the_same_names() {
    let database = database().await;
    let task = longshore_queue::NewTask { priority: Some(10), ..longshore_queue::NewTask::new("work") };
    let refused = longshore_queue::insert(&mut database.conn().await, &task).await.unwrap_err();
    assert_eq!(refused.sqlstate().as_deref(), Some(CHECK));
    assert!(!refused.is_passing() && refused.to_string().contains("priority_is_0_to_9"), "{refused}");
}

/// To write the page anew: `LONGSHORE_WRITE_PAGES=1 cargo test -p longshore-queue the_page`.
#[test]
fn the_page_shows_the_table_that_is_tested() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONTRACT.md");
    if std::env::var_os("LONGSHORE_WRITE_PAGES").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == page(), "{path} is not what the table gives");
}
