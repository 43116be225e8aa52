use std::borrow::Cow;
use std::fmt;

use super::Value;

/// A number with the text that it was written as.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::design) struct Number<'a> {
    pub(in crate::design) written: Cow<'a, str>,
    pub(in crate::design) amount: Amount,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::design) enum Amount {
    Integer(i64),
    /// A whole number beyond 64 bits.
    Huge,
    Float(f64),
}

impl Number<'_> {
    /// The whole number, a fraction cut off; `None` beyond 64 bits.
    pub(in crate::design) fn whole(&self) -> Option<i64> {
        match self.amount {
            Amount::Integer(integer) => Some(integer),
            Amount::Float(float) if float.abs() < 9e18 => Some(float as i64),
            Amount::Float(_) | Amount::Huge => None,
        }
    }

    /// Whether it is one only because YAML 1.1 reads digits between colons in base 60, as of `0000:00:03.0`.
    pub(in crate::design) fn is_sexagesimal(&self) -> bool {
        self.written.contains(':')
    }
}

/// As Python writes the value, since the documents' meaning was fixed by a program in Python.
impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount {
            Amount::Integer(integer) => integer.fmt(f),
            Amount::Huge => f.write_str(&self.written),
            Amount::Float(float) if float.is_nan() => f.write_str("nan"),
            Amount::Float(float) => {
                let text = format!("{float:?}");
                match text.split_once('e') {
                    None => f.write_str(&text),
                    Some((digits, exponent)) => match exponent.strip_prefix('-') {
                        Some(exponent) => write!(f, "{digits}e-{exponent:0>2}"),
                        None => write!(f, "{digits}e+{exponent:0>2}"),
                    },
                }
            }
        }
    }
}

/// What a plain scalar means in YAML 1.1.
pub(in crate::design) fn resolve(text: Cow<'_, str>) -> Value<'_> {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    // Numbers and dates begin with one of these, and most scalars do not.
    if !matches!(text.as_bytes()[0], b'0'..=b'9' | b'+' | b'-' | b'.') {
        return Value::Text(text);
    }
    if let Some(amount) = integer(&text).or_else(|| float(&text)) {
        return Value::Number(Number { written: text, amount });
    }
    if is_timestamp(&text) { Value::Timestamp(text) } else { Value::Text(text) }
}

fn sign(text: &str) -> (i8, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

/// Binary, octal, decimal, hexadecimal or in base 60, with underscores anywhere behind the first digit.
fn integer(text: &str) -> Option<Amount> {
    let (sign, digits) = sign(text);
    let (base, digits) = match digits.as_bytes() {
        [b'0'] => return Some(Amount::Integer(0)),
        [b'0', b'b', _, ..] => (2, &digits[2..]),
        [b'0', b'x', _, ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, digits),
        [b'1'..=b'9', ..] if digits.contains(':') => return sexagesimal(sign, digits),
        [b'1'..=b'9', ..] => (10, digits),
        _ => return None,
    };
    let mut value = Some(0i64);
    let mut any = false;
    for byte in digits.bytes().filter(|byte| *byte != b'_') {
        let digit = char::from(byte).to_digit(base)?;
        value = value.and_then(|value| value.checked_mul(i64::from(base))?.checked_add(i64::from(digit)));
        any = true;
    }
    any.then_some(value.map_or(Amount::Huge, |value| Amount::Integer(value * i64::from(sign))))
}

/// `1:30` is 90: each part behind the first has at most two digits and is below 60.
fn sexagesimal(sign: i8, digits: &str) -> Option<Amount> {
    let mut value = Some(0i64);
    for (index, part) in digits.split(':').enumerate() {
        let part = places(part, index)?;
        value = value.and_then(|value| value.checked_mul(60)?.checked_add(part?));
    }
    Some(value.map_or(Amount::Huge, |value| Amount::Integer(value * i64::from(sign))))
}

/// The part of a number in base 60 at this place; `Some(None)` if it is too large.
fn places(part: &str, index: usize) -> Option<Option<i64>> {
    let well_formed = match (index, part.as_bytes()) {
        (0, [b'0'..=b'9', rest @ ..]) => rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'_'),
        (0, _) => false,
        (_, [b'0'..=b'9']) => true,
        (_, [b'0'..=b'5', b'0'..=b'9']) => true,
        _ => false,
    };
    well_formed.then(|| part.replace('_', "").parse().ok())
}

/// With a point, and an exponent only with a sign: `1e3` is text.
fn float(text: &str) -> Option<Amount> {
    let (sign, digits) = sign(text);
    let signed = digits.len() < text.len();
    let sign = f64::from(sign);
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Amount::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if !signed => return Some(Amount::Float(f64::NAN)),
        _ => {}
    }
    let (whole, rest) = digits.split_once('.')?;
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let digits_of = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if !digits_of(fraction) {
        return None;
    }
    if whole.contains(':') {
        return if exponent.is_none() { sexagesimal_float(sign, whole, fraction) } else { None };
    }
    if whole.is_empty() && signed {
        return None;
    }
    let leads = if whole.is_empty() { fraction } else { whole };
    if !digits_of(whole) || !leads.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    // What is left is a float of Rust's too, but for the underscores and a missing digit on one side of the point.
    digits.replace('_', "").parse::<f64>().ok().map(|float| Amount::Float(sign * float))
}

