//! Several databases that share the load: whatever one of them does stops its own tasks alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_queue::migrate;
use serde_json::json;

use crate::outage::produce;
use crate::proxy::{Proxy, Weather};
use crate::rig::{Process, Rig, Setup, eventually, own_server};
use crate::support::empty_database;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// A lease that runs out while a cell is away.
const LEASE: &str = "heartbeat = \"500ms\"\nlease = \"2s\"";

/// Tasks that end in every other cell while one is away.
const MEANWHILE: i64 = 300;

fn ended(at_least: i64) -> String {
    format!("SELECT count(*) >= {at_least} FROM history WHERE after = 'complete'")
}

async fn count_ended(rig: &Rig) -> i64 {
    rig.database.value("SELECT count(*) FROM history WHERE after = 'complete'").await
}

pub(crate) async fn a_killed_cell_stops_only_its_own_tasks_and_nothing_is_lost() {
    let mut servers: Vec<_> = NAMES.iter().map(|_| own_server(&[("shared_buffers", "32MB")])).collect();
    let mut rigs = Vec::new();
    for server in &servers {
        rigs.push(Rig::on(server).await);
    }
    let cells: Vec<_> = NAMES.into_iter().zip(rigs.iter().map(|rig| rig.database.url.clone())).collect();
    let start = |name, binary| {
        let worker = LEASE.to_owned();
        rigs[0].start(Setup { name, binary, worker, cells: cells.clone(), ..Setup::default() })
    };
    let workers = [start("one", true), start("two", false)];
    for worker in &workers {
        eventually("it works in every cell", || worker.said(" working").len() == NAMES.len()).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let producers: Vec<_> = rigs
        .iter()
        .map(|rig| {
            let actions = ["noop", "work"];
            actions.map(|action| tokio::spawn(produce(rig.database.clone(), action, Arc::clone(&stop))))
        })
        .collect();
    for rig in &rigs {
        rig.database.until(&ended(100)).await;
    }

    // the killed one is neither the first nor the last
    let (killed, others) = (1, [0, 2, 3]);
    let server = servers.remove(killed);
    let server = tokio::task::spawn_blocking(move || {
        server.kill().unwrap();
        server
    })
    .await
    .unwrap();
    let away = Instant::now();
    let mut before = Vec::new();
    for index in others {
        before.push(count_ended(&rigs[index]).await);
    }
    for worker in &workers {
        until_ready_line(worker, "b database: no heartbeat for").await;
    }
    for (index, before) in others.into_iter().zip(&before) {
        rigs[index].database.until(&ended(before + MEANWHILE)).await;
    }
    let meanwhile = away.elapsed();
    let mut slowest = 0.0_f64;
    for index in others {
        // the longest time in which none of a cell's tasks ended, from just before the kill on
        let gap: f64 = rigs[index]
            .database
            .value(&format!(
                "SELECT extract(epoch FROM max(gap))::float8 FROM (
                    SELECT at - lag(at) OVER (ORDER BY at) AS gap FROM history
                    WHERE after = 'complete' AND at > clock_timestamp() - interval '{} ms') AS gaps",
                meanwhile.as_millis() + 500
            ))
            .await;
        slowest = slowest.max(gap);
    }
    let server = tokio::task::spawn_blocking(move || {
        let mut server = server;
        server.restart().unwrap();
        server
    })
    .await
    .unwrap();
    servers.push(server);
    let (back, so_far) = (Instant::now(), count_ended(&rigs[killed]).await);
    rigs[killed].database.until(&ended(so_far + 100)).await;
    println!(
        "figure: one of {} cells killed and away for {meanwhile:?}: no other went without a completion for longer than \
         {slowest:.2} s; 100 tasks of it had ended {:?} after it was back",
        NAMES.len(),
        back.elapsed()
    );
    for worker in &workers {
        until_ready_line(worker, "b database: ok").await;
    }
    stop.store(true, Ordering::Relaxed);
    for (rig, producers) in rigs.iter().zip(producers) {
        let mut acknowledged = Vec::new();
        for producer in producers {
            acknowledged.extend(producer.await.unwrap());
        }
        rig.judge(&acknowledged).await;
    }
    // a claim waits for no other cell: far less than the lease, on a machine where eight stories run at once
    assert!(slowest < 5.0, "{slowest} s without a completion in a cell that was well");
    for mut worker in workers {
        assert!(worker.is_running());
    }
}

