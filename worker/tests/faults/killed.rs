//! A worker process is killed, or stopped for longer than its lease.

use std::time::{Duration, Instant};

use longshore_postgres::Signal;

use serde_json::json;

use crate::rig::{Rig, Setup, eventually};

/// What DESIGN promises for the default settings.
const RUNS_AGAIN_WITHIN: Duration = Duration::from_secs(20);

pub(crate) async fn a_killed_workers_tasks_run_again_and_no_other_is_disturbed() {
    let rig = Rig::new().await;
    // the first to start leads: that one is killed, so that the lead has to change as well
    let mut victim = rig.start(Setup { name: "victim", concurrency: 4, ..Setup::default() });
    victim.says("is the active instance").await;
    let held = rig.insert_work(4, 600_000).await;
    rig.until_tallied("begin", 4).await;
    let other = rig.start(Setup { name: "other", concurrency: 8, ..Setup::default() });
    other.works().await;
    let undisturbed = rig.insert_work(4, 25_000).await;
    rig.until_tallied("begin", 8).await;

    victim.kill();
    let killed = Instant::now();
    rig.until_tallied("begin", 12).await;
    let again = killed.elapsed();
    println!("figure: kill to all running again {:.1} s", again.as_secs_f64());
    assert!(again < RUNS_AGAIN_WITHIN, "{again:?}");
    assert!(again > Duration::from_secs(8), "rescued before the lease can have run out: {again:?}");
    for event in rig.tallied("begin").iter().skip(8) {
        assert!(held.contains(&event.task_id), "another's task was disturbed: {event:?}");
        assert_eq!((event.attempt, event.pid), (2, other.pid()), "the killed attempt counts");
    }

    for task_id in &held {
        rig.database.run(&format!("SELECT terminate_task('{task_id}')")).await;
    }
    rig.judge(&[held, undisturbed.clone()].concat()).await;
    let beginnings = rig.beginnings();
    assert!(undisturbed.iter().all(|task_id| beginnings[task_id] == 1), "{beginnings:?}");
}

pub(crate) async fn a_worker_stopped_past_its_lease_is_refused_and_its_executor_told() {
    let rig = Rig::new().await;
    let zombie = rig.start(Setup { name: "zombie", concurrency: 4, ..Setup::default() });
    zombie.works().await;
    // two that would end at once when it wakes, and two that would go on: each is lost in another way
    let tasks = [rig.insert_work(2, 15_000).await, rig.insert_work(2, 60_000).await].concat();
    rig.until_tallied("begin", 4).await;
    let other = rig.start(Setup { name: "other", concurrency: 4, ..Setup::default() });
    other.works().await;

    zombie.signal(Signal::STOP);
    rig.until_tallied("begin", 8).await;
    zombie.signal(Signal::CONT);
    let woken = Instant::now();
    eventually("the zombie's executors are told", || {
        rig.tallied("stop:Lost").iter().filter(|event| event.pid == zombie.pid()).count() >= 2
    })
    .await;
    println!("figure: zombie's executors told {:.1} s after it woke", woken.elapsed().as_secs_f64());
    assert!(woken.elapsed() < Duration::from_secs(3), "{:?}", woken.elapsed());
    assert!(rig.tallied("stop:Lost").iter().all(|event| event.pid == zombie.pid() && event.attempt == 1));

    for task_id in &tasks[2..] {
        rig.database.run(&format!("SELECT terminate_task('{task_id}')")).await;
    }
    rig.judge(&tasks).await;
    let ended_by_the_second: bool = rig.database.value("SELECT bool_and(attempt = 2) FROM tasks").await;
    assert!(ended_by_the_second, "a zombie's result was recorded");
    // it is a worker like any other again
    drop(other);
    let more = rig.insert_work(4, 0).await;
    rig.judge(&[tasks, more].concat()).await;
}

pub(crate) async fn a_worker_that_claims_again_what_it_lost_keeps_the_new_attempt_apart_from_the_old() {
    let rig = Rig::new().await;
    // it leads and rescues, and knows no action of these tasks
    let leader = rig.start(Setup { name: "leader", binary: true, ..Setup::default() });
    leader.says("is the active instance").await;
    let zombie = rig.start(Setup { name: "zombie", concurrency: 8, ..Setup::default() });
    zombie.works().await;
    let tasks = rig.insert("work", (0..4).map(|_| json!({"ms": 600_000, "deaf_ms": 3_000, "say": 2}))).await;
    rig.until_tallied("begin", 4).await;
    rig.database.until("SELECT count(*) = 8 FROM result_message").await;
    zombie.signal(Signal::STOP);
    rig.database.until("SELECT bool_and(status = 'queued') FROM tasks").await;
    zombie.signal(Signal::CONT);
    rig.until_tallied("begin", 8).await;
    // the old executors end by and by, beside the new ones
    rig.until_tallied("stop:Lost", 4).await;
    rig.until_tallied("end", 4).await;
    assert!(rig.tallied("stop:Lost").iter().all(|event| event.attempt == 1), "{:?}", rig.tallied("stop:Lost"));
    for task_id in &tasks {
        rig.database.run(&format!("SELECT terminate_task('{task_id}')")).await;
    }
    let asked = Instant::now();
    rig.until_tallied("stop:Terminated", 4).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "the new attempts were not told: {:?}", asked.elapsed());
    rig.judge(&tasks).await;
    let logs: bool = rig.database.value("SELECT count(*) = 20 FROM result_message").await;
    assert!(logs, "a message of the new attempts is missing, or one of those that were lost");
}

pub(crate) async fn a_drain_that_its_worker_slept_through_is_heard_after_its_burial() {
    let rig = Rig::new().await;
    let mut sleeper = rig.start(Setup { name: "sleeper", ..Setup::default() });
    sleeper.works().await;
    // what nobody listens to yet is not heard later
    rig.database
        .until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'longshore listen' AND state = 'idle' AND query LIKE 'LISTEN%')",
        )
        .await;
    let other = rig.start(Setup { name: "other", ..Setup::default() });
    other.works().await;
    let asked = "SELECT coalesce(bool_or(drain_worker(worker_id)), false) FROM workers WHERE name = 'sleeper'";
    sleeper.signal(Signal::STOP);
    assert!(rig.database.value::<bool>(asked).await, "it was asked");
    rig.database.until("SELECT NOT EXISTS (SELECT FROM workers WHERE name = 'sleeper')").await;
    sleeper.signal(Signal::CONT);
    assert_eq!(sleeper.ended().await.code(), Some(0));
    assert_eq!(sleeper.said("declared dead").len(), 1);
    assert_eq!(sleeper.said("asked to drain").len(), 1);
    assert_eq!(other.said("drain").len(), 0);
}

pub(crate) async fn a_worker_that_drains_and_is_declared_dead_drains_on() {
    let rig = Rig::new().await;
    let worker = "heartbeat = \"300ms\"\nlease = \"5s\"\n".to_owned();
    let mut drains = rig.start(Setup { name: "drains", worker, ..Setup::default() });
    drains.works().await;
    let held = rig.insert_work(1, 4_000).await;
    rig.until_tallied("begin", 1).await;
    let asked = "SELECT coalesce(bool_or(drain_worker(worker_id)), false) FROM workers";
    assert!(rig.database.value::<bool>(asked).await, "it was asked");
    drains.says("asked to drain").await;
    rig.database.run("DELETE FROM workers").await;
    rig.database.until("SELECT EXISTS (SELECT FROM workers WHERE draining_since IS NOT NULL)").await;
    assert_eq!(drains.ended().await.code(), Some(0));
    rig.judge(&held).await;
}
