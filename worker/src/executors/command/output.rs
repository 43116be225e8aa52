//! What a program prints: cut into lines, bounded, and turned into messages and a verdict as it comes.

use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use longshore_queue::ResultMessage;

use super::super::protocol::{self, Said, Verdict};
use super::DRAIN;
use crate::Context;
use crate::config::Stdout;

/// How much of a line is kept: a message is one row, read by people.
pub(super) const LINE_MAX_BYTES: usize = 64 * 1024;

/// How long a line with an object may be: it may hold an output, subtasks or build data. As long as an endpoint's
/// answer.
const OBJECT_MAX_BYTES: usize = 1024 * 1024;

/// How much is read at once: what a pipe commonly holds in pages.
const CHUNK_BYTES: usize = 16 * 1024;

/// How much of the last line on stderr goes into the outcome's message.
const LAST_ERROR_MAX_BYTES: usize = 1024;

/// For so long what a program left in its pipes waits for room: half of the time in which it must be read.
const HURRY: Duration = DRAIN.checked_div(2).expect("two is not zero");

/// Reads both streams to their ends, as fast as lines can be recorded, so that a program that is faster waits; from
/// `hurry` on, which is told when only what is in the pipes is left, it waits a little longer, and then reads on
/// whatever is dropped. Cancelled, it loses a line that was not ended yet.
pub(super) async fn listen(stdout: ChildStdout, stderr: ChildStderr, transcript: &mut Transcript<'_>, hurry: &Notify) {
    let (mut stdout, mut stderr) = (Source::new(stdout, transcript.format), Source::new(stderr, Stdout::Text));
    let mut until = None;
    let mut is_patient = true;
    loop {
        if is_patient {
            let limit = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = hurry.notified(), if until.is_none() => {
                    until = Some(Instant::now() + HURRY);
                    continue;
                }
                () = transcript.context.room() => {}
                () = limit => is_patient = false,
            }
        }
        tokio::select! {
            length = stdout.fill(), if stdout.is_open => stdout.take(length, |line| transcript.stdout(&line)),
            length = stderr.fill(), if stderr.is_open => stderr.take(length, |line| transcript.stderr(&line)),
            else => break,
        }
        if transcript.discarded_bytes > 0 {
            // nothing else makes a flood wait, and 128 chunks in one turn are seconds in which no stop is heard
            yield_now().await;
        }
    }
}

/// One stream.
struct Source<R> {
    from: R,
    is_open: bool,
    chunk: Vec<u8>,
    lines: Lines,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(from: R, format: Stdout) -> Self {
        Self { from, is_open: true, chunk: vec![0; CHUNK_BYTES], lines: Lines::new(format) }
    }

    /// Reads on; 0 at the end. Cancelled, it has read nothing.
    async fn fill(&mut self) -> usize {
        // a pipe that cannot be read is at its end
        self.from.read(&mut self.chunk).await.unwrap_or(0)
    }

    fn take(&mut self, length: usize, each: impl FnMut(Line)) {
        if length == 0 {
            self.is_open = false;
            self.lines.end(each);
        } else {
            self.lines.push(&self.chunk[..length], each);
        }
    }
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its beginning, where it is cut. Not UTF-8 becomes U+FFFD.
    text: String,
    /// How long it was.
    bytes: u64,
    is_cut: bool,
}

/// Cuts a stream into lines. Holds at most [`LINE_MAX_BYTES`] of one, or [`OBJECT_MAX_BYTES`], however long it is.
#[derive(Debug)]
struct Lines {
    format: Stdout,
    line: Vec<u8>,
    bytes: u64,
}

impl Lines {
    fn new(format: Stdout) -> Self {
        Self { format, line: Vec::new(), bytes: 0 }
    }

    /// How much is kept of a line that begins so.
    fn max_bytes(&self, next: &[u8]) -> usize {
        let first = self.line.iter().chain(next).find(|byte| !byte.is_ascii_whitespace());
        if self.format == Stdout::Jsonl && first == Some(&b'{') { OBJECT_MAX_BYTES } else { LINE_MAX_BYTES }
    }

    /// Takes the stream's next bytes and gives each line that they end.
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Line)) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..at]);
            each(self.take());
            bytes = &bytes[at + 1..];
        }
        self.add(bytes);
    }

    /// Gives what came after the last line end.
    fn end(&mut self, mut each: impl FnMut(Line)) {
        if self.bytes > 0 {
            each(self.take());
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = self.max_bytes(bytes).saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.bytes += bytes.len() as u64;
    }

    fn take(&mut self) -> Line {
        let is_cut = self.bytes > self.line.len() as u64;
        // a character that the cut went through is left out whole
        let line = if is_cut { &self.line[..end_of_characters(&self.line)] } else { &self.line };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = Line { text: String::from_utf8_lossy(line).into_owned(), bytes: self.bytes, is_cut };
        self.line.clear();
        self.bytes = 0;
        line
    }
}

