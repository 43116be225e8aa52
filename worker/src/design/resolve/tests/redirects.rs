//! Redirects: none, or as many as are allowed, each looked at like the reference itself.

use super::server::answer;
use super::*;

fn to(location: &str) -> Reply {
    answer("302 Found", &format!("location: {location}\r\n"), b"")
}

/// A server that leads there.
async fn leading(location: String) -> Server {
    Server::start(move |_| to(&location)).await
}

#[tokio::test]
async fn no_redirect_is_followed_unless_it_is_allowed() {
    let end = Server::start(|_| ok("a: 1\n")).await;
    let start = leading(end.url("/")).await;
    let told_by = async |design: &str| told(&loopback(design), &start.url("/")).await;
    let refused = |allowed| {
        format!(
            "Permanent design reference {}: answered 302 Found, and [design] redirects allows {allowed}",
            start.url("/")
        )
    };
    assert_eq!((told_by("").await, end.connections()), (refused(0), 0));
    assert_eq!((told_by("redirects = 1").await, end.connections()), ("a: 1\n".to_owned(), 1));
    let circle = Server::start(|request| {
        let hop = request.head[0].split(' ').nth(1).unwrap();
        to(&format!("{hop}x"))
    })
    .await;
    let told = told(&loopback("redirects = 5"), &circle.url("/")).await;
    assert!(told.ends_with("redirects allows 5") && circle.requests().len() == 6, "{told}");
}

#[tokio::test]
async fn a_redirect_leads_only_where_a_reference_may() {
    let trap = Server::start(|_| ok("trap")).await;
    let port = trap.address.port();
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
    {
        let start = leading(format!("http://{host}:{port}/")).await;
        // the first server may be asked by its origin, and nothing else at its address
        let resolver = resolver(&format!("redirects = 9\nallow = ['http://{}']", start.address));
        let problem = resolve(&resolver, &start.url("/")).await.unwrap_err();
        assert!(matches!(problem, Problem::Forbidden { .. }), "{host}: {problem}");
        assert_eq!(start.connections(), 1);
    }
    assert_eq!(trap.connections(), 0);
    for (location, expected) in [
        ("file:///etc/passwd", "another scheme than http and https, which is not followed"),
        ("ftp://127.0.0.1/", "another scheme than http and https, which is not followed"),
        ("http://u:hunter2@127.0.0.1/", "a URL with a user or password, which is not followed"),
        ("http://[", "nowhere: its Location is missing or not a URL"),
        ("", "Found"),
    ] {
        let start = leading(location.to_owned()).await;
        let told = told(&loopback("redirects = 1"), &start.url("/")).await;
        assert!(told.starts_with("Permanent ") && told.contains(expected) && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn a_redirect_carries_no_credential_not_even_to_where_it_belongs() {
    let elsewhere = Server::start(|_| ok("elsewhere")).await;
    let there = elsewhere.url("/");
    let home = Server::start(move |request| match request.head[0].split(' ').nth(1) {
        Some("/away") => to(&there),
        Some("/home") => to("/end"),
        _ => ok("home"),
    })
    .await;
    let resolver = loopback(&format!(
        "redirects = 1\n[design.credentials.c]\norigin = 'http://{}'\ntoken = 'hunter2'",
        home.address
    ));
    assert_eq!(told(&resolver, &home.url("/away")).await, "elsewhere");
    assert_eq!(elsewhere.last().header("authorization"), None);
    assert_eq!(home.last().header("authorization"), Some("Bearer hunter2"));
    assert_eq!(told(&resolver, &home.url("/home")).await, "home");
    assert_eq!(home.last().header("authorization"), None);
}
