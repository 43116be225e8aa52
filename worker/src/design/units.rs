//! What the text of a value means: sizes, networks, addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::model::Text;

/// A value as it was written, and what it means if it means something. Whether it must is for the rules to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Written<T> {
    /// As written.
    pub text: Text,
    /// `None` if the text means nothing.
    pub value: Option<T>,
}

impl<T: FromStr> Written<T> {
    /// Keeps the text, and reads it.
    pub fn new(text: Text) -> Written<T> {
        Written { value: text.parse().ok(), text }
    }
}

impl<T> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// The size of a partition or a logical volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Whether it is a minimum (`>`): all the space there is, if at least this much.
    pub at_least: bool,
    /// How much, at least or exactly.
    pub amount: Amount,
}

/// An absolute or a relative amount of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Bytes, whatever the unit was.
    Bytes(u64),
    /// Of the device or the volume group. May be negative: a rule refuses it.
    Percent(i64),
}

/// Why a size means nothing, or does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not of the form of a size.
    #[error("a size is a whole number and a unit: m, g, t (also mb, mi, mib, ...) or %")]
    Unreadable,
    /// Below zero.
    #[error("the size is negative")]
    Negative,
    /// Beyond what a disk can hold.
    #[error("the size does not fit into 64 bits")]
    TooLarge,
    /// More than what is left.
    #[error("not enough storage")]
    NotEnoughStorage,
}

/// Kept free at the end of a device whose rest goes to a minimum size: 4 MiB.
const REST_BYTES: u64 = 4 << 20;

impl Size {
    /// The bytes that it takes of a device or group of `total_bytes` of which `available_bytes` are left.
    ///
    /// # Errors
    /// `NotEnoughStorage` if it does not fit, `Negative` for a negative percentage.
    pub fn bytes(self, total_bytes: u64, available_bytes: u64) -> Result<u64, SizeError> {
        let wanted = match self.amount {
            Amount::Bytes(bytes) => bytes,
            Amount::Percent(percent) => {
                let percent = u128::try_from(percent).map_err(|_| SizeError::Negative)?;
                u64::try_from(percent * u128::from(total_bytes) / 100).map_err(|_| SizeError::NotEnoughStorage)?
            }
        };
        if wanted > available_bytes {
            return Err(SizeError::NotEnoughStorage);
        }
        Ok(if self.at_least { available_bytes.saturating_sub(REST_BYTES).max(wanted) } else { wanted })
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Size, SizeError> {
        let (at_least, text) = match text.strip_prefix('>') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(SizeError::Unreadable);
        }
        let amount = if unit == "%" {
            let percent: i64 = number.parse().map_err(|_| SizeError::TooLarge)?;
            Amount::Percent(if negative { -percent } else { percent })
        } else {
            let factor = factor(unit).ok_or(SizeError::Unreadable)?;
            if negative {
                return Err(SizeError::Negative);
            }
            let count: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
            Amount::Bytes(count.checked_mul(factor).ok_or(SizeError::TooLarge)?)
        };
        Ok(Size { at_least, amount })
    }
}

/// How many bytes a unit is. Cases are not mixed within one, so `Mb` is none.
fn factor(unit: &str) -> Option<u64> {
    Some(match unit {
        "m" | "M" | "mb" | "MB" => 1_000_000,
        "g" | "G" | "gb" | "GB" => 1_000_000_000,
        "t" | "T" | "tb" | "TB" => 1_000_000_000_000,
        "mi" | "Mi" | "mib" | "MiB" => 1 << 20,
        "gi" | "Gi" | "gib" | "GiB" => 1 << 30,
        "ti" | "Ti" | "tib" | "TiB" => 1 << 40,
        _ => return None,
    })
}

/// A network of IPv4 or IPv6, which may have host bits set: a rule refuses those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(IpNet);

/// Text that is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address and a prefix length: 10.0.0.0/24")]
pub struct NotACidr;

impl Cidr {
    /// Whether an address lies in it; never true across IP versions.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether bits behind the prefix are set, as in `10.0.0.1/24`.
    pub fn has_host_bits(self) -> bool {
        self.0.addr() != self.0.network()
    }

