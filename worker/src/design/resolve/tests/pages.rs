//! Pages: what comes, what does not, and which of it another try may mend.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::server::answer;
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(bytes: &[u8]) -> Reply {
    answer("200 OK", "content-type: text/plain\r\ncontent-encoding: gzip\r\n", bytes)
}

/// What comes of a page that is answered so; `PAGE` stands for its reference.
async fn story(design: &str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> String {
    let server = Server::start(move |_| reply()).await;
    let url = server.url("/d.yaml");
    told(&loopback(design), &url).await.replace(&format!("design reference {url}"), "PAGE")
}

#[tokio::test]
async fn a_page_comes_as_it_is_with_its_hash() {
    let server = Server::start(|_| ok("a: 1\n")).await;
    let resolved = resolve(&loopback(""), &server.url("/d.yaml?x=y")).await.unwrap();
    assert_eq!(resolved.bytes(), b"a: 1\n");
    let hash = "37b128c59f1f5097f73f82691cb519f1f568667faab5ced1b4ab979d36837eae";
    assert_eq!(resolved.content_hash().to_string(), hash);
    let request = server.last();
    assert_eq!(request.head[0], "GET /d.yaml?x=y HTTP/1.1");
    assert_eq!((request.header("accept"), request.header("accept-encoding")), (Some("*/*"), Some("gzip")));
    assert_eq!((request.header("authorization"), request.header("referer")), (None, None));
}

#[tokio::test]
async fn a_status_decides_whether_to_try_again() {
    for (status, class) in [
        ("204 No Content", "Permanent"),
        ("206 Partial Content", "Permanent"),
        ("304 Not Modified", "Permanent"),
        ("400 Bad Request", "Permanent"),
        ("401 Unauthorized", "Permanent"),
        ("403 Forbidden", "Permanent"),
        ("404 Not Found", "Permanent"),
        ("410 Gone", "Permanent"),
        ("408 Request Timeout", "Transient"),
        ("425 Too Early", "Transient"),
        ("429 Too Many Requests", "Transient"),
        ("500 Internal Server Error", "Transient"),
        ("503 Service Unavailable", "Transient"),
    ] {
        let told = story("", move || answer(status, "", b"a: 1\n")).await;
        assert_eq!(told, format!("{class} PAGE: answered {status}"));
    }
}

#[tokio::test]
async fn a_type_must_be_listed_where_there_is_one() {
    let typed = |kind: &'static str| story("", move || answer("200 OK", kind, b"a: 1\n"));
    for kind in ["", "content-type: application/x-yaml\r\n", "content-type: TEXT/Plain; charset=utf-8\r\n"] {
        assert_eq!(typed(kind).await, "a: 1\n", "{kind}");
    }
    let refused = |kind| format!("Permanent PAGE: has the type {kind:?}, which [design] content_types does not list");
    assert_eq!(typed("content-type: text/html; charset=utf-8\r\n").await, refused("text/html"));
    assert_eq!(typed("content-type: \r\n").await, refused(""));
    let listed = story("content_types = ['Text/HTML']", || answer("200 OK", "content-type: text/html\r\n", b"x"));
    assert_eq!(listed.await, "x");
    let long = typed(Box::leak(format!("content-type: {}\r\n", "x".repeat(5000)).into_boxed_str())).await;
    assert!(long.len() < 300, "{long}");
}

#[tokio::test]
async fn a_compressed_page_comes_decompressed() {
    let text = "a: 1\n".repeat(10_000);
    let packed = gzip(text.as_bytes());
    assert_eq!(story("", move || gzipped(&packed)).await, text);
    let twice = [gzip(b"a: 1\n"), gzip(b"b: 2\n")].concat();
    assert_eq!(story("", move || gzipped(&twice)).await, "a: 1\nb: 2\n");
    assert_eq!(story("", || gzipped(&gzip(b""))).await, "");
}

#[tokio::test]
async fn what_is_not_gzip_or_not_all_of_it_is_refused() {
    let packed = gzip(b"a: 1\n");
    let cut = packed[..packed.len() - 3].to_vec();
    assert!(story("", move || gzipped(&cut)).await.starts_with("Transient PAGE: is not valid gzip: "));
    assert!(story("", || gzipped(b"a: 1\n")).await.starts_with("Transient PAGE: is not valid gzip: "));
    let mut broken = packed;
    let last = broken.len() - 6;
    broken[last] ^= 0xff;
    assert!(story("", move || gzipped(&broken)).await.starts_with("Transient PAGE: is not valid gzip: "));
    for encoding in ["br", "deflate", "gzip, gzip", "zstd"] {
        let header: &'static str = Box::leak(format!("content-encoding: {encoding}\r\n").into_boxed_str());
        let told = story("", move || answer("200 OK", header, b"x")).await;
        assert_eq!(told, format!("Permanent PAGE: is encoded as {encoding:?}: only gzip is read"));
    }
}

#[tokio::test]
async fn a_page_too_large_is_left_off_however_it_comes() {
    let large = "Permanent PAGE: is larger than [design] max_bytes, 1000000 bytes";
    let max = "max_bytes = 1_000_000";
    let exactly = "x".repeat(1_000_000);
    assert_eq!(story(max, move || ok(&exactly)).await.len(), 1_000_000);
    assert_eq!(story(max, || ok(&"x".repeat(1_000_001))).await, large);
    // a length that is announced and never sent is not waited for
    let announced = || Reply::Hanging(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec());
    assert_eq!(story(max, announced).await, large);
    let endless = || Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 8192]);
    assert_eq!(story(max, endless).await, large);
    // 10 MB in 10 KB, in one member and in very many
    let bomb = gzip(&vec![0; 10_000_000]);
    assert!(bomb.len() < 20_000);
    assert_eq!(story(max, move || gzipped(&bomb)).await, large);
    let many = gzip(&[0; 10_000]).repeat(1000);
    assert_eq!(story(max, move || gzipped(&many)).await, large);
    // members that hold nothing cost as many bytes as may be sent
    let nothing = gzip(b"");
    let head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
    assert_eq!(story(max, move || Reply::Endless(head.clone(), nothing.clone())).await, large);
}

