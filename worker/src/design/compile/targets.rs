use std::collections::HashMap;
use std::sync::Arc;

use super::{EffectiveNode, error};
use crate::design::filter::{NodeFilter, Selection};
use crate::design::finding::Finding;
use crate::design::model::{Design, Documents};

/// The nodes that each boot action is for, as positions, ascending. Actions with the same filter share them.
pub(super) fn of_boot_actions(
    design: &Design,
    nodes: &Documents<EffectiveNode>,
    findings: &mut Vec<Finding>,
) -> Vec<Arc<[u32]>> {
    if design.boot_actions.is_empty() {
        return Vec::new();
    }
    let none: Arc<[u32]> = Arc::default();
    let mut selection = Selection::new(nodes);
    let mut selected: HashMap<Option<&NodeFilter>, Arc<[u32]>> = HashMap::new();
    let mut targets = Vec::with_capacity(design.boot_actions.len());
    for action in design.boot_actions.iter() {
        let filter = action.node_filter.as_ref();
        let nodes = match selected.get(&filter) {
            Some(nodes) => nodes.clone(),
            None => match selection.select(filter) {
                Ok(nodes) => {
                    let nodes: Arc<[u32]> = nodes.into();
                    selected.insert(filter, nodes.clone());
                    nodes
                }
                Err(refused) => {
                    findings.push(error("boot_action_targets", refused.to_string()).about(action));
                    none.clone()
                }
            },
        };
        targets.push(nodes);
    }
    targets
}
