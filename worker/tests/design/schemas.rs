//! The published schemas: what reads them here answers as a complete validator of JSON Schema does.

use std::collections::BTreeMap;

use jsonschema::{Registry, Validator};
use longshore_worker::design::ingest::ingest;
use longshore_worker::design::model::Kind;
use longshore_worker::design::schema::SCHEMAS;
use serde_json::{Map, Value, json};

use crate::chance::{Chance, cases};

/// Where the schemas are said to be, so that they can refer to each other.
const BASE: &str = "https://schemas.example.org/";

fn schemas() -> BTreeMap<&'static str, Value> {
    SCHEMAS.into_iter().map(|(file, text)| (file, serde_json::from_str(text).expect("a schema"))).collect()
}

fn validators() -> BTreeMap<&'static str, Validator> {
    let schemas = schemas();
    let mut registry = Registry::new();
    for (file, schema) in &schemas {
        registry = registry.add(format!("{BASE}{file}"), schema.clone()).expect("a schema of its own name");
    }
    let registry = registry.prepare().expect("schemas that refer to each other");
    let validator = |file: &str| {
        let schema = json!({"$ref": format!("{BASE}{file}")});
        jsonschema::options().with_registry(&registry).build(&schema).expect("a schema")
    };
    schemas.keys().filter(|file| **file != "host.json").map(|file| (*file, validator(file))).collect()
}

#[test]
fn generated_documents_are_judged_as_by_a_complete_validator() {
    let (schemas, validators) = (schemas(), validators());
    let (mut good, mut bad) = (0, 0);
    for seed in 0..cases(4_000) {
        let mut chance = Chance::new(seed);
        let kind = *chance.of(&Kind::DRYDOCK);
        let file = format!("{}.json", kind.name());
        let mistakes = [0, 0, 40, 12][chance.below(4)];
        let data = Generator { schemas: &schemas, chance: &mut chance, mistakes }.value(&file, &schemas[&*file], 0);
        let document = json!({"schema": kind.schema(), "metadata": {"name": "generated"}, "data": data});
        let valid = validators[&*file].is_valid(&data);
        // JSON is YAML too.
        let findings = ingest(document.to_string().as_bytes()).findings;
        let told: Vec<&str> =
            findings.iter().filter(|finding| finding.code == "DD001").map(|finding| &*finding.message).collect();
        assert_eq!(told.is_empty(), valid, "seed {seed}: {document}\n{told:#?}");
        let editors = validators["document.json"].is_valid(&document);
        assert_eq!(editors, valid, "seed {seed}: an editor is told the same: {document}");
        if valid { good += 1 } else { bad += 1 }
    }
    assert!(good > 200 && bad > 200, "both are generated: {good} good, {bad} bad");
}

#[test]
fn editors_are_told_of_both_envelopes() {
    let document = &validators()["document.json"];
    let told = |value: Value| document.is_valid(&value);
    let metadata = json!({"name": "a"});
    assert!(told(json!({"schema": "drydock/Network/v1", "metadata": metadata, "data": {"cidr": "10.0.0.0/8"}})));
    assert!(!told(json!({"schema": "drydock/Network/v1", "metadata": metadata, "data": {"cidr": 10}})));
    assert!(!told(json!({"schema": "drydock/Network/v1", "metadata": metadata})));
    assert!(told(json!({"apiVersion": "drydock/v1", "kind": "Rack", "metadata": metadata, "spec": {}})));
    assert!(!told(json!({"apiVersion": "drydock/v1", "kind": "Rack", "metadata": metadata, "spec": {"a": 1}})));
    assert!(!told(json!({"schema": "drydock/Network/v1", "metadata": {}, "data": {}})));
    assert!(told(json!({"schema": "pegleg/Site/v1", "metadata": metadata, "data": {"anything": 1}})));
}

/// Makes values out of schemas, with a mistake now and then.
struct Generator<'g> {
    schemas: &'g BTreeMap<&'static str, Value>,
    chance: &'g mut Chance,
    /// One value in so many is of any type, or has a key of another name; 0 for none.
    mistakes: usize,
}

impl Generator<'_> {
    fn mistaken(&mut self) -> bool {
        self.mistakes > 0 && self.chance.one_in(self.mistakes)
    }

    fn value(&mut self, file: &str, schema: &Value, depth: usize) -> Value {
        if self.mistaken() {
            return self.anything();
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (other, pointer) = reference.split_once('#').expect("a reference into a file");
            let file = if other.is_empty() { file } else { other };
            let target = self.schemas[file].pointer(pointer).expect("a definition").clone();
            return self.value(file, &target, depth);
        }
        if let Some(choices) = schema["enum"].as_array() {
            return self.chance.of(choices).clone();
        }
        let types: Vec<&str> = schema["type"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([&schema["type"]])
            .filter_map(Value::as_str)
            .collect();
        match if types.is_empty() { "object" } else { *self.chance.of(&types) } {
            "string" if schema["pattern"] == "^/.+" => json!("/etc/motd"),
            "string" if schema["pattern"] == "[0-9]{3}" => json!("0644"),
            "string" => json!(self.chance.of(&["", "a", "!", "10.0.0.0/8", "yes", "20g", "union", "dhcp", "802.3ad"])),
            "number" => self.chance.of(&[json!(0), json!(-1), json!(1500), json!(1.5), json!(2.5e9)]).clone(),
            "boolean" => json!(self.chance.one_in(2)),
            "null" => Value::Null,
            "array" => (0..self.chance.below(3)).map(|_| self.value(file, &schema["items"], depth + 1)).collect(),
            "object" => self.mapping(file, schema, depth),
            other => panic!("a schema has the type {other}"),
        }
    }

    fn mapping(&mut self, file: &str, schema: &Value, depth: usize) -> Value {
        let mut map = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let wanted = required.contains(&&**key) && !self.mistaken();
            if wanted || self.chance.one_in(1 + depth.min(3)) {
                map.insert(key.clone(), self.value(file, property, depth + 1));
            }
        }
        match &schema["additionalProperties"] {
            Value::Bool(_) => {}
            Value::Null => {
                map.insert("free".to_owned(), self.anything());
            }
            others => {
                for name in ["a", "!b"].into_iter().take(self.chance.below(3)) {
                    map.insert(name.to_owned(), self.value(file, others, depth + 1));
                }
            }
        }
        if self.mistaken() {
            map.insert("mistake".to_owned(), self.anything());
        }
        Value::Object(map)
    }

    fn anything(&mut self) -> Value {
        let values = [
            json!("text"),
            json!(5),
            json!(1.5),
            json!(true),
            Value::Null,
            json!([]),
            json!({}),
            json!(["a"]),
            json!({"a": 1}),
        ];
        self.chance.of(&values).clone()
    }
}
