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