    /// The same network without host bits.
    pub fn masked(self) -> Cidr {
        Cidr(self.0.trunc())
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    /// Takes a prefix length or an IPv4 mask behind the slash; without a slash the address alone is the network.
    fn from_str(text: &str) -> Result<Cidr, NotACidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotACidr)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => widest,
            Some(length) if length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().map_err(|_| NotACidr)?
            }
            Some(mask) if address.is_ipv4() => {
                let mask: Ipv4Addr = mask.parse().map_err(|_| NotACidr)?;
                ipnet::ipv4_mask_to_prefix(mask).map_err(|_| NotACidr)?
            }
            Some(_) => return Err(NotACidr),
        };
        IpNet::new(address, prefix).map(Cidr).map_err(|_| NotACidr)
    }
}

/// A hardware address of six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

/// Text that is no hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address is six pairs of hexadecimal digits: 52:54:00:12:34:56")]
pub struct NotAMac;

impl FromStr for Mac {
    type Err = NotAMac;

    /// Takes colons or hyphens between the pairs, and either case.
    fn from_str(text: &str) -> Result<Mac, NotAMac> {
        let bytes = text.as_bytes();
        if bytes.len() != 17 || !matches!(bytes[2], b':' | b'-') {
            return Err(NotAMac);
        }
        let mut mac = [0; 6];
        for (index, byte) in mac.iter_mut().enumerate() {
            let at = index * 3;
            if index > 0 && bytes[at - 1] != bytes[2] {
                return Err(NotAMac);
            }
            *byte = digit(bytes[at])? << 4 | digit(bytes[at + 1])?;
        }
        Ok(Mac(mac))
    }
}

fn digit(byte: u8) -> Result<u8, NotAMac> {
    // A hexadecimal digit is below 16, so it fits.
    char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(NotAMac)
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn sizes_take_their_part_of_a_device() {
        let table: [(&str, Result<u64, SizeError>); 17] = [
            ("20g", Ok(20 * GB)),
            ("20GB", Ok(20 * GB)),
            ("1gi", Ok(1 << 30)),
            ("512MiB", Ok(512 << 20)),
            ("1t", Err(SizeError::NotEnoughStorage)),
            ("50%", Ok(50 * GB)),
            ("33%", Ok(33 * GB)),
            ("81%", Err(SizeError::NotEnoughStorage)),
            ("-5%", Err(SizeError::Negative)),
            (">20g", Ok(80 * GB - (4 << 20))),
            (">80g", Ok(80 * GB)),
            (">81g", Err(SizeError::NotEnoughStorage)),
            ("20Gb", Err(SizeError::Unreadable)),
            ("20", Err(SizeError::Unreadable)),
            ("20 g", Err(SizeError::Unreadable)),
            ("1.5g", Err(SizeError::Unreadable)),
            ("99999999999t", Err(SizeError::TooLarge)),
        ];
        for (text, bytes) in table {
            let told = text.parse::<Size>().and_then(|size| size.bytes(100 * GB, 80 * GB));
            assert_eq!(told, bytes, "{text}");
        }
    }

    #[test]
    fn networks_know_their_host_bits_and_their_addresses() {
        let cidr = |text: &str| text.parse::<Cidr>();
        let network = cidr("10.1.2.3/16").expect("a network");
        assert!(network.has_host_bits());
        assert_eq!(network.masked().to_string(), "10.1.0.0/16");
        assert!(network.contains("10.1.255.1".parse().expect("an address")));
        assert!(!network.contains("10.2.0.1".parse().expect("an address")));
        assert!(!network.contains("::1".parse().expect("an address")));
        assert_eq!(cidr("10.1.0.0/255.255.0.0"), cidr("10.1.0.0/16"));
        assert_eq!(cidr("10.1.0.1"), cidr("10.1.0.1/32"));
        assert!(!cidr("fd00::/8").expect("a network").has_host_bits());
        for text in
            ["", "/", "10.1.0.0/", "10.1.0.0/33", "10.1.0.0/255.0.255.0", "10.1.0/24", "fd00::/129", "fd00::/ffff::"]
        {
            assert_eq!(cidr(text), Err(NotACidr), "{text}");
        }
    }

    #[test]
    fn hardware_addresses_are_six_pairs() {
        let mac: Mac = "52:54:00:AB:cd:0f".parse().expect("an address");
        assert_eq!(mac, Mac([0x52, 0x54, 0, 0xab, 0xcd, 0x0f]));
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:0f");
        assert_eq!("52-54-00-ab-cd-0f".parse(), Ok(mac));
        for text in
            ["", "52:54:00:ab:cd", "52:54:00:ab:cd:0g", "52:54-00:ab:cd:0f", "52.54.00.ab.cd.0f", "é2:54:00:ab:cd:0"]
        {
            assert_eq!(text.parse::<Mac>(), Err(NotAMac), "{text}");
        }
    }
}
