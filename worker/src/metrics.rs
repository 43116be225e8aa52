//! What Prometheus scrapes: the names, and handles kept where they are used. Labels come from closed sets only.

use std::time::Duration;

use longshore_queue::Error;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::design::resolve::Class;

const SCHEDULE_LAG: &str = "longshore_schedule_lag_seconds";
const QUEUE_WAIT: &str = "longshore_queue_wait_seconds";
const EXECUTION: &str = "longshore_task_execution_seconds";
const ATTEMPTS: &str = "longshore_task_attempts";
const FINISHED: &str = "longshore_tasks_finished_total";

/// From when a task was due to its claim, or a tick to its task, by the database's clock.
const WAIT_BUCKETS: [f64; 20] = [
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    1800.0, 7200.0,
];
const EXECUTION_BUCKETS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];
const STATEMENT_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const BATCH_BUCKETS: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
const ATTEMPT_BUCKETS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 25.0];

/// Label values of one metric: further names are counted as `other`.
const NAMES_MAX: usize = 100;

/// Installs the recorder; the handle renders what a scrape reads.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(QUEUE_WAIT.into()), &WAIT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(SCHEDULE_LAG.into()), &WAIT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(EXECUTION.into()), &EXECUTION_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(ATTEMPTS.into()), &ATTEMPT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".into()), &BATCH_BUCKETS)?
        .set_buckets(&STATEMENT_BUCKETS)?
        .install_recorder()?;
    describe();
    gauge!("longshore_build_info", "version" => env!("CARGO_PKG_VERSION"),
        "schema_version" => longshore_queue::newest_version().to_string())
    .set(1.0);
    Ok(handle)
}

/// Every metric, its type and what it says; `METRICS.md` is held equal to this by a test.
pub const METRICS: [(&str, &str, &str); 44] = [
    ("longshore_build_info", "gauge", "1, with version and schema_version"),
    ("longshore_build_data_pruned_total", "counter", "entries of build data removed by retention"),
    ("longshore_claim_batch_size", "histogram", "tasks a claim brought"),
    ("longshore_claim_seconds", "histogram", "time of a claim, by result: rows, empty, error"),
    ("longshore_complete_batch_size", "histogram", "tasks settled by one statement"),
    ("longshore_complete_seconds", "histogram", "time of a settling statement, by result: ok, error"),
    ("longshore_db_dead_tuple_ratio", "gauge", "dead rows of all rows, by table; leader only"),
    ("longshore_db_errors_total", "counter", "database errors, by op and SQLSTATE class"),
    (
        "longshore_db_oldest_xmin_age_seconds",
        "gauge",
        "age of the oldest transaction that keeps vacuum from dead rows; leader only",
    ),
    ("longshore_db_table_bytes", "gauge", "bytes on disk with indexes and wide values, by table; leader only"),
    ("longshore_design_cache_bytes", "gauge", "bytes of designs kept in memory"),
    (
        "longshore_design_fetches_total",
        "counter",
        "designs asked for over HTTP, by result: fetched, not_modified, failed",
    ),
    (
        "longshore_design_read_seconds",
        "histogram",
        "time to read and compile a design, once for all attempts that share it",
    ),
    (
        "longshore_design_resolve_seconds",
        "histogram",
        "time an attempt waited for its design, by result: ok, permanent, transient",
    ),
    ("longshore_heartbeat_age_seconds", "gauge", "time since the last heartbeat that went through"),
    ("longshore_heartbeat_failures_total", "counter", "heartbeats that did not"),
    ("longshore_leader", "gauge", "1 on the active instance, 0 elsewhere"),
    ("longshore_leader_changes_total", "counter", "times this process took or lost the lead"),
    ("longshore_listener_connected", "gauge", "1 while notifications can arrive"),
    ("longshore_listener_reconnects_total", "counter", "times the listener had to connect again"),
    (
        "longshore_log_lines_dropped_total",
        "counter",
        "log lines dropped: standard error was not read as fast as they came",
    ),
    (
        "longshore_maintenance_last_success_timestamp_seconds",
        "gauge",
        "leader's upkeep, by task: when it last went well",
    ),
    ("longshore_maintenance_seconds", "histogram", "leader's upkeep, by task"),
    ("longshore_messages_recorded_total", "counter", "result messages recorded"),
    ("longshore_notify_to_claim_seconds", "histogram", "from hearing of an INSERT to a claim that brought something"),
    (
        "longshore_otlp_spans_dropped_total",
        "counter",
        "spans not exported, by reason: queue_full, failed (refused, or the collector was away)",
    ),
    ("longshore_otlp_spans_exported_total", "counter", "spans that the collector took"),
    ("longshore_queue_oldest_ready_age_seconds", "gauge", "age of the oldest due task; leader only"),
    (
        "longshore_queue_tasks",
        "gauge",
        "tasks by queue and state: ready, scheduled, running; bounded count; leader only",
    ),
    (QUEUE_WAIT, "histogram", "from due to claimed, by the database's clock"),
    (SCHEDULE_LAG, "histogram", "from a tick's time to its task, by the database's clock"),
    ("longshore_schedule_ticks_total", "counter", "ticks of schedules decided, by outcome: fired, skipped, missed"),
    ("longshore_shutdown_tasks_total", "counter", "tasks at shutdown, by result: drained, released"),
    (ATTEMPTS, "histogram", "attempts a task had when it ended"),
    (EXECUTION, "histogram", "time an executor took, by queue and action"),
    ("longshore_tasks_claimed_total", "counter", "tasks claimed"),
    ("longshore_tasks_deduplicated_total", "counter", "claimed tasks that ended as duplicates"),
    (FINISHED, "counter", "attempts by queue, action and outcome"),
    ("longshore_tasks_pruned_total", "counter", "ended tasks removed by retention"),
    ("longshore_tasks_rescued_total", "counter", "tasks taken back from dead workers"),
    ("longshore_tasks_running", "gauge", "executors running in this process"),
    ("longshore_wakeups_total", "counter", "why a claim was tried: notify, poll, capacity"),
    ("longshore_worker_slots", "gauge", "how many may run in this process"),
    ("longshore_workers_alive", "gauge", "workers that reported within their lease; leader only"),
];

