//! A database for each test, an installation with a past, and upkeep told as a story.

use std::str::FromStr;
use std::time::{Duration, Instant};

use longshore_queue::{Leadership, Retention, UpkeepAction, upkeep_step};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

pub(crate) const LEADER: Uuid = Uuid::from_u128(0x11111111_1111_4111_8111_111111111111);

/// A month for everything, as by default.
pub(crate) const MONTH: Retention = days(30, 30);

/// So long that a range of the last weeks is worth its compaction.
pub(crate) const YEAR: Retention = days(365, 365);

pub(crate) const fn days(success: u64, other: u64) -> Retention {
    Retention { success: Duration::from_secs(success * 86_400), other: Duration::from_secs(other * 86_400) }
}

/// What proves its lead.
pub(crate) const ACTIVE: Leadership = Leadership { identity: LEADER, epoch: 1 };

/// A new database with the schema, whose active instance is [`LEADER`] of epoch 1, and how to reach it.
pub(crate) async fn database() -> (PgPool, PgConnectOptions) {
    let database = crate::harness::empty_database().await;
    let options = PgConnectOptions::from_str(&database.url).unwrap();
    let pool = PgPoolOptions::new().max_connections(8).connect_with(options.clone()).await.unwrap();
    install(&pool).await;
    (pool, options)
}

/// Applies the schema to the first schema of the search path.
pub(crate) async fn install(pool: &PgPool) {
    for sql in [
        include_str!("../../../migrations/0001_tasks.sql"),
        include_str!("../../../migrations/0002_retention.sql"),
        include_str!("support.sql"),
    ] {
        sqlx::raw_sql(sql).execute(pool).await.unwrap();
    }
    sqlx::query("UPDATE active_instance SET identity = $1, epoch = 1, lease_expires_at = 'infinity'")
        .bind(LEADER)
        .execute(pool)
        .await
        .unwrap();
}

pub(crate) async fn run(db: impl PgExecutor<'_>, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db).await.unwrap();
}

pub(crate) async fn number(db: impl PgExecutor<'_>, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

/// The constraint by which a statement is refused.
pub(crate) async fn refused_by(pool: &PgPool, sql: &'static str) -> String {
    let error = sqlx::query(sql).execute(pool).await.unwrap_err();
    error.as_database_error().unwrap().constraint().unwrap_or("none").to_owned()
}

/// Tasks, messages and outputs as a reader sees them: three checksums and the number of tasks.
pub(crate) async fn content(db: impl PgExecutor<'_>) -> (String, String, String, i64) {
    sqlx::query_as("SELECT tasks::text, messages::text, outputs::text, count FROM test_content")
        .fetch_one(db)
        .await
        .unwrap()
}

/// Takes one step and tells it: the week counted from this one, the step, the tasks.
pub(crate) async fn step(db: impl PgExecutor<'_>, retention: Retention) -> (UpkeepAction, String) {
    let step = upkeep_step(db, ACTIVE, retention).await.unwrap();
    let week = match step.partition.as_deref() {
        Some(name) if name.starts_with('w') => {
            let first_day = chrono::NaiveDate::parse_from_str(&name[1..], "%Y%m%d").unwrap();
            let this = chrono::Utc::now().date_naive().week(chrono::Weekday::Mon).first_day();
            format!("week {}: ", (first_day - this).num_weeks())
        }
        _ => String::new(),
    };
    let tasks = if step.tasks > 0 { format!(" {}", step.tasks) } else { String::new() };
    (step.action, format!("{week}{:?}{tasks}", step.action))
}

/// Takes steps until one says that it is time for a pause, and tells them, one a line.
pub(crate) async fn upkeep_round(db: &PgPool, retention: Retention) -> String {
    let mut story = vec![];
    loop {
        let (action, line) = step(db, retention).await;
        story.push(line);
        if !action.goes_on() {
            return story.join("\n");
        }
    }
}

/// Takes steps until one is told as `last`.
pub(crate) async fn upkeep_until(db: &PgPool, retention: Retention, last: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while step(db, retention).await.1 != last {
        assert!(Instant::now() < deadline, "upkeep does not come to {last:?}");
    }
}

/// Takes steps until there is nothing more to do, and tells them, one a line. What waits or is blocked is tried again and
/// not told: autovacuum holds locks, and the transactions of other tests hold snapshots back.
pub(crate) async fn upkeep(db: &PgPool, retention: Retention) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut story = vec![];
    loop {
        assert!(Instant::now() < deadline, "upkeep does not end: {story:?}");
        let (action, line) = step(db, retention).await;
        if matches!(action, UpkeepAction::Wait | UpkeepAction::Blocked) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        story.push(line);
        if matches!(action, UpkeepAction::Nothing | UpkeepAction::NotActive) {
            return story.join("\n");
        }
    }
}

/// Claims and completes one task after the other, and inserts one each time, until the returned handle's sender is
/// dropped; then tells how often, and the longest that one claim, and one insert, took.
pub(crate) fn work(
    pool: &PgPool,
) -> (tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<(u64, Duration, Duration)>) {
    let pool = pool.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let worker = tokio::spawn(async move {
        let (mut rounds, mut claim, mut insert) = (0, Duration::ZERO, Duration::ZERO);
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            let begin = Instant::now();
            sqlx::query("INSERT INTO tasks (action) VALUES ('noop')").execute(&pool).await.unwrap();
            insert = insert.max(begin.elapsed());
            let begin = Instant::now();
            let claimed: Vec<Uuid> = sqlx::query_scalar(include_str!("claim.sql")).fetch_all(&pool).await.unwrap();
            claim = claim.max(begin.elapsed());
            sqlx::query(
                "UPDATE tasks SET status = 'complete', result_status = 'success', finished_at = now() WHERE task_id = ANY ($1)",
            )
            .bind(claimed)
            .execute(&pool)
            .await
            .unwrap();
            rounds += 1;
        }
        (rounds, claim, insert)
    });
    (stop, worker)
}
