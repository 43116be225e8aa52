//! Every way to an address that is out of bounds: each ends before a connection.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// The beginnings of what is out of bounds, with the bits that are free behind them.
const V4_FORBIDDEN: [(&str, u32); 12] = [
    ("0.0.0.0", 24),
    ("10.0.0.0", 24),
    ("100.64.0.0", 22),
    ("127.0.0.0", 24),
    ("169.254.0.0", 16),
    ("172.16.0.0", 20),
    ("192.0.0.0", 8),
    ("192.168.0.0", 16),
    ("198.18.0.0", 17),
    ("203.0.113.0", 8),
    ("224.0.0.0", 28),
    ("240.0.0.0", 28),
];

const V6_FORBIDDEN: [(&str, u32); 12] = [
    ("::", 32),
    ("::ffff:0:0", 32),
    ("64:ff9b::", 32),
    ("64:ff9b:1::", 80),
    ("100::", 64),
    ("2001::", 96),
    ("2001:db8::", 96),
    ("2002::", 112),
    ("fc00::", 121),
    ("fe80::", 118),
    ("fec0::", 118),
    ("ff00::", 120),
];

fn forbidden_v4(random: &mut fastrand::Rng) -> Ipv4Addr {
    let (first, free) = V4_FORBIDDEN[random.usize(..V4_FORBIDDEN.len())];
    // the loopback, where something listens, as often as all others
    if random.bool() {
        return Ipv4Addr::LOCALHOST;
    }
    let first: Ipv4Addr = first.parse().unwrap();
    Ipv4Addr::from_bits(first.to_bits() | (random.u32(..) & ((1 << free) - 1)))
}

fn forbidden_v6(random: &mut fastrand::Rng) -> Ipv6Addr {
    let (first, free) = V6_FORBIDDEN[random.usize(..V6_FORBIDDEN.len())];
    match random.u8(..4) {
        0 => Ipv6Addr::LOCALHOST,
        1 => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        _ => {
            let first: Ipv6Addr = first.parse().unwrap();
            Ipv6Addr::from_bits(first.to_bits() | (random.u128(..) & ((1 << free) - 1)))
        }
    }
}

/// One number of an address in one of the notations that programs read.
fn number(value: u32, random: &mut fastrand::Rng) -> String {
    match random.u8(..5) {
        0 => format!("0x{value:x}"),
        1 => format!("0X{value:08X}"),
        2 => format!("0{value:o}"),
        _ => value.to_string(),
    }
}

/// An address of IPv4 in one of the notations that programs read.
fn v4_host(address: Ipv4Addr, random: &mut fastrand::Rng) -> String {
    let [a, b, c, d] = address.octets().map(u32::from);
    let parts = match random.u8(..4) {
        0 => vec![address.to_bits()],
        1 => vec![a, (b << 16) | (c << 8) | d],
        2 => vec![a, b, (c << 8) | d],
        _ => vec![a, b, c, d],
    };
    let mut host = parts.into_iter().map(|part| number(part, random)).collect::<Vec<_>>().join(".");
    match random.u8(..8) {
        0 => host.push('.'),
        1 => host = host.replacen('.', "。", 1),
        2 => host = host.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        3 => host = host.chars().map(|c| if c.is_ascii_digit() { fullwidth(c) } else { c }).collect(),
        _ => {}
    }
    host
}

fn fullwidth(digit: char) -> char {
    char::from_u32(u32::from(digit) - u32::from('0') + 0xFF10).unwrap()
}

/// An address of IPv6 in one of the notations that programs read.
fn v6_host(address: Ipv6Addr, random: &mut fastrand::Rng) -> String {
    let segments = address.segments();
    let text = match random.u8(..3) {
        0 => segments.map(|segment| format!("{segment:04X}")).join(":"),
        1 => {
            let [.., high, low] = segments;
            let v4 = Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
            format!("{}:{v4}", segments[..6].iter().map(|segment| format!("{segment:x}")).collect::<Vec<_>>().join(":"))
        }
        _ => address.to_string(),
    };
    format!("[{text}]")
}

#[tokio::test]
async fn no_notation_of_a_forbidden_address_is_connected_to() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let trap = Server::start(|_| ok("trap")).await;
    let resolver = resolver("redirects = 3");
    let mut refused = 0;
    for _ in 0..4000 {
        let host = if random.bool() {
            let address = forbidden_v4(&mut random);
            v4_host(address, &mut random)
        } else {
            let address = forbidden_v6(&mut random);
            v6_host(address, &mut random)
        };
        let scheme = if random.bool() { "http" } else { "https" };
        let text = format!("{scheme}://{host}:{}/d.yaml", trap.address.port());
        match Reference::parse(&text) {
            // a notation that is not read at all is as good
            Err(_) => {}
            Ok(reference) => match within(resolver.resolve(&reference)).await.map_err(|error| error.problem) {
                Err(Problem::Forbidden { .. }) => refused += 1,
                other => panic!("seed {seed}: {text} comes to {other:?}"),
            },
        }
    }
    println!("{refused} of 4000 were addresses, and refused");
    assert!(refused > 3000, "seed {seed}");
    assert_eq!(trap.connections(), 0, "seed {seed}");
}

