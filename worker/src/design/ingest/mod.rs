//! Reads streams of documents into a design.
//!
//! A document is handled on its own: its envelope (`envelope`), its schema, its values (`conversion` and the files of
//! the kinds). One that is refused leaves its findings behind, and the next is read.

mod boot_action;
mod conversion;
mod envelope;
mod host;
mod network;
mod promenade;
mod site;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use self::conversion::Conversion;
use self::envelope::{Envelope, Refusal};
use super::finding::{DocumentRef, Finding, Severity};
use super::model::{AnyDocument, Design, Kind, Origin, Text};
use super::schema;
use super::yaml::{Document, Node, Stream, SyntaxError, Value};

/// The largest stream, 64 MiB: a site of 50,000 nodes takes 25.
pub const BYTES_MAX: usize = 64 << 20;
/// Documents of a design, all streams together: 50,000 nodes, and as many more of other kinds.
pub const DOCUMENTS_MAX: usize = 100_000;
/// Findings kept; what more there is, is counted.
const FINDINGS_MAX: usize = 10_000;

/// The name, or the schema, in references to documents that do not say it.
const UNKNOWN: &str = "Unknown";

/// A document that is no part of a design, or whose values the model does not take.
const REFUSED: &str = "DD000";
/// A document that its schema does not allow.
const AGAINST_SCHEMA: &str = "DD001";

/// What came of reading one or more streams.
#[derive(Debug)]
pub struct Ingested {
    /// The documents that could be read.
    pub design: Design,
    /// What is wrong with the others, in the order of the documents.
    pub findings: Vec<Finding>,
    /// How many documents of each kind became part of the design.
    pub models: BTreeMap<Kind, usize>,
    /// Whether the design is complete.
    pub status: Status,
}

/// Whether all was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every document was read.
    Success,
    /// Some documents were refused: the design is not complete, so it is neither compiled nor checked.
    Failure,
    /// A stream could not be read to its end: not UTF-8, no YAML, or beyond a limit.
    Unreadable,
}

/// Reads one stream.
pub fn ingest(bytes: &[u8]) -> Ingested {
    ingest_all([bytes])
}

/// Reads several streams into one design, as if each followed the one before. A finding's `input` says which it lies
/// in.
pub fn ingest_all<'i>(inputs: impl IntoIterator<Item = &'i [u8]>) -> Ingested {
    let mut ingest = Ingest::default();
    for bytes in inputs {
        ingest.stream(bytes);
        ingest.input += 1;
    }
    ingest.finish()
}

#[derive(Default)]
struct Ingest {
    design: Design,
    conversion: Conversion,
    findings: Vec<Finding>,
    /// Findings beyond the limit.
    left_out: usize,
    status: Option<Status>,
    /// The stream that is read.
    input: u32,
    documents: usize,
}

