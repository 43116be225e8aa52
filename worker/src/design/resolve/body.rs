//! The body of an answer: decompressed, and never larger than allowed.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

use super::error::Problem;
use crate::executors::http::causes;

/// Reads all of it, at most `max_bytes` as they are sent and as they are once decompressed. Holds no more of them.
pub(super) async fn read(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, Problem> {
    let mut body = match encoding(&response)?.as_str() {
        "" | "identity" => Sink::Plain(Bounded::new(max_bytes)),
        "gzip" | "x-gzip" => Sink::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(max_bytes)))),
        other => return Err(Problem::ContentEncoding(other.chars().take(40).collect())),
    };
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(Problem::TooLarge(max_bytes));
    }
    let mut sent = 0_usize;
    while let Some(chunk) = response.chunk().await.map_err(|error| Problem::BrokeOff(causes(error)))? {
        sent = sent.saturating_add(chunk.len());
        if sent > max_bytes {
            return Err(Problem::TooLarge(max_bytes));
        }
        body.write(&chunk, max_bytes)?;
    }
    body.end(max_bytes)
}

/// All content encodings, in lower case.
fn encoding(response: &Response) -> Result<String, Problem> {
    let all: Vec<&str> = response
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| value.to_str().map_err(|_| Problem::ContentEncoding("something unreadable".to_owned())))
        .collect::<Result<_, _>>()?;
    Ok(all.join(", ").trim().to_ascii_lowercase())
}

enum Sink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Sink {
    fn write(&mut self, chunk: &[u8], max_bytes: usize) -> Result<(), Problem> {
        let written = match self {
            Self::Plain(bounded) => bounded.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(|error| refused(&error, max_bytes))
    }

    fn end(self, max_bytes: usize) -> Result<Vec<u8>, Problem> {
        let bounded = match self {
            Self::Plain(bounded) => Ok(bounded),
            Self::Gzip(decoder) => decoder.finish(),
        };
        bounded.map(|bounded| bounded.bytes).map_err(|error| refused(&error, max_bytes))
    }
}

fn refused(error: &io::Error, max_bytes: usize) -> Problem {
    match error.kind() {
        // what Bounded says, and the decoder never
        io::ErrorKind::FileTooLarge => Problem::TooLarge(max_bytes),
        _ => Problem::Corrupt(error.to_string()),
    }
}

/// Bytes up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl Bounded {
    fn new(max_bytes: usize) -> Self {
        Self { bytes: Vec::new(), max_bytes }
    }
}

impl Write for Bounded {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if chunk.len() > self.max_bytes - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