/// The length without a last character that lacks some of its bytes.
fn end_of_characters(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    // no `error_len`: not wrong, but too short
    let is_unfinished = std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none());
    if is_unfinished { bytes.len() - last.len() } else { bytes.len() }
}

/// What an attempt has said so far.
pub(super) struct Transcript<'a> {
    context: &'a Context,
    format: Stdout,
    max_bytes: usize,
    bytes: usize,
    discarded_bytes: u64,
    verdict: Option<Verdict>,
    last_error: String,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(context: &'a Context, format: Stdout, max_bytes: usize) -> Self {
        Self { context, format, max_bytes, bytes: 0, discarded_bytes: 0, verdict: None, last_error: String::new() }
    }

    fn stdout(&mut self, line: &Line) {
        if self.format == Stdout::Text || !line.text.trim_start().starts_with('{') {
            return self.say(line, protocol::note(&with_notice(line)));
        }
        let mut said = if line.is_cut { cut_object(line) } else { protocol::read(&line.text) };
        // beyond the bound on output too
        said.ask(self.context);
        let Said { messages, verdict, .. } = said;
        self.say(line, messages);
        // beyond the bound too: a result counts, however much was printed before it
        if verdict.is_some() {
            if let Some(message) = self.verdict.take().and_then(protocol::replaced) {
                self.context.message(message);
            }
            self.verdict = verdict;
        }
    }

    fn stderr(&mut self, line: &Line) {
        let message = protocol::note(&with_notice(line)).map(|message| ResultMessage { error: true, ..message });
        if let Some(message) = &message {
            let length = message.message.floor_char_boundary(LAST_ERROR_MAX_BYTES);
            message.message[..length].clone_into(&mut self.last_error);
        }
        self.say(line, message);
    }

    /// Passes messages on, up to the bound. After the first line that is beyond it, all are.
    fn say(&mut self, line: &Line, messages: impl IntoIterator<Item = ResultMessage>) {
        let bytes = line.text.len() + 1;
        if self.discarded_bytes > 0 || self.bytes + bytes > self.max_bytes {
            self.discarded_bytes += line.bytes + 1;
            return;
        }
        self.bytes += bytes;
        for message in messages {
            self.context.message(message);
        }
    }

    /// Closes the log: the verdict, and the last line on stderr (empty if there was none).
    pub(super) fn finish(self) -> (Option<Verdict>, String) {
        if self.discarded_bytes > 0 {
            let (bytes, max) = (self.discarded_bytes, self.max_bytes);
            self.context.message(ResultMessage::error(format!(
                "output is limited to {max} bytes: {bytes} bytes more were discarded"
            )));
        }
        (self.verdict, self.last_error)
    }
}

fn with_notice(line: &Line) -> String {
    if line.is_cut {
        format!("{} [cut: the line has {} bytes, {LINE_MAX_BYTES} are kept]", line.text, line.bytes)
    } else {
        line.text.clone()
    }
}

/// An object too long to be read may have held the result, so the attempt does not pass as a success.
fn cut_object(line: &Line) -> Said {
    let problem = format!("a line with an object must have at most {OBJECT_MAX_BYTES} bytes, got {}", line.bytes);
    Said {
        messages: vec![ResultMessage::error(problem.clone())],
        verdict: Some(Verdict::Unreadable(problem)),
        ..Said::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut given) = (Lines::new(Stdout::Text), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| given.push(line));
        }
        lines.end(|line| given.push(line));
        given
    }

    fn texts(chunks: &[&[u8]]) -> Vec<String> {
        lines(chunks).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_come() {
        let whole = "one\r\n\ntw\u{f6}\n\u{1F600} three".as_bytes();
        let expected = ["one", "", "tw\u{f6}", "\u{1F600} three"];
        assert_eq!(texts(&[whole]), expected);
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(texts(&single), expected);
        assert!(texts(&[b""]).is_empty());
        assert_eq!(texts(&[b"a\n"]), ["a"]);
        assert_eq!(texts(&[b"a\xff\xc3b\n"]), ["a\u{FFFD}\u{FFFD}b"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_its_length_is_known() {
        let long = "\u{20AC}".repeat(50_000);
        let [line, next] = &lines(&[long.as_bytes(), b"\nnext"])[..] else { panic!("two lines") };
        assert_eq!((line.is_cut, line.bytes, line.text.len()), (true, 150_000, LINE_MAX_BYTES / 3 * 3));
        assert!(line.text.chars().all(|c| c == '\u{20AC}'));
        assert_eq!((next.text.as_str(), next.is_cut), ("next", false));
        let exact = vec![b'x'; LINE_MAX_BYTES];
        assert!(!lines(&[&exact])[0].is_cut);
    }

    #[test]
    fn what_is_held_of_an_endless_line_is_bounded() {
        let mut lines = Lines::new(Stdout::Text);
        let chunk = vec![b'x'; CHUNK_BYTES];
        for _ in 0..10_000 {
            lines.push(&chunk, |_| unreachable!("no line ends"));
        }
        assert!(lines.line.capacity() <= 2 * LINE_MAX_BYTES, "{}", lines.line.capacity());
    }
}
