//! Build data that an executor reports, by the names of the table's columns. Pure.
//!
//! Nothing in it is rewritten, as messages and results are: data that cannot be stored as it is, is refused.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use longshore_queue::NewBuildData;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::shown;

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads one entry or a list of them, each by itself; null is as good as none.
pub(super) fn read(raw: &RawValue) -> Vec<Result<NewBuildData, String>> {
    if raw.get() == "null" {
        return Vec::new();
    }
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        let entry = |(at, raw)| read_entry(raw).map_err(|problem| format!("build_data[{at}] was refused: {problem}"));
        return list.into_iter().enumerate().map(entry).collect();
    }
    vec![read_entry(raw).map_err(|problem| format!("build_data was refused: {problem}"))]
}

fn read_entry(raw: &RawValue) -> Result<NewBuildData, String> {
    let mut fields: Fields = serde_json::from_str(raw.get())
        .map_err(|_| format!("it must be an object or a list of objects, got {}", shown(raw.get())))?;
    let data = NewBuildData {
        collected_date: take::<DateTime<Utc>>(&mut fields, "collected_date", "an RFC 3339 time")?,
        // the context puts the running task's in
        ..NewBuildData::new(
            take_name(&mut fields, "node_name")?,
            Uuid::nil(),
            take_name(&mut fields, "generator")?,
            take_name(&mut fields, "data_format")?,
            take_element(&mut fields)?,
        )
    };
    match fields.into_keys().next() {
        Some(key) => Err(format!("unknown key `{}`", shown(&key))),
        None => data.check().map(|()| data),
    }
}

fn take_name(fields: &mut Fields, key: &str) -> Result<String, String> {
    take(fields, key, "a string")?.ok_or_else(|| format!("`{key}` is missing"))
}

/// A text as it is, any other value as the JSON that it was written as.
fn take_element(fields: &mut Fields) -> Result<String, String> {
    let key = "data_element";
    match fields.get(key).map(|raw| raw.get()) {
        Some(json) if !json.starts_with('"') && json != "null" => {
            fields.remove(key);
            Ok(json.to_owned())
        }
        _ => take_name(fields, key),
    }
}

fn take<T: DeserializeOwned>(fields: &mut Fields, key: &str, expected: &str) -> Result<Option<T>, String> {
    let Some(raw) = fields.remove(key) else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| format!("`{key}` must be {expected}, got {}", shown(raw.get())))
}
