//! `deploy/roles.sql`: each role can do its work, and nothing more.

use std::process::Command;
use std::time::Duration;

use longshore_queue::{
    Completion, Insertion, Leadership, Load, OUTPUT_IN_ROW_MAX_BYTES, Plan, Retention, TaskResult,
    UpkeepAction::NotActive, abdicate, analyze_tables, check_schema, depths, due_schedules, fates, fleet, forgotten,
    heartbeat, idle, insert, insert_subtasks, last_messages, leave, messages, pause_schedule, prune_ticks, read,
    refuse_schedule, rescue_trees, run_schedule, schedules, settle_tree, settle_unique, subtask_counts, subtasks,
    table_bytes, terminate, tick, upkeep_step,
};
use sqlx::Executor;
use uuid::Uuid;

use crate::support::actor::{Actor, back, named, notes, success};
use crate::support::{Database, SERVER, database};

/// Runs each statement and prints what it is refused with.
pub(crate) async fn refusals(database: &Database, statements: &[&str]) -> Vec<String> {
    let mut allowed = Vec::new();
    for statement in statements {
        let (sqlstate, _) = database.refusal(statement).await;
        if sqlstate != "42501" {
            allowed.push(format!("{sqlstate} {statement}"));
        }
    }
    allowed
}

/// What nobody but the owner may do.
pub(crate) const SCHEMA_CHANGES: [&str; 14] = [
    "TRUNCATE tasks",
    "TRUNCATE claims",
    "DROP TABLE tasks",
    "DROP INDEX tasks_ready",
    "DROP FUNCTION terminate_task(uuid, text)",
    "ALTER TABLE tasks ADD COLUMN more int",
    "ALTER TABLE tasks DISABLE TRIGGER tasks_admit",
    "ALTER TYPE task_status ADD VALUE 'paused'",
    "CREATE INDEX ON tasks (action)",
    "CREATE TABLE mine (a int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION tasks_terminate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TRIGGER mine AFTER INSERT ON tasks EXECUTE FUNCTION tasks_terminate()",
    "SELECT add_partition('mine', '2199-01-01', '2199-01-02')",
];

