use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Map, Node, Value, resolve};

/// Nested collections in a document, aliases resolved. The deepest that the schemas describe has nine.
const DEPTH_MAX: usize = 64;
/// Values in a document, those that aliases repeat and anchors keep among them: 30 MB of tree. A node has a hundred.
const NODES_MAX: usize = 500_000;
/// Bytes of text that aliases repeat in a document.
const ALIAS_BYTES_MAX: usize = 8 << 20;
/// Faults kept of one document.
const FAULTS_MAX: usize = 20;

/// One document of a stream.
#[derive(Debug)]
pub(in crate::design) struct Document<'a> {
    /// Its place in the stream, counted from 0.
    pub(in crate::design) index: u32,
    /// Where its content begins.
    pub(in crate::design) line: u32,
    /// `None` if a limit was met before its end.
    pub(in crate::design) root: Option<Node<'a>>,
    /// Why it must not be used, though the rest of it could be read.
    pub(in crate::design) faults: Vec<Fault>,
}

/// Something in a document that is well-formed YAML and refused.
#[derive(Debug, PartialEq)]
pub(in crate::design) struct Fault {
    pub(in crate::design) line: u32,
    pub(in crate::design) message: String,
}

/// A document that is no YAML; what follows the next `---` may be.
#[derive(Debug, PartialEq)]
pub(in crate::design) struct SyntaxError {
    pub(in crate::design) index: u32,
    pub(in crate::design) line: u32,
    /// Counted from 1.
    pub(in crate::design) column: u32,
    pub(in crate::design) message: String,
}

/// Reads documents one at a time.
pub(in crate::design) struct Stream<'a> {
    parser: Parser<'a, StrInput<'a>>,
    documents: u32,
    ended: bool,
}

impl<'a> Stream<'a> {
    pub(in crate::design) fn new(text: &'a str) -> Stream<'a> {
        let options = granit_parser::options! { emit_unresolved_aliases: true, emit_comments: false };
        Stream { parser: Parser::new_from_str_with_options(text, options), documents: 0, ended: false }
    }

    /// Reads events up to the document's end. `None` at the end of the stream.
    fn document(&mut self) -> Result<Option<Document<'a>>, ScanError> {
        let mut builder = Builder::default();
        let mut begun = None;
        loop {
            let Some(next) = self.parser.next_event() else { return Ok(None) };
            let (event, span) = next?;
            let line = line(&span);
            match event {
                Event::DocumentStart(..) => begun = Some(line),
                Event::DocumentEnd => break,
                Event::StreamEnd => return Ok(None),
                event => builder.take(event, line),
            }
            if builder.exhausted {
                // Nothing more of it is kept; should it also end in a syntax error, the next read finds that.
                self.parser.proceed_next_document()?;
                break;
            }
        }
        let index = self.documents;
        let line = builder.line.or(begun).unwrap_or(1);
        let root = if builder.exhausted { None } else { builder.root };
        Ok(Some(Document { index, line, root, faults: builder.faults }))
    }
}

impl<'a> Iterator for Stream<'a> {
    type Item = Result<Document<'a>, SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = match self.document() {
            Ok(Some(document)) => Ok(document),
            Ok(None) => {
                self.ended = true;
                return None;
            }
            Err(error) => {
                self.ended = !self.parser.proceed_next_document().unwrap_or(false);
                let mark = error.marker();
                Err(SyntaxError {
                    index: self.documents,
                    line: small(mark.line()),
                    column: small(mark.col() + 1),
                    message: error.info(),
                })
            }
        };
        self.documents += 1;
        Some(item)
    }
}

fn line(span: &Span) -> u32 {
    small(span.start.line())
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Builds one document's tree out of its events, without recursion.
#[derive(Default)]
struct Builder<'a> {
    root: Option<Node<'a>>,
    /// Where the root begins.
    line: Option<u32>,
    open: Vec<Frame<'a>>,
    anchors: HashMap<usize, Anchored<'a>>,
    nodes: usize,
    alias_bytes: usize,
    faults: Vec<Fault>,
    /// A limit was met.
    exhausted: bool,
}

/// A collection whose end has not come.
struct Frame<'a> {
    line: u32,
    anchor: usize,
    /// Levels of collections below this one.
    height: usize,
    /// How many values had been built when it began.
    nodes_before: usize,
    content: Content<'a>,
}

