//! The cache: one fetch for all, as long as it holds, and nothing of a failure.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::server::answer;
use super::*;

/// A server that counts up in its answers, each under its own tag, and knows the last one again.
async fn counting() -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| ok(&format!("{}", count.fetch_add(1, Ordering::SeqCst) + 1))).await
}

#[tokio::test]
async fn a_thousand_tasks_with_one_reference_fetch_it_once() {
    let server = counting().await;
    let resolver = loopback("");
    let url = server.url("/");
    let all = join_all((0..1000).map(|_| told(&resolver, &url))).await;
    assert!(all.iter().all(|one| one == "1"));
    assert_eq!((told(&resolver, &url).await, server.requests().len()), ("1".to_owned(), 1));
    assert_eq!(told(&resolver, &server.url("/?other")).await, "2");
}

#[tokio::test]
async fn a_page_no_longer_fresh_is_asked_for_by_what_it_was() {
    let server = Server::start(|request| match request.header("if-none-match") {
        Some("\"one\"") => answer("304 Not Modified", "", b""),
        _ => answer("200 OK", "etag: \"one\"\r\nlast-modified: Sun, 22 Nov 2026 00:00:00 GMT\r\n", b"one"),
    })
    .await;
    let resolver = loopback("cache_ttl = '0s'");
    for _ in 0..3 {
        assert_eq!(told(&resolver, &server.url("/")).await, "one");
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(requests[2].header("if-none-match"), Some("\"one\""));
    assert_eq!(requests[2].header("if-modified-since"), Some("Sun, 22 Nov 2026 00:00:00 GMT"));
}

#[tokio::test]
async fn a_page_that_changes_is_another_one_with_another_hash() {
    let server = counting().await;
    let resolver = loopback("cache_ttl = '0s'");
    let first = resolve(&resolver, &server.url("/")).await.unwrap();
    let second = resolve(&resolver, &server.url("/")).await.unwrap();
    assert_eq!((first.bytes(), second.bytes()), (&b"1"[..], &b"2"[..]));
    assert_ne!(first.content_hash(), second.content_hash());
    assert_eq!(server.last().header("if-none-match"), None, "nothing to know it by");
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => answer("500 Internal Server Error", "", b""),
        1 => answer("404 Not Found", "", b""),
        _ => ok("there"),
    })
    .await;
    let resolver = loopback("");
    assert!(told(&resolver, &server.url("/")).await.starts_with("Transient "));
    assert!(told(&resolver, &server.url("/")).await.starts_with("Permanent "));
    assert_eq!(told(&resolver, &server.url("/")).await, "there");
}

#[tokio::test]
async fn a_page_that_says_so_is_not_kept() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let body = count.fetch_add(1, Ordering::SeqCst).to_string();
        answer("200 OK", "cache-control: private, No-Store\r\n", body.as_bytes())
    })
    .await;
    let resolver = loopback("");
    assert_eq!(told(&resolver, &server.url("/")).await, "0");
    assert_eq!(told(&resolver, &server.url("/")).await, "1");
}

#[tokio::test]
async fn no_more_is_kept_than_allowed_and_the_longest_unused_goes_first() {
    let server = Server::start(|request| ok(&request.head[0].split(' ').nth(1).unwrap().repeat(10))).await;
    let of = |path: &str| server.url(path);
    let asked = || server.requests().len();
    for bound in ["cache_entries = 2", "cache_bytes = 50"] {
        let resolver = loopback(bound);
        let before = asked();
        for path in ["/a", "/b", "/a", "/c", "/a"] {
            assert_eq!(told(&resolver, &of(path)).await, path.repeat(10));
        }
        assert_eq!(asked() - before, 3, "{bound}: /b went, /a was used");
        assert_eq!(resolver.shared.cache.size(), (40, 2));
        told(&resolver, &of("/b")).await;
        assert_eq!(asked() - before, 4, "{bound}");
        // larger than all there is room for: it takes nobody's place
        let long = format!("/{}", "x".repeat(40));
        told(&resolver, &of(&long)).await;
        let (bytes, entries) = resolver.shared.cache.size();
        assert!(bytes <= 450 && entries == 2, "{bound}: {bytes} bytes of {entries}");
    }
    let none = loopback("cache_bytes = 0");
    let before = asked();
    told(&none, &of("/a")).await;
    told(&none, &of("/a")).await;
    assert_eq!((asked() - before, none.shared.cache.size()), (2, (0, 0)));
}

/// Moves a future as far as it comes at once.
async fn poll(future: &mut (impl Future + Unpin)) {
    tokio::select! {
        biased;
        _ = future => panic!("is not there yet"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn whoever_leaves_takes_nobodys_page_along() {
    let server = counting().await;
    let resolver = loopback("");
    let reference = Reference::parse(&server.url("/")).unwrap();
    let (mut first, mut second) = (Box::pin(resolver.resolve(&reference)), Box::pin(resolver.resolve(&reference)));
    poll(&mut first).await;
    poll(&mut second).await;
    drop(first);
    assert_eq!(within(second).await.unwrap().bytes(), b"1");
    // a flight that everybody left is not one to get in
    let other = Reference::parse(&server.url("/other")).unwrap();
    let mut left = Box::pin(resolver.resolve(&other));
    poll(&mut left).await;
    drop(left);
    assert!(within(resolver.resolve(&other)).await.is_ok());
}
