use serde::Serialize;

use super::{Labels, Origin, Text};

/// A link between interfaces and switches, and the networks that it carries.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkLink {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    pub bonding: Bonding,
    pub mtu: i64,
    /// `auto` if the document names none.
    pub linkspeed: Text,
    pub trunking: Trunking,
    /// Names of networks; may be empty.
    pub allowed_networks: Vec<Text>,
    pub labels: Labels,
}

/// How the interfaces of a link are bonded. Options that the mode does not know are `None`, whatever was written.
#[derive(Debug, Clone, Serialize)]
pub struct Bonding {
    pub mode: BondingMode,
    /// Milliseconds; `None` when bonding is disabled, as the delays.
    pub mon_rate: Option<i64>,
    pub up_delay: Option<i64>,
    pub down_delay: Option<i64>,
    /// `None` unless the mode is 802.3ad, as the rate.
    pub hash: Option<Text>,
    pub peer_rate: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum BondingMode {
    #[serde(rename = "disabled")]
    Disabled,
    #[serde(rename = "802.3ad")]
    Lacp,
    #[serde(rename = "balance-rr")]
    RoundRobin,
    #[serde(rename = "active-backup")]
    ActiveBackup,
}

#[derive(Debug, Clone, Serialize)]
pub struct Trunking {
    pub mode: TrunkingMode,
    /// The untagged network of the link.
    pub default_network: Option<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TrunkingMode {
    #[serde(rename = "disabled")]
    Disabled,
    #[serde(rename = "802.1q")]
    Tagged,
}
