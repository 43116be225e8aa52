//! Nothing depends on NOTIFY.

use std::time::{Duration, Instant};

use crate::proxy::Proxy;
use crate::rig::{Process, Rig, Setup};

/// An idle worker looks once a second; the rest is for a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(3);

async fn is_found(rig: &Rig, what: &str) {
    for _ in 0..3 {
        let count = rig.tallied("begin").len();
        let inserted = Instant::now();
        rig.insert_work(1, 0).await;
        rig.until_tallied("begin", count + 1).await;
        assert!(inserted.elapsed() < FOUND_WITHIN, "{what}: {:?}", inserted.elapsed());
    }
}

/// A worker that listens, and has said so.
async fn listening(rig: &Rig, setup: Setup) -> Process {
    let worker = rig.start(setup);
    worker.works().await;
    rig.database.until(&listeners(1)).await;
    rig.database.until("SELECT EXISTS (SELECT FROM workers WHERE idle_until > now())").await;
    worker
}

fn listeners(count: u8) -> String {
    format!(
        "SELECT count(*) = {count} FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'longshore listen'"
    )
}

pub(crate) async fn with_notify_off_tasks_are_found_by_polling() {
    let rig = Rig::new().await;
    let worker = rig.start(Setup { top: "notify = false".to_owned(), ..Setup::default() });
    worker.works().await;
    is_found(&rig, "notify = false").await;
    let nobody: bool = rig.database.value(&listeners(0)).await;
    assert!(nobody, "it listens");
    rig.judge(&[]).await;
}

pub(crate) async fn a_listener_that_is_ended_comes_back_and_polling_goes_on() {
    let rig = Rig::new().await;
    let worker = listening(&rig, Setup::default()).await;
    for _ in 0..3 {
        rig.database
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'longshore listen'",
            )
            .await;
        is_found(&rig, "the listener was ended").await;
        rig.database.until(&listeners(1)).await;
    }
    let metrics = worker.get("/metrics").await.1;
    let counted = metrics.lines().find(|line| line.starts_with("longshore_listener_reconnects_total"));
    let counted: u32 = counted.and_then(|line| line.rsplit(' ').next()).unwrap().parse().unwrap();
    assert!(counted >= 3, "{counted} of 3 are counted");
    rig.judge(&[]).await;
}

pub(crate) async fn a_listener_that_is_half_open_holds_nothing_up() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let _worker = listening(&rig, Setup { url: Some(proxy.url(&rig.database)), ..Setup::default() }).await;
    proxy.freeze("longshore listen");
    is_found(&rig, "the listener is half open").await;
    rig.judge(&[]).await;
}
