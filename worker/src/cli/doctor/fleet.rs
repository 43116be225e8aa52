//! Who works, who leads, and what waits all the same.

use std::time::Duration;

use longshore_queue::examine::{Lead, OverdueTasks, examine_claims, examine_lead, examine_waiting, examine_workers};
use longshore_queue::schedules;

use super::code::Code::*;
use super::patient::{Patient, look};
use super::report::{Checked, Finding, NotChecked, Report};
use super::{ago, some};

/// How long after its lease a dead worker is to be found: the leader looks every 3.5 seconds, and after an outage it first
/// gives everybody one lease to report.
const RESCUE_GRACE: Duration = Duration::from_secs(60);

/// A claim without a worker is taken back a minute after it was made.
const ORPHAN_GRACE: Duration = Duration::from_secs(120);

/// The lead is taken within a lease of its holder's end. A fleet that has just started, or restarted, gets that time.
const LEAD_GRACE_SECONDS: f64 = 60.0;

/// As many queues and actions, or schedules, as one finding tells.
const NAMES_MAX: usize = 5;

/// Looks at workers, claims, the lead, what is due, and schedules.
pub(super) async fn check(patient: &mut Patient, report: &mut Report, max_wait: Duration) {
    report.take(&[LS301], silent(patient)).await;
    report.take(&[LS302], orphaned(patient)).await;
    let lead = look!(patient, db => examine_lead(db)).map_err(NotChecked::from);
    // from when on a task waits for want of a worker: a rollout may leave none for a moment
    let overdue = look!(patient, db => examine_waiting(db, RESCUE_GRACE.min(max_wait))).map_err(NotChecked::from);
    report.note(&[LS303], lead.clone().map(|lead| vacant(&lead).into_iter().collect()));
    let nobody = || -> Checked {
        let (lead, overdue) = (lead.clone()?, overdue.clone()?);
        Ok(if lead.alive == 0 { no_worker(&overdue).into_iter().collect() } else { Vec::new() })
    };
    report.note(&[LS304], nobody());
    let waiting = |overdue: Vec<OverdueTasks>| -> Vec<Finding> {
        let long = overdue.into_iter().filter(|it| it.oldest_seconds > max_wait.as_secs_f64());
        waiting(long.collect()).into_iter().collect()
    };
    report.note(&[LS305], overdue.clone().map(waiting));
    report.take(&[LS306], failing_schedules(patient)).await;
}

async fn silent(patient: &mut Patient) -> Checked {
    let workers = look!(patient, db => examine_workers(db, RESCUE_GRACE))?;
    let told = |worker: longshore_queue::examine::SilentWorker| {
        let seen = format!(
            "worker {} ({}) has not reported for {}, its lease is {}, its claims hold {} tasks",
            worker.name,
            worker.worker_id,
            ago(worker.silent_seconds),
            ago(worker.lease_seconds),
            worker.tasks
        );
        let remedy =
            "start a worker: the one that leads gives the tasks back; where one runs, LS303 and its log say more";
        Finding::new(LS301, seen, remedy)
    };
    Ok(workers.into_iter().map(told).collect())
}

async fn orphaned(patient: &mut Patient) -> Checked {
    let orphaned = look!(patient, db => examine_claims(db, ORPHAN_GRACE))?;
    if orphaned.claims == 0 {
        return Ok(Vec::new());
    }
    let seen = format!(
        "{} claims with {} tasks are of workers that are not there, the oldest for {}",
        orphaned.claims,
        orphaned.tasks,
        ago(orphaned.oldest_seconds)
    );
    let remedy = "start a worker: the one that leads takes them back; where one runs, LS303 and its log say more";
    Ok(vec![Finding::new(LS302, seen, remedy)])
}

fn vacant(lead: &Lead) -> Option<Finding> {
    let vacant = lead.vacant_seconds.filter(|_| lead.oldest_alive_seconds > LEAD_GRACE_SECONDS)?;
    // never led: the row begins in 1970
    let since = if vacant > 1e9 { "ever".to_owned() } else { format!("for {}", ago(vacant)) };
    (vacant > LEAD_GRACE_SECONDS).then(|| {
        let seen = format!("no worker has led {since}, though {} are alive", lead.alive);
        let remedy = "look into the workers' logs for errors of the step \"lead\", and at LS210; restart one";
        Finding::new(LS303, seen, remedy)
    })
}

fn no_worker(overdue: &[OverdueTasks]) -> Option<Finding> {
    let oldest = overdue.first()?;
    let tasks: i64 = overdue.iter().map(|it| it.tasks).sum();
    let seen = format!("{tasks} tasks or more are due, the oldest for {}", ago(oldest.oldest_seconds));
    Some(Finding::new(
        LS304,
        seen,
        "start longshore worker; where it runs, look whether it names this database and schema",
    ))
}

fn waiting(overdue: Vec<OverdueTasks>) -> Option<Finding> {
    let oldest = overdue.first()?;
    let line = |it: &OverdueTasks| format!("{} of action {} in queue {}", it.tasks, it.action, it.queue);
    let lines: Vec<String> = overdue.iter().map(line).collect();
    let seen = format!("{}; the oldest has been due for {}", some(&lines, NAMES_MAX), ago(oldest.oldest_seconds));
    let remedy = "see whether a worker is configured for this action and queue; if one is, start more workers, or raise \
                  queues.NAME.concurrency";
    Some(Finding::new(LS305, seen, remedy))
}

async fn failing_schedules(patient: &mut Patient) -> Checked {
    let schedules = look!(patient, db => schedules(db))?;
    let failing = schedules.iter().filter(|it| !it.paused);
    let told = failing.filter_map(|it| Some(format!("{}: {}", it.name, it.error.as_ref()?)));
    let lines: Vec<String> = told.collect();
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let remedy = "UPDATE schedules as it says; it is tried again at once";
    Ok(vec![Finding::new(LS306, some(&lines, NAMES_MAX), remedy)])
}
