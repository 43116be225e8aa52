//! Credentials: each goes to its own origin, and none into a text that anybody reads.

use std::io;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;

use super::server::answer;
use super::*;

#[tokio::test]
async fn a_credential_goes_to_its_exact_origin() {
    let (home, beside) = (Server::start(|_| ok("home")).await, Server::start(|_| ok("beside")).await);
    let secret = std::env::temp_dir().join(format!("longshore-token-{}", std::process::id()));
    std::fs::write(&secret, "from-a-file\n").unwrap();
    let resolver = |credential: &str| {
        let lookup = names(&[("home.test", &["127.0.0.1"])]);
        let design =
            format!("allow = ['127.0.0.1']\n[design.credentials.c]\norigin = 'http://{}'\n{credential}", home.address);
        Resolver::with_lookup(&settings(&design), &lookup).unwrap()
    };
    for (credential, expected) in [
        ("username = 'user'\npassword = 'hunter2'".to_owned(), "Basic dXNlcjpodW50ZXIy"),
        ("token = 'abc'".to_owned(), "Bearer abc"),
        (format!("token_file = '{}'", secret.display()), "Bearer from-a-file"),
    ] {
        let resolver = resolver(&credential);
        assert_eq!(told(&resolver, &home.url("/")).await, "home");
        assert_eq!(home.last().header("authorization"), Some(expected));
        // another port, and another name of the same place, are other origins
        assert_eq!(told(&resolver, &beside.url("/")).await, "beside");
        assert_eq!(beside.last().header("authorization"), None);
        assert_eq!(told(&resolver, &format!("http://home.test:{}/", home.address.port())).await, "home");
        assert_eq!(home.last().header("authorization"), None);
    }
    std::fs::remove_file(&secret).unwrap();
}

#[test]
fn a_file_of_a_secret_that_cannot_be_used_is_named_without_it() {
    let refused = |name: &str, content: &[u8]| {
        let path = std::env::temp_dir().join(format!("longshore-secret-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let credential = format!("[design.credentials.c]\norigin = 'http://h'\ntoken_file = '{}'", path.display());
        let error = Resolver::new(&settings(&credential)).map(drop).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        error.replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(refused("empty", b"\n"), "design.credentials.c.token_file: FILE is empty");
    assert_eq!(refused("binary", b"hunter2\xff"), "design.credentials.c.token_file: FILE must hold UTF-8 text");
    assert_eq!(
        refused("lines", b"hunter2\nhunter2"),
        "design.credentials.c.token: must be one line of visible characters (it is not shown)"
    );
    let large = refused("large", &[b'x'; 100_000]);
    assert_eq!(large, "design.credentials.c.token_file: FILE must be at most 65536 bytes, got more");
    let missing = settings("[design.credentials.c]\norigin = 'http://h'\ntoken_file = '/nowhere/token'");
    let missing = Resolver::new(&missing).map(drop).unwrap_err().to_string();
    assert!(missing.starts_with("design.credentials.c.token_file: /nowhere/token cannot be read: "), "{missing}");
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_reaches_an_error_or_the_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // whoever is asked answers with what he was sent, wherever an answer has room for it
    let echo = |request: &server::Request| {
        let sent = format!("{:?} {}", request.head, request.body).replace(['\r', '\n'], " ");
        let headers =
            format!("x-echo: {sent}\r\nlocation: http://hunter2@127.0.0.1/?{sent}\r\ncontent-type: hunter/2\r\n");
        let status = ["200 OK", "302 Found", "401 Unauthorized", "500 Oops"]
            .into_iter()
            .find(|status| request.head[0].contains(&status[..3]))
            .unwrap_or("403 Forbidden");
        answer(status, &headers, sent.as_bytes())
    };
    let (server, keystone) = (Server::start(echo).await, Server::start(echo).await);
    let resolver = loopback(&format!(
        "redirects = 1\ncontent_types = ['text/yaml']\n[design.credentials.c]\norigin = 'http://{0}'\nusername = 'u'\n\
         password = 'hunter2'\n[design.keystone]\nauth_url = 'http://{1}'\norigins = ['http://{0}']\nusername = 'u'\n\
         password = 'hunter2'\nproject_id = 'p'",
        server.address, keystone.address
    ));
    let mut shown = String::new();
    for path in ["/200", "/302", "/401", "/500", "/403", "/x?token=hunter2", "/x#hunter2"] {
        for scheme in ["", "deckhand+"] {
            shown.push_str(&told(&resolver, &format!("{scheme}{}", server.url(path))).await);
        }
    }
    for reference in
        ["http://u:hunter2@127.0.0.1/", "https://hunter2@h/", "deckhand+http://u:hunter2@h/", "file://hunter2@h/a"]
    {
        shown.push_str(&told(&resolver, reference).await);
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    shown.push_str(&told(&resolver, &format!("http://{closed}/?token=hunter2")).await);
    drop(guard);
    let basic = "dTpodW50ZXIy";
    assert!(server.requests().iter().any(|request| request.head.join(" ").contains(basic)), "it was sent");
    assert!(keystone.requests().iter().any(|request| request.body.contains("hunter2")), "it was sent");
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    for secret in ["hunter2", basic] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!logged.contains(secret), "{logged}");
    }
    assert!(!logged.is_empty(), "the log shows what is logged at all");
}
