use serde_json::{Map, Value};

use super::{Filter, Join, NodeFilter};
use crate::design::model::{Labels, Text};
use crate::design::schema::quoted;

/// Why a value is no node filter. Displays the place, what is wrong there, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

const SET_KEYS: [&str; 2] = ["filter_set_type", "filter_set"];
const FILTER_KEYS: [&str; 6] = ["filter_type", "node_names", "node_tags", "node_labels", "rack_names", "rack_labels"];

impl NodeFilter {
    /// Reads a filter; null is none, which means all nodes.
    ///
    /// # Errors
    /// If it is no filter. A key that is not known is refused: a misspelt criterion would select other nodes.
    pub fn from_json(value: &Value) -> Result<Option<NodeFilter>, FilterError> {
        if value.is_null() {
            return Ok(None);
        }
        let map = mapping(value, "node_filter")?;
        known_keys(map, "node_filter", &SET_KEYS)?;
        let filter_set_type = join(map, "node_filter", "filter_set_type")?;
        let filters = match map.get("filter_set") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(filters)) => &**filters,
            Some(other) => return Err(wrong("node_filter.filter_set", other, "a list of filters")),
        };
        let filter = |(index, filter)| Filter::from_json(filter, &format!("node_filter.filter_set[{index}]"));
        Ok(Some(NodeFilter {
            filter_set_type,
            filter_set: filters.iter().enumerate().map(filter).collect::<Result<_, _>>()?,
        }))
    }
}

impl Filter {
    fn from_json(value: &Value, place: &str) -> Result<Filter, FilterError> {
        let map = mapping(value, place)?;
        known_keys(map, place, &FILTER_KEYS)?;
        Ok(Filter {
            filter_type: join(map, place, "filter_type")?,
            node_names: texts(map, place, "node_names")?,
            node_tags: texts(map, place, "node_tags")?,
            node_labels: labels(map, place, "node_labels")?,
            rack_names: texts(map, place, "rack_names")?,
            rack_labels: labels(map, place, "rack_labels")?,
        })
    }
}

fn mapping<'v>(value: &'v Value, place: &str) -> Result<&'v Map<String, Value>, FilterError> {
    value.as_object().ok_or_else(|| wrong(place, value, "a mapping"))
}

fn known_keys(map: &Map<String, Value>, place: &str, known: &[&str]) -> Result<(), FilterError> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(FilterError(format!("{place}: unknown key {}; known are {}", quoted(key), known.join(", ")))),
        None => Ok(()),
    }
}

fn join(map: &Map<String, Value>, place: &str, key: &str) -> Result<Join, FilterError> {
    match map.get(key) {
        Some(Value::String(name)) if name == "union" => Ok(Join::Union),
        Some(Value::String(name)) if name == "intersection" => Ok(Join::Intersection),
        None => Err(FilterError(format!("{place}.{key} is missing; use union or intersection"))),
        Some(other) => Err(wrong(&format!("{place}.{key}"), other, "union or intersection")),
    }
}

fn texts(map: &Map<String, Value>, place: &str, key: &str) -> Result<Vec<Text>, FilterError> {
    let wanted = |other| wrong(&format!("{place}.{key}"), other, "a list of strings");
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(texts)) => {
            texts.iter().map(|text| text.as_str().map(Text::from).ok_or_else(|| wanted(text))).collect()
        }
        Some(other) => Err(wanted(other)),
    }
}

fn labels(map: &Map<String, Value>, place: &str, key: &str) -> Result<Labels, FilterError> {
    let wanted = |other| wrong(&format!("{place}.{key}"), other, "a mapping of strings");
    match map.get(key) {
        None | Some(Value::Null) => Ok(Labels::new()),
        Some(Value::Object(labels)) => labels
            .iter()
            .map(|(label, value)| match value.as_str() {
                Some(text) => Ok((Text::from(&**label), Text::from(text))),
                None => Err(wanted(value)),
            })
            .collect(),
        Some(other) => Err(wanted(other)),
    }
}

fn wrong(place: &str, value: &Value, wanted: &str) -> FilterError {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    };
    FilterError(format!("{place} is {found}, not {wanted}"))
}
