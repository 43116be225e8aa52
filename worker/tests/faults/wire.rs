//! As much of the Postgres wire protocol as the proxy has to understand.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a client asks for before it speaks of anything else.
const SSL_REQUEST: u32 = 80_877_103;

/// A message: its type, and what follows its length.
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let kind = from.read_u8().await?;
        Ok(Self { kind, body: read_body(from).await? })
    }

    pub(crate) async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let length = u32::try_from(self.body.len() + 4).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(self.body.len() + 5);
        bytes.push(self.kind);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes).await
    }

    /// Asks the server for what it has so far, without ending the transaction.
    pub(crate) fn flush() -> Self {
        Self { kind: b'H', body: Vec::new() }
    }

    /// For Parse: the statement's name and its text.
    pub(crate) fn parse(&self) -> Option<(String, String)> {
        (self.kind == b'P').then(|| two_strings(&self.body))
    }

    /// For Bind: the statement's name.
    pub(crate) fn bind(&self) -> Option<String> {
        (self.kind == b'B').then(|| two_strings(&self.body).1)
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.kind == b'S'
    }
}

/// Reads the start of a conversation: the packet to pass on, and the client's application name.
pub(crate) async fn read_startup<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<(Vec<u8>, String)> {
    loop {
        let body = read_body(client).await?;
        let code = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        if code == Some(SSL_REQUEST) {
            client.write_all(b"N").await?;
            continue;
        }
        let words: Vec<String> = body
            .get(4..)
            .unwrap_or_default()
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into())
            .collect();
        let name = words.chunks(2).find(|pair| pair[0] == "application_name").and_then(|pair| pair.get(1).cloned());
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let packet = [&length.to_be_bytes()[..], &body].concat();
        return Ok((packet, name.unwrap_or_default()));
    }
}

async fn read_body(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?.saturating_sub(4);
    let mut body = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut body).await?;
    Ok(body)
}

/// The first two strings that end in a zero.
fn two_strings(body: &[u8]) -> (String, String) {
    let mut words = body.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}