fn describe() {
    for (name, kind, text) in METRICS {
        match kind {
            "counter" => metrics::describe_counter!(name, text),
            "gauge" => metrics::describe_gauge!(name, text),
            _ => metrics::describe_histogram!(name, text),
        }
    }
}

/// Handles of one queue.
#[derive(Debug)]
pub(crate) struct LaneMetrics {
    pub(crate) claimed: Counter,
    pub(crate) deduplicated: Counter,
    pub(crate) wait: Histogram,
    pub(crate) attempts: Histogram,
    pub(crate) running: Gauge,
}

impl LaneMetrics {
    pub(crate) fn new(queue: &str, concurrency: usize) -> Self {
        let queue = queue.to_owned();
        gauge!("longshore_worker_slots", "queue" => queue.clone()).set(concurrency as f64);
        Self {
            claimed: counter!("longshore_tasks_claimed_total", "queue" => queue.clone()),
            deduplicated: counter!("longshore_tasks_deduplicated_total", "queue" => queue.clone()),
            wait: histogram!(QUEUE_WAIT, "queue" => queue.clone()),
            attempts: histogram!(ATTEMPTS, "queue" => queue.clone()),
            running: gauge!("longshore_tasks_running", "queue" => queue),
        }
    }
}

/// How an attempt can go out, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Success,
    PartialSuccess,
    Failure,
    Terminated,
    Retried,
    Snoozed,
    Suspended,
    Released,
    Lost,
}

impl Finish {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Success, "success"),
        (Self::PartialSuccess, "partial_success"),
        (Self::Failure, "failure"),
        (Self::Terminated, "terminated"),
        (Self::Retried, "retried"),
        (Self::Snoozed, "snoozed"),
        (Self::Suspended, "suspended"),
        (Self::Released, "released"),
        (Self::Lost, "lost"),
    ];

    /// The label.
    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// An attempt has its design, or an error of this class.
