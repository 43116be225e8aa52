//! Node filters: which nodes of a design something is done with.

mod read;
mod select;

use serde::Serialize;

use super::model::{Labels, Text};

pub use read::FilterError;
pub use select::{Selection, TooLarge};

/// Filters whose results are joined. No filters select no nodes; that all nodes are meant is said by no filter at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct NodeFilter {
    /// How the filters' results are joined.
    pub filter_set_type: Join,
    /// The filters.
    pub filter_set: Vec<Filter>,
}

/// Criteria whose results are joined. An empty criterion does not count, and without any that counts a filter selects
/// nothing; an intersection of nothing is passed over beside other filters of an intersection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Filter {
    /// How the criteria's results are joined.
    pub filter_type: Join,
    /// Nodes of these names.
    pub node_names: Vec<Text>,
    /// Nodes with these tags: all of them in an intersection, one in a union.
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

impl NodeFilter {
    /// The nodes of these names, as of a task's successes or failures; none if there are no names.
    pub fn of_names(names: impl IntoIterator<Item = Text>) -> NodeFilter {
        let filter = Filter {
            filter_type: Join::Union,
            node_names: names.into_iter().collect(),
            node_tags: Vec::new(),
            node_labels: Labels::new(),
            rack_names: Vec::new(),
            rack_labels: Labels::new(),
        };
        NodeFilter { filter_set_type: Join::Intersection, filter_set: vec![filter] }
    }
}
