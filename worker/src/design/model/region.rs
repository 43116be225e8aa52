use serde::Serialize;
use url::Url;

use super::{Labels, Origin, Text};
use crate::design::units::Written;

/// The site.
#[derive(Debug, Clone, Serialize)]
pub struct Region {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    /// Tags that the provisioner computes for nodes.
    pub tag_definitions: Vec<TagDefinition>,
    /// SSH keys for deployed nodes.
    pub authorized_keys: Vec<Text>,
    pub repositories: Option<Repositories>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TagDefinition {
    pub tag: Option<Text>,
    /// `lshw_xpath`, the one there is.
    pub definition_type: Text,
    pub definition: Option<Text>,
}

/// Package repositories of deployed nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Repositories {
    /// Whether repositories that are not listed are deleted.
    pub remove_unlisted: bool,
    pub repositories: Vec<Repository>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Repository {
    pub name: Text,
    /// `apt` or `rpm`.
    pub repo_type: Text,
    pub url: Written<Url>,
    /// `amd64` if the document names none.
    pub arches: Vec<Text>,
    pub distributions: Vec<Text>,
    pub subrepos: Vec<Text>,
    pub components: Vec<Text>,
    pub gpgkey: Option<Text>,
    pub options: Labels,
}

impl Repository {
    /// Standard components of an apt repository; one that is not listed is disabled.
    pub const COMPONENTS: [&'static str; 4] = ["main", "restricted", "universe", "multiverse"];
    /// Standard sub-repositories of an apt repository; one that is not listed is disabled.
    pub const SUBREPOS: [&'static str; 3] = ["security", "updates", "backports"];

    /// The standard components that are disabled.
    pub fn disabled_components(&self) -> impl Iterator<Item = &'static str> {
        Self::COMPONENTS.into_iter().filter(|standard| !self.components.iter().any(|listed| **listed == **standard))
    }

    /// The standard sub-repositories that are disabled.
    pub fn disabled_subrepos(&self) -> impl Iterator<Item = &'static str> {
        Self::SUBREPOS.into_iter().filter(|standard| !self.subrepos.iter().any(|listed| **listed == **standard))
    }
}
