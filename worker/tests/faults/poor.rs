//! The database is there, and does not do what it is asked.

use std::time::{Duration, Instant};

use longshore_postgres::Server;
use longshore_queue::{NewTask, insert_many};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::outage::one_line_a_change;
use crate::proxy::{Proxy, Weather};
use crate::rig::{Process, Rig, Setup, eventually};
use crate::support::SERVER;

/// The name of this story's database.
fn name(rig: &Rig) -> String {
    rig.database.tcp_url.rsplit('/').next().unwrap().to_owned()
}

/// Runs SQL in another database of the server.
async fn elsewhere(sql: String) {
    let mut admin = PgConnection::connect(&Server::url(&SERVER, "postgres")).await.unwrap();
    admin.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// Ends the worker's sessions, so that the next ones meet the new settings.
async fn end_sessions(rig: &Rig) {
    elsewhere(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{}' AND application_name LIKE 'longshore%'",
        name(rig)
    ))
    .await;
}

/// A worker with four long tasks: two that end in the bad time, and two after it.
async fn busy(rig: &Rig, setup: Setup) -> (Process, Vec<uuid::Uuid>) {
    let worker = rig.start(setup);
    worker.works().await;
    let tasks = [rig.insert_work(2, 1_000).await, rig.insert_work(2, 5_000).await].concat();
    rig.until_tallied("begin", 4).await;
    (worker, tasks)
}

