//! Instants against lists written out by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn cron(expression: &str, zone: &str) -> Timing {
    Timing::cron(expression, zone).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The instants in (from, to] in UTC, `day hour:minute` each.
fn told(timing: &Timing, from: &str, to: &str) -> Vec<String> {
    timing.between(at(from), at(to)).iter().map(|instant| instant.format("%d %H:%M").to_string()).collect()
}

// Berlin, 29 March 2026: at 01:00 UTC the clock goes from 02:00 to 03:00.
// Berlin, 25 October 2026: at 01:00 UTC it goes from 03:00 back to 02:00.

#[test]
fn in_berlin_a_time_that_is_skipped_fires_at_the_change_and_once_a_day_all_the_same() {
    let (from, to) = ("2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z");
    assert_eq!(told(&cron("30 2 * * *", "Europe/Berlin"), from, to), ["28 01:30", "29 01:00", "30 00:30", "31 00:30"]);
    // all that is skipped fires once
    assert_eq!(
        told(&cron("*/20 2 * * *", "Europe/Berlin"), "2026-03-29T00:00:00Z", "2026-03-30T00:30:00Z"),
        ["29 01:00", "30 00:00", "30 00:20"]
    );
    // a time that is the end of the gap is one tick with those within it
    assert_eq!(
        told(&cron("0 2,3 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
        ["29 01:00", "30 00:00", "30 01:00"]
    );
}

#[test]
fn in_berlin_a_time_that_comes_twice_fires_the_first_time() {
    let (from, to) = ("2026-10-23T12:00:00Z", "2026-10-27T12:00:00Z");
    assert_eq!(told(&cron("30 2 * * *", "Europe/Berlin"), from, to), ["24 00:30", "25 00:30", "26 01:30", "27 01:30"]);
    assert_eq!(
        told(&cron("*/30 2 * * *", "Europe/Berlin"), "2026-10-24T22:00:00Z", "2026-10-26T01:30:00Z"),
        ["25 00:00", "25 00:30", "26 01:00", "26 01:30"]
    );
}

#[test]
fn in_berlin_hours_that_pass_are_neither_skipped_nor_stretched() {
    let hourly = ["28 23:30", "29 00:30", "29 01:30", "29 02:30"];
    let (from, to) = ("2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z");
    assert_eq!(told(&cron("30 * * * *", "Europe/Berlin"), from, to), hourly);
    let both_halves = ["24 23:30", "25 00:30", "25 01:30", "25 02:30"];
    let (from, to) = ("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z");
    assert_eq!(told(&cron("30 * * * *", "Europe/Berlin"), from, to), both_halves);
    assert_eq!(cron("*/10 * * * * *", "Europe/Berlin").between(at(from), at(to)).len(), 4 * 360);
}

// Lord Howe Island, half an hour, southern summer: 4 October 2026 at 15:30 UTC of the 3rd from 02:00 to 02:30;
// 5 April 2026 at 15:00 UTC of the 4th from 02:00 back to 01:30.

#[test]
fn on_lord_howe_a_time_within_the_half_hour_that_is_skipped_fires_at_the_change() {
    let (from, to) = ("2026-10-02T00:00:00Z", "2026-10-05T00:00:00Z");
    let zone = "Australia/Lord_Howe";
    assert_eq!(told(&cron("15 2 * * *", zone), from, to), ["02 15:45", "03 15:30", "04 15:15"]);
    assert_eq!(told(&cron("45 2 * * *", zone), from, to), ["02 16:15", "03 15:45", "04 15:45"]);
    let quarters = ["03 15:00", "03 15:15", "03 15:30", "03 15:45", "03 16:00"];
    assert_eq!(told(&cron("*/15 * * * *", zone), "2026-10-03T14:59:00Z", "2026-10-03T16:00:00Z"), quarters);
}

#[test]
fn on_lord_howe_a_time_within_the_half_hour_that_comes_twice_fires_the_first_time() {
    let (from, to) = ("2026-04-03T00:00:00Z", "2026-04-06T00:00:00Z");
    let zone = "Australia/Lord_Howe";
    assert_eq!(told(&cron("45 1 * * *", zone), from, to), ["03 14:45", "04 14:45", "05 15:15"]);
    assert_eq!(told(&cron("15 1 * * *", zone), from, to), ["03 14:15", "04 14:15", "05 14:45"]);
    let quarters = ["04 14:30", "04 14:45", "04 15:00", "04 15:15", "04 15:30"];
    assert_eq!(told(&cron("*/15 * * * *", zone), "2026-04-04T14:29:00Z", "2026-04-04T15:30:00Z"), quarters);
    // once an hour on the clock is twice in an hour and a half
    let hourly = ["04 13:45", "04 14:45", "04 15:15", "04 16:15"];
    assert_eq!(told(&cron("45 * * * *", zone), "2026-04-04T13:30:00Z", "2026-04-04T16:30:00Z"), hourly);
}

#[test]
fn a_day_that_a_zone_left_out_fires_at_its_end() {
    // Samoa had no 30 December 2011: at 10:00 UTC it was midnight of the 31st
    let apia = cron("0 12 * * *", "Pacific/Apia");
    assert_eq!(told(&apia, "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z"), ["29 22:00", "30 10:00", "30 22:00"]);
}

#[test]
fn the_next_instant_is_the_same_from_wherever_one_looks() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for (expression, zone) in [
        ("*/7 * * * *", "Europe/Berlin"),
        ("*/7 1-3 * * *", "Europe/Berlin"),
        ("10,50 1,2 * * *", "Australia/Lord_Howe"),
        ("50 23 * * *", "America/Sao_Paulo"),
        ("0 0 29 2 *", "Asia/Kathmandu"),
    ] {
        let timing = cron(expression, zone);
        for start in ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"] {
            let from = at(start) - chrono::Duration::hours(4);
            let all = timing.between(from, from + chrono::Duration::hours(8));
            assert!(all.is_sorted_by(|one, next| one < next), "{expression}: {all:?}");
            for _ in 0..100 {
                let from = from + chrono::Duration::milliseconds(random.i64(0..8 * 3_600_000));
                let next = all.iter().find(|instant| **instant > from);
                if let Some(next) = next {
                    assert_eq!(timing.next_after(from), Some(*next), "{expression} in {zone} after {from}");
                }
            }
        }
    }
}