pub(crate) fn design_resolved(took: Duration, failed: Option<Class>) {
    let result = match failed {
        None => "ok",
        Some(Class::Permanent) => "permanent",
        Some(Class::Transient) => "transient",
    };
    histogram!("longshore_design_resolve_seconds", "result" => result).record(took.as_secs_f64());
}

/// A design was read and compiled.
pub(crate) fn design_read(took: Duration) {
    histogram!("longshore_design_read_seconds").record(took.as_secs_f64());
}

/// Handles of one action in one queue.
#[derive(Debug)]
pub(crate) struct ActionMetrics {
    finished: [Counter; Finish::ALL.len()],
    pub(crate) execution: Histogram,
}

impl ActionMetrics {
    /// `index` counts the names given so far: from [`NAMES_MAX`] on they share a label.
    pub(crate) fn new(queue: &str, action: &str, index: usize) -> Self {
        let queue = queue.to_owned();
        let action = if index < NAMES_MAX { action } else { "other" }.to_owned();
        Self {
            finished: Finish::ALL.map(|(_, outcome)| {
                counter!(FINISHED, "queue" => queue.clone(), "action" => action.clone(), "outcome" => outcome)
            }),
            execution: histogram!(EXECUTION, "queue" => queue, "action" => action),
        }
    }

    pub(crate) fn finished(&self, finish: Finish) {
        self.finished[finish as usize].increment(1);
    }
}

/// Handles of a kind of statement.
#[derive(Debug)]
pub(crate) struct StatementMetrics {
    rows: Histogram,
    empty: Histogram,
    error: Histogram,
    batch: Histogram,
}

impl StatementMetrics {
    pub(crate) fn claim() -> Self {
        Self {
            rows: histogram!("longshore_claim_seconds", "result" => "rows"),
            empty: histogram!("longshore_claim_seconds", "result" => "empty"),
            error: histogram!("longshore_claim_seconds", "result" => "error"),
            batch: histogram!("longshore_claim_batch_size"),
        }
    }

    pub(crate) fn complete() -> Self {
        Self {
            rows: histogram!("longshore_complete_seconds", "result" => "ok"),
            empty: histogram!("longshore_complete_seconds", "result" => "ok"),
            error: histogram!("longshore_complete_seconds", "result" => "error"),
            batch: histogram!("longshore_complete_batch_size"),
        }
    }

    pub(crate) fn done(&self, took: Duration, rows: usize) {
        if rows == 0 { &self.empty } else { &self.rows }.record(took.as_secs_f64());
        self.batch.record(rows as f64);
    }

    pub(crate) fn failed(&self, took: Duration) {
        self.error.record(took.as_secs_f64());
    }
}

/// Counts a database error under its SQLSTATE class; errors of the connection have none and count as `08`.
pub(crate) fn database_error(op: &'static str, error: &Error) {
    let class = error.sqlstate().map_or_else(|| "08".to_owned(), |state| state.chars().take(2).collect());
    counter!("longshore_db_errors_total", "op" => op, "class" => class).increment(1);
}

#[cfg(test)]
mod tests {
    use super::METRICS;

    #[test]
    fn the_page_of_metrics_has_each_metric_once_with_its_type_and_meaning() {
        let page = include_str!("../METRICS.md");
        let said: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let meant: Vec<String> =
            METRICS.iter().map(|(name, kind, text)| format!("| `{name}` | {kind} | {text} |")).collect();
        assert_eq!(said.join("\n"), meant.join("\n"), "left: METRICS.md, right: METRICS");
    }

    #[test]
    fn every_metric_that_the_code_counts_is_described() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("the sources are there").path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for name in text.split('"').filter(|part| part.starts_with("longshore_") && part.len() > 12) {
                if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && name != "longshore_worker" {
                    seen += 1;
                    assert!(METRICS.iter().any(|(known, ..)| *known == name), "{name} in {}", path.display());
                }
            }
        }
        assert!(seen >= METRICS.len(), "only {seen} names found");
    }
}
