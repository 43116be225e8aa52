//! Who works, who leads, and what waits all the same.

use std::time::Duration;

use chrono::TimeDelta;
use longshore_queue::examine::{
    Lead, OverdueTasks, examine_claims, examine_lead, examine_server, examine_waiting, examine_workers,
};
use longshore_queue::{pauses, schedules};

use super::code::Code::{self, *};
use super::patient::{Patient, look};
use super::report::{Checked, Finding, NotChecked, Report};
use super::{ago, some};
use crate::cli::say::count;

/// How long after its lease a dead worker is to be found: the leader looks every 3.5 seconds, and after an outage it
/// first gives everybody one lease to report.
const RESCUE_GRACE: Duration = Duration::from_secs(60);

/// A claim without a worker is taken back a minute after it was made.
const ORPHAN_GRACE: Duration = Duration::from_secs(120);

/// The lead is taken within a lease of its holder's end. A fleet that has just started, or restarted, gets that time.
const LEAD_GRACE_SECONDS: f64 = 60.0;

/// A pause that is meant to hold for longer has an end, or a reason that somebody remembers.
const PAUSE_MAX: TimeDelta = TimeDelta::days(1);

/// As many queues and actions, or schedules, as one finding tells.
const NAMES_MAX: usize = 5;

/// Looks at workers, claims, the lead, what is due, and schedules.
pub(super) async fn check(patient: &mut Patient, report: &mut Report, max_wait: Duration) {
    report.take(&[LS301], silent(patient)).await;
    report.take(&[LS302], orphaned(patient)).await;
    let lead = look!(patient, db => examine_lead(db)).map_err(NotChecked::from);
    // from when on a task waits for want of a worker: a rollout may leave none for a moment
    let mut overdue = look!(patient, db => examine_waiting(db, RESCUE_GRACE.min(max_wait))).map_err(NotChecked::from);
    if let Ok(overdue) = &mut overdue {
        overdue.retain(|it| !it.paused);
    }
    report.note(&[LS303], lead.clone().map(|lead| vacant(&lead).into_iter().collect()));
    let nobody = || -> Checked {
        let (lead, overdue) = (lead.clone()?, overdue.clone()?);
        Ok(if lead.alive == 0 { no_worker(&overdue).into_iter().collect() } else { Vec::new() })
    };
    report.note(&[LS304], nobody());
    let waiting = || -> Checked {
        let (lead, overdue) = (lead.clone()?, overdue.clone()?);
        let (served, not_served): (Vec<_>, Vec<_>) = overdue.into_iter().partition(|it| it.served || lead.alive == 0);
        let long = served.into_iter().filter(|it| it.oldest_seconds > max_wait.as_secs_f64()).collect();
        Ok(waiting(LS305, long, SLOW_REMEDY).into_iter().chain(waiting(LS307, not_served, UNSERVED_REMEDY)).collect())
    };
    report.note(&[LS305, LS307], waiting());
    report.take(&[LS308], long_pauses(patient)).await;
    report.take(&[LS306], failing_schedules(patient)).await;
}

async fn silent(patient: &mut Patient) -> Checked {
    let workers = look!(patient, db => examine_workers(db, RESCUE_GRACE))?;
    let told = |worker: longshore_queue::examine::SilentWorker| {
        let seen = format!(
            "worker {} ({}) has not reported for {}, its lease is {}, its claims hold {}",
            worker.name,
            worker.worker_id,
            ago(worker.silent_seconds),
            ago(worker.lease_seconds),
            count(worker.tasks, "task")
        );
        let remedy =
            "start a worker: the one that leads gives the tasks back; where one runs, LS303 and its log say more";
        Finding::new(LS301, seen, remedy)
    };
    // one that held nothing is only a row that the next leader takes away
    Ok(workers.into_iter().filter(|worker| worker.tasks > 0).map(told).collect())
}

async fn orphaned(patient: &mut Patient) -> Checked {
    let orphaned = look!(patient, db => examine_claims(db, ORPHAN_GRACE))?;
    if orphaned.claims == 0 {
        return Ok(Vec::new());
    }
    let seen = format!(
        "{} with {} {} of workers that are not there, the oldest for {}",
        count(orphaned.claims, "claim"),
        count(orphaned.tasks, "task"),
        if orphaned.claims == 1 { "is" } else { "are" },
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
        let are = if lead.alive == 1 { "is" } else { "are" };
        let seen = format!("no worker has led {since}, though {} {are} alive", lead.alive);
        let remedy = "look into the workers' logs for errors of the step \"lead\", and at LS210; restart one";
        Finding::new(LS303, seen, remedy)
    })
}

fn no_worker(overdue: &[OverdueTasks]) -> Option<Finding> {
    let oldest = overdue.first()?;
    let tasks: i64 = overdue.iter().map(|it| it.tasks).sum();
    let are = if tasks == 1 { "task or more is" } else { "tasks or more are" };
    let seen = format!("{tasks} {are} due, the oldest for {}", ago(oldest.oldest_seconds));
    Some(Finding::new(
        LS304,
        seen,
        "start longshore worker; where it runs, look whether it names this database and schema",
    ))
}

const SLOW_REMEDY: &str = "start more workers, or raise queues.NAME.concurrency; longshore top shows rates and slots";

const UNSERVED_REMEDY: &str = "configure a worker for this queue and action, or correct the name: longshore workers list \
                               shows what each serves";

fn waiting(code: Code, overdue: Vec<OverdueTasks>, remedy: &str) -> Option<Finding> {
    let oldest = overdue.first()?;
    let line = |it: &OverdueTasks| format!("{} of action {} in queue {}", it.tasks, it.action, it.queue);
    let lines: Vec<String> = overdue.iter().map(line).collect();
    let seen = format!("{}; the oldest has been due for {}", some(&lines, NAMES_MAX), ago(oldest.oldest_seconds));
    Some(Finding::new(code, seen, remedy))
}

async fn long_pauses(patient: &mut Patient) -> Checked {
    let pauses = look!(patient, db => pauses(db))?;
    let now = look!(patient, db => examine_server(db))?.clock;
    let told = pauses.into_iter().filter(|it| it.until.is_none() && now - it.paused_at > PAUSE_MAX).map(|it| {
        let of = [("queue", it.queue), ("action", it.action)];
        let of: Vec<String> = of.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name?))).collect();
        let reason = it.reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let since = it.paused_at.format("%Y-%m-%d %H:%M UTC");
        let seen = format!("{} is paused since {since}, by {}{reason}", of.join(", "), it.paused_by);
        Finding::new(LS308, seen, "longshore queues resume, or give the pause an end")
    });
    Ok(told.collect())
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
