//! A server on the loopback that answers what it is told to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server does with a request.
pub(super) enum Reply {
    /// Answers this and closes.
    Bytes(Vec<u8>),
    /// Answers this, and never the rest.
    Hanging(Vec<u8>),
    /// Answers this, then the second without end.
    Endless(Vec<u8>, Vec<u8>),
}

/// A request: its first line and headers, and its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: Vec<String>,
    pub(super) body: String,
}

impl Request {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = |line: &String| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.iter().find(|line| header(line)).map(|line| &line[name.len() + 2..])
    }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", None, answer).await
    }

    /// On an address, with TLS or without.
    pub(super) async fn on(
        address: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, connections: Arc::default(), requests: Arc::default() };
        let (shared, answer) = (server.clone(), Arc::new(answer) as Arc<Answer>);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (requests, answer, tls) = (Arc::clone(&shared.requests), Arc::clone(&answer), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &requests, &*answer).await,
                        // a client that does not trust the certificate leaves
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &requests, &*answer).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    /// How many connections were made to it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// What it was asked last.
    pub(super) fn last(&self) -> Request {
        self.requests().pop().expect("it was asked")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, requests: &Mutex<Vec<Request>>, answer: &Answer) {
    let mut stream = BufReader::new(stream);
    let mut request = Request { head: Vec::new(), body: String::new() };
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => request.head.push(line.trim_end().to_owned()),
        }
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    request.body = String::from_utf8(body).unwrap();
    requests.lock().unwrap().push(request.clone());
    // whoever asked may leave before the end
    match answer(&request) {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
        }
        Reply::Hanging(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.flush().await.ok();
            std::future::pending::<()>().await;
        }
        Reply::Endless(bytes, more) => {
            stream.write_all(&bytes).await.ok();
            while stream.write_all(&more).await.is_ok() {}
        }
    }
}

/// An answer that ends with its connection.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

/// A page of YAML.
pub(super) fn ok(body: &str) -> Reply {
    answer("200 OK", "content-type: application/x-yaml\r\n", body.as_bytes())
}
