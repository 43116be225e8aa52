use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Origin, Text};
use crate::design::filter::NodeFilter;

/// What a node is given to do when it boots for the first time.
#[derive(Debug, Clone, Serialize)]
pub struct BootAction {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    /// Whether the node must report that it is done.
    pub signaling: bool,
    /// May be empty.
    pub assets: Vec<Asset>,
    /// `None` means all nodes.
    pub node_filter: Option<NodeFilter>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Asset {
    #[serde(rename = "type")]
    pub kind: AssetKind,
    pub path: Option<Text>,
    /// A design reference, which may be a template.
    pub location: Option<Text>,
    pub data: Option<AssetData>,
    pub location_pipeline: Vec<Segment>,
    pub data_pipeline: Vec<Segment>,
    /// The mode bits; written in octal.
    #[serde(serialize_with = "octal")]
    pub permissions: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetKind {
    /// A unit of systemd.
    Unit,
    File,
    PkgList,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AssetData {
    Text(Text),
    /// Versions by package, `None` for any; of a `pkg_list` alone.
    Packages(BTreeMap<Text, Option<Text>>),
}

/// A step that turns a location or data into what is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Template,
    Base64Encode,
    Base64Decode,
    Utf8Encode,
    Utf8Decode,
}

fn octal<S: Serializer>(mode: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    mode.map(|mode| format!("{mode:03o}")).serialize(serializer)
}