/// Waits until `/readyz` has a line that begins so; it answers 200 all the time, since other cells work.
async fn until_ready_line(worker: &Process, line: &str) {
    let since = Instant::now();
    loop {
        let (status, answer) = worker.get("/readyz").await;
        assert_eq!(status, 200, "{answer}");
        if answer.lines().any(|found| found.starts_with(line)) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "no {line:?} in {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn a_cell_full_of_long_tasks_keeps_no_other_waiting() {
    let (full, idle) = (Rig::new().await, Rig::new().await);
    let cells = vec![("full", full.database.url.clone()), ("idle", idle.database.url.clone())];
    let worker = full.start(Setup { cells, concurrency: 8, ..Setup::default() });
    // longer than anybody waits here
    full.insert_work(40, 600_000).await;
    let running = |count: usize| format!("SELECT count(*) = {count} FROM tasks WHERE status = 'running'");
    full.database.until(&running(7)).await;
    // one slot is kept for the other cell, and all of its tasks go through that
    let tasks = idle.insert_work(30, 20).await;
    idle.judge(&tasks).await;
    assert_eq!(full.database.value::<i64>("SELECT count(*) FROM tasks WHERE status = 'running'").await, 7);

    // as tasks end, each cell comes to its half
    idle.insert_work(40, 600_000).await;
    idle.database.until(&running(1)).await;
    for half in 2..=4 {
        full.database.run("SELECT terminate_task(task_id) FROM tasks WHERE status = 'running' LIMIT 1").await;
        idle.database.until(&running(half)).await;
    }
    full.database.until(&running(4)).await;
    let (_, metrics) = worker.get("/metrics").await;
    let slots = "longshore_worker_slots{queue=\"default\"} 8";
    assert!(metrics.lines().any(|line| line == slots), "{metrics}");
    for cell in ["full", "idle"] {
        let line = format!("longshore_tasks_running{{cell=\"{cell}\",queue=\"default\"}} 4");
        shows(&worker, &line).await;
    }
    shows(&worker, "longshore_worker_slots_busy{queue=\"default\"} 8").await;
}

/// Waits until `/metrics` has this line.
async fn shows(worker: &Process, line: &str) {
    let since = Instant::now();
    while !worker.get("/metrics").await.1.lines().any(|found| found == line) {
        assert!(since.elapsed() < Duration::from_secs(30), "no {line}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(crate) async fn a_cell_that_is_away_or_lacks_the_schema_at_the_start_is_entered_later() {
    let (well, away, bare) = (Rig::new().await, Rig::new().await, empty_database().await);
    let proxy = Proxy::start(&away.database);
    proxy.weather(Weather::Away);
    let cells =
        vec![("well", well.database.url.clone()), ("away", proxy.url(&away.database)), ("bare", bare.url.clone())];
    let worker = well.start(Setup { cells, binary: true, worker: LEASE.to_owned(), ..Setup::default() });
    worker.works().await;
    let refusal = worker.says("the cell refuses this worker").await;
    assert!(refusal.contains("cell{name=\"bare\"}") && refusal.contains("longshore migrate"), "{refusal}");
    assert!(worker.says("waiting for the database").await.contains("cell{name=\"away\"}"));
    let tasks = well.insert("noop", (0..50).map(|_| json!({}))).await;
    well.judge(&tasks).await;
    until_ready_line(&worker, "well database: ok").await;
    until_ready_line(&worker, "away database: not reached yet").await;
    until_ready_line(&worker, "bare database: not reached yet").await;
    assert_eq!(worker.get("/livez").await.0, 200);

    proxy.weather(Weather::Clear);
    let tasks = away.insert("noop", (0..50).map(|_| json!({}))).await;
    away.judge(&tasks).await;
    migrate(&bare.connect).await.unwrap();
    bare.run("INSERT INTO tasks (action) VALUES ('noop')").await;
    bare.until("SELECT EXISTS (SELECT FROM tasks WHERE status = 'complete')").await;
    assert_eq!(worker.said(" working").len(), 3);
    assert_eq!(worker.said("the cell refuses this worker").len(), 1, "a refusal is said once");
}

pub(crate) async fn when_every_cell_refuses_the_worker_ends() {
    let (one, two) = (empty_database().await, empty_database().await);
    let rig = Rig::new().await;
    let cells = vec![("one", one.url.clone()), ("two", two.url.clone())];
    let mut worker = rig.start(Setup { cells, binary: true, ..Setup::default() });
    assert_eq!(worker.ended().await.code(), Some(1));
    worker.says("run `longshore migrate`").await;
}
