//! Values as the command line takes and shows them. One that cannot be understood is named, with one that can.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A task's id.
pub(crate) fn uuid(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| {
        "is no id: ids are UUIDs such as 0199d4a0-1c5e-7c3e-9b7f-6f2a54d1c0aa (longshore tasks list shows them)"
            .to_owned()
    })
}

/// An instant with its offset from UTC.
pub(crate) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| "is no instant: write it with its offset, such as 2030-01-01T02:00:00Z".to_owned())
}

/// More than anything lasts, and less than a database's interval holds.
const DURATION_MAX: Duration = Duration::from_secs(1_000 * 366 * 86_400);

/// A time with its units.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "is no duration: write it with its unit, such as 90s, 5m or 2h".to_owned())?;
    if duration > DURATION_MAX {
        return Err("must be at most a thousand years".to_owned());
    }
    Ok(duration)
}

/// A time since, or until, to the second, or to the millisecond below one; never negative.
pub(crate) fn age(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let shown = match time.as_secs() {
        0 => Duration::from_millis(time.as_millis() as u64),
        // from a day on, minutes say nothing
        secs @ 86_400.. => Duration::from_secs(secs / 3600 * 3600),
        secs @ 3600.. => Duration::from_secs(secs / 60 * 60),
        secs => Duration::from_secs(secs),
    };
    if shown.is_zero() { "0s".to_owned() } else { humantime::format_duration(shown).to_string() }
}

/// One word of a shell's command line.
pub(crate) fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// One key of a configuration.
pub(crate) fn key(text: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    // a string of JSON is one of TOML
    if !text.is_empty() && text.bytes().all(bare) { text.to_owned() } else { serde_json::json!(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_shown_as_exactly_as_it_matters() {
        let shown = [-1.0, 0.0, 0.0123, 1.9, 61.2, 3700.0, 90_061.0].map(age);
        assert_eq!(shown, ["0s", "0s", "12ms", "1s", "1m 1s", "1h 1m", "1day 1h"]);
    }

    #[test]
    fn a_name_is_one_word_for_a_shell_and_one_key_for_a_configuration() {
        assert_eq!(["a/b-c", "it's $HOME", ""].map(word), ["a/b-c", r"'it'\''s $HOME'", "''"]);
        assert_eq!(["a_b-c", "a.b", "\"\u{1b}"].map(key), ["a_b-c", "\"a.b\"", "\"\\\"\\u001b\""]);
    }

    #[test]
    fn what_is_not_understood_is_answered_with_what_is() {
        assert!(uuid("42").expect_err("refused").contains("0199d4a0-"));
        assert!(instant("2030-01-01").expect_err("refused").contains("T02:00:00Z"));
        assert!(duration("5").expect_err("refused").contains("5m"));
        assert!(duration("1003years").is_err() && duration("1000years").is_ok());
        assert!(instant("2030-01-01T02:00:00+02:00").is_ok() && duration("1h 30m").is_ok());
    }
}