#[tokio::test]
async fn no_name_of_forbidden_addresses_is_connected_to() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let trap = Server::start(|_| ok("trap")).await;
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let lookup: Lookup = Arc::new(move |_| {
        let mut random = random.lock().unwrap();
        let count = random.usize(1..4);
        let found: Vec<IpAddr> = (0..count)
            .map(|_| if random.bool() { forbidden_v4(&mut random).into() } else { forbidden_v6(&mut random).into() })
            .collect();
        Box::pin(async move { Ok(found) })
    });
    let resolver = Resolver::with_lookup(&settings(""), &lookup).unwrap();
    for number in 0..2000 {
        let reference = format!("http://h{number}.test:{}/", trap.address.port());
        let problem = resolve(&resolver, &reference).await.unwrap_err();
        assert!(matches!(problem, Problem::Forbidden { .. }), "seed {seed}: {problem}");
        assert_eq!(problem.class(), Class::Permanent);
    }
    assert_eq!(trap.connections(), 0, "seed {seed}");
}

#[tokio::test]
async fn the_checked_address_is_the_one_connected_to() {
    let trap = Server::start(|_| ok("trap")).await;
    let port = trap.address.port();
    let server = Server::on(&format!("127.0.0.2:{port}"), None, |_| ok("right")).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    // the first answer is fine, every later one is not; beside the right one stands a wrong one
    let lookup: Lookup = Arc::new(move |name| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let found: &[&str] = match name.as_str() {
            "mixed.test" => &["127.0.0.1", "10.0.0.1", "127.0.0.2", "::1"],
            _ if first => &["127.0.0.2"],
            _ => &["127.0.0.1"],
        };
        let found = parsed(found);
        Box::pin(async move { Ok(found) })
    });
    let resolver = Resolver::with_lookup(&settings("allow = ['127.0.0.2']"), &lookup).unwrap();
    assert_eq!(told(&resolver, &format!("http://rebinding.test:{port}/")).await, "right");
    assert_eq!(count.load(Ordering::SeqCst), 1, "looked up once, for the connection");
    let problem = resolve(&resolver, &format!("http://rebinding.test:{port}/again")).await.unwrap_err();
    assert!(matches!(problem, Problem::Forbidden { .. }), "{problem}");
    assert_eq!(told(&resolver, &format!("http://mixed.test:{port}/")).await, "right");
    assert_eq!((trap.connections(), server.connections()), (0, 2));
}

#[tokio::test]
async fn an_origin_that_is_listed_opens_itself_and_nothing_beside_it() {
    let server = Server::start(|_| ok("listed")).await;
    let other = Server::start(|_| ok("trap")).await;
    let (port, beside) = (server.address.port(), other.address.port());
    let lookup = names(&[
        ("deckhand.test", &["127.0.0.1"]),
        ("DECKHAND.test.", &["127.0.0.1"]),
        ("deckhand.test.", &["127.0.0.1"]),
    ]);
    let design = settings(&format!("allow = ['http://deckhand.test:{port}']"));
    let resolver = Resolver::with_lookup(&design, &lookup).unwrap();
    assert_eq!(told(&resolver, &format!("http://Deckhand.TEST:{port}/")).await, "listed");
    for reference in [
        format!("http://deckhand.test:{beside}/"),
        format!("https://deckhand.test:{port}/"),
        format!("http://deckhand.test.:{port}/"),
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
    ] {
        let problem = resolve(&resolver, &reference).await.unwrap_err();
        assert!(matches!(problem, Problem::Forbidden { .. } | Problem::Unresolved { .. }), "{reference}: {problem}");
    }
    assert_eq!((server.connections(), other.connections()), (1, 0));
}

/// Where the test below finds its servers in its child's environment.
const CHILD: &str = "LONGSHORE_TEST_REFERENCE";

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    let me = "design::resolve::tests::addresses::a_proxy_of_the_environment_is_not_asked";
    if let Ok(reference) = std::env::var(CHILD) {
        assert_eq!(told(&loopback(""), &reference).await, "right");
        let secure = reference.replace("http:", "https:");
        assert!(told(&loopback(""), &secure).await.contains("cannot connect"));
        return;
    }
    let (server, proxy) = (Server::start(|_| ok("right")).await, Server::start(|_| ok("proxy")).await);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", me, "--nocapture"])
        .env(CHILD, server.url("/"))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, proxy.url(""));
    }
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((server.requests().len(), proxy.connections()), (1, 0));
}
