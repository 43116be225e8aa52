use crate::design::finding::Severity;
use crate::design::model::Kind;
use crate::design::schema::quoted;
use crate::design::yaml::{Document, Node, Value};

/// What a document is, by its outermost keys.
pub(super) enum Envelope<'d> {
    /// Empty, or of another namespace: passed over.
    Foreign,
    /// Of ours by its looks, and not to be used.
    Refused {
        schema: Option<String>,
        name: Option<&'d str>,
    },
    /// A document of a kind with its data, to be used if nothing else is found.
    Design {
        kind: Kind,
        name: &'d str,
        data: Option<&'d Node<'d>>,
    },
    Promenade {
        name: &'d str,
        target: &'d str,
        kind: &'d str,
        document: &'d Node<'d>,
    },
}

/// Something wrong with an envelope; a warning is no reason to refuse it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) severity: Severity,
    pub(super) line: u32,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

/// Opens either envelope: `schema: drydock/KIND/v1` with `data`, or `apiVersion: drydock/...`, `kind` and `spec`.
pub(super) fn open<'d>(document: &'d Document<'d>) -> (Envelope<'d>, Vec<Refusal>) {
    let faults = document.faults.iter().map(|fault| error(fault.line, fault.message.clone(), ""));
    let mut refusals: Vec<Refusal> = faults.collect();
    let Some(root) = &document.root else {
        return (Envelope::Refused { schema: None, name: None }, refusals);
    };
    let envelope = match (&root.value, root.get("schema"), root.get("apiVersion")) {
        (Value::Null, ..) => Envelope::Foreign,
        (Value::Map(_), Some(schema), _) => deckhand(root, schema, &mut refusals),
        (Value::Map(_), None, Some(version)) => plain(root, version, &mut refusals),
        (Value::Map(_), None, None) => {
            refusals.push(Refusal {
                severity: Severity::Warning,
                ..error(root.line, "it has neither schema nor apiVersion, and is passed over".to_owned(), "")
            });
            Envelope::Refused { schema: None, name: None }
        }
        _ => {
            let message = format!("it is {}, not a mapping", root.kind());
            refusals.push(error(root.line, message, "documents are separated by lines of ---"));
            Envelope::Refused { schema: None, name: None }
        }
    };
    (envelope, refusals)
}

fn error(line: u32, message: String, remedy: &'static str) -> Refusal {
    Refusal { severity: Severity::Error, line, message, remedy }
}

fn deckhand<'d>(root: &'d Node<'d>, node: &'d Node<'d>, refusals: &mut Vec<Refusal>) -> Envelope<'d> {
    let Some(schema) = node.text() else {
        refusals.push(error(node.line, format!("schema is {}, not a string", node.kind()), "as drydock/Network/v1"));
        return Envelope::Refused { schema: None, name: name_of(root) };
    };
    let parts: Vec<&str> = schema.splitn(4, '/').collect();
    let &[namespace, kind, version] = &*parts else {
        let message = format!("schema {} has not three parts, and is passed over", quoted(schema));
        refusals.push(Refusal { severity: Severity::Warning, ..error(node.line, message, "as drydock/Network/v1") });
        return Envelope::Refused { schema: Some(schema.to_owned()), name: name_of(root) };
    };
    if namespace != "drydock" {
        return Envelope::Foreign;
    }
    let known = if version == "v1" { Kind::named(kind) } else { None };
    let Some(kind) = known else {
        let message = format!("there is no schema {}", quoted(schema));
        refusals.push(error(node.line, message, KINDS));
        return Envelope::Refused { schema: Some(schema.to_owned()), name: name_of(root) };
    };
    design(root, kind, "data", refusals)
}

/// The remedy for a kind that does not exist.
const KINDS: &str = "there are Region, Rack, Network, NetworkLink, HardwareProfile, HostProfile, BaremetalNode and \
                     BootAction, each in version v1";

fn plain<'d>(root: &'d Node<'d>, node: &'d Node<'d>, refusals: &mut Vec<Refusal>) -> Envelope<'d> {
    let Some(version) = node.text() else {
        refusals.push(error(node.line, format!("apiVersion is {}, not a string", node.kind()), "as drydock/v1"));
        return Envelope::Refused { schema: None, name: name_of(root) };
    };
    let kind = root.get("kind").and_then(Node::text);
    if version == "promenade/v1" {
        return promenade(root, kind, refusals);
    }
    if !version.starts_with("drydock/") {
        return Envelope::Foreign;
    }
    match kind.and_then(Kind::named) {
        Some(kind) => design(root, kind, "spec", refusals),
        None => {
            let line = root.get("kind").map_or(root.line, |node| node.line);
            let message = match kind {
                Some(kind) => format!("there is no kind {}", quoted(kind)),
                None => "kind is missing".to_owned(),
            };
            refusals.push(error(line, message, KINDS));
            let schema = kind.map(|kind| format!("drydock/{kind}/v1"));
            Envelope::Refused { schema, name: name_of(root) }
        }
    }
}

fn design<'d>(root: &'d Node<'d>, kind: Kind, key: &str, refusals: &mut Vec<Refusal>) -> Envelope<'d> {
    match name_of(root) {
        Some(name) => Envelope::Design { kind, name, data: root.get(key) },
        None => {
            refusals.push(nameless(root));
            Envelope::Refused { schema: Some(kind.schema().to_owned()), name: None }
        }
    }
}

fn promenade<'d>(root: &'d Node<'d>, kind: Option<&'d str>, refusals: &mut Vec<Refusal>) -> Envelope<'d> {
    let schema = Kind::PromenadeConfig.schema();
    let (Some(name), Some(kind)) = (name_of(root), kind) else {
        refusals.push(if name_of(root).is_none() {
            nameless(root)
        } else {
            error(root.line, "kind is missing".to_owned(), "")
        });
        return Envelope::Refused { schema: Some(schema.to_owned()), name: name_of(root) };
    };
    if !refusals.is_empty() {
        return Envelope::Refused { schema: Some(schema.to_owned()), name: Some(name) };
    }
    let target = root.get("metadata").and_then(|metadata| metadata.get("target")).and_then(Node::text);
    Envelope::Promenade { name, target: target.unwrap_or("all"), kind, document: root }
}

/// The name, if it is text and not empty.
fn name_of<'d>(root: &'d Node<'d>) -> Option<&'d str> {
    let name = root.get("metadata")?.get("name")?;
    match &name.value {
        Value::Text(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(&number.written),
        _ => None,
    }
}

fn nameless(root: &Node<'_>) -> Refusal {
    let line = root.get("metadata").map_or(root.line, |node| node.line);
    error(line, "metadata.name is missing or empty".to_owned(), "give the document a name")
}