enum Content<'a> {
    List(Vec<Node<'a>>),
    Map { entries: Vec<(Cow<'a, str>, Node<'a>)>, merged: Vec<Node<'a>>, key: Option<Key<'a>> },
}

/// A key whose value has not come; a text with its line.
enum Key<'a> {
    Text(Cow<'a, str>, u32),
    /// `<<`
    Merge,
    /// One that is no scalar: its value is dropped.
    Refused,
}

/// What an alias stands for.
struct Anchored<'a> {
    node: Node<'a>,
    nodes: usize,
    height: usize,
    bytes: usize,
}

impl<'a> Builder<'a> {
    fn take(&mut self, event: Event<'a>, line: u32) {
        self.line.get_or_insert(line);
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag.as_deref(), line),
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", line);
                self.begin(Content::List(Vec::new()), anchor, line);
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", line);
                let content = Content::Map { entries: Vec::new(), merged: Vec::new(), key: None };
                self.begin(content, anchor, line);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, line),
            Event::UnresolvedAlias(name) => {
                self.fault(line, format!("alias *{} has no anchor before it", shortened(&name)));
                self.place(Node { value: Value::Null, line }, 0);
            }
            // What else there is says nothing about values.
            _ => {}
        }
    }

    fn fault(&mut self, line: u32, message: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { line, message });
        }
    }

    fn exhaust(&mut self, line: u32, message: String) {
        self.exhausted = true;
        self.faults.truncate(FAULTS_MAX - 1);
        self.fault(line, message);
    }

    /// Counts values, and stops at the limit.
    fn count(&mut self, nodes: usize, line: u32) -> bool {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            self.exhaust(line, format!("the document has more than {NODES_MAX} values, aliases resolved"));
        }
        !self.exhausted
    }

    fn check_tag(&mut self, tag: Option<&Tag>, expected: &str, line: u32) {
        if let Some(tag) = tag
            && tag.core_suffix() != Some(expected)
            && !is_non_specific(tag)
        {
            self.fault(line, refused(tag));
        }
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, anchor: usize, tag: Option<&Tag>, line: u32) {
        let plain = matches!(style, ScalarStyle::Plain) && tag.is_none();
        let value = match tag {
            None if plain && !self.awaits_key() => resolve(text),
            None => Value::Text(text),
            Some(tag) => match tagged(tag, text) {
                Ok(value) => value,
                Err(message) => {
                    self.fault(line, message);
                    Value::Null
                }
            },
        };
        if !self.count(1, line) {
            return;
        }
        let node = Node { value, line };
        if anchor != 0 {
            self.keep(anchor, &node, 1, 0);
        }
        if plain && self.awaits_key() && node.text() == Some("<<") {
            self.key(Key::Merge);
        } else {
            self.place(node, 0);
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, next: Key<'a>) {
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(next);
        }
    }

    fn begin(&mut self, content: Content<'a>, anchor: usize, line: u32) {
        if self.open.len() >= DEPTH_MAX {
            return self.exhaust(line, format!("collections are nested more than {DEPTH_MAX} deep"));
        }
        let nodes_before = self.nodes;
        if self.count(1, line) {
            self.open.push(Frame { line, anchor, height: 0, nodes_before, content });
        }
    }

    fn end(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        let Frame { line, anchor, height, nodes_before, content } = frame;
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, merged, .. } => Value::Map(self.merge(entries, merged)),
        };
        let node = Node { value, line };
        if anchor != 0 {
            let nodes = self.nodes - nodes_before;
            if !self.count(nodes, line) {
                return;
            }
            self.keep(anchor, &node, nodes, height + 1);
        }
        self.place(node, height + 1);
    }

    fn keep(&mut self, anchor: usize, node: &Node<'a>, nodes: usize, height: usize) {
        let anchored = Anchored { bytes: owned_bytes(node), node: node.clone(), nodes, height };
        self.alias_bytes += anchored.bytes;
        self.anchors.insert(anchor, anchored);
    }

    /// Puts a finished value into the collection that is open, or makes it the root.
    fn place(&mut self, mut node: Node<'a>, height: usize) {
        let line = node.line;
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        frame.height = frame.height.max(height);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, merged, key } => match key.take() {
                Some(Key::Text(name, line)) => {
                    node.line = line;
                    entries.push((name, node));
                }
                Some(Key::Merge) => merged.push(node),
                Some(Key::Refused) => {}
                None => match node.value {
                    Value::Text(name) => *key = Some(Key::Text(name, line)),
                    Value::List(_) | Value::Map(_) => {
                        *key = Some(Key::Refused);
                        self.fault(line, "a key is a list or a mapping; only scalars are taken".to_owned());
                    }
                    // A number or a boolean comes here through an alias or a tag.
                    _ => {
                        let text = node.scalar_text().map(Cow::into_owned).unwrap_or_default();
                        *key = Some(Key::Text(Cow::Owned(text), line));
                    }
                },
            },
        }
    }

    fn alias(&mut self, anchor: usize, line: u32) {
        let Some(Anchored { node, nodes, height, bytes }) = self.anchors.get(&anchor) else {
            self.fault(line, "an alias stands within what it repeats".to_owned());
            return self.place(Node { value: Value::Null, line }, 0);
        };
        let (nodes, height, bytes) = (*nodes, *height, *bytes);
        if self.open.len() + height > DEPTH_MAX {
            return self.exhaust(line, format!("collections are nested more than {DEPTH_MAX} deep, aliases resolved"));
        }
        self.alias_bytes += bytes;
        if self.alias_bytes > ALIAS_BYTES_MAX {
            return self.exhaust(line, format!("aliases repeat more than {ALIAS_BYTES_MAX} bytes of text"));
        }
        // Counted before it is copied: a bomb costs no more than the limit.
        let node = Node { line, ..node.clone_if(self.nodes + nodes <= NODES_MAX) };
        if self.count(nodes, line) {
            self.place(node, height);
        }
    }

    /// Entries of merged mappings (`<<`) stand before the mapping's own, which count; of two merged mappings the first
    /// counts.
    fn merge(&mut self, own: Vec<(Cow<'a, str>, Node<'a>)>, merged: Vec<Node<'a>>) -> Map<'a> {
        if merged.is_empty() {
            return Map::new(own);
        }
        let mut entries = Vec::new();
        for node in merged {
            let line = node.line;
            let mut mappings = match node.value {
                Value::List(nodes) => nodes,
                value => vec![Node { value, line }],
            };
            mappings.reverse();
            for mapping in mappings {
                match mapping.value {
                    Value::Map(Map(merged)) => entries.extend(merged),
                    _ => self.fault(line, "`<<` takes a mapping or a list of mappings".to_owned()),
                }
            }
        }
        entries.extend(own);
        Map::new(entries)
    }
}

