//! The database dies, or is away.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_postgres::Server;
use longshore_queue::{NewTask, insert};
use uuid::Uuid;

use crate::proxy::{Proxy, Weather};
use crate::rig::{Process, Rig, Setup, eventually, own_server};
use crate::support::Database;

/// Longer than the default lease of 15 s, and than what is left of it when an outage begins.
const OUTAGE: Duration = Duration::from_secs(18);

/// How often Postgres is killed.
const KILLS: usize = 3;

pub(crate) async fn killed_postgres_loses_no_acknowledged_insert_and_doubles_no_completion() {
    let mut server = own_server(&[]);
    let rig = Rig::on(&server).await;
    let one = rig.start(Setup { name: "one", binary: true, ..Setup::default() });
    let two = rig.start(Setup { name: "two", ..Setup::default() });
    one.works().await;
    two.works().await;
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = ["noop", "work"]
        .map(|action| tokio::spawn(produce(rig.database.clone(), action, Arc::clone(&stop))))
        .into_iter()
        .collect();

    let mut slowest = Duration::ZERO;
    for kill in 1..=KILLS {
        let enough = format!("SELECT count(*) > {} FROM history WHERE after = 'complete'", kill * 200);
        rig.database.until(&enough).await;
        server = restarted(server).await;
        let back = Instant::now();
        let ended: i64 = rig.database.value("SELECT count(*) FROM history WHERE after = 'complete'").await;
        rig.database.until(&format!("SELECT count(*) > {ended} FROM history WHERE after = 'complete'")).await;
        slowest = slowest.max(back.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for producer in producers {
        acknowledged.extend(producer.await.unwrap());
    }
    println!(
        "figure: postmaster killed {KILLS} times over {} acknowledged inserts; completions go on {slowest:?} after it is back",
        acknowledged.len()
    );
    rig.judge(&acknowledged).await;
    for worker in [one, two] {
        assert!(!worker.said("answers again").is_empty(), "it went on by itself");
    }
}

/// SIGKILL and a new start, while everything else goes on.
pub(crate) async fn restarted(mut server: Server) -> Server {
    tokio::task::spawn_blocking(move || {
        server.kill().unwrap();
        server.restart().unwrap();
        server
    })
    .await
    .unwrap()
}

/// Inserts one task after the other, through every outage, until it is told to stop; the ids that were acknowledged.
pub(crate) async fn produce(database: Database, action: &str, stop: Arc<AtomicBool>) -> Vec<Uuid> {
    let mut acknowledged = Vec::new();
    let mut session = None;
    while !stop.load(Ordering::Relaxed) {
        let mut open = match session.take() {
            Some(open) => open,
            None => match <sqlx::PgConnection as sqlx::Connection>::connect(&database.url).await {
                Ok(open) => open,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        // an error leaves it open whether the task is there: such a one is not acknowledged
        if let Ok(Some(task_id)) = insert(&mut open, &NewTask::new(action)).await {
            acknowledged.push(task_id);
            session = Some(open);
        }
    }
    acknowledged
}

pub(crate) async fn a_database_away_longer_than_a_lease_costs_no_healthy_worker_its_task() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let workers: Vec<Process> = ["one", "two", "three"]
        .into_iter()
        .map(|name| rig.start(Setup { name, url: Some(proxy.url(&rig.database)), concurrency: 3, ..Setup::default() }))
        .collect();
    for worker in &workers {
        worker.works().await;
    }
    // they outlast the outage and the lease after it
    let tasks = rig.insert_work(9, 42_000).await;
    rig.until_tallied("begin", 9).await;

    proxy.weather(Weather::Away);
    let away = Instant::now();
    // the clock is what is tested here
    eventually("the outage is over", || away.elapsed() > OUTAGE).await;
    let (status, ready) = workers[0].get("/readyz").await;
    assert_eq!(status, 503, "{ready}");
    assert!(ready.contains("database: no heartbeat for"), "{ready}");
    assert_eq!(workers[0].get("/livez").await.0, 200, "a database that is away is no reason to kill the process");
    proxy.weather(Weather::Clear);

    rig.judge(&tasks).await;
    assert!(rig.beginnings().values().all(|times| *times == 1), "a healthy worker's task was rescued");
    let first: bool = rig.database.value("SELECT bool_and(attempt = 1) FROM tasks").await;
    assert!(first);
    assert_eq!(workers[0].get("/readyz").await.0, 200);
    for worker in &workers {
        one_line_a_change(worker);
    }
}

/// Each connection says once that it is broken, and once that it works again.
pub(crate) fn one_line_a_change(worker: &Process) {
    for text in ["does not do what it is asked", "answers again"] {
        let lines = worker.said(text);
        let connections: HashSet<&str> =
            lines.iter().filter_map(|line| line.split("connection=").nth(1)?.split('"').nth(1)).collect();
        assert!(!lines.is_empty(), "it does not say that {text:?}");
        assert_eq!(lines.len(), connections.len(), "more than one line a change: {lines:#?}");
    }
}
