//! What an examination of the schema finds, and does not.

use std::fmt::Write as _;
use std::path::Path;

use longshore_queue::examine::{Drift, drift, examine_objects, examine_rights, expected_text};
use longshore_queue::{Connect, grant_roles, migrate, pending_sql};

use crate::support::{Database, database, empty_database};

/// What `deploy/roles.sql` has granted upon the schema: `grant role: privilege kind object`.
const GRANTS: &str = "
    WITH grants (grantee, privilege, kind, object) AS (
        SELECT acl.grantee, acl.privilege_type, CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relname::text
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS acl
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S') AND NOT relispartition
        UNION ALL
        SELECT acl.grantee, acl.privilege_type, 'column', relname || '.' || attname
        FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        CROSS JOIN LATERAL aclexplode(attacl) AS acl
        WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
        UNION ALL
        SELECT acl.grantee, acl.privilege_type, 'function',
            format('%s(%s)', proname, pg_get_function_identity_arguments(pg_proc.oid))
        FROM pg_proc CROSS JOIN LATERAL aclexplode(proacl) AS acl
        WHERE pronamespace = 'public'::regnamespace
        UNION ALL
        SELECT acl.grantee, acl.privilege_type, 'schema', 'schema'
        FROM pg_namespace CROSS JOIN LATERAL aclexplode(nspacl) AS acl
        WHERE nspname = 'public'
    )
    SELECT format('grant %s: %s %s %s', rolname, privilege, kind, object) AS line
    FROM grants
    JOIN pg_roles ON pg_roles.oid = grantee
    WHERE rolname LIKE 'longshore\\_%'
    ORDER BY 1";

async fn drifts(database: &Database, schema: &str) -> Vec<Drift> {
    let connect = Connect::new(&database.url, schema, false).unwrap();
    let mut session = connect.session("test").await.unwrap();
    drift(&examine_objects(session.step().await.unwrap().db()).await.unwrap())
}

/// As one line each.
fn told(drifts: &[Drift]) -> Vec<String> {
    let told = |it: &Drift| match it {
        Drift::Missing { kind, name, .. } => format!("missing {kind} {name}"),
        Drift::Different { kind, name, expected, found } => format!("{kind} {name}: {found}, not {expected}"),
        Drift::Added { kind, name, .. } => format!("added {kind} {name}"),
    };
    drifts.iter().map(told).collect()
}

#[tokio::test]
async fn the_list_of_the_schema_is_what_migrations_make() {
    let database = database().await;
    database.grant_roles().await;
    let mut session = database.connect.session("test").await.unwrap();
    let mut list = "# What migrations and deploy/roles.sql make. Written by the test\n\
         #   cargo test -p longshore-queue --test it the_list_of_the_schema\n"
        .to_owned();
    for object in examine_objects(session.step().await.unwrap().db()).await.unwrap() {
        writeln!(list, "{} {}: {}", object.kind, object.name, object.facts_anywhere.trim_end()).unwrap();
    }
    for line in database.values::<String>(GRANTS).await {
        writeln!(list, "{line}").unwrap();
    }
    if list == expected_text() {
        return;
    }
    let (expected, made): (Vec<&str>, Vec<&str>) = (expected_text().lines().collect(), list.lines().collect());
    let lost: Vec<_> = expected.iter().filter(|line| !made.contains(line)).collect();
    let new: Vec<_> = made.iter().filter(|line| !expected.contains(line)).collect();
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/examine/schema.txt"), &list).unwrap();
    panic!(
        "migrations make another schema than queue/src/examine/schema.txt said, which was now written anew: commit it if a \
         migration or a grant was added, and run again\nno longer: {lost:#?}\nnew: {new:#?}"
    );
}