#[tokio::test]
async fn a_page_that_does_not_come_in_time_or_not_at_all_may_come_another_time() {
    let slow = "Transient PAGE: took longer than 200ms";
    for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na: "] {
        assert_eq!(story("timeout = '200ms'", move || Reply::Hanging(sent.into())).await, slow);
    }
    for cut in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na: ",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\na: ",
    ] {
        let told = story("", move || Reply::Bytes(cut.into())).await;
        assert!(told.starts_with("Transient PAGE: the answer broke off: "), "{told}");
    }
    assert!(
        story("", || Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()))
            .await
            .starts_with("Transient PAGE: the answer broke")
    );
    let closed = Server::start(|_| ok("")).await.address.port();
    // a port that nobody listens on: bound once, and given back
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_ne!(port, closed);
    let refused = told(&loopback(""), &format!("http://127.0.0.1:{port}/")).await;
    assert!(refused.contains(": cannot connect: ") && refused.starts_with("Transient "), "{refused}");
}

#[tokio::test]
async fn a_name_without_an_address_may_have_one_another_time() {
    let resolver = Resolver::with_lookup(&settings(""), &names(&[("empty.test", &[])])).unwrap();
    let told_of = async |host: &str| told(&resolver, &format!("http://{host}/")).await;
    assert_eq!(
        told_of("nowhere.test").await,
        "Transient design reference http://nowhere.test/: no address for nowhere.test: no such name"
    );
    assert_eq!(
        told_of("empty.test").await,
        "Transient design reference http://empty.test/: no address for empty.test: it has none"
    );
}
