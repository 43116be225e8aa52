use std::time::Instant;

use super::*;

/// A reference as it is shown and what is got, or what is wrong with it.
fn told(text: &str) -> String {
    match Reference::parse(text) {
        Ok(reference) => match reference.target() {
            Target::File(path) => format!("{reference} file {}", path.display()),
            Target::Page(url) => format!("{reference} page {url}"),
            Target::TokenPage(url) => format!("{reference} token page {url}"),
        },
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_scheme_has_its_target() {
    for (text, expected) in [
        ("file:///srv/site.yaml", "file:///srv/site.yaml file /srv/site.yaml"),
        ("FILE:/srv/site.yaml", "file:///srv/site.yaml file /srv/site.yaml"),
        ("file://LOCALHOST/srv/%2e%2e/a?b#c", "file:///srv/%2e%2e/a file /srv/%2e%2e/a"),
        ("http://h", "http://h/ page http://h/"),
        ("HTTP://H:80/a%20b?token=x#f", "http://h/a%20b?… page http://h/a%20b?token=x"),
        ("https://h:8443/a", "https://h:8443/a page https://h:8443/a"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a page https://[::1]:8443/a"),
        (
            "deckhand+http://h:9000/api/v1.0/revisions/5/rendered-documents",
            "deckhand+http://h:9000/api/v1.0/revisions/5/rendered-documents token page http://h:9000/api/v1.0/revisions/5/rendered-documents",
        ),
        ("Deckhand+HTTPS://h/a?b=c", "deckhand+https://h/a?… token page https://h/a?b=c"),
        ("promenade+http://h/a", "promenade+http://h/a token page http://h/a"),
        ("promenade+https://h/a;p", "promenade+https://h/a;p token page https://h/a;p"),
    ] {
        assert_eq!(told(text), expected);
    }
}

#[test]
fn each_fault_is_told_apart_and_no_secret_with_it() {
    let schemes = format!("write one of {SCHEMES}");
    let userinfo =
        "holds a user or password: credentials belong into the worker's configuration, [design.credentials.NAME]";
    for (text, shown, problem) in [
        ("", "", format!("has no scheme: {schemes}")),
        ("/srv/site.yaml", "/srv/site.yaml", format!("has no scheme: {schemes}")),
        ("://h", "://h", format!("has no scheme: {schemes}")),
        ("ftp://h/a?token=hunter2", "ftp://h/a…", format!("the scheme ftp is unknown: {schemes}")),
        ("deckhand+ftp://h/a", "deckhand+ftp://h/a", format!("the scheme deckhand+ftp is unknown: {schemes}")),
        ("hunter2:x@h", "…", format!("has no scheme: {schemes}")),
        ("file:x", "file:x", "a file's path must be absolute: write file:///…".to_owned()),
        ("file://", "file://", "a file's path must be absolute: write file:///…".to_owned()),
        ("file://srv/a", "file://srv/a", "a file is on this host: write file:///… with three slashes".to_owned()),
        ("file://u:hunter2@h/a", "file:…", userinfo.to_owned()),
        ("http:", "http:", "names no host: write http://host/…".to_owned()),
        ("http:h/a", "http:h/a", "names no host: write http://host/…".to_owned()),
        ("http:///h", "http:///h", "names no host: write http://host/…".to_owned()),
        ("http://:80/", "http://:80/", "names no host: write http://host/…".to_owned()),
        ("deckhand+https://", "deckhand+https://", "names no host: write deckhand+https://host/…".to_owned()),
        ("https://u:hunter2@h/a", "https:…", userinfo.to_owned()),
        ("https://hunter2@h/a", "https:…", userinfo.to_owned()),
        ("https://@h/a", "https:…", userinfo.to_owned()),
        ("https://u:hunter2@h@i/a", "https:…", userinfo.to_owned()),
        ("http://[::1", "http:…", "is not a URI: invalid IPv6 address".to_owned()),
        ("http://h:hunter2", "http:…", "is not a URI: invalid port number".to_owned()),
        ("http://h:99999/", "http://h:99999/", "is not a URI: invalid port number".to_owned()),
        ("http://1.2.3.4.5/", "http://1.2.3.4.5/", "is not a URI: invalid IPv4 address".to_owned()),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/", "is not a URI: invalid IPv6 address".to_owned()),
        ("http://h/a b", "http://h/a b", "holds ' ', which no URI does: percent-encode it".to_owned()),
        ("http://h\\@i/", "http:…", "holds '\\\\', which no URI does: percent-encode it".to_owned()),
        ("ht\ttp://h/", "ht\\ttp://h/", "holds '\\t', which no URI does: percent-encode it".to_owned()),
        ("http://h/\u{0}", "http://h/\\0", "holds '\\0', which no URI does: percent-encode it".to_owned()),
    ] {
        assert_eq!(told(text), format!("design reference {shown}: {problem}"), "{text}");
    }
    let long = told(&format!("http://h/{}", "x".repeat(2048)));
    assert!(long.ends_with("…: must be at most 2048 bytes, got 2057") && long.len() < 300, "{long}");
}

#[test]
fn odd_notations_of_an_address_are_one_address() {
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "017700000001",
        "0177.0.0.01",
        "127.1",
        "127.0.1",
        "0x7f.0.0.1",
        "%31%32%37.0.0.1",
        "%30x7f.1",
        "127.0.0.1.",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.0.0.1",
    ] {
        assert_eq!(told(&format!("http://{host}/a")), "http://127.0.0.1/a page http://127.0.0.1/a", "{host}");
    }
}

/// Pieces that parsers disagree about.
const PIECES: [&str; 43] = [
    "http",
    "https",
    "file",
    "deckhand+http",
    "promenade+https",
    "ftp",
    ":",
    "/",
    "//",
    "///",
    "@",
    "?",
    "#",
    "%",
    "%40",
    "%2f",
    "%00",
    "\\",
    "\t",
    "\n",
    " ",
    "[",
    "]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.0.0.1",
    "0x7f.1",
    "localhost",
    "h",
    "é",
    "。",
    "\u{200b}",
    "\u{0}",
    "..",
    ".",
    ";",
    "&",
    "=",
    "token=",
    "u:hunter2@",
    ":80",
    ":99999",
    "+",
];

#[test]
fn no_text_makes_it_panic_show_a_password_or_name_what_it_does_not_say() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let corpus = [
        "file:///srv/site.yaml",
        "https://u:hunter2@host.example:8443/a/b?token=hunter3#hunter3",
        "deckhand+http://h:9000/api/v1.0/revisions/5/rendered-documents",
        "http://[2001:db8::1]:80/a?b=c",
    ];
    let (mut taken, since) = (0, Instant::now());
    for round in 0..40_000 {
        let text = if round % 2 == 0 {
            (0..random.usize(0..9)).map(|_| PIECES[random.usize(..PIECES.len())]).collect::<String>()
        } else {
            mutated(corpus[random.usize(..corpus.len())], &mut random)
        };
        match Reference::parse(&text) {
            Ok(reference) => {
                taken += 1;
                check(&text, &reference);
            }
            Err(error) => {
                let shown = error.to_string();
                let leaks = |mark: &str, secret: &str| text.contains(mark) && shown.contains(secret);
                assert!(
                    !leaks("hunter2@", "hunter2") && !leaks("?token=hunter3", "hunter3"),
                    "seed {seed}: {text:?} is shown as {shown}"
                );
                assert!(shown.len() < 1500 && !shown.contains(char::is_control), "seed {seed}: {text:?}: {shown}");
            }
        }
    }
    println!("{taken} of 40,000 taken, in {:?}", since.elapsed());
    assert!(taken > 1000, "seed {seed}: too few are references to test what is one");
}

/// What holds of every reference that was read.
fn check(text: &str, reference: &Reference) {
    let shown = reference.to_string();
    assert!(!shown.contains(char::is_control), "{text:?}: {shown}");
    match reference.target() {
        Target::File(path) => assert!(path.is_absolute(), "{text:?}"),
        Target::Page(url) | Target::TokenPage(url) => {
            assert!(matches!(url.scheme(), "http" | "https"), "{text:?}");
            assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{text:?}");
            assert!(url.host_str().is_some_and(|host| !host.is_empty()), "{text:?}");
            assert!(shown.split_once('?').is_none_or(|(_, query)| query == "…"), "{text:?}: {shown}");
            // what was read reads the same again, so that a check of the one is a check of the other
            let (scheme, _) = text.split_once(':').expect("has a scheme");
            let prefix = scheme.to_ascii_lowercase();
            let again = prefix.split_once('+').map_or(url.to_string(), |(service, _)| format!("{service}+{url}"));
            if again.len() <= REFERENCE_MAX_BYTES {
                assert_eq!(
                    Reference::parse(&again).map(|again| again.target),
                    Ok(reference.target.clone()),
                    "{text:?}"
                );
            }
        }
    }
}

/// A text with a few characters changed, doubled, or left out.
fn mutated(text: &str, random: &mut fastrand::Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..characters.len());
        match random.u8(..4) {
            0 => drop(characters.remove(at)),
            1 => characters.insert(at, characters[at]),
            2 => characters[at] = char::from(random.u8(..128)),
            _ => {
                let piece = PIECES[random.usize(..PIECES.len())];
                characters.splice(at..at, piece.chars());
            }
        }
    }
    characters.into_iter().collect()
}
