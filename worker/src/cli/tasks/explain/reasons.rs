//! From facts about a task to sentences about it; no I/O.

use chrono::SecondsFormat;
use longshore_queue::{Pause, Standing, TaskLine, WorkerLine, WorkerQueue};
use serde::Serialize;
use serde_json::{Value, json};

use super::{AHEAD_MAX, NAMED_MAX};
use crate::cli::values::{age, key, word};

/// What was read about a task.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) task: Standing,
    pub(super) pauses: Vec<Pause>,
    pub(super) workers: Vec<WorkerLine>,
    /// Open ones.
    pub(super) predecessors: Vec<TaskLine>,
    /// Open ones, at most one more than are named.
    pub(super) subtasks: Vec<TaskLine>,
    /// Due tasks before it.
    pub(super) ahead: i64,
}

impl Facts {
    /// Nothing but how it stands.
    pub(super) fn of(task: Standing) -> Self {
        let (pauses, workers, predecessors, subtasks) = <_>::default();
        Self { task, pauses, workers, predecessors, subtasks, ahead: 0 }
    }
}

/// Why a task does not run, or what it does.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// What the sentence says, for programs.
    #[serde(flatten)]
    pub(super) facts: Value,
}

fn reason(code: &'static str, message: String, facts: Value) -> Reason {
    Reason { code, message, facts }
}

/// All that holds a task up, what comes first in its life first; never empty.
pub(super) fn reasons(facts: &Facts) -> Vec<Reason> {
    match facts.task.status.as_str() {
        "complete" | "terminated" => vec![ended(&facts.task)],
        "running" => vec![running(&facts.task)],
        "terminating" => terminating(facts),
        _ => waiting(facts),
    }
}