/// Everything went on where it had stopped: nothing ran twice, and one log line a change says why it had.
async fn recovers(rig: &Rig, worker: &Process, tasks: &[uuid::Uuid], why: &str) {
    rig.judge(tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
    eventually("every connection works again", || {
        worker.said("answers again").len() == worker.said("does not do what it is asked").len()
    })
    .await;
    one_line_a_change(worker);
    assert!(!worker.said(why).is_empty(), "it does not say why: {:#?}", worker.said("WARN"));
}

pub(crate) async fn a_worker_that_cannot_renew_its_lease_claims_nothing() {
    let rig = Rig::new().await;
    let worker = "heartbeat = \"500ms\"\nlease = \"3s\"".to_owned();
    let worker = rig.start(Setup { worker, ..Setup::default() });
    worker.works().await;
    let mut holder = PgConnection::connect(&rig.database.tcp_url).await.unwrap();
    holder.execute("BEGIN; SELECT FROM workers FOR UPDATE").await.unwrap();
    rig.database.until("SELECT bool_and(heartbeat_at < now() - interval '3500 ms') FROM workers").await;
    let tasks = rig.insert_work(3, 0).await;
    // long enough for a poll
    rig.database.until("SELECT max(created) < now() - interval '2500 ms' FROM tasks").await;
    let queued: i64 = rig.database.value("SELECT count(*) FROM tasks WHERE status = 'queued'").await;
    assert_eq!(queued, 3);
    holder.execute("ROLLBACK").await.unwrap();
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
}

pub(crate) async fn a_read_only_database_is_waited_for() {
    let rig = Rig::new().await;
    let (worker, mut tasks) = busy(&rig, Setup::default()).await;
    let waiting = rig.insert_work(100, 0).await;
    elsewhere(format!("ALTER DATABASE {} SET default_transaction_read_only = on", name(&rig))).await;
    end_sessions(&rig).await;
    worker.says("connection=\"claim\"").await;
    worker.says("connection=\"settle\"").await;
    // the watcher's next round, which reads and writes, and the heartbeat
    worker.says("connection=\"heartbeat\"").await;
    elsewhere(format!("ALTER DATABASE {} RESET default_transaction_read_only", name(&rig))).await;
    tasks.extend(waiting);
    recovers(&rig, &worker, &tasks, "in a read-only transaction").await;
}

pub(crate) async fn a_full_disk_is_waited_for() {
    let rig = Rig::new().await;
    let (worker, mut tasks) = busy(&rig, Setup::default()).await;
    // what Postgres says when it cannot extend a file
    for sql in [
        "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $full$ BEGIN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $full$",
        "CREATE TRIGGER disk_is_full BEFORE UPDATE ON tasks FOR EACH STATEMENT EXECUTE FUNCTION disk_is_full()",
    ] {
        rig.database.run(sql).await;
    }
    tasks.extend(rig.insert_work(100, 0).await);
    worker.says("connection=\"claim\"").await;
    worker.says("connection=\"settle\"").await;
    rig.database.run("DROP TRIGGER disk_is_full ON tasks").await;
    recovers(&rig, &worker, &tasks, "No space left on device").await;
}

pub(crate) async fn a_server_out_of_connections_is_waited_for() {
    let rig = Rig::new().await;
    let role = format!("{}_worker", name(&rig));
    // a superuser is never refused
    let owner = Server::user(&SERVER);
    elsewhere(format!("CREATE ROLE {role} LOGIN IN ROLE {owner}")).await;
    let url = Some(rig.database.url.replacen(&format!("//{owner}@"), &format!("//{role}@"), 1));
    let (worker, mut tasks) = busy(&rig, Setup { url, ..Setup::default() }).await;
    elsewhere(format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    end_sessions(&rig).await;
    tasks.extend(rig.insert_work(100, 0).await);
    worker.says("connection=\"claim\"").await;
    worker.says("connection=\"settle\"").await;
    elsewhere(format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
    assert!(worker.said("does not do what it is asked").len() <= 6, "{:#?}", worker.said("WARN"));
}

pub(crate) async fn a_slow_database_costs_no_lease() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    // it would rescue what the slow one loses
    let _other = rig.start(Setup { name: "other", binary: true, ..Setup::default() });
    let setup = Setup { name: "slow", url: Some(proxy.url(&rig.database)), ..Setup::default() };
    let (worker, mut tasks) = busy(&rig, setup).await;
    proxy.weather(Weather::Slow(Duration::from_secs(3)));
    tasks.extend(rig.insert_work(100, 0).await);
    let since = Instant::now();
    // longer than a lease
    eventually("it was slow for long enough", || since.elapsed() > Duration::from_secs(20)).await;
    proxy.weather(Weather::Clear);
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
    assert!(worker.said("declared dead").is_empty() && worker.said("heartbeats stop").is_empty());
}

pub(crate) async fn a_slow_database_costs_a_worker_of_many_queues_no_lease() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let queues: Vec<String> = (0..10).map(|number| format!("q{number}")).collect();
    let sections = queues.iter().map(|queue| format!("[queues.{queue}]\nconcurrency = 1\n")).collect();
    let worker = rig.start(Setup { url: Some(proxy.url(&rig.database)), sections, ..Setup::default() });
    worker.works().await;
    let tasks: Vec<NewTask> = queues
        .iter()
        .map(|queue| NewTask { queue: Some(queue.clone()), ..NewTask::new("work").payload(json!({ "ms": 2_000 })) })
        .collect();
    let tasks = insert_many(&mut rig.database.conn().await, &tasks).await.unwrap();
    rig.until_tallied("begin", tasks.len()).await;
    // a statement of the settler for each queue: together longer than a lease
    proxy.weather(Weather::Slow(Duration::from_secs(3)));
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
    assert!(worker.said("declared dead").is_empty() && worker.said("heartbeats stop").is_empty());
}

pub(crate) async fn a_half_open_heartbeat_costs_no_lease() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let _other = rig.start(Setup { name: "other", binary: true, ..Setup::default() });
    let setup = Setup { name: "half", url: Some(proxy.url(&rig.database)), ..Setup::default() };
    let worker = rig.start(setup);
    worker.works().await;
    let tasks = rig.insert_work(2, 22_000).await;
    rig.until_tallied("begin", 2).await;
    proxy.freeze("longshore heartbeat");
    let (mut oldest, mut open) = (0.0_f64, true);
    while open {
        let age = "SELECT extract(epoch FROM now() - heartbeat_at)::float8 FROM workers WHERE name = 'half'";
        oldest = oldest.max(rig.database.value(age).await);
        open = rig.database.value("SELECT EXISTS (SELECT FROM tasks WHERE status <> 'complete')").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("figure: oldest heartbeat with a half-open link {oldest:.1} s");
    assert!(
        (7.0..13.0).contains(&oldest),
        "{oldest}: it did not freeze, or was noticed when the lease was nearly over"
    );
    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a healthy worker's task was rescued");
    assert_eq!(worker.said("connection=\"heartbeat\"").len(), 2, "{:?}", worker.said("heartbeat"));
    assert!(worker.said("declared dead").is_empty());
}

pub(crate) async fn half_open_links_of_all_loops_are_got_over() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let worker = rig.start(Setup { url: Some(proxy.url(&rig.database)), ..Setup::default() });
    worker.works().await;
    let first = rig.insert_work(4, 500).await;
    rig.until_tallied("begin", 4).await;
    for connection in ["claim", "settle", "watch", "schedule", "listen"] {
        proxy.freeze(&format!("longshore {connection}"));
    }
    let frozen = Instant::now();
    let second = rig.insert_work(20, 0).await;
    rig.judge(&[first, second].concat()).await;
    println!("figure: half-open links got over in {:?}", frozen.elapsed());
    assert!(frozen.elapsed() < Duration::from_secs(30));
    assert!(rig.beginnings().values().all(|times| *times == 1), "a task ran twice");
}