#[tokio::test]
async fn a_producer_role_inserts_and_learns_the_id_and_nothing_else() {
    let database = database().await;
    database.grant_roles().await;
    let producer = database.login("longshore_producer").await;
    let inserted = insert(&mut producer.conn().await, &named("mine")).await.unwrap().unwrap();
    let read_back: uuid::Uuid = producer.value("INSERT INTO tasks (action) VALUES ('work') RETURNING task_id").await;
    assert_eq!(
        producer.values::<uuid::Uuid>("SELECT task_id FROM tasks ORDER BY task_id").await,
        [inserted, read_back]
    );
    producer
        .run(&format!(
            "INSERT INTO tasks (action, parent_task_id, on_subtask_failure) VALUES ('work', '{inserted}', 'stop')"
        ))
        .await;
    assert_eq!(
        refusals(
            &producer,
            &[
                "SELECT payload FROM tasks",
                "SELECT FROM tasks WHERE payload ? 'secret'",
                "SELECT task_id FROM tasks ORDER BY created_by",
                "INSERT INTO tasks (action) VALUES ('work') RETURNING payload",
                "COPY tasks TO STDOUT",
                "INSERT INTO tasks (action, status) VALUES ('work', 'queued')",
                "INSERT INTO tasks (action, attempt) VALUES ('work', 0)",
                "INSERT INTO tasks (action, retry) VALUES ('work', 0)",
                "INSERT INTO tasks (action, claim_token) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, \"terminate\") VALUES ('work', false)",
                "INSERT INTO tasks (action, result_status) VALUES ('work', 'incomplete')",
                "INSERT INTO tasks (action, result_message) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, result_error_count) VALUES ('work', 0)",
                "INSERT INTO tasks (action, output) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, started_at) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, updated) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, finished_at) VALUES ('work', NULL)",
                "INSERT INTO tasks (action, terminated_by) VALUES ('work', NULL)",
                "INSERT INTO tasks_future (action) VALUES ('work')",
                "UPDATE tasks SET priority = 0",
                "UPDATE tasks SET \"terminate\" = true",
                "DELETE FROM tasks",
                "SELECT task_id FROM tasks FOR UPDATE",
                "SELECT terminate_task(task_id) FROM tasks",
                "SELECT settle_unique(array_agg(task_id), gen_random_uuid()) FROM tasks",
                "SELECT settle_tree('{}', '{}', '{}', 0, '{}', '{}')",
                "SELECT settle_ends('{}', '{}')",
                "INSERT INTO tasks (action, depth) VALUES ('work', 1)",
                "INSERT INTO tasks (action, has_subtasks) VALUES ('work', true)",
                "SELECT FROM result_message",
                "SELECT FROM task_output",
                "SELECT FROM workers",
                "SELECT FROM claims",
                "SELECT FROM active_instance",
                "SELECT FROM longshore_migrations",
                "SELECT FROM schedules",
                "INSERT INTO schedules (name, every, action) VALUES ('s', '1 h', 'work')",
                "SELECT run_schedule('s')",
                "SELECT follow_log()",
                "SELECT FROM log_followers",
                "SELECT FROM schedule_ticks",
                "SELECT FROM build_data",
                "INSERT INTO build_data (node_name) VALUES ('n')",
                "SELECT FROM pauses",
                "INSERT INTO pauses (queue) VALUES ('default')",
                "SELECT FROM worker_queues",
                "SELECT drain_worker(gen_random_uuid())",
            ]
        )
        .await,
        Vec::<String>::new()
    );
    assert_eq!(refusals(&producer, &SCHEMA_CHANGES).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_role_runs_every_step_of_the_crate() {
    let database = database().await;
    database.grant_roles().await;
    let role = database.login("longshore_worker").await;
    let mut actor = Actor::enter(&role).await;
    check_schema(&mut actor.session).await.unwrap();
    insert(&mut role.conn().await, &named("a subtask")).await.unwrap().unwrap();
    database.insert(&["b", "c", "d"]).await;
    let mut batch = actor.claim(10).await;
    assert_eq!(batch.held.len(), 4);
    let token = batch.claim_token;
    let ids: Vec<_> = batch.held.iter().map(|held| held.task_id).collect();
    macro_rules! step {
        ($db:ident => $call:expr) => {{
            let mut step = actor.session.step().await.unwrap();
            let $db = step.db();
            $call.await.unwrap()
        }};
    }
    assert!(step!(db => settle_unique(db, &ids, token)).is_empty());
    let below = longshore_queue::NewTask { task_id: Some(uuid::Uuid::now_v7()), ..named("below") };
    let of_tree = batch.held.pop().unwrap();
    assert!(matches!(
        step!(db => insert_subtasks(db, "default", of_tree, std::slice::from_ref(&below))),
        Insertion::Done
    ));
    assert_eq!(step!(db => subtask_counts(db, &ids)).len(), 1);
    assert_eq!(step!(db => subtasks(db, of_tree.task_id, uuid::Uuid::nil(), 10)).len(), 1);
    let ended = success(of_tree).into();
    assert_eq!(step!(db => settle_tree(db, &[ended], &Default::default())), [of_tree.task_id]);
    let load = Load { running: 4, ..Load::default() };
    assert_eq!(step!(db => heartbeat(db, actor.worker_id, false, &[("default", load)])), Some(false));
    step!(db => idle(db, actor.worker_id, Some(Duration::from_secs(1))));
    assert_eq!(step!(db => last_messages(db, &ids)).len(), 4);
    assert_eq!(actor.record(&batch.held, &notes(ids[0], 1, &["one"])).await.unwrap().len(), 3);
    assert_eq!(step!(db => messages(db, ids[0], 0, 10)).len(), 1);
    assert_eq!(step!(db => fates(db, "default", &batch.held)).len(), 3);
    assert!(step!(db => forgotten(db, actor.worker_id, &[], &[])).is_empty());
    assert!(step!(db => terminate(db, below.task_id.unwrap(), None)));
    assert!(step!(db => terminate(db, ids[0], None)));
    let retried = batch.held.remove(2);
    assert_eq!(actor.requeue(&[back(retried, false)], &Default::default()).await.unwrap(), [retried.task_id]);
    let wide = serde_json::value::to_raw_value(&"w".repeat(2 * usize::try_from(OUTPUT_IN_ROW_MAX_BYTES).unwrap()));
    let wide = TaskResult { output: Some(wide.unwrap()), ..TaskResult::default() };
    let completions =
        [Completion { held: batch.held[1], result: wide, error_count: 1, design_hash: None }, success(batch.held[0])];
    assert_eq!(actor.complete(&completions, &batch.last()).await.unwrap().len(), 2);
    assert_eq!(step!(db => read(db, ids[1])).unwrap().output.unwrap().as_str().unwrap().len(), 512);
    assert_eq!(step!(db => depths(db, &["default".to_owned()], 10))[0].ready, 1);
    assert_eq!(step!(db => fleet(db)).alive, 1);

    let mut dead = Actor::enter(&role).await;
    dead.claim(1).await;
    database.silence(&dead, 60).await;
    database.age(&actor, 60).await;
    let epoch = actor.lead().await.epoch;
    assert_eq!(actor.rescue(epoch).await.len(), 1);
    let leadership = Leadership { identity: actor.worker_id, epoch };
    assert!(step!(db => rescue_trees(db, leadership, actor.worker_id)).is_empty());
    let week = Duration::from_secs(7 * 86400);
    assert_ne!(step!(db => upkeep_step(db, leadership, Retention { success: week, other: week })).action, NotActive);
    assert!(step!(db => analyze_tables(db, leadership)));
    assert!(step!(db => table_bytes(db)).len() >= 4);
    database.run("INSERT INTO schedules (name, every, action) VALUES ('s', '1 h', 'other')").await;
    let schedule = step!(db => due_schedules(db, 1, Duration::from_secs(1))).remove(0);
    let next = Plan { fire_ats: vec![schedule.now], missed_at: None, ticked_to: schedule.now, next_at: schedule.now };
    assert_eq!(step!(db => tick(db, leadership, &schedule, &next)).len(), 1);
    assert!(step!(db => refuse_schedule(db, leadership, &schedule, "wrong", week)));
    assert_eq!(step!(db => prune_ticks(db, leadership, week)), 0);
    assert!(step!(db => pause_schedule(db, "s", true)));
    assert!(step!(db => run_schedule(db, "s")).is_some());
    assert_eq!(step!(db => schedules(db)).len(), 1);
    step!(db => abdicate(db, leadership));
    step!(db => leave(db, actor.worker_id));
    assert_eq!(database.value::<i64>("SELECT count(*) FROM claims").await, 0);
}

#[tokio::test]
async fn a_worker_role_may_run_every_statement_of_the_crate() {
    let database = database().await;
    database.grant_roles().await;
    let mut conn = database.login("longshore_worker").await.conn().await;
    for (name, sql) in crate::tidy::statements() {
        let parameters = vec!["NULL"; crate::tidy::parameters(&sql)].join(", ");
        let arguments = if parameters.is_empty() { parameters } else { format!("({parameters})") };
        // EXPLAIN asks for the same rights as the statement
        let explain = format!("PREPARE this AS {sql}; EXPLAIN EXECUTE this{arguments}; DEALLOCATE this");
        let done = conn.execute(sqlx::AssertSqlSafe(explain)).await;
        assert!(done.is_ok(), "{name}.sql: {}", done.unwrap_err());
    }
}

#[tokio::test]
async fn a_worker_role_changes_no_schema_and_no_producers_column() {
    let database = database().await;
    database.grant_roles().await;
    database.insert(&["a"]).await;
    let worker = database.login("longshore_worker").await;
    assert_eq!(refusals(&worker, &SCHEMA_CHANGES).await, Vec::<String>::new());
    assert_eq!(
        refusals(
            &worker,
            &[
                "UPDATE tasks SET payload = '{}'",
                "UPDATE tasks SET action = 'other'",
                "UPDATE tasks SET queue = 'other'",
                "UPDATE tasks SET priority = 0",
                "UPDATE tasks SET max_attempts = 1",
                "UPDATE tasks SET task_id = task_uuidv7()",
                "UPDATE tasks SET created_by = 'me'",
                "INSERT INTO tasks (action, status) VALUES ('work', 'queued')",
                "DELETE FROM tasks",
                "UPDATE result_message SET message = ''",
                "DELETE FROM result_message",
                "UPDATE task_output SET output = '1'",
                "DELETE FROM task_output",
                "UPDATE workers SET lease = '1 day'",
                "UPDATE worker_queues SET slots = 0",
                "DELETE FROM worker_queues",
                "UPDATE claims SET worker_id = gen_random_uuid()",
                "INSERT INTO active_instance (one) VALUES (false)",
                "DELETE FROM active_instance",
                "DELETE FROM longshore_migrations",
                "INSERT INTO schedules (name, every, action) VALUES ('s', '1 h', 'work')",
                "UPDATE schedules SET payload = '1'",
                "UPDATE schedules SET ticked_to = now()",
                "DELETE FROM schedules",
                "INSERT INTO schedule_ticks VALUES ('s', now(), 'fired')",
                "DELETE FROM schedule_ticks",
                "UPDATE build_data SET data_element = 'other'",
                "DELETE FROM build_data",
                "INSERT INTO longshore_migrations VALUES (999, 'later', now(), true, '', 0)",
            ]
        )
        .await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_reader_role_sees_everything_and_changes_nothing() {
    let database = database().await;
    database.grant_roles().await;
    database.insert(&["a"]).await;
    let reader = database.login("longshore_reader").await;
    let relations: Vec<String> = database
        .values(
            "SELECT oid::regclass::text FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition",
        )
        .await;
    assert!(relations.len() >= 7, "{relations:?}");
    for relation in relations {
        reader.run(&format!("SELECT * FROM {relation}")).await;
    }
    assert_eq!(reader.history().await, "a queued attempt 0");
    reader.run("SELECT follow_log()").await;
    assert!(database.value::<bool>("SELECT follow_until > now() FROM log_followers").await);
    let document: String = reader.value("SELECT task_tree_document(task_id)::text FROM tasks").await;
    assert!(document.contains("\"kind\": \"Task\""), "{document}");
    assert_eq!(
        refusals(
            &reader,
            &[
                "INSERT INTO tasks (action) VALUES ('work')",
                "UPDATE tasks SET \"terminate\" = true",
                "DELETE FROM tasks",
                "SELECT FROM tasks FOR SHARE",
                "SELECT terminate_task(task_id) FROM tasks",
                "UPDATE active_instance SET epoch = epoch + 1",
                "DELETE FROM claims",
                "DELETE FROM workers",
                "UPDATE schedules SET paused = true",
                "DELETE FROM pauses",
                "SELECT drain_worker(gen_random_uuid())",
                "UPDATE log_followers SET follow_until = 'infinity'",
                "SELECT run_schedule('s')",
            ]
        )
        .await,
        Vec::<String>::new()
    );
    assert_eq!(refusals(&reader, &SCHEMA_CHANGES).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_terminator_role_ends_tasks_in_both_ways_and_sees_their_ids_alone() {
    let database = database().await;
    database.grant_roles().await;
    let ids = database.insert(&["by call", "by column", "kept"]).await;
    let terminator = database.login("longshore_terminator").await;
    assert!(terminate(&mut terminator.conn().await, ids[0], Some("ann")).await.unwrap());
    terminator.run(&format!("UPDATE tasks SET \"terminate\" = true WHERE task_id = '{}'", ids[1])).await;
    let user: String = terminator.value("SELECT session_user::text").await;
    assert_eq!(
        database.history().await,
        format!(
            "by call terminated attempt 0 failure terminated by ann\n\
             by column terminated attempt 0 failure terminated by {user}\n\
             kept queued attempt 0"
        )
    );
    assert_eq!(
        refusals(
            &terminator,
            &[
                "SELECT payload FROM tasks",
                "SELECT status FROM tasks",
                "UPDATE tasks SET status = 'terminated'",
                "UPDATE tasks SET terminated_by = 'somebody'",
                "UPDATE tasks SET \"terminate\" = true WHERE payload = '1'",
                "UPDATE tasks SET \"terminate\" = true RETURNING payload",
                "INSERT INTO tasks (action) VALUES ('work')",
                "DELETE FROM tasks",
                "SELECT FROM result_message",
                "SELECT FROM claims",
            ]
        )
        .await,
        Vec::<String>::new()
    );
    assert_eq!(refusals(&terminator, &SCHEMA_CHANGES).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_runs_as_the_owner_runs_no_code_of_its_caller() {
    let database = database().await;
    database.grant_roles().await;
    database.insert(&["victim"]).await;
    let mut conn = database.login("longshore_producer").await.conn().await;
    // temporary objects named like the tables: whatever looks at them runs `evil`
    conn.execute(
        "CREATE TEMP TABLE ran (as_user text);
         GRANT ALL ON ran TO PUBLIC;
         CREATE FUNCTION pg_temp.evil() RETURNS timestamptz LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO pg_temp.ran VALUES (current_user); RETURN 'infinity'; END $$;
         CREATE TEMP VIEW workers AS SELECT pg_temp.evil() AS idle_until;
         CREATE TEMP VIEW tasks AS
             SELECT task_id, 'queued'::task_status AS status, 'default' AS queue, 'k' AS unique_key
             FROM public.tasks WHERE pg_temp.evil() IS NOT NULL;
         INSERT INTO public.tasks (action, unique_key) VALUES ('work', 'k');",
    )
    .await
    .unwrap();
    // and functions and operators that stand before Postgres's own in the caller's search_path
    database.run("CREATE SCHEMA traps; GRANT ALL ON SCHEMA traps TO longshore_producer").await;
    for (name, arguments, result) in [
        ("now", "", "timestamptz"),
        ("date_part", "text, timestamptz", "double precision"),
        ("pg_sequence_last_value", "regclass", "bigint"),
        ("num_nonnulls", "text, uuid[], uuid", "int"),
        ("current_setting", "text, boolean", "text"),
        ("pg_current_xact_id", "", "xid8"),
        ("currval", "regclass", "bigint"),
        ("md5", "text", "text"),
        ("substr", "text, int, int", "text"),
        ("same", "uuid, uuid", "boolean"),
        ("same", "xid8, xid8", "boolean"),
        ("same", "bigint, bigint", "boolean"),
        ("differs", "text, text", "boolean"),
        ("pg_notify", "text, text", "void"),
        ("uuid_send", "uuid", "bytea"),
        ("get_byte", "bytea, int", "int"),
        ("differs", "public.task_status, public.task_status", "boolean"),
        ("differs", "public.task_result_status, public.task_result_status", "boolean"),
        ("differs", "smallint, int", "boolean"),
        ("differs", "int, int", "boolean"),
        ("shifted", "int, int", "int"),
        ("joined", "smallint, smallint", "smallint"),
        ("later", "bigint, double precision", "boolean"),
        ("later", "int, int", "boolean"),
    ] {
        let trap = format!(
            "CREATE FUNCTION traps.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS
                 $$ BEGIN INSERT INTO pg_temp.ran VALUES (current_user); RETURN{}; END $$;",
            if result == "void" { "" } else { " NULL" }
        );
        conn.execute(sqlx::AssertSqlSafe(trap)).await.unwrap();
        let operator = match name {
            "differs" => "<>",
            "same" => "=",
            "shifted" => ">>",
            "joined" => "|",
            "later" => ">",
            _ => continue,
        };
        let (left, right) = arguments.split_once(", ").unwrap();
        let trap =
            format!("CREATE OPERATOR traps.{operator} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = traps.{name})");
        conn.execute(sqlx::AssertSqlSafe(trap)).await.unwrap();
    }
    // with ids of their own: the default is made with the caller's rights
    let (plain, keyed) = (Uuid::now_v7(), Uuid::now_v7());
    let below = [(); 4].map(|()| format!("('{}', 'work', '{plain}')", Uuid::now_v7())).join(", ");
    conn.execute(sqlx::AssertSqlSafe(format!(
        "SET search_path = traps, pg_catalog, public;
         INSERT INTO public.tasks (task_id, action) VALUES ('{plain}', 'work');
         INSERT INTO public.tasks (task_id, action, unique_key) VALUES ('{keyed}', 'work', 'trapped');
         INSERT INTO public.tasks (task_id, action, parent_task_id) VALUES {below};"
    )))
    .await
    .unwrap();
    let ran: Vec<String> = sqlx::query_scalar("SELECT as_user FROM ran").fetch_all(&mut conn).await.unwrap();
    assert_eq!(ran, Vec::<String>::new());
    // a table of one's own with the owner's trigger on it: its types' casts would run in the trigger
    let mut attached = Vec::new();
    for function in ["tasks_admit", "workers_sleep", "tasks_terminate"] {
        let attach = format!(
            "CREATE TEMP TABLE mine_{function} (a int);
             CREATE TRIGGER mine AFTER INSERT ON mine_{function} EXECUTE FUNCTION public.{function}()"
        );
        let refused = conn.execute(sqlx::AssertSqlSafe(attach)).await.err();
        let sqlstate = refused.and_then(|error| error.into_database_error()?.code().map(|code| code.into_owned()));
        attached.push(sqlstate);
    }
    assert_eq!(attached, vec![Some("42501".to_owned()); 3]);
}

#[tokio::test]
async fn every_function_that_runs_as_the_owner_looks_for_temporary_objects_last_and_is_not_for_everybody() {
    let database = database().await;
    let functions = "FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace";
    assert!(database.value::<i64>(&format!("SELECT count(*) {functions}")).await >= 4);
    let open: Vec<String> = database
        .values(&format!(
            "SELECT oid::regprocedure::text {functions} AND has_function_privilege('public', oid, 'EXECUTE')"
        ))
        .await;
    assert_eq!(open, Vec::<String>::new());
    let unpinned: Vec<String> = database
        .values(&format!(
            "SELECT proname::text {functions} AND NOT EXISTS (
                 SELECT FROM unnest(proconfig) AS setting
                 WHERE setting IN ('search_path=public, pg_temp', 'search_path=\"public\", \"pg_temp\"'))
             ORDER BY proname"
        ))
        .await;
    // in it, every name says its schema: what_runs_as_the_owner_runs_no_code_of_its_caller
    assert_eq!(unpinned, ["tasks_admit"]);
}

#[tokio::test]
async fn psql_runs_the_roles_twice_and_for_a_schema_of_any_name() {
    let psql = SERVER.bin_dir().join("psql");
    if !psql.exists() {
        println!("skipped: {} is not there", psql.display());
        return;
    }
    let database = crate::support::empty_database().await;
    let connect = longshore_queue::Connect::new(&database.url, "Two Words", false).unwrap();
    longshore_queue::migrate(&connect).await.unwrap();
    let roles = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/roles.sql");
    for round in ["first", "second"] {
        let ran = Command::new(&psql)
            .args([&database.url, "--no-psqlrc", "--quiet", "--set", "schema=Two Words", "--file", roles])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{round}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let producer = database.login("longshore_producer").await;
    producer.run("INSERT INTO \"Two Words\".tasks (action) VALUES ('work')").await;
    let (sqlstate, _) = producer.refusal("SELECT payload FROM \"Two Words\".tasks").await;
    assert_eq!(sqlstate, "42501");
    let mut actor = Actor::enter(&Database { connect, ..database.clone() }).await;
    assert_eq!(actor.claim(10).await.held.len(), 1);
}
