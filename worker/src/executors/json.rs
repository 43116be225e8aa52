//! JSON that Postgres takes as `jsonb` whatever a program wrote: text in, text out, so that numbers keep their digits.

use std::fmt;

/// Arrays and objects inside one another. Postgres parses recursively, and so does serde_json, up to 127.
pub(crate) const DEPTH_MAX: usize = 100;

/// Digits before the decimal point, written out. `numeric` takes 131,072, but `1e131071` is eight bytes that are read
/// back as 128 KiB; up to here a number also fits a double, as most readers want.
const WHOLE_DIGITS_MAX: i64 = 308;

/// Digits after the decimal point, written out; `numeric` takes 16,383. The smallest double has 324 zeros.
const DECIMALS_MAX: i64 = 400;

/// What is nested deeper than [`DEPTH_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must be nested at most {DEPTH_MAX} deep")
    }
}

/// Rewrites valid JSON so that Postgres takes it: an escaped NUL or half of a surrogate pair becomes U+FFFD, a number
/// that is too large becomes a string of the same digits. Everything else stays as it was.
pub(crate) fn clean(json: &str) -> Result<String, TooDeep> {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    let mut depth = 0_usize;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => {
                let taken = string_length(rest);
                clean_string(&rest[..taken], &mut out);
                rest = &rest[taken..];
                continue;
            }
            '-' | '0'..='9' => {
                let taken =
                    rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
                let number = &rest[..taken];
                if is_too_large(number) {
                    out.extend(["\"", number, "\""]);
                } else {
                    out.push_str(number);
                }
                rest = &rest[taken..];
                continue;
            }
            '[' | '{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(TooDeep);
                }
                1
            }
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                1
            }
            other => other.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Ok(out)
}

/// The length of the string that `rest` begins with, quotes included.
fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn clean_string(string: &str, out: &mut String) {
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (code_unit(rest), rest.get(6..).and_then(code_unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0 | 0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            // a backslash and the character that it escapes
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.push_str(rest);
}

/// The UTF-16 code unit that `rest` begins with as an escape.
fn code_unit(rest: &str) -> Option<u16> {
    u16::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

fn is_too_large(number: &str) -> bool {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX / 4);
    // an exponent that is no i64 is too large either way
    let Ok(exponent) = exponent.parse::<i64>() else { return true };
    let exponent = exponent.clamp(i64::MIN / 4, i64::MAX / 4);
    length(whole.trim_start_matches('-')) + exponent > WHOLE_DIGITS_MAX || length(decimals) - exponent > DECIMALS_MAX
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_postgres_refuses_is_rewritten_and_the_rest_stays() {
        for (json, expected) in [
            (r#"{"a": [1, -2.50, 1e3, true, null]}"#, r#"{"a": [1, -2.50, 1e3, true, null]}"#),
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#"{"\u0000":{"x":["\u0000\u0000"]}}"#, r#"{"\ufffd":{"x":["\ufffd\ufffd"]}}"#),
            (r#""\\u0000""#, r#""\\u0000""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\ud83d\ude00 é \" \u00e9""#, r#""\ud83d\ude00 é \" \u00e9""#),
            (r#""\ud83d \ude00""#, r#""\ufffd \ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            ("[1e308]", r#"["1e308"]"#),
            ("[1e307,123456789012345678901234567890.5]", "[1e307,123456789012345678901234567890.5]"),
            (r#"[-1e99999999999999999999,1E-401,"1e400"]"#, r#"["-1e99999999999999999999","1E-401","1e400"]"#),
        ] {
            assert_eq!(clean(json).as_deref(), Ok(expected), "{json}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(clean(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(clean(&nested(DEPTH_MAX + 1)), Err(TooDeep));
        assert!(clean(&format!("[{}1]", "[],".repeat(1000))).is_ok(), "siblings do not nest");
    }

    #[test]
    fn what_is_cleaned_always_parses() {
        let mut random = fastrand::Rng::with_seed(7);
        let parts = [r"\u0000", r"\ud800", r"\udc00", r"\\", r#"\""#, "é", "\u{1F600}", "x", r"\u00e9", r"\n"];
        for _ in 0..5000 {
            let inside: String = (0..random.usize(0..8)).map(|_| parts[random.usize(0..parts.len())]).collect();
            let number = format!("{}.{}e{}", random.u32(..), random.u32(..), random.i32(-500..500));
            let cleaned = clean(&format!(r#"{{"{inside}":[{number},"{inside}"]}}"#)).expect("is not deep");
            let value: Value = serde_json::from_str(&cleaned).unwrap_or_else(|error| panic!("{cleaned}: {error}"));
            assert!(!value.to_string().contains(r"\u0000"), "{cleaned}");
        }
    }
}
