//! What must hold of any tree at its end: a reference for results, written down once more, and a check of all tasks.

use std::collections::{BTreeMap, BTreeSet};

use longshore_queue::{ResultStatus, TaskResult};
use uuid::Uuid;

use super::Database;
use ResultStatus::{Failure, Incomplete, PartialSuccess, Success};

/// What a task's executor said last.
#[derive(Debug, Clone)]
pub struct Said {
    pub result: TaskResult,
    /// Whether the results of its subtasks are collected: surely, surely not, or nobody can tell.
    pub bubbles: Option<bool>,
}

/// A task as it stands at the end.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub task_id: Uuid,
    pub parent_task_id: Option<Uuid>,
    pub predecessors: Vec<Uuid>,
    pub status: String,
    pub result_status: String,
    pub reason: Option<String>,
    pub retry: i16,
    pub policy: Option<String>,
    pub has_run: bool,
    pub successes: Vec<String>,
    pub failures: Vec<String>,
    pub ends_after_subtasks: bool,
    pub rests: bool,
}

const ROWS: &str = "SELECT task_id, parent_task_id, coalesce(\"after\", '{}')::uuid[] AS predecessors, status::text AS status,
        result_status::text AS result_status, result_reason AS reason, retry, on_subtask_failure::text AS policy,
        started_at IS NOT NULL AS has_run, coalesce(result_successes, '{}') AS successes,
        coalesce(result_failures, '{}') AS failures,
        NOT EXISTS (SELECT FROM tasks AS sub WHERE sub.parent_task_id = tasks.task_id AND sub.finished_at > tasks.finished_at)
            AS ends_after_subtasks,
        num_nonnulls(waits_for, own_result) = 0 AS rests
    FROM tasks ORDER BY task_id";

/// All tasks of a database.
pub async fn rows(database: &Database) -> Vec<Row> {
    sqlx::query_as(ROWS).fetch_all(&mut database.conn().await).await.unwrap()
}

/// The result of a task that collects those of its subtasks: the rules, written down once more.
fn expected(said: &TaskResult, retry: i16, subtasks: &[&Row]) -> (String, BTreeSet<String>, BTreeSet<String>) {
    let mut status = if subtasks.is_empty() { Success } else { Incomplete };
    let succeed = |status| if matches!(status, Failure | PartialSuccess) { PartialSuccess } else { Success };
    let fail = |status| if matches!(status, Success | PartialSuccess) { PartialSuccess } else { Failure };
    let (mut successes, mut failures) =
        (BTreeSet::from_iter(said.successes.clone()), BTreeSet::from_iter(said.failures.clone()));
    let mut counted = false;
    for subtask in subtasks {
        let counts = retry == 0 || subtask.retry == retry;
        if ["success", "partial_success"].contains(&subtask.result_status.as_str()) {
            status = succeed(status);
            counted = true;
        }
        if counts && ["failure", "partial_success"].contains(&subtask.result_status.as_str()) {
            status = fail(status);
            counted = true;
        }
        successes.extend(subtask.successes.iter().cloned());
        if counts {
            failures.extend(subtask.failures.iter().cloned());
        }
    }
    let status = match (said.status, counted) {
        (Success, false) => Success,
        (Success | Incomplete, _) => status,
        (Failure, true) => fail(status),
        (Failure, false) => Failure,
        (PartialSuccess, _) => PartialSuccess,
    };
    (status.to_string(), successes, failures)
}

/// What holds of every world at its end.
pub fn check(rows: &[Row], said: &BTreeMap<Uuid, Said>) {
    let by_id: BTreeMap<Uuid, &Row> = rows.iter().map(|row| (row.task_id, row)).collect();
    let mut below: BTreeMap<Uuid, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(parent) = row.parent_task_id {
            below.entry(parent).or_default().push(row);
        }
    }
    for row in rows {
        assert!(row.ends_after_subtasks, "{row:?} ended before its subtasks");
        if row.reason.as_deref() == Some("predecessor_failed") {
            let failed = row
                .predecessors
                .iter()
                .any(|id| !["success", "partial_success"].contains(&by_id[id].result_status.as_str()));
            assert!(failed, "{row:?} was ended for nothing");
        }
        if row.status == "terminated" {
            assert_eq!(row.result_status, "failure", "{row:?}");
            continue;
        }
        assert!(row.has_run, "{row:?} is complete and has not run");
        let said = &said[&row.task_id];
        let subtasks = below.get(&row.task_id).map_or(&[][..], Vec::as_slice);
        let found = (
            row.result_status.clone(),
            BTreeSet::from_iter(row.successes.clone()),
            BTreeSet::from_iter(row.failures.clone()),
        );
        let own = expected_alone(&said.result);
        let all = expected(&said.result, row.retry, subtasks);
        match said.bubbles {
            Some(true) => assert_eq!(found, all, "{row:?} {said:?} {subtasks:#?}"),
            Some(false) => assert_eq!(found, own, "{row:?} {said:?}"),
            None => assert!(found == all || found == own, "{row:?} {said:?} {subtasks:#?}"),
        }
    }
}

fn expected_alone(said: &TaskResult) -> (String, BTreeSet<String>, BTreeSet<String>) {
    (said.status.to_string(), BTreeSet::from_iter(said.successes.clone()), BTreeSet::from_iter(said.failures.clone()))
}