impl<'a> Node<'a> {
    /// A copy, or a null where the copy would be too large.
    fn clone_if(&self, fits: bool) -> Node<'a> {
        if fits { self.clone() } else { Node { value: Value::Null, line: self.line } }
    }
}

/// Bytes that a copy of the node takes besides the tree: texts that had escapes or folded lines are not borrowed.
fn owned_bytes(node: &Node<'_>) -> usize {
    // As deep as the limit at most.
    let of = |text: &Cow<'_, str>| if matches!(text, Cow::Owned(_)) { text.len() } else { 0 };
    match &node.value {
        Value::Null | Value::Bool(_) => 0,
        Value::Number(number) => of(&number.written),
        Value::Timestamp(text) | Value::Text(text) => of(text),
        Value::List(nodes) => nodes.iter().map(owned_bytes).sum(),
        Value::Map(Map(entries)) => entries.iter().map(|(key, node)| of(key) + owned_bytes(node)).sum(),
    }
}

/// The tag `!` alone, which says that a scalar is text and nothing about a collection.
fn is_non_specific(tag: &Tag) -> bool {
    matches!(tag.parts(), ("!", "") | ("", "!"))
}

fn tagged<'a>(tag: &Tag, text: Cow<'a, str>) -> Result<Value<'a>, String> {
    if is_non_specific(tag) {
        return Ok(Value::Text(text));
    }
    let kind = match tag.core_suffix() {
        Some("str") => return Ok(Value::Text(text)),
        Some("null") => return Ok(Value::Null),
        Some(kind @ ("int" | "float" | "bool")) => kind,
        _ => return Err(refused(tag)),
    };
    let wrong = format!("{} is not of the type !!{kind}", shortened(&text));
    match (kind, resolve(text)) {
        ("bool", value @ Value::Bool(_)) | ("int" | "float", value @ Value::Number(_)) => Ok(value),
        _ => Err(wrong),
    }
}

fn refused(tag: &Tag) -> String {
    format!("tag {} is not taken: documents hold plain values only", shortened(&tag.original()))
}

/// Keeps messages on a line, whatever the document holds.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}
