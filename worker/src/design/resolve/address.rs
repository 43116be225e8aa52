//! Which addresses may be connected to: those that anybody on the Internet can reach, and those that the configuration
//! lists. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::{Origin as UrlOrigin, Url};

/// A range of addresses, such as `10.0.0.0/8`. One of IPv4 holds no address of IPv6, not even a mapped one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// Scheme, host and port of an http or https URL: what a browser calls the origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(UrlOrigin);

/// What is no network, or no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOne(String);

/// What one address or origin of `[design] allow` opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Every address in it.
    Network(Network),
    /// Whatever address its host has.
    Origin(Origin),
}

/// Addresses of IPv4 that are not somebody's on the Internet: the IANA IPv4 Special-Purpose Address Registry, less what
/// it calls globally reachable, and multicast.
const V4_NOT_GLOBAL: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network: 0.0.0.0 connects to the own host
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // between carriers and their customers
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local: the metadata of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

/// What IANA gives to somebody is in 2000::/3. Loopback, mapped and compatible addresses, NAT64, unique local,
/// link-local, site-local and multicast ones all lie outside.
const V6_GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Addresses in it that are not somebody's.
const V6_NOT_GLOBAL: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: an address of IPv4 inside
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether an address is somebody's on the Internet.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !V4_NOT_GLOBAL.iter().any(|(first, prefix)| same_v4(*first, v4, *prefix)),
        IpAddr::V6(v6) => {
            same_v6(V6_GLOBAL.0, v6, V6_GLOBAL.1)
                && !V6_NOT_GLOBAL.iter().any(|(first, prefix)| same_v6(*first, v6, *prefix))
        }
    }
}

/// Whether two addresses agree in so many bits.
fn same_v4(one: Ipv4Addr, other: Ipv4Addr, bits: u8) -> bool {
    (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(bits)
}

fn same_v6(one: Ipv6Addr, other: Ipv6Addr, bits: u8) -> bool {
    (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(bits)
}

impl Network {
    /// Whether the address is in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => same_v4(first, address, self.prefix),
            (IpAddr::V6(first), IpAddr::V6(address)) => same_v6(first, address, self.prefix),
            _ => false,
        }
    }

    /// The lowest address of the range around this one.
    fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
        }
    }
}

impl FromStr for Network {
    type Err = NotOne;

    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address.
    fn from_str(text: &str) -> Result<Self, NotOne> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NotOne("its address is none".to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = prefix.filter(|prefix| prefix.bytes().all(|byte| byte.is_ascii_digit()));
        let prefix = match (prefix, digits.and_then(|digits| digits.parse().ok())) {
            (None, _) => longest,
            (Some(_), Some(prefix)) if prefix <= longest => prefix,
            _ => return Err(NotOne(format!("its prefix is not 0 to {longest}"))),
        };
        let first = Self::first_of(address, prefix);
        if first != address {
            return Err(NotOne(format!("it begins elsewhere: write {first}/{prefix}")));
        }
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Origin {
    /// That of a URL.
    pub fn of(url: &Url) -> Self {
        Self(url.origin())
    }
}

impl FromStr for Origin {
    type Err = NotOne;

    /// Reads `https://host:port`, without a path.
    fn from_str(text: &str) -> Result<Self, NotOne> {
        let url = Url::parse(text).map_err(|error| NotOne(error.to_string()))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none() && !text.contains('@');
        if !matches!(url.scheme(), "http" | "https") || !bare || !anonymous {
            return Err(NotOne("an origin is http:// or https://, a host and perhaps a port, nothing else".to_owned()));
        }
        Ok(Self::of(&url))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.ascii_serialization())
    }
}

impl FromStr for Allowed {
    type Err = NotOne;

    fn from_str(text: &str) -> Result<Self, NotOne> {
        if text.contains("://") { text.parse().map(Self::Origin) } else { text.parse().map(Self::Network) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(text: &str) -> bool {
        is_global(text.parse().expect("an address"))
    }

    #[test]
    fn only_addresses_of_the_internet_are_global() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:4860:4860::8888",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert!(global(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::",
            "3fff::1",
            "3fff:fff:ffff::",
            "4000::",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ffff::",
        ] {
            assert!(!global(address), "{address}");
        }
    }

    #[test]
    fn a_network_holds_its_range_and_nothing_of_the_other_family() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().expect("a network").holds(address.parse().expect("an address"))
        };
        assert!(holds("10.0.0.0/8", "10.255.255.255") && !holds("10.0.0.0/8", "11.0.0.0"));
        assert!(holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4"));
        assert!(holds("0.0.0.0/0", "127.0.0.1") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe00::1"));
        assert!(holds("::/0", "::ffff:10.0.0.1") && !holds("10.0.0.0/8", "::ffff:10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_and_no_origin_is_told_why() {
        let told = |text: &str| match text.parse::<Allowed>() {
            Ok(Allowed::Network(network)) => network.to_string(),
            Ok(Allowed::Origin(origin)) => origin.to_string(),
            Err(error) => format!("no: {error}"),
        };
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("10.1.2.3/8", "no: it begins elsewhere: write 10.0.0.0/8"),
            ("1.2.3.4/0", "no: it begins elsewhere: write 0.0.0.0/0"),
            ("10.0.0.0/33", "no: its prefix is not 0 to 32"),
            ("10.0.0.0/+8", "no: its prefix is not 0 to 32"),
            ("10.0.0.0/", "no: its prefix is not 0 to 32"),
            ("fd00::/129", "no: its prefix is not 0 to 128"),
            ("10.0.0/8", "no: its address is none"),
            ("deckhand", "no: its address is none"),
            ("http://deckhand:9000", "http://deckhand:9000"),
            ("HTTPS://Deckhand.Example:443/", "https://deckhand.example"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
        let origin = "no: an origin is http:// or https://, a host and perhaps a port, nothing else";
        for text in ["http://h/path", "http://h?q", "http://h#f", "http://u@h", "http://u:p@h", "http://@h", "ftp://h"]
        {
            assert_eq!(told(text), origin, "{text}");
        }
    }
}
