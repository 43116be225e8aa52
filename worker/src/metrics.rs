//! What Prometheus scrapes: the names, and handles kept where they are used. Labels come from closed sets only.

mod names;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_queue::Error;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::names::{Kind, METRICS, Metric};
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
const OTHER: &str = "other";

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
    gauge!("longshore_design_cache_bytes").set(0.0);
    for result in ["fetched", "not_modified", "failed"] {
        counter!("longshore_design_fetches_total", "result" => result).increment(0);
    }
    for result in ["ok", "permanent", "transient"] {
        let _known = histogram!("longshore_design_resolve_seconds", "result" => result);
    }
    let _known = histogram!("longshore_design_read_seconds");
    counter!("longshore_log_lines_dropped_total").increment(0);
    counter!("longshore_otlp_spans_exported_total").increment(0);
    for reason in ["queue_full", "failed"] {
        counter!("longshore_otlp_spans_dropped_total", "reason" => reason).increment(0);
    }
    gauge!("longshore_build_info", "version" => env!("CARGO_PKG_VERSION"),
        "schema_version" => longshore_queue::newest_version().to_string())
    .set(1.0);
    Ok(handle)
}

fn describe() {
    for Metric { name, kind, meaning, .. } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *meaning),
            Kind::Gauge => metrics::describe_gauge!(*name, *meaning),
            Kind::Histogram => metrics::describe_histogram!(*name, *meaning),
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
    pub(crate) fn new(cell: &Arc<str>, queue: &str) -> Self {
        let queue = queue.to_owned();
        macro_rules! of_lane {
            ($kind:ident, $name:expr) => {
                $kind!($name, "cell" => Arc::clone(cell), "queue" => queue.clone())
            };
        }
        Self {
            claimed: of_lane!(counter, "longshore_tasks_claimed_total"),
            deduplicated: of_lane!(counter, "longshore_tasks_deduplicated_total"),
            wait: of_lane!(histogram, QUEUE_WAIT),
            attempts: of_lane!(histogram, ATTEMPTS),
            running: of_lane!(gauge, "longshore_tasks_running"),
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
    pub(crate) fn new(cell: &Arc<str>, queue: &str, action: &str, index: usize) -> Self {
        let (cell, queue) = (Arc::clone(cell), queue.to_owned());
        let action = if index < NAMES_MAX { action } else { OTHER }.to_owned();
        Self {
            finished: Finish::ALL.map(|(_, outcome)| {
                counter!(FINISHED, "cell" => cell.clone(), "queue" => queue.clone(), "action" => action.clone(),
                    "outcome" => outcome)
            }),
            execution: histogram!(EXECUTION, "cell" => cell, "queue" => queue, "action" => action),
        }
    }

    pub(crate) fn finished(&self, finish: Finish) {
        self.finished[finish as usize].increment(1);
    }
}

/// Counters of what this process inserts into one cell, by queue and action. Names that its configuration does not have
/// share a label.
#[derive(Debug)]
pub(crate) struct Enqueued(HashMap<(String, String), Counter>);

impl Enqueued {
    /// `names` are those that the configuration puts together.
    pub(crate) fn new(cell: &Arc<str>, names: impl IntoIterator<Item = (String, String)>) -> Self {
        let known = names.into_iter().take(NAMES_MAX);
        let counters = known.chain([(OTHER.to_owned(), OTHER.to_owned())]).map(|(queue, action)| {
            let counter = counter!("longshore_tasks_enqueued_total", "cell" => Arc::clone(cell),
                "queue" => queue.clone(), "action" => action.clone());
            ((queue, action), counter)
        });
        Self(counters.collect())
    }

    /// A task was inserted.
    pub(crate) fn count(&self, queue: &str, action: &str) {
        let known = self.0.get(&(queue.to_owned(), action.to_owned()));
        let other = || self.0.get(&(OTHER.to_owned(), OTHER.to_owned()));
        known.or_else(other).inspect(|counter| counter.increment(1));
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
    pub(crate) fn claim(cell: &Arc<str>) -> Self {
        let seconds = |result: &'static str| histogram!("longshore_claim_seconds", "cell" => Arc::clone(cell), "result" => result);
        Self {
            rows: seconds("rows"),
            empty: seconds("empty"),
            error: seconds("error"),
            batch: histogram!("longshore_claim_batch_size", "cell" => Arc::clone(cell)),
        }
    }

    pub(crate) fn complete(cell: &Arc<str>) -> Self {
        let seconds = |result: &'static str| histogram!("longshore_complete_seconds", "cell" => Arc::clone(cell), "result" => result);
        Self {
            rows: seconds("ok"),
            empty: seconds("ok"),
            error: seconds("error"),
            batch: histogram!("longshore_complete_batch_size", "cell" => Arc::clone(cell)),
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

/// Tasks in hand at shutdown went this way.
pub(crate) fn shutdown_tasks(cell: &Arc<str>, result: &'static str, tasks: usize) {
    counter!("longshore_shutdown_tasks_total", "cell" => Arc::clone(cell), "result" => result).increment(tasks as u64);
}

/// Makes the ways known that tasks can go at shutdown.
pub(crate) fn shutdown_tasks_are_known(cell: &Arc<str>) {
    for result in ["drained", "released", "abandoned"] {
        shutdown_tasks(cell, result, 0);
    }
}

/// Classes of SQLSTATE that a database error is counted under; all else is `other`.
const ERROR_CLASSES: [&str; 8] = ["08", "25", "40", "42", "53", "55", "57", "other"];

/// Counts a database error under its SQLSTATE class; errors of the connection have none and count as `08`.
pub(crate) fn database_error(cell: &Arc<str>, op: &'static str, error: &Error) {
    let state = error.sqlstate();
    let state = state.as_deref().unwrap_or("08");
    let class = ERROR_CLASSES.into_iter().find(|class| state.starts_with(class)).unwrap_or("other");
    errors_of(cell, op, class).increment(1);
}

/// Makes the counters of a connection's errors known, so that the first error is an increase.
pub(crate) fn no_database_errors_yet(cell: &Arc<str>, op: &'static str) {
    for class in ERROR_CLASSES {
        errors_of(cell, op, class).increment(0);
    }
}

fn errors_of(cell: &Arc<str>, op: &'static str, class: &'static str) -> Counter {
    counter!("longshore_db_errors_total", "cell" => Arc::clone(cell), "op" => op, "class" => class)
}

#[cfg(test)]
mod tests;