impl Ingest {
    fn stream(&mut self, bytes: &[u8]) {
        if bytes.len() > BYTES_MAX {
            let message = format!("the stream has {} bytes; at most {BYTES_MAX} are read", bytes.len());
            return self.unreadable("stream_size", message, "", 1);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
                let message = format!("line {line}, column {column}: not UTF-8; nothing of the stream is read");
                return self.unreadable("encoding", message, "", u32::try_from(line).unwrap_or(u32::MAX));
            }
        };
        for item in Stream::new(text) {
            if self.documents >= DOCUMENTS_MAX {
                let message = format!("the design has more than {DOCUMENTS_MAX} documents; the rest is not read");
                let line = item.map_or_else(|error| error.line, |document| document.line);
                return self.unreadable("document_count", message, "", line);
            }
            self.documents += 1;
            match item {
                Ok(document) => self.document(&document),
                Err(error) => self.syntax_error(&error),
            }
        }
    }

    fn unreadable(&mut self, rule: &'static str, message: String, remedy: &'static str, line: u32) {
        let finding = Finding::new(REFUSED, rule, Severity::Error, message).remedy(remedy);
        self.found(Finding { line: Some(line), input: self.input, ..finding });
        self.status = Some(Status::Unreadable);
    }

    /// The documents before it stay in the design: what is wrong with them is found in the same pass.
    fn syntax_error(&mut self, error: &SyntaxError) {
        let SyntaxError { index, line, column, message } = error;
        let message = format!("line {line}, column {column}: document {} is no YAML: {message}", index + 1);
        let remedy = "the documents before it are read, and those after the next line of ---";
        self.unreadable("syntax", message, remedy, *line);
    }

    fn found(&mut self, finding: Finding) {
        if finding.severity == Severity::Error {
            self.status = self.status.max(Some(Status::Failure));
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    fn document(&mut self, document: &Document<'_>) {
        let origin = Origin { input: self.input, document: document.index, line: document.line };
        let (envelope, refusals) = envelope::open(document);
        let reference =
            |kind: Kind, name: &str| DocumentRef { schema: Cow::Borrowed(kind.schema()), name: Text::from(name) };
        match envelope {
            Envelope::Foreign => {}
            Envelope::Refused { schema, name } => {
                let schema = schema.map_or(Cow::Borrowed(UNKNOWN), Cow::Owned);
                let name = Text::from(name.unwrap_or(UNKNOWN));
                self.refuse(document.index, &DocumentRef { schema, name }, refusals);
            }
            Envelope::Design { kind, name, data } => {
                let reference = reference(kind, name);
                // Data that is not there is held against the schema as what it is: null.
                let absent = Node { value: Value::Null, line: document.line };
                let data = data.unwrap_or(&absent);
                if refusals.is_empty() {
                    self.typed(kind, origin, data, &reference);
                } else {
                    self.refuse(document.index, &reference, refusals);
                }
            }
            Envelope::Promenade { name, target, kind, document } => {
                let config = promenade::config(&mut self.conversion, origin, name, target, kind, document);
                self.design.add(AnyDocument::PromenadeConfig(config));
            }
        }
    }

    /// Findings of an envelope.
    fn refuse(&mut self, index: u32, reference: &DocumentRef, refusals: Vec<Refusal>) {
        for Refusal { severity, line, message, remedy } in refusals {
            let message = format!("document {}: {message}", index + 1);
            let finding = Finding::new(REFUSED, "envelope", severity, message).remedy(remedy);
            let documents = if severity == Severity::Error { vec![reference.clone()] } else { Vec::new() };
            self.found(Finding { documents, line: Some(line), input: self.input, ..finding });
        }
    }

    /// Checks the data against the schema of its kind, and makes a typed document out of it.
    fn typed(&mut self, kind: Kind, origin: Origin, data: &Node<'_>, reference: &DocumentRef) {
        let violations = schema::check(kind, data);
        let against_schema = !violations.is_empty();
        for violation in violations {
            let message = format!("{}:v1 is not as its schema says: {}", kind.name(), violation.message);
            let finding = Finding::new(AGAINST_SCHEMA, "schema", Severity::Error, message).remedy(violation.remedy);
            let documents = vec![reference.clone()];
            self.found(Finding { documents, line: Some(violation.line), input: origin.input, ..finding });
        }
        if against_schema {
            return;
        }
        let document = self.model(kind, origin, data, &reference.name);
        let problems = std::mem::take(&mut self.conversion.problems);
        let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
        for problem in problems {
            let finding = Finding::new(REFUSED, "value", problem.severity, problem.message).remedy(problem.remedy);
            let documents = vec![reference.clone()];
            self.found(Finding { documents, line: Some(problem.line), input: origin.input, ..finding });
        }
        if let Some(document) = document.filter(|_| !refused) {
            self.design.add(document);
        }
    }

    fn model(&mut self, kind: Kind, origin: Origin, data: &Node<'_>, name: &str) -> Option<AnyDocument> {
        let conversion = &mut self.conversion;
        let name = conversion.share(name);
        Some(match kind {
            Kind::Region => AnyDocument::Region(site::region(conversion, name, origin, data)?),
            Kind::Rack => AnyDocument::Rack(site::rack(conversion, name, origin, data)?),
            Kind::Network => AnyDocument::Network(network::network(conversion, name, origin, data)?),
            Kind::NetworkLink => AnyDocument::NetworkLink(network::network_link(conversion, name, origin, data)?),
            Kind::HardwareProfile => {
                AnyDocument::HardwareProfile(site::hardware_profile(conversion, name, origin, data)?)
            }
            Kind::HostProfile => AnyDocument::HostProfile(host::host_profile(conversion, name, origin, data)?),
            Kind::BaremetalNode => AnyDocument::BaremetalNode(host::node(conversion, name, origin, data)?),
            Kind::BootAction => AnyDocument::BootAction(boot_action::boot_action(conversion, name, origin, data)?),
            // Its documents have no schema, and do not come here.
            Kind::PromenadeConfig => return None,
        })
    }

    fn finish(mut self) -> Ingested {
        if self.left_out > 0 {
            let message = format!("{} more findings are left out", self.left_out);
            self.findings.push(Finding::new(REFUSED, "left_out", Severity::Warning, message));
        }
        let models = self.design.counts();
        let status = self.status.unwrap_or(Status::Success);
        Ingested { design: self.design, findings: self.findings, models, status }
    }
}
