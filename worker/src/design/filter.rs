//! Node filters: which nodes of a design something is done with.

use super::model::{Labels, Text};
use serde::Serialize;

/// Filters whose results are joined. No filters select no nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct NodeFilter {
    /// How the filters' results are joined.
    pub filter_set_type: Join,
    /// The filters.
    pub filter_set: Vec<Filter>,
}

/// Criteria whose results are joined. An empty criterion does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Filter {
    /// How the criteria's results are joined.
    pub filter_type: Join,
    /// Nodes of these names.
    pub node_names: Vec<Text>,
    /// Nodes with one of these tags.
    pub node_tags: Vec<Text>,
    /// Nodes whose owner data have these values: all of them in an intersection, one in a union.
    pub node_labels: Labels,
    /// Nodes in one of these racks.
    pub rack_names: Vec<Text>,
    /// Accepted, and without effect.
    pub rack_labels: Labels,
}

/// How sets of nodes are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// Nodes of any set.
    Union,
    /// Nodes of every set.
    Intersection,
}
