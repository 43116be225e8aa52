//! The fixtures, cut, spliced and spoilt: whatever comes, it is read to an end without a panic, and the same each time.
//! `DESIGN_CASES=100` goes through a hundred times as many.

use std::sync::Arc;

use longshore_worker::design::compile::compile;
use longshore_worker::design::filter::NodeFilter;
use longshore_worker::design::ingest::{Ingested, Status, ingest};
use longshore_worker::design::units::{Amount, Cidr, Mac, Size};

use crate::chance::{Chance, cases};
use crate::golden::fixtures;

/// What YAML and the documents' fields take badly, if anything does.
const TOKENS: [&str; 44] = [
    "---\n",
    "...\n",
    "\n",
    " ",
    "  ",
    "\t",
    ": ",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "#",
    "|\n",
    ">-\n",
    "&a ",
    "*a ",
    "<<: ",
    "!!str ",
    "!!python/object ",
    "!",
    "'",
    "\"",
    "\\",
    "%YAML 1.1\n",
    "null",
    "~",
    "yes",
    "0x",
    "1:60",
    ".inf",
    "-",
    "\u{feff}",
    "\u{0}",
    "\u{2028}",
    "drydock/",
    "promenade/v1",
    "schema: ",
    "999999999999999999999",
    "!name",
    "é",
    "@",
];

pub(crate) fn spoilt(chance: &mut Chance, corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = chance.of(corpus).1.clone();
    for _ in 0..1 + chance.below(8) {
        let at = chance.below(bytes.len() + 1);
        let end = (at + chance.below(60)).min(bytes.len());
        match chance.below(7) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, chance.of(&TOKENS).bytes())),
            3 => {
                let copied = bytes[at..end].to_vec();
                let to = chance.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copied));
            }
            4 => {
                let other = &chance.of(corpus).1;
                let from = chance.below(other.len());
                let until = (from + chance.below(200)).min(other.len());
                drop(bytes.splice(at..at, other[from..until].iter().copied()));
            }
            5 if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            _ => drop(bytes.splice(at..end, chance.of(&TOKENS).bytes())),
        }
    }
    bytes
}

fn told(ingested: &Ingested) -> String {
    format!("{:?} {:?} {:?}", ingested.status, ingested.models, ingested.findings)
}

#[test]
fn spoilt_fixtures_are_read_to_an_end() {
    let corpus = fixtures();
    let (mut read, mut refused) = (0, 0);
    for seed in 0..cases(4_000) {
        let mut chance = Chance::new(seed);
        let bytes = spoilt(&mut chance, &corpus);
        let ingested = ingest(&bytes);
        let again = ingest(&bytes);
        assert_eq!(told(&ingested), told(&again), "seed {seed}");
        let errors = ingested
            .findings
            .iter()
            .any(|finding| finding.severity == longshore_worker::design::finding::Severity::Error);
        assert_eq!(errors, ingested.status != Status::Success, "seed {seed}: {:?}", ingested.findings);
        let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u32;
        for finding in &ingested.findings {
            assert!(finding.line.is_none_or(|line| (1..=lines * 2).contains(&line)), "seed {seed}: {finding:?}");
        }
        if ingested.status == Status::Success {
            read += 1
        } else {
            refused += 1
        }
        // What could be read is compiled here even where the worker would not.
        let compiled = compile(Arc::new(ingested.design));
        let design = serde_json::to_string(&compiled).expect("a design is JSON");
        let again = compile(Arc::new(again.design));
        assert_eq!(serde_json::to_string(&again).expect("a design is JSON"), design, "seed {seed}");
    }
    assert!(read > 0 && refused > 0, "both happen: {read} read, {refused} refused");
}

#[test]
fn spoilt_filters_are_read_or_refused() {
    let whole = r#"{"filter_set_type":"union","filter_set":[{"filter_type":"intersection","node_names":["a"],"node_tags":[],"node_labels":{"a":"b"},"rack_names":null,"rack_labels":{}}]}"#;
    let mut taken = 0;
    for seed in 0..cases(4_000) {
        let mut chance = Chance::new(seed);
        let mut bytes = whole.as_bytes().to_vec();
        for _ in 0..1 + chance.below(3) {
            let at = chance.below(bytes.len());
            match chance.below(3) {
                0 => bytes[at] = *chance.of(b"\"{}[]:,0ntuab"),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, *chance.of(b"\"{}[]:,0ntuab")),
            }
        }
        if let Ok(value) = serde_json::from_slice(&bytes) {
            match NodeFilter::from_json(&value) {
                Ok(filter) => taken += usize::from(filter.is_some()),
                Err(error) => assert!(error.to_string().starts_with("node_filter"), "{error}"),
            }
        }
    }
    assert!(taken > 0, "some are filters still");
}

#[test]
fn sizes_and_addresses_are_read_or_refused() {
    let parts = [
        "",
        ">",
        "-",
        "+",
        "0",
        "1",
        "20",
        "99999999999999999999",
        "18446744073709551615",
        "m",
        "g",
        "t",
        "b",
        "i",
        "ib",
        "%",
        " ",
        ".",
        "/",
        ":",
        "é",
        "M",
        "GB",
    ];
    for seed in 0..cases(40_000) {
        let mut chance = Chance::new(seed);
        let text: String = (0..chance.below(6)).map(|_| *chance.of(&parts)).collect();
        if let Ok(size) = text.parse::<Size>() {
            assert_eq!(plain_size(&text), Some(size), "{text}");
            if let Ok(bytes) = size.bytes(1 << 40, 1 << 39) {
                assert!(bytes <= 1 << 39, "{text}: {bytes}");
            }
        } else {
            assert_eq!(plain_size(&text), None, "{text}");
        }
        assert!(text.parse::<Mac>().is_err(), "{text}");
        if let Ok(cidr) = text.parse::<Cidr>() {
            let masked = cidr.masked();
            assert_eq!(masked.to_string().parse(), Ok(masked), "{text}");
            assert!(!masked.has_host_bits(), "{text}");
        }
    }
}

/// The specification's table, by taking the text apart from its end.
fn plain_size(text: &str) -> Option<Size> {
    let units: [(&str, u128); 25] = [
        ("MiB", 1 << 20),
        ("mib", 1 << 20),
        ("Mi", 1 << 20),
        ("mi", 1 << 20),
        ("MB", 1_000_000),
        ("mb", 1_000_000),
        ("M", 1_000_000),
        ("m", 1_000_000),
        ("GiB", 1 << 30),
        ("gib", 1 << 30),
        ("Gi", 1 << 30),
        ("gi", 1 << 30),
        ("GB", 1_000_000_000),
        ("gb", 1_000_000_000),
        ("G", 1_000_000_000),
        ("g", 1_000_000_000),
        ("TiB", 1 << 40),
        ("tib", 1 << 40),
        ("Ti", 1 << 40),
        ("ti", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("tb", 1_000_000_000_000),
        ("T", 1_000_000_000_000),
        ("t", 1_000_000_000_000),
        ("%", 0),
    ];
    let (unit, factor) = units.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let (at_least, number) = match text.strip_suffix(unit)?.strip_prefix('>') {
        Some(number) => (true, number),
        None => (false, text.strip_suffix(unit)?),
    };
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() > 25 {
        return None;
    }
    let amount: i128 = number.parse().ok()?;
    if number.starts_with('-') && unit != "%" {
        return None;
    }
    let amount = if unit == "%" {
        Amount::Percent(i64::try_from(amount).ok()?)
    } else {
        Amount::Bytes(u64::try_from(u128::try_from(amount).ok()? * factor).ok()?)
    };
    Some(Size { at_least, amount })
}
