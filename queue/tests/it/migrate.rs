use std::time::{Duration, Instant};

use longshore_queue::{Connect, Error, check_schema, create_database, migrate, newest_version, pending, pending_sql};
use sqlx::{Connection, Executor};

use crate::support::{Database, SERVER, database, empty_database};

async fn check(database: &Database) -> longshore_queue::Result<()> {
    check_schema(&mut database.connect.session("test").await?).await
}

#[tokio::test]
async fn ten_programs_that_migrate_at_once_apply_each_migration_once() {
    let database = empty_database().await;
    let all = futures_util::future::join_all((0..10).map(|_| migrate(&database.connect))).await;
    let mut applied: Vec<i64> = all.into_iter().flat_map(|done| done.unwrap()).collect();
    applied.sort_unstable();
    assert_eq!(applied, (1..=newest_version()).collect::<Vec<_>>());
    check(&database).await.unwrap();
    assert!(pending(&database.connect).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_schema_newer_than_the_program_is_refused_with_both_versions() {
    let database = database().await;
    database.run("INSERT INTO longshore_migrations VALUES (999, 'later', now(), true, '', 0)").await;
    let refused = migrate(&database.connect).await.unwrap_err();
    assert!(matches!(refused, Error::SchemaNewer { found: 999, .. }), "{refused}");
    check(&database).await.unwrap();
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused_with_the_remedy() {
    let database = empty_database().await;
    let refused = check(&database).await.unwrap_err();
    assert!(refused.to_string().contains("run `longshore migrate`"), "{refused}");
}

#[tokio::test]
async fn a_dry_run_is_a_script_that_leaves_nothing_to_apply() {
    let database = empty_database().await;
    for schema in ["public", "beside"] {
        let connect = Connect::new(&database.url, schema, false).unwrap();
        let script = pending_sql(&connect).await.unwrap();
        assert_eq!(pending(&connect).await.unwrap().len() as i64, newest_version(), "a dry run applies nothing");
        database.run(&script).await;
        assert_eq!(pending_sql(&connect).await.unwrap(), "");
        assert_eq!(migrate(&connect).await.unwrap(), [0_i64; 0]);
        let connect = Connect::new(&database.url, schema, false).unwrap();
        check_schema(&mut connect.session("test").await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_migration_that_waits_for_a_lock_lets_claims_pass_and_goes_on_once_it_is_free() {
    let database = empty_database().await;
    let script = pending_sql(&database.connect).await.unwrap();
    // version 10 changes the table of tasks
    for step in script.split_inclusive("COMMIT;\n").take(9) {
        database.run(step).await;
    }
    let mut reader = database.conn().await;
    let mut held = reader.begin().await.unwrap();
    held.execute("SELECT FROM tasks").await.unwrap();
    let connect = database.connect.clone();
    let migrating = tokio::spawn(async move { migrate(&connect).await });
    database.until_one_waits().await;
    let since = Instant::now();
    let _behind_it: i64 = database.value("SELECT count(*) FROM tasks").await;
    assert!(since.elapsed() < Duration::from_secs(10), "it waited {:?} behind the migration", since.elapsed());
    assert!(!migrating.is_finished(), "the lock was still held");
    held.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap(), (10..=newest_version()).collect::<Vec<_>>());
    check(&database).await.unwrap();
}

#[tokio::test]
async fn ten_programs_that_make_a_database_at_once_make_one() {
    let admin = SERVER.url("postgres");
    let all = futures_util::future::join_all((0..10).map(|_| create_database(&admin, "made \"once\""))).await;
    assert_eq!(all.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1);
    assert!(!create_database(&admin, "made \"once\"").await.unwrap());
}
