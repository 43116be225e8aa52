//! Fires the schedules whose time has come, for the active instance. The database's clock says what time it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use longshore_queue::{
    DueSchedule, Error, Leadership, Missed, Plan, Result, Tick, due_schedules, prune_ticks, refuse_schedule, tick,
};
use metrics::{Counter, Histogram, counter, histogram};

use crate::fleet::Fleet;
use crate::link::{Link, step};
use crate::timing::Timing;

/// How often schedules are looked at: where nothing tells of an edit, it is seen within this. A leader with nothing to
/// do shall cost next to nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// How often at most, when something tells that schedules may have been edited: so does every INSERT that notifies.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// Schedules taken in one turn, so that the lead is renewed between two turns.
const TURN_MAX: i32 = 100;

/// The pause after a turn that fired: what fired may be due again soon, and more than one turn's schedules may be due.
const TURN_PAUSE: Duration = Duration::from_millis(50);

/// After so long a schedule that cannot be read is looked at again: a leader with newer time zones may know better.
const UNREADABLE_RETRY: Duration = Duration::from_secs(60 * 60);

/// After so long a schedule whose task the database refused is tried again.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// How often old ticks are deleted.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// What the active instance knows of schedules: when to look again. All else is in the database.
#[derive(Debug)]
pub(crate) struct Ticker {
    fleet: Arc<Fleet>,
    lag: Histogram,
    /// By outcome.
    ticks: [(&'static str, Counter); 3],
    looked: Option<Instant>,
    look_due: Instant,
    prune_due: Instant,
    retention: Duration,
}

impl Ticker {
    /// Ticks are kept for `retention`.
    pub(crate) fn new(fleet: &Arc<Fleet>, retention: Duration) -> Self {
        let (now, cell) = (Instant::now(), &fleet.cell);
        let ticks = ["fired", "skipped", "missed"].map(|outcome| {
            (outcome, counter!("longshore_schedule_ticks_total", "cell" => cell.clone(), "outcome" => outcome))
        });
        Self {
            fleet: Arc::clone(fleet),
            lag: histogram!("longshore_schedule_lag_seconds", "cell" => cell.clone()),
            ticks,
            looked: None,
            look_due: now,
            prune_due: now + PRUNE_INTERVAL,
            retention,
        }
    }

    /// When to come back.
    pub(crate) fn due(&self) -> Instant {
        self.look_due.min(self.prune_due)
    }

    /// Schedules may have been edited.
    pub(crate) fn look_soon(&mut self) {
        let now = Instant::now();
        self.look_due = self.look_due.min(self.looked.map_or(now, |looked| looked + LOOK_SOON));
    }

    /// Fires what is due. A leader that is killed between two schedules leaves the rest to the next.
    pub(crate) async fn turn(&mut self, link: &mut Link, leadership: Leadership) -> Result<()> {
        if Instant::now() >= self.look_due {
            let seen = Instant::now();
            self.looked = Some(seen);
            self.look_due = seen + LOOK_INTERVAL;
            let soon = step!(*link, db => due_schedules(db, TURN_MAX, LOOK_INTERVAL))?;
            for schedule in &soon {
                match schedule.due_in_seconds.map(Duration::try_from_secs_f64) {
                    Some(Ok(wait)) if !wait.is_zero() => {
                        self.look_due = self.look_due.min(seen + wait);
                        break;
                    }
                    _ => {
                        self.fire(link, leadership, schedule).await?;
                        // when it is due again is in its row
                        self.look_due = seen + TURN_PAUSE;
                    }
                }
            }
        }
        if Instant::now() >= self.prune_due {
            self.prune_due = Instant::now() + PRUNE_INTERVAL;
            while step!(*link, db => prune_ticks(db, leadership, self.retention))? > 0 {}
        }
        Ok(())
    }

    /// Decides what has come of one schedule. One that cannot fire is told so in its row, and the others go on.
    async fn fire(&self, link: &mut Link, leadership: Leadership, schedule: &DueSchedule) -> Result<()> {
        let name = &schedule.name;
        let (error, retry) = match Timing::of(schedule).and_then(|timing| plan(&timing, schedule)) {
            Ok(plan) => match step!(*link, db => tick(db, leadership, schedule, &plan)) {
                Ok(ticks) => {
                    for tick in ticks {
                        tracing::debug!(schedule = name, fire_at = %tick.fire_at, outcome = tick.outcome, "tick");
                        self.count(schedule, &tick);
                    }
                    return Ok(());
                }
                Err(error) if is_refused(&error) => (format!("the task is refused: {error}"), REFUSED_RETRY),
                Err(error) => return Err(error),
            },
            Err(unreadable) => (unreadable, UNREADABLE_RETRY),
        };
        tracing::warn!(schedule = name, error, "a schedule does not fire");
        step!(*link, db => refuse_schedule(db, leadership, schedule, &error, retry))?;
        Ok(())
    }

    fn count(&self, schedule: &DueSchedule, tick: &Tick) {
        self.ticks.iter().filter(|(outcome, _)| *outcome == tick.outcome).for_each(|(_, ticks)| ticks.increment(1));
        if let Some(lag) = tick.lag_seconds {
            self.lag.record(lag.max(0.0));
        }
        if tick.task_id.is_some() {
            self.fleet.enqueued.count(&schedule.queue, &schedule.action);
        }
    }
}

/// True for an error that this schedule's row is to blame for, and not the connection.
fn is_refused(error: &Error) -> bool {
    !error.is_passing() && error.sqlstate().is_some()
}

/// What to make of a schedule by its own row.
///
/// # Errors
/// When it never fires again, said for people.
fn plan(timing: &Timing, schedule: &DueSchedule) -> std::result::Result<Plan, String> {
    let DueSchedule { now, ticked_to, starts_at, .. } = *schedule;
    // in the database's own unit, and the start itself may fire
    let before_start = starts_at - chrono::Duration::microseconds(1);
    let since = ticked_to.max(before_start);
    let missed_until = (now - chrono::Duration::microseconds(schedule.missed_after_us)).clamp(since, now.max(since));
    let on_time = timing.between(missed_until, now);
    let missed_max = match schedule.missed {
        Missed::None => 0,
        // a task that is on time stands in for the missed ones as well
        Missed::Once => usize::from(on_time.is_empty()),
        Missed::All => usize::try_from(schedule.missed_max).unwrap_or(0),
    };
    // one more than may fire: the last of those that are passed over
    let mut fire_ats = timing.last_between(since, missed_until, missed_max + 1);
    let missed_at = if fire_ats.len() > missed_max { Some(fire_ats.remove(0)) } else { None };
    fire_ats.extend(on_time);
    let last: Option<DateTime<Utc>> = fire_ats.last().copied().or(missed_at);
    let next_at = timing.next_after(now.max(since)).ok_or("the schedule has no further tick before the year 2200")?;
    Ok(Plan { ticked_to: last.unwrap_or(ticked_to), fire_ats, missed_at, next_at })
}

#[cfg(test)]
mod tests;
