//! When a schedule fires: cron expressions and intervals as sets of instants. No I/O, no clock.
//!
//! A cron expression is read against the clock on the wall of its time zone. Where that clock is put forward or back:
//!
//! - An expression whose hour field begins with `*` counts hours that pass: an hour that is skipped has no ticks, an
//!   hour that comes twice has its ticks twice. `*/15 * * * *` fires every quarter of an hour all the same.
//! - Any other names times of day: one that is skipped fires when the clock has been put forward, one that comes twice
//!   fires the first time. `30 2 * * *` fires once a day all the same. Several that are skipped together fire once.

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, civil};
use longshore_queue::DueSchedule;

/// The last year in which anything fires: the end of what a task's `run_at` may be.
const LAST_YEAR: i16 = 2199;

/// The instants at which a schedule fires.
#[derive(Debug)]
pub(crate) enum Timing {
    Cron { cron: Box<Cron>, zone: TimeZone, names_hours: bool },
    Every { starts_at_us: i64, every_us: i64 },
}

impl Timing {
    /// Reads a schedule's row.
    ///
    /// # Errors
    /// What is wrong with it, with the value and the remedy.
    pub(crate) fn of(schedule: &DueSchedule) -> Result<Self, String> {
        match (&schedule.cron, schedule.every_us) {
            (Some(cron), _) => Self::cron(cron, &schedule.time_zone),
            (None, Some(every_us)) if every_us > 0 => {
                Ok(Self::Every { starts_at_us: schedule.starts_at.timestamp_micros(), every_us })
            }
            _ => Err("the schedule has neither cron nor every: set one of them".to_owned()),
        }
    }

    fn cron(expression: &str, time_zone: &str) -> Result<Self, String> {
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| {
            format!(
                "cron {expression:?} cannot be read ({}): write 5 fields, minute to weekday, or 6 with seconds first",
                error.to_string().trim_end_matches('.')
            )
        })?;
        let zone = TimeZone::get(time_zone).map_err(|_| {
            format!("time zone {time_zone:?} is not known: write a name of the IANA database, such as Europe/Berlin")
        })?;
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let hour = match fields.as_slice() {
            [nickname] if nickname.eq_ignore_ascii_case("@hourly") => "*",
            [_, hour, _, _, _] | [_, _, hour, _, _, _] => hour,
            _ => "0",
        };
        let timing = Self::Cron { cron: Box::new(cron), zone, names_hours: !hour.starts_with('*') };
        // within 40 years every day of a month has been every day of the week, leap days and all
        match timing.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(timing),
            None => Err(format!("cron {expression:?} never comes: no day is like that")),
        }
    }

    /// The first instant after this one; `None` when there is none before the year 2200.
    pub(crate) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = match self {
            Self::Every { starts_at_us, every_us } => {
                let passed = after.timestamp_micros().saturating_sub(*starts_at_us);
                let count = if passed < 0 { 0 } else { passed / every_us + 1 };
                DateTime::from_timestamp_micros(starts_at_us.checked_add(count.checked_mul(*every_us)?)?)?
            }
            Self::Cron { cron, zone, names_hours } => {
                let after = Timestamp::from_microsecond(after.timestamp_micros()).ok()?;
                let next = if *names_hours { next_named(cron, zone, after)? } else { next_passing(cron, zone, after)? };
                DateTime::from_timestamp_micros(next.as_microsecond())?
            }
        };
        (chrono::Datelike::year(&next) <= i32::from(LAST_YEAR)).then_some(next)
    }

    /// All instants in (from, to], in order.
    pub(crate) fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let next = |after: DateTime<Utc>| self.next_after(after).filter(|next| *next <= to);
        std::iter::successors(next(from), |last| next(*last)).collect()
    }

    /// The last `count` instants in (from, to], in order, or all where there are fewer. Looks back ever further, so
    /// that a schedule of every second is not counted through for the year it was down.
    pub(crate) fn last_between(&self, from: DateTime<Utc>, to: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        // no tick comes more than once a second
        let mut span = i64::try_from(count).unwrap_or(i64::MAX);
        loop {
            let since = chrono::Duration::try_seconds(span).and_then(|span| to.checked_sub_signed(span));
            let start = since.unwrap_or(from).max(from);
            let mut found = self.between(start, to);
            if start == from || found.len() >= count {
                return found.split_off(found.len().saturating_sub(count));
            }
            span = span.saturating_mul(4);
        }
    }
}

/// The next match on the wall clock, as if that were never changed.
fn next_civil(cron: &Cron, from: civil::DateTime, inclusive: bool) -> Option<civil::DateTime> {
    cron.find_next_occurrence(&from, inclusive).ok().filter(|next| next.year() <= LAST_YEAR)
}

/// Times of day: each time on the wall clock is the first instant that shows it, or that comes after a gap with it.
fn next_named(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    // The instant of a time grows with the time, so no time up to this one is later than `after`.
    let mut time = zone.to_datetime(after);
    loop {
        time = next_civil(cron, time, false)?;
        let ambiguous = zone.to_ambiguous_timestamp(time);
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                // read by the old clock it lies behind the change
                let behind = before.to_timestamp(time).ok()?;
                let last = behind.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
                zone.preceding(last).next()?.timestamp()
            }
            _ => ambiguous.earlier().ok()?,
        };
        if instant > after {
            return Some(instant);
        }
    }
}

/// Hours that pass: between two changes of the clock, the wall clock is as good as any.
fn next_passing(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let (mut from, mut inclusive) = (after, false);
    loop {
        let offset = zone.to_offset(from);
        let next = offset.to_timestamp(next_civil(cron, offset.to_datetime(from), inclusive)?).ok()?;
        match zone.following(from).next().map(|change| change.timestamp()) {
            Some(change) if next >= change => (from, inclusive) = (change, true),
            _ => return Some(next),
        }
    }
}

#[cfg(test)]
mod tests;
