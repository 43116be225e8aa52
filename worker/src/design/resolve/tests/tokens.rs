//! Deckhand and Promenade, and the Keystone that vouches: what each is sent, and how often.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::server::{Request, answer};
use super::*;

/// A Keystone that gives out `token-1`, `token-2`, … with so many seconds to live.
async fn keystone(life_seconds: i64) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        token(&format!("token-{number}"), life_seconds)
    })
    .await
}

fn token(token: &str, life_seconds: i64) -> Reply {
    let expires_at = (chrono::Utc::now() + chrono::Duration::seconds(life_seconds)).to_rfc3339();
    let body = json!({"token": {"expires_at": expires_at, "methods": ["password"]}}).to_string();
    let headers = format!("content-type: application/json\r\nx-subject-token: {token}\r\n");
    answer("201 Created", &headers, body.as_bytes())
}

/// A Deckhand that takes these tokens.
async fn deckhand(taken: &'static [&'static str]) -> Server {
    Server::start(move |request: &Request| match request.header("x-auth-token") {
        Some(token) if taken.contains(&token) => ok("a: 1\n"),
        _ => answer("401 Unauthorized", "", b""),
    })
    .await
}

fn vouched(keystone: &Server, deckhand: &Server, more: &str) -> Resolver {
    loopback(&format!(
        "{more}\n[design.keystone]\nauth_url = '{}'\norigins = ['http://{}']\nusername = 'longshore'\n\
         password = 'hunter2'\nproject_id = 'p1'\nuser_domain_name = 'Services'",
        keystone.url("/identity/v3/"),
        deckhand.address
    ))
}

fn reference(service: &str, deckhand: &Server, path: &str) -> String {
    format!("{service}+{}", deckhand.url(path))
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_sent_with_every_page() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&["token-1"]).await);
    let resolver = vouched(&keystone, &deckhand, "");
    let path = "/api/v1.0/revisions/5/rendered-documents";
    for (service, path) in [("deckhand", path), ("promenade", "/api/v1.0/join"), ("Deckhand", "/other?x=1")] {
        assert_eq!(told(&resolver, &reference(service, &deckhand, path)).await, "a: 1\n");
    }
    let asked = keystone.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].head[0], "POST /identity/v3/auth/tokens HTTP/1.1");
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert_eq!(asked[0].header("accept"), Some("application/json"));
    let expected = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user":
            {"name": "longshore", "password": "hunter2", "domain": {"name": "Services"}}}},
        "scope": {"project": {"id": "p1"}},
    }});
    assert_eq!(serde_json::from_str::<Value>(&asked[0].body).unwrap(), expected);
    let got = deckhand.requests();
    assert_eq!(got[0].head[0], format!("GET {path} HTTP/1.1"));
    assert_eq!((got[0].header("x-auth-token"), got[0].header("accept")), (Some("token-1"), Some("*/*")));
    assert_eq!((got[0].header("authorization"), got[2].head[0].as_str()), (None, "GET /other?x=1 HTTP/1.1"));
}

#[tokio::test]
async fn many_pages_at_once_share_one_token() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&["token-1"]).await);
    let resolver = vouched(&keystone, &deckhand, "");
    let references: Vec<String> = (0..50).map(|n| reference("deckhand", &deckhand, &format!("/{n}"))).collect();
    let all = futures_util::future::join_all(references.iter().map(|one| told(&resolver, one))).await;
    assert!(all.iter().all(|one| one == "a: 1\n"), "{all:?}");
    assert_eq!((keystone.requests().len(), deckhand.requests().len()), (1, 50));
}

#[tokio::test]
async fn a_token_about_to_expire_is_renewed_before() {
    for (life_seconds, tokens) in [(3600, 1), (90, 1), (59, 2), (0, 2), (-3600, 2)] {
        let (keystone, deckhand) = (keystone(life_seconds).await, deckhand(&["token-1", "token-2"]).await);
        let resolver = vouched(&keystone, &deckhand, "");
        for path in ["/a", "/b"] {
            assert_eq!(told(&resolver, &reference("deckhand", &deckhand, path)).await, "a: 1\n");
        }
        assert_eq!(keystone.requests().len(), tokens, "{life_seconds} s to live");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&["token-2"]).await);
    let resolver = vouched(&keystone, &deckhand, "");
    assert_eq!(told(&resolver, &reference("deckhand", &deckhand, "/a")).await, "a: 1\n");
    assert_eq!((keystone.requests().len(), deckhand.requests().len()), (2, 2));
    assert_eq!(told(&resolver, &reference("deckhand", &deckhand, "/b")).await, "a: 1\n");
    assert_eq!((keystone.requests().len(), deckhand.requests().len()), (2, 3));
}

