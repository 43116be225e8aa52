//! What is planned for a schedule, with the database's clock given.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A schedule of every minute that has ticked to noon, at this time.
fn minutely(now: &str, missed: Missed) -> DueSchedule {
    DueSchedule {
        queue: "default".to_owned(),
        action: "a".to_owned(),
        name: "minutely".to_owned(),
        revision: 0,
        cron: Some("* * * * *".to_owned()),
        time_zone: "Europe/Berlin".to_owned(),
        every_us: None,
        starts_at: at("2026-01-01T00:00:00Z"),
        ticked_to: at("2026-11-22T12:00:00Z"),
        missed,
        missed_max: 3,
        missed_after_us: 60_000_000,
        now: at(now),
        due_in_seconds: Some(0.0),
    }
}

/// The plan in words: what fires, what is passed over, where it stands, what comes next.
fn told(schedule: &DueSchedule) -> String {
    let plan = plan(&Timing::of(schedule).unwrap(), schedule).unwrap();
    let time = |instant: &DateTime<Utc>| instant.format("%H:%M:%S").to_string();
    let fires: Vec<String> = plan.fire_ats.iter().map(time).collect();
    let missed = plan.missed_at.as_ref().map_or_else(|| "none".to_owned(), time);
    format!("fires [{}] missed {missed} at {} next {}", fires.join(" "), time(&plan.ticked_to), time(&plan.next_at))
}

#[test]
fn what_is_on_time_fires_whatever_the_policy() {
    for missed in [Missed::Once, Missed::All, Missed::None] {
        let on_time = minutely("2026-11-22T12:01:00.000001Z", missed);
        assert_eq!(told(&on_time), "fires [12:01:00] missed none at 12:01:00 next 12:02:00");
        let late = minutely("2026-11-22T12:01:59.9Z", missed);
        assert_eq!(told(&late), "fires [12:01:00] missed none at 12:01:00 next 12:02:00");
        let early = minutely("2026-11-22T12:00:59.9Z", missed);
        assert_eq!(told(&early), "fires [] missed none at 12:00:00 next 12:01:00");
    }
}

#[test]
fn after_a_day_down_missed_ticks_are_made_up_once_or_up_to_the_bound_or_not_at_all() {
    let now = "2026-11-23T12:00:30Z";
    let of = |missed| told(&minutely(now, missed));
    assert_eq!(of(Missed::Once), "fires [12:00:00] missed 11:59:00 at 12:00:00 next 12:01:00");
    assert_eq!(
        of(Missed::All),
        "fires [11:57:00 11:58:00 11:59:00 12:00:00] missed 11:56:00 at 12:00:00 next 12:01:00"
    );
    assert_eq!(of(Missed::None), "fires [12:00:00] missed 11:59:00 at 12:00:00 next 12:01:00");
    // once an hour, so that none is on time
    let of = |missed| told(&DueSchedule { cron: Some("0 * * * *".to_owned()), ..minutely(now, missed) });
    let hourly = |missed| {
        told(&DueSchedule {
            now: at("2026-11-23T12:30:00Z"),
            cron: Some("0 * * * *".to_owned()),
            ..minutely(now, missed)
        })
    };
    assert_eq!(of(Missed::None), "fires [12:00:00] missed 11:00:00 at 12:00:00 next 13:00:00");
    assert_eq!(hourly(Missed::Once), "fires [12:00:00] missed 11:00:00 at 12:00:00 next 13:00:00");
    assert_eq!(hourly(Missed::All), "fires [10:00:00 11:00:00 12:00:00] missed 09:00:00 at 12:00:00 next 13:00:00");
    assert_eq!(hourly(Missed::None), "fires [] missed 12:00:00 at 12:00:00 next 13:00:00");
}

#[test]
fn a_year_down_costs_no_more_than_what_is_made_up() {
    let every_second = DueSchedule {
        cron: Some("* * * * * *".to_owned()),
        missed_max: 1000,
        ..minutely("2027-11-22T12:00:00Z", Missed::All)
    };
    let began = Instant::now();
    let plan = plan(&Timing::of(&every_second).unwrap(), &every_second).unwrap();
    println!("figure: a year of seconds is planned in {:?}", began.elapsed());
    assert_eq!(plan.fire_ats.len(), 1000 + 60);
    assert!(plan.missed_at.is_some_and(|missed| missed < plan.fire_ats[0]));
}

#[test]
fn a_clock_set_back_repeats_no_tick_and_loses_none() {
    let noon = at("2026-11-22T12:00:00Z");
    let mut schedule = minutely("2026-11-22T12:00:00Z", Missed::Once);
    let mut fired = Vec::new();
    // steps of 30 s; twice the clock goes back, by a minute and a half and by a day
    for seconds in [30, 60, 90, 0, 30, 60, 90, 120, 150, -86_400, -86_370, 180, 210] {
        schedule.now = noon + chrono::Duration::seconds(seconds);
        let plan = plan(&Timing::of(&schedule).unwrap(), &schedule).unwrap();
        assert!(plan.next_at > schedule.now && plan.next_at > plan.ticked_to);
        fired.extend(plan.fire_ats.iter().map(|instant| (*instant - noon).num_seconds()));
        schedule.ticked_to = plan.ticked_to;
    }
    assert_eq!(fired, [60, 120, 180]);
}

#[test]
fn a_clock_set_forward_is_a_time_down() {
    let jumped = minutely("2026-11-22T15:00:00Z", Missed::Once);
    assert_eq!(told(&jumped), "fires [15:00:00] missed 14:59:00 at 15:00:00 next 15:01:00");
}

#[test]
fn nothing_fires_before_the_start_and_the_start_itself_does() {
    let of = |cron: Option<&str>, every_us, now| {
        told(&DueSchedule {
            cron: cron.map(str::to_owned),
            every_us,
            starts_at: at("2026-11-22T12:05:00Z"),
            ..minutely(now, Missed::All)
        })
    };
    for (cron, every) in [(Some("* * * * *"), None), (None, Some(60_000_000))] {
        assert_eq!(of(cron, every, "2026-11-22T12:03:30Z"), "fires [] missed none at 12:00:00 next 12:05:00");
        assert_eq!(of(cron, every, "2026-11-22T12:05:10Z"), "fires [12:05:00] missed none at 12:05:00 next 12:06:00");
    }
}

#[test]
fn a_schedule_that_has_no_further_tick_says_so() {
    let last = DueSchedule { now: at("2199-12-31T23:59:30Z"), ..minutely("2026-11-22T12:00:00Z", Missed::Once) };
    let refused = plan(&Timing::of(&last).unwrap(), &last).unwrap_err();
    assert_eq!(refused, "the schedule has no further tick before the year 2200");
}
