//! What an answer means. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_queue::ResultMessage;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};

use super::super::protocol::without_nul;

/// The longest Retry-After that is heeded: the end of the backoff as well.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A shorter value of a header is no secret, and too likely part of a word.
const SECRET_MIN_BYTES: usize = 4;

/// What a status says about the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The endpoint did it, or says in its body how it ended.
    Done,
    /// Not this time.
    Retry,
    /// Not ever.
    Final,
}

/// The class of a status. A redirect is not followed: it could lead anywhere, and the task with it.
pub(super) fn class(status: StatusCode) -> Class {
    match status.as_u16() {
        200..=299 => Class::Done,
        408 | 425 | 429 | 500..=599 => Class::Retry,
        _ => Class::Final,
    }
}

/// True for a Content-Type of JSON or of JSON lines.
pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (_, subtype) = essence.split_once('/').unwrap_or_default();
    ["json", "x-json", "ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines"].contains(&subtype)
        || subtype.ends_with("+json")
}

/// How much of a Content-Type a message shows.
const CONTENT_TYPE_MAX_CHARS: usize = 64;

/// What to say of a body that was not read, by its first bytes: an error where it looks like an object of ours.
pub(super) fn unread(content_type: Option<&HeaderValue>, first: &[u8]) -> Option<ResultMessage> {
    if first.is_empty() {
        return None;
    }
    let kind = content_type.map_or_else(
        || "it has no Content-Type".to_owned(),
        |value| {
            let shown = String::from_utf8_lossy(value.as_bytes());
            format!("its Content-Type is {}", shown.chars().take(CONTENT_TYPE_MAX_CHARS).collect::<String>())
        },
    );
    let message = format!(
        "the body of the answer was not read: {kind}; messages and results are taken from application/json or \
         application/x-ndjson"
    );
    let is_object = first.trim_ascii_start().starts_with(b"{");
    Some(ResultMessage { error: is_object, ..ResultMessage::note(message) })
}

/// How long to wait, from seconds or a date (RFC 9110, 10.2.3), at most a day. A date in the past says: at once.
pub(super) fn retry_after(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let after = if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // too many digits for a u64 are still a number
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        (date.to_utc() - now).to_std().unwrap_or(Duration::ZERO)
    };
    Some(after.min(RETRY_AFTER_MAX))
}

/// What to say of a status that is no success. The values of `sent` headers are not shown.
pub(super) fn explained(status: StatusCode, origin: &str, body: &[u8], sent: &HeaderMap, max_bytes: usize) -> String {
    let mut body = without_nul(&String::from_utf8_lossy(body));
    for value in sent.values().filter_map(|value| value.to_str().ok()).filter(|value| value.len() >= SECRET_MIN_BYTES) {
        body = body.replace(value, "[secret]");
    }
    body.truncate(body.floor_char_boundary(max_bytes));
    let redirected = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let separator = if body.trim().is_empty() { "" } else { ": " };
    format!("{origin} answered {status}{redirected}{separator}{}", body.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means() {
        for (class_expected, statuses) in [
            (Class::Done, &[200, 201, 202, 204, 299][..]),
            (Class::Retry, &[408, 425, 429, 500, 501, 502, 503, 504, 599]),
            (Class::Final, &[300, 301, 302, 304, 307, 308, 400, 401, 403, 404, 409, 410, 422, 499, 999]),
        ] {
            for status in statuses {
                assert_eq!(class(StatusCode::from_u16(*status).expect("a status")), class_expected, "{status}");
            }
        }
    }

    #[test]
    fn a_content_type_means() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/x-ndjson", true),
            ("application/jsonl", true),
            ("application/problem+json", true),
            ("text/plain", false),
            ("application/notjson", false),
            ("json", false),
            ("", false),
        ] {
            assert_eq!(is_json(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }

    #[test]
    fn retry_after_takes_seconds_or_a_date_and_is_capped() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").expect("a date").to_utc();
        let day = Duration::from_secs(24 * 60 * 60);
        for (text, expected) in [
            ("0", Some(Duration::ZERO)),
            (" 120 ", Some(Duration::from_secs(120))),
            ("86401", Some(day)),
            ("99999999999999999999999", Some(day)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(Duration::from_secs(60))),
            ("Wed, 21 Oct 2015 07:26:00 GMT", Some(Duration::ZERO)),
            ("Fri, 21 Oct 2095 07:28:00 GMT", Some(day)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(&HeaderValue::from_static(text), now), expected, "{text}");
        }
    }

    #[test]
    fn an_explanation_shows_the_beginning_of_the_body_and_no_secret() {
        let sent =
            HeaderMap::from_iter([("authorization".parse().expect("a name"), HeaderValue::from_static("Bearer x1"))]);
        let told = |status, body: &[u8]| explained(status, "http://a", body, &sent, 20);
        assert_eq!(told(StatusCode::BAD_REQUEST, b""), "http://a answered 400 Bad Request");
        assert_eq!(
            told(StatusCode::BAD_REQUEST, b" a\0b \xff"),
            "http://a answered 400 Bad Request: a\u{FFFD}b \u{FFFD}"
        );
        assert_eq!(told(StatusCode::BAD_REQUEST, b"not Bearer x1"), "http://a answered 400 Bad Request: not [secret]");
        let cut = "http://a answered 400 Bad Request: 1234567890123456789";
        assert_eq!(told(StatusCode::BAD_REQUEST, "1234567890123456789\u{20AC}".as_bytes()), cut);
        let redirect = "http://a answered 302 Found, and redirects are not followed";
        assert_eq!(told(StatusCode::FOUND, b""), redirect);
    }
}
