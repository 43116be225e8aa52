//! Holds documents against the JSON Schemas of `worker/schemas/design`, on value trees, so that what is wrong has a
//! line.
//!
//! The schemas use a small part of the language, which is read here; a test holds the answers against those of a
//! complete validator over thousands of documents. For 5,000 nodes it takes a few milliseconds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use super::model::Kind;
use super::yaml::{Amount, Node, Value};

/// Violations told of one document; more tell nothing new.
const VIOLATIONS_MAX: usize = 50;

/// The schemas as they are published, by file name: one of each kind, what host profiles and nodes share, and the
/// envelopes of all of them.
pub const SCHEMAS: [(&str, &str); 10] = [
    ("Region.json", include_str!("../../schemas/design/Region.json")),
    ("Rack.json", include_str!("../../schemas/design/Rack.json")),
    ("Network.json", include_str!("../../schemas/design/Network.json")),
    ("NetworkLink.json", include_str!("../../schemas/design/NetworkLink.json")),
    ("HardwareProfile.json", include_str!("../../schemas/design/HardwareProfile.json")),
    ("HostProfile.json", include_str!("../../schemas/design/HostProfile.json")),
    ("BaremetalNode.json", include_str!("../../schemas/design/BaremetalNode.json")),
    ("BootAction.json", include_str!("../../schemas/design/BootAction.json")),
    ("host.json", include_str!("../../schemas/design/host.json")),
    ("document.json", include_str!("../../schemas/design/document.json")),
];

/// Something that a schema does not allow.
#[derive(Debug, PartialEq)]
pub(super) struct Violation {
    pub(super) line: u32,
    /// The place within the document's data and what is wrong there: `routes[0].metric is a string, not a number`.
    pub(super) message: String,
    pub(super) remedy: String,
}

/// What the schema of the kind does not allow in the data, in the order of the document.
pub(super) fn check(kind: Kind, data: &Node<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Some(schema) = COMPILED.get(&kind) {
        schema.check(data, &Path::Root, &mut violations);
    }
    violations
}

static COMPILED: LazyLock<BTreeMap<Kind, Arc<Schema>>> = LazyLock::new(|| {
    let files: BTreeMap<&str, Json> = SCHEMAS
        .into_iter()
        // The files are part of the program, and a test reads each.
        .map(|(file, text)| (file, serde_json::from_str(text).expect("a published schema is JSON")))
        .collect();
    Kind::DRYDOCK
        .into_iter()
        .map(|kind| {
            let file = format!("{}.json", kind.name());
            (kind, Arc::new(Schema::new(&files, &file, &files[&*file])))
        })
        .collect()
});

/// The part of a schema that says something about values.
#[derive(Debug, Default)]
struct Schema {
    /// Empty for any.
    types: Vec<Type>,
    properties: BTreeMap<String, Arc<Schema>>,
    others: Others,
    required: Vec<String>,
    items: Option<Arc<Schema>>,
    choices: Vec<String>,
    pattern: Option<Pattern>,
}

/// What holds for keys that are not among the properties.
#[derive(Debug, Default)]
enum Others {
    #[default]
    Any,
    None,
    Each(Arc<Schema>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// The patterns that the schemas use; each is a few comparisons.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    AbsolutePath,
    ThreeDigits,
}

impl Schema {
    /// Panics on what it does not know: the schemas are part of the program, and a test compiles them.
    fn new(files: &BTreeMap<&str, Json>, file: &str, json: &Json) -> Schema {
        let mut schema = Schema::default();
        let nested = |json: &Json| Arc::new(Schema::new(files, file, json));
        let texts = |json: &Json| -> Vec<String> {
            let texts = json.as_array().into_iter().flatten().filter_map(Json::as_str);
            texts.chain(json.as_str()).map(str::to_owned).collect()
        };
        for (keyword, json) in json.as_object().into_iter().flatten() {
            match &**keyword {
                "$schema" | "$defs" | "title" | "description" => {}
                "$ref" => {
                    let reference = json.as_str().unwrap_or_default();
                    let (other, pointer) = reference.split_once('#').unwrap_or((reference, ""));
                    let file = if other.is_empty() { file } else { other };
                    let target = files.get(file).and_then(|json| json.pointer(pointer));
                    let target = target.expect("a published schema refers to what there is");
                    return Schema::new(files, file, target);
                }
                "type" => schema.types = texts(json).iter().map(|name| Type::named(name)).collect(),
                "properties" => {
                    let properties = json.as_object().into_iter().flatten();
                    schema.properties = properties.map(|(key, json)| (key.clone(), nested(json))).collect();
                }
                "additionalProperties" if *json == Json::Bool(false) => schema.others = Others::None,
                "additionalProperties" => schema.others = Others::Each(nested(json)),
                "required" => schema.required = texts(json),
                "items" => schema.items = Some(nested(json)),
                "enum" => schema.choices = texts(json),
                "pattern" => schema.pattern = Some(Pattern::named(json.as_str().unwrap_or_default())),
                unknown => panic!("a published schema uses the keyword {unknown}, which is not read"),
            }
        }
        schema
    }