#[tokio::test]
async fn a_schema_of_any_name_is_as_expected_beside_tables_of_others() {
    let database = empty_database().await;
    for schema in ["public", "beside", "a", "user"] {
        let connect = Connect::new(&database.url, schema, false).unwrap();
        migrate(&connect).await.unwrap();
        assert_eq!(told(&drifts(&database, schema).await), Vec::<String>::new(), "{schema}");
    }
    // each migration in a session of its own, as it is with upgrades, and with a script for psql
    let by_hand = Connect::new(&database.url, "by_hand", false).unwrap();
    database.run(&pending_sql(&by_hand).await.unwrap()).await;
    assert_eq!(told(&drifts(&database, "by_hand").await), Vec::<String>::new());
    database
        .run(
            "CREATE TABLE mine (a int PRIMARY KEY);
             CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE TYPE task_color AS ENUM ('red')",
        )
        .await;
    assert_eq!(told(&drifts(&database, "public").await), Vec::<String>::new());
}

#[tokio::test]
async fn every_kind_of_difference_is_named() {
    let database = database().await;
    database
        .run(
            "ALTER TABLE claims ALTER COLUMN task_ids SET STORAGE EXTENDED;
             ALTER TABLE tasks ALTER COLUMN priority SET DEFAULT 3;
             ALTER TABLE tasks ADD COLUMN color text;
             ALTER DOMAIN task_priority DROP CONSTRAINT priority_is_0_to_9;
             CREATE INDEX mine ON tasks (action);
             DROP INDEX claims_worker;
             DROP TRIGGER schedules_edit ON schedules;
             CREATE OR REPLACE FUNCTION ended_well(result_status task_result_status) RETURNS boolean
                 LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT true';
             GRANT EXECUTE ON FUNCTION admit_task(tasks) TO PUBLIC;
             ALTER TYPE task_status ADD VALUE 'paused'",
        )
        .await;
    let mut told = told(&drifts(&database, "public").await);
    // the digests are nothing to read
    for line in &mut told {
        if line.starts_with("function") {
            line.truncate(line.find(':').unwrap());
        }
    }
    told.sort();
    assert_eq!(
        told,
        [
            "added column tasks.color",
            "added index mine",
            "column claims.task_ids: uuid[] NOT NULL, not uuid[] NOT NULL STORAGE e",
            "column tasks.priority: task_priority NOT NULL DEFAULT 3, not task_priority NOT NULL DEFAULT 5",
            "function admit_task(task tasks)",
            "function ended_well(result_status task_result_status)",
            "missing constraint task_priority.priority_is_0_to_9",
            "missing index claims_worker",
            "missing trigger schedules.schedules_edit",
            "type task_status: requested, queued, running, terminating, terminated, complete, paused, \
             not requested, queued, running, terminating, terminated, complete",
        ]
    );
}

#[tokio::test]
async fn rights_are_told_of_the_roles_and_of_a_user_who_has_none() {
    let database = database().await;
    database.grant_roles().await;
    let missing = async |database: &Database| -> Vec<String> {
        let rights = examine_rights(&mut database.conn().await).await.unwrap();
        let missing = rights.iter().filter(|right| !right.granted);
        missing.map(|right| format!("{}: {} {}", right.subject, right.privilege, right.object)).collect()
    };
    let worker = database.login("longshore_worker").await;
    let reader = database.login("longshore_reader").await;
    for seen_by in [&database, &worker, &reader] {
        assert_eq!(missing(seen_by).await, Vec::<String>::new());
    }
    database
        .run("REVOKE SELECT ON claims FROM longshore_worker; REVOKE UPDATE (status) ON tasks FROM longshore_worker")
        .await;
    for seen_by in [&database, &worker, &reader] {
        assert_eq!(
            missing(seen_by).await,
            ["longshore_worker: SELECT claims", "longshore_worker: UPDATE tasks.status"]
        );
    }
    grant_roles(&database.connect).await.unwrap();
    database.run("DROP ROLE IF EXISTS nobody_here; CREATE ROLE nobody_here LOGIN").await;
    let nobody = Database { url: database.url.replacen("//longshore@", "//nobody_here@", 1), ..database.clone() };
    let missing = missing(&nobody).await;
    assert!(missing.contains(&"nobody_here: UPDATE tasks.status".to_owned()), "{missing:?}");
}
