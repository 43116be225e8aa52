use longshore_queue::{Error, check_schema, migrate, newest_version, pending};

use crate::support::{Database, database, empty_database};

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