fn sexagesimal_float(sign: f64, whole: &str, fraction: &str) -> Option<Amount> {
    let mut value = 0.0;
    for (index, part) in whole.split(':').enumerate() {
        value = value * 60.0 + places(part, index)?? as f64;
    }
    let fraction: f64 = format!("0.{}0", fraction.replace('_', "")).parse().ok()?;
    Some(Amount::Float(sign * (value + fraction)))
}

/// `2026-01-31`, or with a time behind it.
fn is_timestamp(text: &str) -> bool {
    let date = |wide: std::ops::RangeInclusive<usize>| {
        let mut parts = text.splitn(3, '-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        let day_digits = day.bytes().take_while(u8::is_ascii_digit).count();
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (year.len() == 4 && digits(year) && wide.contains(&month.len()) && digits(month) && wide.contains(&day_digits))
            .then(|| &day[day_digits..])
    };
    if date(2..=2) == Some("") {
        return true;
    }
    date(1..=2).is_some_and(|rest| {
        let rest = rest.trim_start_matches(['T', 't', ' ', '\t']);
        let mut parts = rest.splitn(3, ':');
        let two = |part: Option<&str>| {
            part.is_some_and(|part| (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        two(parts.next())
            && two(parts.next())
            && parts.next().is_some_and(|seconds| {
                seconds.len() >= 2
                    && seconds.as_bytes()[..2].iter().all(u8::is_ascii_digit)
                    && seconds[2..].bytes().all(|byte| byte.is_ascii_digit() || b".: \t+-Z".contains(&byte))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match resolve(Cow::Borrowed(text)) {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Timestamp(_) => "a date".into(),
            Value::Text(text) => format!("'{text}'"),
            Value::List(_) | Value::Map(_) => unreachable!("a scalar"),
        }
    }

    #[test]
    fn scalars_mean_what_yaml_1_1_says() {
        let table = [
            ("", "null"),
            ("~", "null"),
            ("NULL", "null"),
            ("yes", "true"),
            ("Off", "false"),
            ("y", "'y'"),
            ("yEs", "'yEs'"),
            ("0", "0"),
            ("-0", "0"),
            ("0755", "493"),
            ("0o755", "'0o755'"),
            ("089", "'089'"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("0b", "'0b'"),
            ("1_000", "1000"),
            ("+12", "12"),
            ("-12", "-12"),
            ("99999999999999999999", "99999999999999999999"),
            ("1:30", "90"),
            ("52:54:00:12:34:56", "41135085296"),
            ("52:54:00:12:34:66", "'52:54:00:12:34:66'"),
            ("0000:00:03.0", "3.0"),
            ("0000:08:00.0", "480.0"),
            ("0000:81:00.0", "'0000:81:00.0'"),
            ("0000:0a:00.0", "'0000:0a:00.0'"),
            ("1.5", "1.5"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("-.5", "'-.5'"),
            (".", "'.'"),
            ("0_", "0"),
            ("1e3", "'1e3'"),
            ("1.0e3", "'1.0e3'"),
            ("1.0e+3", "1000.0"),
            ("1.0e+22", "1e+22"),
            ("1.0e-7", "1e-07"),
            ("-.inf", "-inf"),
            (".NaN", "nan"),
            ("1.2.3", "'1.2.3'"),
            ("10.0.0.1", "'10.0.0.1'"),
            ("10.0.0.0/24", "'10.0.0.0/24'"),
            ("-", "'-'"),
            ("2026-01-31", "a date"),
            ("2026-1-31", "'2026-1-31'"),
            ("2026-01-31T10:00:00Z", "a date"),
            ("2026-1-31 10:00:00.5 +01:00", "a date"),
            ("2026-01-31x", "'2026-01-31x'"),
            ("802.3ad", "'802.3ad'"),
            ("802.1q", "'802.1q'"),
            ("20g", "'20g'"),
        ];
        for (text, meaning) in table {
            assert_eq!(told(text), meaning, "{text}");
        }
    }
}