#[test]
fn an_interval_counts_from_its_start_and_fires_not_before_it() {
    let timing = Timing::Every { starts_at_us: at("2026-01-01T00:00:30Z").timestamp_micros(), every_us: 90_000_000 };
    assert_eq!(timing.next_after(at("2025-06-01T00:00:00Z")), Some(at("2026-01-01T00:00:30Z")));
    assert_eq!(timing.next_after(at("2026-01-01T00:00:30Z")), Some(at("2026-01-01T00:02:00Z")));
    assert_eq!(timing.next_after(at("2026-01-01T00:01:59.999999Z")), Some(at("2026-01-01T00:02:00Z")));
    // an interval of days is one of 24 hours, whatever the clock on the wall does
    let daily = Timing::Every { starts_at_us: at("2026-03-28T12:00:00Z").timestamp_micros(), every_us: 86_400_000_000 };
    assert_eq!(told(&daily, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z"), ["28 12:00", "29 12:00", "30 12:00"]);
}

#[test]
fn seconds_are_optional_and_weekdays_are_those_of_posix() {
    let (from, to) = ("2026-11-20T00:00:00Z", "2026-11-30T00:00:00Z");
    assert_eq!(told(&cron("15 9 * * 1", "UTC"), from, to), ["23 09:15"], "a Monday");
    assert_eq!(told(&cron("15 9 * * SUN", "UTC"), from, to), ["22 09:15", "29 09:15"]);
    let timing = cron("5-59/20 * * * * *", "UTC");
    assert_eq!(timing.next_after(at("2026-11-20T00:00:06.5Z")), Some(at("2026-11-20T00:00:25Z")));
}

#[test]
fn what_cannot_fire_is_told_with_the_value_and_the_remedy() {
    let refused = |expression, zone| Timing::cron(expression, zone).unwrap_err();
    assert_eq!(
        refused("0 25 * * *", "UTC"),
        "cron \"0 25 * * *\" cannot be read (Component error: Number out of bounds): \
         write 5 fields, minute to weekday, or 6 with seconds first"
    );
    assert_eq!(
        refused("0 2 * * *", "Europe/Berlinn"),
        "time zone \"Europe/Berlinn\" is not known: write a name of the IANA database, such as Europe/Berlin"
    );
    let began = std::time::Instant::now();
    assert_eq!(refused("0 0 30 2 *", "UTC"), "cron \"0 0 30 2 *\" never comes: no day is like that");
    println!("figure: a day that never comes is seen in {:?}", began.elapsed());
}

#[test]
fn the_last_instants_of_a_year_are_found_without_counting_through_it() {
    let (from, to) = (at("2025-01-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
    for (expression, count, first) in [
        ("* * * * * *", 100, "2025-12-31T23:58:21Z"),
        ("0 0 1 * *", 5, "2025-09-01T00:00:00Z"),
        ("@yearly", 5, "2026-01-01T00:00:00Z"),
    ] {
        let last = cron(expression, "UTC").last_between(from, to, count);
        assert_eq!((last[0], last[last.len() - 1]), (at(first), to), "{expression}");
    }
}
