//! What a worker says of itself over HTTP.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use longshore_worker::metrics::{Kind, METRICS};
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
        "longshore_tasks_finished_total{cell=\"default\",queue=\"default\",action=\"noop\",outcome=\"success\"} 100",
        "longshore_tasks_claimed_total{cell=\"default\",queue=\"default\"} 100",
        "longshore_worker_slots{queue=\"default\"} 16",
        "longshore_queue_wait_seconds_count{cell=\"default\",queue=\"default\"} 100",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line}\n{metrics}");
    }
    // what only the leader shows comes a moment later
    let since = Instant::now();
    let mut missing = not_shown(&metrics);
    while !missing.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(30), "documented, and not there: {missing:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        missing = not_shown(&worker.get("/metrics").await.1);
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

/// What is documented and not exported. What is exported is documented, with its labels.
fn not_shown(metrics: &str) -> Vec<&'static str> {
    let mut seen = HashSet::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = rest.strip_prefix('{').map_or("", |rest| rest.rsplit_once('}').unwrap().0);
        let found: Vec<&str> =
            labels.split(',').filter_map(|label| label.split('=').next()).filter(|label| !label.is_empty()).collect();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let metric = METRICS
            .iter()
            .find(|metric| metric.name == name || metric.kind == Kind::Histogram && Some(metric.name) == base)
            .unwrap_or_else(|| panic!("{name} is documented nowhere"));
        let found: Vec<&str> = found.into_iter().filter(|label| *label != "le").collect();
        assert_eq!(found, metric.labels, "{line}");
        seen.insert(metric.name);
    }
    METRICS.iter().map(|metric| metric.name).filter(|name| !seen.contains(name)).collect()
}