#[tokio::test]
async fn two_tokens_refused_are_an_end() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&[]).await);
    let resolver = vouched(&keystone, &deckhand, "");
    let named = reference("deckhand", &deckhand, "/a");
    assert_eq!(told(&resolver, &named).await, format!("Permanent design reference {named}: answered 401 Unauthorized"));
    assert_eq!((keystone.requests().len(), deckhand.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_token_goes_nowhere_but_to_its_origins() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&["token-1"]).await);
    let stranger = Server::start(|_| ok("stranger")).await;
    let resolver = vouched(&keystone, &deckhand, "");
    let named = reference("deckhand", &stranger, "/a");
    let expected = format!(
        "Permanent design reference {named}: [design.keystone] origins does not list http://{}, so no token is sent there",
        stranger.address
    );
    assert_eq!(told(&resolver, &named).await, expected);
    // another name of the same server is another origin
    let other = reference("deckhand", &deckhand, "/a").replace("127.0.0.1", "127.0.0.2");
    assert!(matches!(resolve(&resolver, &other).await, Err(Problem::NoToken(_))));
    assert!(matches!(resolve(&loopback(""), &named).await, Err(Problem::NoToken(_))));
    assert_eq!((stranger.connections(), keystone.connections(), deckhand.connections()), (0, 0, 0));
    // and a plain reference to the right one has none
    assert!(matches!(resolve(&resolver, &deckhand.url("/a")).await, Err(Problem::Status(_))));
    assert_eq!(deckhand.last().header("x-auth-token"), None);
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token() {
    let stranger = Server::start(|_| ok("stranger")).await;
    let there = stranger.url("/");
    let leading =
        Server::start(move |_| answer("307 Temporary Redirect", &format!("location: {there}\r\n"), b"")).await;
    let keystone = keystone(3600).await;
    let resolver = vouched(&keystone, &leading, "redirects = 1");
    assert_eq!(told(&resolver, &reference("deckhand", &leading, "/")).await, "stranger");
    assert_eq!(leading.last().header("x-auth-token"), Some("token-1"));
    assert_eq!(stranger.last().header("x-auth-token"), None);
}

#[tokio::test]
async fn an_address_that_may_not_be_asked_costs_no_token() {
    let (keystone, deckhand) = (keystone(3600).await, deckhand(&["token-1"]).await);
    let resolver = resolver(&format!(
        "[design.keystone]\nauth_url = '{}'\norigins = ['http://{}']\nusername = 'u'\npassword = 'p'\nproject_id = 'j'",
        keystone.url(""),
        deckhand.address
    ));
    let problem = resolve(&resolver, &reference("deckhand", &deckhand, "/")).await.unwrap_err();
    assert!(matches!(problem, Problem::Forbidden { .. }), "{problem}");
    assert_eq!((keystone.connections(), deckhand.connections()), (0, 0));
}

#[tokio::test]
async fn a_keystone_that_gives_no_token_says_why_and_nothing_more() {
    let deckhand = deckhand(&["token-1"]).await;
    let named = reference("deckhand", &deckhand, "/");
    for (reply, expected) in [
        (("401 Unauthorized", "", "hunter2"), "Permanent NAMED: no token from Keystone: answered 401 Unauthorized"),
        (
            ("503 Service Unavailable", "", ""),
            "Transient NAMED: no token from Keystone: answered 503 Service Unavailable",
        ),
        (
            ("302 Found", "location: http://127.0.0.1/\r\n", ""),
            "Permanent NAMED: no token from Keystone: answered 302 Found",
        ),
        (("201 Created", "", "{}"), "Transient NAMED: no token from Keystone: its answer holds none"),
        (
            ("201 Created", "x-subject-token: hunter2\r\n", "{hunter2"),
            "Transient NAMED: no token from Keystone: its answer holds none",
        ),
    ] {
        let (status, headers, body) = reply;
        let keystone = Server::start(move |_| answer(status, headers, body.as_bytes())).await;
        let told = told(&vouched(&keystone, &deckhand, ""), &named).await;
        assert_eq!(told.replace(&format!("design reference {named}"), "NAMED"), expected);
    }
    assert_eq!(deckhand.connections(), 0);
}
