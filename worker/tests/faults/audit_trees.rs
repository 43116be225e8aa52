//! The judge of trees, messages and schedules, by what the audit's own trigger has noted and by a reference of the rules.

use std::collections::BTreeMap;

use longshore_queue::{Bubble, TaskResult};
use serde_json::Value;
use uuid::Uuid;

use crate::program::Told;
use crate::rig::Rig;
use crate::support::tree_rules::{Said, check, rows};

/// What must give no row once everything has ended: of two changes the one noted later came later.
const FAULTS: [(&str, &str); 3] = [
    (
        "a task ended before one below it",
        "SELECT format('%s before %s', tasks.parent_task_id, tasks.task_id)
        FROM tasks
        JOIN history AS own ON own.task_id = tasks.task_id AND own.after IN ('complete', 'terminated')
        JOIN history AS parent ON parent.task_id = tasks.parent_task_id AND parent.after IN ('complete', 'terminated')
        WHERE parent.number < own.number",
    ),
    (
        "a task ran before one that it comes after",
        "SELECT format('%s before %s', tasks.task_id, before.task_id)
        FROM tasks
        CROSS JOIN unnest(tasks.\"after\") AS given (task_id)
        JOIN history AS before ON before.task_id = given.task_id AND before.after IN ('complete', 'terminated')
        JOIN history AS own ON own.task_id = tasks.task_id AND own.after = 'running'
        WHERE own.number < before.number",
    ),
    (
        "a message of the last attempt is missing",
        "SELECT format('%s says %s in attempt %s', task_id, number, attempt)
        FROM tasks CROSS JOIN generate_series(0, (payload ->> 'say')::int - 1) AS number
        WHERE action = 'work' AND status = 'complete' AND NOT EXISTS (
            SELECT FROM result_message AS said
            WHERE said.task_id = tasks.task_id AND said.message = format('attempt %s says %s', attempt, number))",
    ),
];

/// The same of schedules whose ticks are whole seconds.
const SCHEDULE_FAULTS: [(&str, &str); 5] = [
    ("a tick has no task, or more than one", "SELECT format('%s %s: %s', schedule, fire_at, count(tasks.task_id))
        FROM schedule_ticks
        LEFT JOIN tasks ON tasks.request_context #>> '{schedule,name}' = schedule
            AND (tasks.request_context #>> '{schedule,fire_at}')::timestamptz = fire_at
        GROUP BY schedule, fire_at, outcome HAVING count(tasks.task_id) <> (outcome = 'fired')::int"),
    ("a task of a schedule has no tick", "SELECT task_id::text FROM tasks
        WHERE request_context ? 'schedule' AND task_id NOT IN (SELECT task_id FROM schedule_ticks WHERE task_id IS NOT NULL)"),
    ("a tick is missing", "SELECT format('%s before %s', schedule, fire_at) FROM (
            SELECT schedule, fire_at, outcome, lag(fire_at) OVER (PARTITION BY schedule ORDER BY fire_at) AS last
            FROM schedule_ticks) AS ticks
        -- a missed one stands for all between it and the one before
        WHERE fire_at - last <> interval '1 s' AND (schedule = 'all' OR outcome <> 'missed')"),
    ("a schedule that makes up for all has skipped or missed", "SELECT format('%s: %s', fire_at, outcome)
        FROM schedule_ticks WHERE schedule = 'all' AND outcome <> 'fired'"),
    // one that is replaced has been asked to end
    ("a task ran beside an older one of its schedule", "SELECT format('%s: %s beside %s', older.schedule, newer.task_id, older.task_id)
        FROM schedule_ticks AS older
        JOIN schedule_ticks AS newer ON newer.schedule = older.schedule AND newer.fire_at > older.fire_at
        JOIN history AS begun ON begun.task_id = newer.task_id AND begun.after = 'running'
        WHERE older.schedule IN ('skip', 'replace') AND older.outcome = 'fired'
            AND NOT EXISTS (
                SELECT FROM history AS ended
                WHERE ended.task_id = older.task_id AND ended.number < begun.number
                    AND (ended.after IN ('complete', 'terminated')
                        OR ended.after = 'terminating' AND older.schedule = 'replace'))"),
];

impl Rig {
    /// Judges trees whose tasks do as their payload says, once everything has ended.
    pub(crate) async fn judge_trees(&self) {
        self.none_of(&FAULTS).await;
        let told: Vec<(Uuid, String, Value)> =
            sqlx::query_as("SELECT task_id, action::text, payload::jsonb FROM tasks")
                .fetch_all(&mut self.database.conn().await)
                .await
                .unwrap();
        let said: BTreeMap<Uuid, Said> =
            told.into_iter().map(|(task_id, action, payload)| (task_id, said(&action, payload))).collect();
        check(&rows(&self.database).await, &said);
    }

    /// Judges the ticks of schedules that are paused by now.
    pub(crate) async fn judge_schedules(&self) {
        self.none_of(&SCHEDULE_FAULTS).await;
    }

    async fn none_of(&self, faults: &[(&str, &'static str)]) {
        let mut conn = self.database.conn().await;
        for (fault, sql) in faults {
            let found: Vec<String> = sqlx::query_scalar(*sql).fetch_all(&mut conn).await.unwrap();
            assert!(found.is_empty(), "{fault}: {} of them: {:?}", found.len(), &found[..found.len().min(10)]);
        }
    }
}

/// What the executor of a complete task has said. One that does not collect the results of its subtasks takes them all the
/// same where some were open at its end: nobody can tell.
fn said(action: &str, payload: Value) -> Said {
    let result = match action {
        "tree" => TaskResult { bubble: Some(Bubble::default()), ..TaskResult::default() },
        "work" => serde_json::from_value::<Told>(payload).unwrap_or_default().result(None),
        _ => Told::default().result(None),
    };
    let bubbles = if result.bubble.is_some() { Some(true) } else { None };
    Said { result, bubbles }
}