fn ended(task: &Standing) -> Reason {
    let mut message = format!("it has ended: {} {}", task.status, task.result_status);
    if let Some(reason) = &task.result_reason {
        message.push_str(&format!(" ({reason})"));
    }
    if let Some(at) = task.finished_at {
        message.push_str(&format!(", at {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    if let Some(said) = &task.result_message {
        message.push_str(&format!(": {said}"));
    }
    message.push_str("; `longshore tasks retry` runs it once more");
    let facts = json!({ "result_status": task.result_status, "result_reason": task.result_reason,
        "finished_at": task.finished_at });
    reason("ended", message, facts)
}

/// Who holds it, and whether that can be relied on.
fn running(task: &Standing) -> Reason {
    let attempt = format!("attempt {} of {}", task.attempt, task.max_attempts);
    let (Some(name), Some(silent), Some(lease)) =
        (&task.holder_name, task.holder_silent_seconds, task.holder_lease_seconds)
    else {
        let message = format!(
            "{attempt} was held by a worker that is gone: the active instance gives it back within a \
            minute; `longshore workers list` shows whether there is one"
        );
        return reason("held_by_lost_worker", message, json!({ "attempt": task.attempt }));
    };
    let facts = json!({ "attempt": task.attempt, "worker": name, "worker_id": task.holder_id,
        "heartbeat_age_seconds": silent, "lease_seconds": lease, "started_at": task.started_at });
    if silent <= lease / 2.0 {
        let since = task
            .started_at
            .map_or_else(String::new, |at| format!(" since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)));
        return reason("running", format!("it runs{since}: {attempt}, at worker {name}"), facts);
    }
    let left = lease - silent;
    let then = if left > 0.0 {
        format!("its lease runs out in {}, and then the task is given to another", age(left))
    } else {
        format!("its lease ran out {} ago, and the active instance gives the task to another", age(-left))
    };
    let message = format!("{attempt} is held by worker {name}, which has not reported for {}: {then}", age(silent));
    reason("held_by_silent_worker", message, facts)
}

fn terminating(facts: &Facts) -> Vec<Reason> {
    let task = &facts.task;
    let mut message = "it is being terminated".to_owned();
    if let Some(by) = &task.terminated_by {
        message.push_str(&format!(" by {by}"));
    }
    if let Some(at) = task.terminated_at {
        message.push_str(&format!(" since {}", at.to_rfc3339_opts(SecondsFormat::Secs, true)));
    }
    if task.is_held {
        message.push_str(&format!(
            ": its executor at worker {} has been told, and is waited for",
            task.holder_name.as_deref().unwrap_or("(gone)")
        ));
    }
    let told = json!({ "terminated_by": task.terminated_by, "terminated_at": task.terminated_at,
        "worker": task.holder_name, "worker_id": task.holder_id });
    let mut reasons = vec![reason("terminating", message, told)];
    if task.is_held {
        reasons.extend(Some(running(task)).filter(|held| held.code != "running"));
    }
    if !facts.subtasks.is_empty() {
        reasons.push(waits_for(&facts.subtasks, "waits_for_subtasks", "it ends after its open subtasks"));
    }
    reasons
}

fn waiting(facts: &Facts) -> Vec<Reason> {
    let task = &facts.task;
    let mut reasons = Vec::new();
    if !facts.predecessors.is_empty() {
        let what = "it waits for the tasks that it names in after";
        reasons.push(waits_for(&facts.predecessors, "waits_for_predecessors", what));
    }
    if let Some(until) = &task.waits_for {
        let what = match until.as_str() {
            "any" => "its executor waits for the end of any of its subtasks",
            "all" => "its executor waits for the end of all its subtasks",
            _ => "its executor is done, and it ends after its subtasks",
        };
        reasons.push(waits_for(&facts.subtasks, "waits_for_subtasks", what));
    }
    if task.status == "requested" {
        if reasons.is_empty() {
            let what = "nothing it waits for is open any more: it goes on at once".to_owned();
            reasons.push(reason("due", what, json!({})));
        }
        return reasons;
    }
    reasons.extend(later(task));
    reasons.extend(paused(facts));
    reasons.extend(unserved(facts));
    if task.due_in_seconds <= 0.0 && facts.ahead > 0 {
        let (count, more) = (facts.ahead, if facts.ahead >= i64::from(AHEAD_MAX) { " or more" } else { "" });
        let tasks = if count == 1 { "due task is" } else { "due tasks are" };
        let message = format!(
            "{count}{more} {tasks} before it in queue {:?}: a smaller priority than {} goes first",
            task.queue, task.priority
        );
        reasons.push(reason("behind_others", message, json!({ "ahead": count, "priority": task.priority })));
    }
    if reasons.is_empty() {
        let message = "nothing holds it up: it is claimed at the next look, within a second".to_owned();
        reasons.push(reason("due", message, json!({})));
    }
    reasons
}

/// The open tasks that one waits for.
fn waits_for(open: &[TaskLine], code: &'static str, what: &str) -> Reason {
    let named = &open[..open.len().min(NAMED_MAX as usize)];
    let list: Vec<String> =
        named.iter().map(|task| format!("{} ({}, {})", task.task_id, task.action, task.status)).collect();
    let more = if open.len() > named.len() { ", and more" } else { "" };
    let facts: Vec<Value> = named
        .iter()
        .map(|task| json!({ "task_id": task.task_id, "action": task.action, "status": task.status }))
        .collect();
    let message = match list.is_empty() {
        true => format!("{what}, of which none is open any more"),
        false => format!("{what}: {}{more}", list.join(", ")),
    };
    reason(code, message, json!({ "tasks": facts, "more": open.len() > named.len() }))
}

/// It is not due yet.
fn later(task: &Standing) -> Option<Reason> {
    if task.due_in_seconds <= 0.0 || task.waits_for.is_some() {
        return None;
    }
    let at = task.run_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (code, what) = if task.attempt > 0 || task.result_reason.is_some() {
        let why = [task.result_reason.as_deref(), task.result_message.as_deref()];
        let why: Vec<&str> = why.into_iter().flatten().collect();
        (
            "retry_due",
            format!("after attempt {} of {} ({}) it is due again", task.attempt, task.max_attempts, why.join(": ")),
        )
    } else {
        ("scheduled", "it is due".to_owned())
    };
    let message = format!("{what} at {at}, in {}", age(task.due_in_seconds));
    Some(reason(code, message, json!({ "run_at": task.run_at, "in_seconds": task.due_in_seconds })))
}

fn paused(facts: &Facts) -> Vec<Reason> {
    let holds = facts.pauses.iter().filter(|pause| pause.holds(&facts.task.queue, &facts.task.action));
    holds
        .map(|pause| {
            let (code, what, remedy) = match (&pause.queue, &pause.action) {
                (Some(queue), None) => ("paused_queue", format!("queue {queue:?}"), word(queue)),
                (queue, action) => {
                    let action = action.as_deref().unwrap_or_default();
                    let of = queue.as_ref().map_or_else(String::new, |queue| format!(" of queue {queue:?}"));
                    let queue = queue.as_ref().map_or_else(String::new, |queue| format!("{} ", word(queue)));
                    ("paused_action", format!("action {action:?}{of}"), format!("{queue}--action {}", word(action)))
                }
            };
            let since = pause.paused_at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let mut message = format!("{what} is paused since {since} by {}", pause.paused_by);
            if let Some(until) = pause.until {
                message.push_str(&format!(", until {}", until.to_rfc3339_opts(SecondsFormat::Secs, true)));
            }
            if let Some(why) = &pause.reason {
                message.push_str(&format!(" ({why})"));
            }
            message.push_str(&format!(": `longshore queues resume {remedy}` ends that"));
            reason(code, message, json!({ "pause": pause }))
        })
        .collect()
}

/// Nobody serves it, or nobody has room.
fn unserved(facts: &Facts) -> Option<Reason> {
    let (queue, action) = (&facts.task.queue, &facts.task.action);
    let alive: Vec<&WorkerLine> = facts.workers.iter().filter(|worker| worker.works()).collect();
    let silent = facts.workers.iter().any(|worker| worker.state == "silent");
    if alive.is_empty() {
        let who = match facts.workers.len() {
            0 => "no worker runs".to_owned(),
            1 if silent => "the only worker does not report".to_owned(),
            1 => "the only worker drains".to_owned(),
            all if silent => format!("none of {all} workers reports and claims"),
            all => format!("all {all} workers drain"),
        };
        let message = format!("{who}: start one (longshore worker) that serves queue {queue:?}");
        return Some(reason("no_worker", message, json!({ "workers": facts.workers.len() })));
    }
    let lanes: Vec<&WorkerQueue> =
        alive.iter().flat_map(|worker| &worker.queues).filter(|served| served.queue == *queue).collect();
    let mute = alive.iter().filter(|worker| worker.queues.is_empty()).count();
    if mute > 0 {
        // workers of an earlier version do not say what they serve: they may serve it
        return None;
    }
    if lanes.is_empty() {
        let mut served: Vec<&str> =
            alive.iter().flat_map(|worker| &worker.queues).map(|served| served.queue.as_str()).collect();
        served.sort_unstable();
        served.dedup();
        let who = match alive.len() {
            1 => format!("the only live worker does not serve queue {queue:?} (it serves"),
            all => format!("none of {all} live workers serves queue {queue:?} (they serve"),
        };
        let (served_now, section) = (served.join(", "), key(queue));
        let message = format!("{who} {served_now}): add a section [queues.{section}] to a worker's configuration");
        return Some(reason("no_worker_of_queue", message, json!({ "workers": alive.len(), "queues": served })));
    }
    let knowing: Vec<&WorkerQueue> = lanes.iter().copied().filter(|lane| lane.actions.contains(action)).collect();
    if knowing.is_empty() {
        let mut known: Vec<&String> = lanes.iter().flat_map(|lane| &lane.actions).collect();
        known.sort_unstable();
        known.dedup();
        known.truncate(NAMED_MAX as usize);
        let who = match lanes.len() {
            1 => format!("the only live worker of queue {queue:?} does not know action {action:?} (it knows"),
            all => format!("none of the {all} live workers of queue {queue:?} knows action {action:?} (they know"),
        };
        let known_now = known.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let section = key(action);
        let message = format!("{who} {known_now}): add a section [actions.{section}] to a worker's configuration");
        return Some(reason("unknown_action", message, json!({ "workers": lanes.len(), "actions": known })));
    }
    if facts.task.due_in_seconds <= 0.0 && knowing.iter().all(|lane| lane.free_slots == 0) {
        let slots: i32 = knowing.iter().map(|lane| lane.slots).sum();
        let (slots_told, are) = match slots {
            1 => ("the only slot".to_owned(), "is"),
            _ => (format!("all {slots} slots"), "are"),
        };
        let who = match knowing.len() {
            1 => "the only live worker that knows".to_owned(),
            all => format!("the {all} live workers that know"),
        };
        let section = key(queue);
        let message = format!(
            "{slots_told} of {who} action {action:?} in queue {queue:?} {are} busy: wait, raise \
             queues.{section}.concurrency, or start more workers"
        );
        return Some(reason("slots_full", message, json!({ "workers": knowing.len(), "slots": slots })));
    }
    None
}
