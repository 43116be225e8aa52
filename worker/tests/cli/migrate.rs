use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{Folder, empty_database, stderr, stdout};

#[tokio::test]
async fn a_second_migrate_applies_nothing() {
    let (folder, url) = (Folder::new("twice"), empty_database().await);
    let migrate = || folder.longshore(&["migrate"]).env("DATABASE_URL", &url).output().expect("output");
    let first = migrate();
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert!(stdout(&first).starts_with("schema public: applied migration 1\n"), "{}", stdout(&first));
    let second = migrate();
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    assert!(stdout(&second).ends_with(", nothing to apply\n"), "{}", stdout(&second));
}

#[tokio::test]
async fn a_dry_run_prints_sql_and_nothing_else_and_applied_it_leaves_nothing_pending() {
    let (folder, url) = (Folder::new("dry"), empty_database().await);
    let run = |arguments: &[&str]| folder.longshore(arguments).env("DATABASE_URL", &url).output().expect("output");
    let printed = run(&["migrate", "--dry-run", "--schema", "mine"]);
    assert_eq!((printed.status.code(), stderr(&printed).as_str()), (Some(0), ""));
    let mut conn = PgConnection::connect(&url).await.expect("a connection");
    let there = "SELECT to_regclass('mine.tasks') IS NOT NULL";
    assert!(
        !sqlx::query_scalar::<_, bool>(there).fetch_one(&mut conn).await.expect("a row"),
        "a dry run applies nothing"
    );
    conn.execute(AssertSqlSafe(stdout(&printed))).await.expect("the script is SQL");
    assert!(sqlx::query_scalar::<_, bool>(there).fetch_one(&mut conn).await.expect("a row"));
    assert_eq!(stdout(&run(&["migrate", "--dry-run", "--schema", "mine"])), "");
    let again = stdout(&run(&["migrate", "--schema", "mine"]));
    assert!(again.contains("schema mine: ") && again.contains("nothing to apply"), "{again}");
}

#[tokio::test]
async fn with_grant_the_roles_can_do_their_work_in_that_schema() {
    let (folder, url) = (Folder::new("grant"), empty_database().await);
    let migrate = |more: &[&str]| {
        let arguments = [&["migrate", "--grant", "--schema", "granted"], more].concat();
        folder.longshore(&arguments).env("DATABASE_URL", &url).output().expect("output")
    };
    let printed = migrate(&["--dry-run"]);
    assert!(stdout(&printed).contains("SET search_path") && stdout(&printed).contains("TO longshore_producer"));
    assert!(!stdout(&printed).contains("\n\\"), "what is psql's own is left out: {}", stdout(&printed));
    for applied in ["applied migration 1\n", "nothing to apply\n"] {
        let granted = migrate(&[]);
        assert_eq!((granted.status.code(), stderr(&granted).as_str()), (Some(0), ""));
        assert!(stdout(&granted).contains(applied), "{}", stdout(&granted));
        assert!(stdout(&granted).ends_with("schema granted: roles granted\n"), "{}", stdout(&granted));
    }
    let mut conn = PgConnection::connect(&url).await.expect("a connection");
    conn.execute("SET ROLE longshore_producer").await.expect("the role is there");
    conn.execute("INSERT INTO granted.tasks (action) VALUES ('work')").await.expect("it inserts");
    let refused = conn.execute("SELECT payload FROM granted.tasks").await.expect_err("and reads nothing");
    assert_eq!(refused.as_database_error().and_then(|error| error.code()).as_deref(), Some("42501"));
}

#[tokio::test]
async fn the_configuration_names_database_and_schema_where_the_environment_does_not() {
    let (folder, url) = (Folder::new("file"), empty_database().await);
    let text = format!("database_url = \"{url}\"\nschema = \"of_file\"\n[actions.noop]\nexecutor = \"noop\"\n");
    folder.write("longshore.toml", &text);
    let output = folder.longshore(&["migrate"]).output().expect("output");
    assert!(stdout(&output).starts_with("schema of_file: applied"), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn without_any_database_the_remedy_is_told() {
    let folder = Folder::new("none");
    let output = folder.longshore(&["migrate"]).output().expect("output");
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("set DATABASE_URL="), "{}", stderr(&output));
}

#[test]
fn an_address_that_is_none_is_refused_without_showing_it() {
    let folder = Folder::new("url");
    let output =
        folder.longshore(&["migrate"]).env("DATABASE_URL", "postgres://me:hunter2@@:odd").output().expect("output");
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("DATABASE_URL") && !stderr(&output).contains("hunter2"), "{}", stderr(&output));
}
