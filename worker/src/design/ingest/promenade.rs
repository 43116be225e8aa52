use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::conversion::Conversion;
use crate::design::model::{Origin, PromenadeConfig};
use crate::design::yaml::{Node, Value};

pub(super) fn config(
    conversion: &mut Conversion,
    origin: Origin,
    name: &str,
    target: &str,
    kind: &str,
    document: &Node<'_>,
) -> PromenadeConfig {
    let mut yaml = String::new();
    write(document, &mut yaml);
    PromenadeConfig {
        name: conversion.share(name),
        origin,
        target: conversion.share(target),
        kind: conversion.share(kind),
        document: STANDARD.encode(yaml).into(),
    }
}

/// Writes the value as YAML in flow style: JSON, but that numbers and dates stand as they were written, since JSON has
/// no infinity and no date.
fn write(node: &Node<'_>, yaml: &mut String) {
    match &node.value {
        Value::Null => yaml.push_str("null"),
        Value::Bool(value) => yaml.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => yaml.push_str(&number.written),
        Value::Timestamp(text) => yaml.push_str(text),
        Value::Text(text) => write_text(text, yaml),
        Value::List(items) => {
            yaml.push('[');
            for (index, item) in items.iter().enumerate() {
                yaml.push_str(if index == 0 { "" } else { ", " });
                write(item, yaml);
            }
            yaml.push(']');
        }
        Value::Map(map) => {
            yaml.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                yaml.push_str(if index == 0 { "" } else { ", " });
                write_text(key, yaml);
                yaml.push_str(": ");
                write(value, yaml);
            }
            yaml.push('}');
        }
    }
}

fn write_text(text: &str, yaml: &mut String) {
    yaml.push_str(&serde_json::Value::from(text).to_string());
}
