//! Every metric in one table: its type, its labels and what it says. `METRICS.md` is held equal to it by a test.

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As Prometheus stores it; a histogram's series have `_bucket`, `_sum` or `_count` at the end.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels, without the `le` of a histogram.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts into buckets.
    Histogram,
}

impl Kind {
    /// As Prometheus writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

use Kind::{Counter, Gauge, Histogram};

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str], meaning: &'static str) -> Metric {
    Metric { name, kind, labels, meaning }
}

/// All of them, by name.
pub const METRICS: &[Metric] = &[
    metric("longshore_build_data_pruned_total", Counter, &["cell"], "entries of build data removed by retention"),
    metric("longshore_build_info", Gauge, &["version", "schema_version"], "1"),
    metric("longshore_claim_batch_size", Histogram, &["cell"], "tasks a claim brought"),
    metric("longshore_claim_seconds", Histogram, &["cell", "result"], "time of a claim; rows, empty, error"),
    metric("longshore_complete_batch_size", Histogram, &["cell"], "tasks settled by one statement"),
    metric("longshore_complete_seconds", Histogram, &["cell", "result"], "time of a settling statement; ok, error"),
    metric("longshore_db_dead_tuple_ratio", Gauge, &["cell", "table"], "dead rows of all rows; leader only"),
    metric(
        "longshore_db_errors_total",
        Counter,
        &["cell", "op", "class"],
        "database errors by connection and SQLSTATE class: 08 (no connection), 25, 40, 42, 53, 55, 57, other",
    ),
    metric(
        "longshore_db_oldest_xmin_age_seconds",
        Gauge,
        &["cell"],
        "age of the oldest transaction that keeps vacuum from dead rows; leader only",
    ),
    metric(
        "longshore_db_table_bytes",
        Gauge,
        &["cell", "table"],
        "bytes on disk with indexes and wide values; leader only",
    ),
    metric("longshore_design_cache_bytes", Gauge, &[], "bytes of designs kept in memory"),
    metric(
        "longshore_design_fetches_total",
        Counter,
        &["result"],
        "designs asked for over HTTP; fetched, not_modified, failed",
    ),
    metric(
        "longshore_design_read_seconds",
        Histogram,
        &[],
        "time to read and compile a design, once for all attempts that share it",
    ),
    metric(
        "longshore_design_resolve_seconds",
        Histogram,
        &["result"],
        "time an attempt waited for its design; ok, permanent, transient",
    ),
    metric("longshore_heartbeat_age_seconds", Gauge, &["cell"], "time since the last heartbeat that went through"),
    metric("longshore_heartbeat_failures_total", Counter, &["cell"], "heartbeats that did not"),
    metric("longshore_leader", Gauge, &["cell"], "1 on the active instance, 0 elsewhere"),
    metric("longshore_leader_changes_total", Counter, &["cell"], "times this process took or lost the lead"),
    metric("longshore_listener_connected", Gauge, &["cell"], "1 while notifications can arrive"),
    metric("longshore_listener_reconnects_total", Counter, &["cell"], "times the listener had to connect again"),
    metric(
        "longshore_log_lines_dropped_total",
        Counter,
        &[],
        "log lines dropped: standard error was not read as fast as they came",
    ),
    metric(
        "longshore_maintenance_last_success_timestamp_seconds",
        Gauge,
        &["cell", "task"],
        "when the leader's upkeep last went well; rescue, prune, prune_build_data, analyze",
    ),
    metric("longshore_maintenance_seconds", Histogram, &["cell", "task"], "time of the leader's upkeep"),
    metric("longshore_messages_recorded_total", Counter, &["cell"], "result messages recorded"),
    metric(
        "longshore_notify_to_claim_seconds",
        Histogram,
        &["cell"],
        "from hearing of an INSERT to a claim that brought something",
    ),
    metric(
        "longshore_otlp_spans_dropped_total",
        Counter,
        &["reason"],
        "spans not exported; queue_full, failed (refused, or the collector was away)",
    ),
    metric("longshore_otlp_spans_exported_total", Counter, &[], "spans that the collector took"),
    metric(
        "longshore_queue_oldest_ready_age_seconds",
        Gauge,
        &["cell", "queue"],
        "age of the oldest due task; leader only",
    ),
    metric(
        "longshore_queue_paused",
        Gauge,
        &["cell", "queue"],
        "1 while all of the queue is paused, else 0; leader only",
    ),
    metric(
        "longshore_queue_tasks",
        Gauge,
        &["cell", "queue", "state"],
        "tasks that are ready, scheduled, running; counted up to 100000 a priority; leader only",
    ),
    metric(
        "longshore_queue_wait_seconds",
        Histogram,
        &["cell", "queue"],
        "from due to claimed, by the database's clock",
    ),
    metric(
        "longshore_schedule_lag_seconds",
        Histogram,
        &["cell"],
        "from a tick's time to its task, by the database's clock",
    ),
    metric(
        "longshore_schedule_ticks_total",
        Counter,
        &["cell", "outcome"],
        "ticks of schedules decided; fired, skipped, missed",
    ),
    metric(
        "longshore_shutdown_tasks_total",
        Counter,
        &["cell", "result"],
        "tasks in hand at shutdown; drained, released, abandoned",
    ),
    metric("longshore_task_attempts", Histogram, &["cell", "queue"], "attempts a task had when it ended"),
    metric("longshore_task_execution_seconds", Histogram, &["cell", "queue", "action"], "time an executor took"),
    metric("longshore_tasks_claimed_total", Counter, &["cell", "queue"], "tasks claimed"),
    metric("longshore_tasks_deduplicated_total", Counter, &["cell", "queue"], "claimed tasks that ended as duplicates"),
    metric(
        "longshore_tasks_enqueued_total",
        Counter,
        &["cell", "queue", "action"],
        "tasks that this process inserted: subtasks of its executors, ticks of schedules",
    ),
    metric(
        "longshore_tasks_finished_total",
        Counter,
        &["cell", "queue", "action", "outcome"],
        "attempts; success, partial_success, failure, terminated, retried, snoozed, suspended, released, lost",
    ),
    metric("longshore_tasks_pruned_total", Counter, &["cell"], "ended tasks removed by retention"),
    metric(
        "longshore_tasks_rescued_total",
        Counter,
        &["cell", "queue", "reason"],
        "tasks taken back from dead workers; worker_dead: run again, attempts_used_up: ended",
    ),
    metric("longshore_tasks_running", Gauge, &["cell", "queue"], "executors running in this process"),
    metric(
        "longshore_wakeups_total",
        Counter,
        &["cell", "reason"],
        "why a claim was tried; notify, poll, capacity, leader",
    ),
    metric("longshore_worker_slots", Gauge, &["queue"], "how many may run in this process, of all cells"),
    metric("longshore_worker_slots_busy", Gauge, &["queue"], "how many of them are taken"),
    metric("longshore_workers_alive", Gauge, &["cell"], "workers that reported within their lease; leader only"),
];
