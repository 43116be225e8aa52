//! What a worker says of itself over HTTP.

use serde_json::json;

use crate::proxy::{Proxy, Weather};
use crate::rig::{Rig, Setup, eventually};

pub(crate) async fn a_worker_answers_for_its_life_its_readiness_and_its_metrics() {
    let rig = Rig::new().await;
    let proxy = Proxy::start(&rig.database);
    let worker = "heartbeat = \"500ms\"\nlease = \"2s\"".to_owned();
    let url = Some(proxy.url(&rig.database));
    let worker = rig.start(Setup { binary: true, url, worker, ..Setup::default() });
    worker.works().await;
    let tasks = rig.insert("noop", (0..100).map(|_| json!({}))).await;
    rig.judge(&tasks).await;
    assert_eq!(worker.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(worker.get("/readyz").await, (200, "working: ok\nloops: ok\ndatabase: ok\n".to_owned()));
    let (status, metrics) = worker.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "longshore_tasks_finished_total{queue=\"default\",action=\"noop\",outcome=\"success\"} 100",
        "longshore_tasks_claimed_total{queue=\"default\"} 100",
        "longshore_worker_slots{queue=\"default\"} 16",
        "longshore_queue_wait_seconds_count{queue=\"default\"} 100",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line}\n{metrics}");
    }
    assert_eq!(worker.get("/elsewhere").await.0, 404);

    proxy.weather(Weather::Away);
    let mut ready = (200, String::new());
    while ready.0 == 200 {
        ready = worker.get("/readyz").await;
    }
    assert!(ready.0 == 503 && ready.1.contains("database: no heartbeat for "), "{ready:?}");
    assert_eq!(worker.get("/livez").await.0, 200);
    proxy.weather(Weather::Clear);
    while ready.0 != 200 {
        ready = worker.get("/readyz").await;
    }
    eventually("it says so", || !worker.said("answers again").is_empty()).await;
}