    fn check(&self, node: &Node<'_>, path: &Path<'_>, violations: &mut Vec<Violation>) {
        if violations.len() >= VIOLATIONS_MAX {
            return;
        }
        if !self.types.is_empty() && !self.types.iter().any(|kind| kind.takes(node)) {
            return violations.push(self.wrong_type(node, path));
        }
        match &node.value {
            Value::Map(map) => {
                for (key, value) in map.iter() {
                    if violations.len() >= VIOLATIONS_MAX {
                        return;
                    }
                    let path = Path::Key(path, key);
                    match (self.properties.get(key), &self.others) {
                        (Some(schema), _) | (None, Others::Each(schema)) => schema.check(value, &path, violations),
                        (None, Others::None) => violations.push(self.unknown_key(value.line, key, &path)),
                        (None, Others::Any) => {}
                    }
                }
                for key in self.required.iter().filter(|key| map.get(key).is_none()) {
                    violations.push(violation(node.line, format!("{} is missing", Path::Key(path, key)), ""));
                }
            }
            Value::List(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter().enumerate() {
                        schema.check(item, &Path::Index(path, index), violations);
                    }
                }
            }
            Value::Text(text) => self.check_text(text, node.line, path, violations),
            _ => {}
        }
        violations.truncate(VIOLATIONS_MAX);
    }

    fn check_text(&self, text: &str, line: u32, path: &Path<'_>, violations: &mut Vec<Violation>) {
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) {
            let message = format!("{path} is {}", quoted(text));
            violations.push(violation(line, message, format!("use one of {}", self.choices.join(", "))));
        }
        if let Some(pattern) = self.pattern
            && !pattern.matches(text)
        {
            violations.push(violation(line, format!("{path} is {}", quoted(text)), pattern.remedy()));
        }
    }

    fn wrong_type(&self, node: &Node<'_>, path: &Path<'_>) -> Violation {
        let wanted: Vec<&str> = self.types.iter().map(|kind| kind.told()).collect();
        let message = format!("{path} is {}, not {}", node.kind(), wanted.join(" or "));
        let text = if self.types.contains(&Type::String) { written(node) } else { None };
        let remedy = match text {
            Some(_) if may_be_secret(path) => "put it in quotes".to_owned(),
            Some(text) => format!("put it in quotes: \"{text}\""),
            None => String::new(),
        };
        violation(node.line, message, remedy)
    }

    fn unknown_key(&self, line: u32, key: &str, path: &Path<'_>) -> Violation {
        let near = |known: &&String| key.len() < 100 && strsim::osa_distance(key, known) <= 2;
        let remedy = match self.properties.keys().find(near) {
            Some(known) => format!("perhaps {known} is meant"),
            None => {
                let known: Vec<&str> = self.properties.keys().map(String::as_str).collect();
                format!("known here are {}", known.join(", "))
            }
        };
        violation(line, format!("{path} is not known"), remedy)
    }
}

fn violation(line: u32, message: String, remedy: impl Into<String>) -> Violation {
    Violation { line, message, remedy: remedy.into() }
}

/// The text of a scalar as it must be quoted to be text.
fn written<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Number(number) => Some(&number.written),
        Value::Timestamp(text) => Some(text),
        _ => None,
    }
}

/// A value in a message: quoted, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

impl Type {
    fn named(name: &str) -> Type {
        match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "number" => Type::Number,
            "string" => Type::String,
            "array" => Type::Array,
            "object" => Type::Object,
            unknown => panic!("a published schema uses the type {unknown}, which is not read"),
        }
    }

    fn told(self) -> &'static str {
        match self {
            Type::Null => "null",
            Type::Boolean => "a boolean",
            Type::Number => "a number",
            Type::String => "a string",
            Type::Array => "a list",
            Type::Object => "a mapping",
        }
    }

    fn takes(self, node: &Node<'_>) -> bool {
        match (&node.value, self) {
            (Value::Number(number), Type::Number) => match number.amount {
                Amount::Float(float) => float.is_finite(),
                Amount::Integer(_) | Amount::Huge => true,
            },
            (Value::Null, Type::Null)
            | (Value::Bool(_), Type::Boolean)
            | (Value::Text(_), Type::String)
            | (Value::List(_), Type::Array)
            | (Value::Map(_), Type::Object) => true,
            _ => false,
        }
    }
}

impl Pattern {
    fn named(pattern: &str) -> Pattern {
        match pattern {
            "^/.+" => Pattern::AbsolutePath,
            "[0-9]{3}" => Pattern::ThreeDigits,
            unknown => panic!("a published schema uses the pattern {unknown}, which is not read"),
        }
    }

    fn matches(self, text: &str) -> bool {
        match self {
            Pattern::AbsolutePath => text.strip_prefix('/').is_some_and(|rest| rest.starts_with(|first| first != '\n')),
            Pattern::ThreeDigits => text.as_bytes().windows(3).any(|three| three.iter().all(u8::is_ascii_digit)),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Pattern::AbsolutePath => "an absolute path begins with /",
            Pattern::ThreeDigits => "a mode has three octal digits, as \"644\"",
        }
    }
}

/// The way to a value, written only when something is wrong with it.
enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

/// Whether a value here may be a password: what stands below `oob`, and what a boot action writes to a node or gets it
/// from.
fn may_be_secret(path: &Path<'_>) -> bool {
    match path {
        Path::Root => false,
        Path::Key(_, "oob" | "data" | "location") => true,
        Path::Key(parent, _) | Path::Index(parent, _) => may_be_secret(parent),
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("the document's data"),
            Path::Key(Path::Root, key) => f.write_str(key_told(key)),
            Path::Key(parent, key) => write!(f, "{parent}.{}", key_told(key)),
            Path::Index(Path::Root, index) => write!(f, "[{index}]"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A key, cut when it is long.
fn key_told(key: &str) -> &str {
    key.char_indices().nth(80).map_or(key, |(at, _)| &key[..at])
}
