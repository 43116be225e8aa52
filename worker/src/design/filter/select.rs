use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Filter, Join, NodeFilter};
use crate::design::compile::EffectiveNode;
use crate::design::model::{Labels, Text};

/// Nodes looked at in one selection, or for all boot actions of a design: 200 actions that each look at all of 50,000
/// nodes need as many, and they take a fraction of a second.
const STEPS_MAX: usize = 10_000_000;

/// A filter that takes more steps than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("node filters look at nodes more than {STEPS_MAX} times; use fewer filters or criteria")]
pub struct TooLarge;

/// The nodes of a compiled design, found by what filters ask for.
pub struct Selection<'n> {
    nodes: usize,
    by_name: HashMap<&'n str, Vec<u32>>,
    by_rack: HashMap<&'n str, Vec<u32>>,
    tags: Shared<&'n str>,
    labels: Shared<(&'n str, &'n str)>,
    steps: usize,
}

/// Nodes by the values of a part that many of them share, such as a profile's tags: a value leads to parts, a part to
/// its nodes. So the index is as large as the design, not as large as what its nodes inherit.
struct Shared<K> {
    parts: HashMap<K, Vec<u32>>,
    nodes: Vec<Vec<u32>>,
}

impl<'n> Selection<'n> {
    /// Indexes the nodes.
    pub fn new(nodes: &'n [EffectiveNode]) -> Selection<'n> {
        let mut selection = Selection {
            nodes: nodes.len(),
            by_name: HashMap::with_capacity(nodes.len()),
            by_rack: HashMap::new(),
            tags: Shared::new(
                nodes,
                |node| &node.settings.tags,
                |tags: &'n Arc<[Text]>| tags.iter().map(|tag| &**tag).collect(),
            ),
            labels: Shared::new(
                nodes,
                |node| &node.settings.owner_data,
                |labels: &'n Arc<Labels>| labels.iter().map(|(label, value)| (&**label, &**value)).collect(),
            ),
            steps: 0,
        };
        for (index, node) in (0..).zip(nodes) {
            selection.by_name.entry(&node.name).or_default().push(index);
            if let Some(rack) = &node.settings.rack {
                selection.by_rack.entry(rack).or_default().push(index);
            }
        }
        selection
    }

    /// The nodes that a filter selects, ascending; all of them without a filter.
    ///
    /// # Errors
    /// When the selections made here take more steps than allowed.
    pub fn select(&mut self, filter: Option<&NodeFilter>) -> Result<Vec<u32>, TooLarge> {
        let Some(NodeFilter { filter_set_type, filter_set }) = filter else {
            // A node's position is its index, of which a design has fewer than 2^32.
            return Ok((0..self.nodes as u32).collect());
        };
        let mut joined = Joined::new(*filter_set_type);
        for filter in filter_set {
            if let Some(nodes) = self.filter(filter)? {
                joined.add(&nodes);
            }
        }
        Ok(joined.nodes().unwrap_or_default())
    }

    /// The nodes of one filter; `None` for an intersection that says nothing.
    fn filter(&mut self, filter: &Filter) -> Result<Option<Vec<u32>>, TooLarge> {
        let mut joined = Joined::new(filter.filter_type);
        let names = filter.node_names.iter().map(|name| self.by_name.get(&**name));
        let names = any_of(names, &mut self.steps)?;
        let racks = filter.rack_names.iter().map(|rack| self.by_rack.get(&**rack));
        let racks = any_of(racks, &mut self.steps)?;
        let tags = filter.node_tags.iter().map(|tag| &**tag);
        let tags = self.tags.having(tags, filter.filter_type, &mut self.steps)?;
        let labels = filter.node_labels.iter().map(|(label, value)| (&**label, &**value));
        let labels = self.labels.having(labels, filter.filter_type, &mut self.steps)?;
        [names, racks, tags, labels].into_iter().flatten().for_each(|nodes| joined.add(&nodes));
        if filter.filter_type == Join::Union {
            // A union of nothing is no nodes, wherever it stands.
            joined.add(&[]);
        }
        Ok(joined.nodes())
    }
}

/// The nodes of any of the lists; `None` if there is no list to look for.
fn any_of<'s>(
    lists: impl Iterator<Item = Option<&'s Vec<u32>>>,
    steps: &mut usize,
) -> Result<Option<Vec<u32>>, TooLarge> {
    let mut joined = Joined::new(Join::Union);
    for list in lists {
        let list = list.map(Vec::as_slice).unwrap_or_default();
        take_steps(steps, list.len())?;
        joined.add(list);
    }
    Ok(joined.nodes())
}

fn take_steps(steps: &mut usize, more: usize) -> Result<(), TooLarge> {
    *steps = steps.saturating_add(more).saturating_add(1);
    if *steps > STEPS_MAX { Err(TooLarge) } else { Ok(()) }
}

fn in_order(mut nodes: Vec<u32>) -> Vec<u32> {
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

impl<'n, K: Copy + Eq + std::hash::Hash + 'n> Shared<K> {
    fn new<T: ?Sized + 'n>(
        nodes: &'n [EffectiveNode],
        part: impl Fn(&'n EffectiveNode) -> &'n Arc<T>,
        keys: impl Fn(&'n Arc<T>) -> Vec<K>,
    ) -> Shared<K> {
        let mut shared = Shared { parts: HashMap::new(), nodes: Vec::new() };
        let mut known: HashMap<*const (), usize> = HashMap::new();
        for (index, node) in (0..).zip(nodes) {
            let part = part(node);
            let place = *known.entry(Arc::as_ptr(part).cast()).or_insert_with(|| {
                let place = shared.nodes.len();
                // A value that a part has twice leads to it once.
                for key in keys(part).into_iter().collect::<HashSet<_>>() {
                    shared.parts.entry(key).or_default().push(place as u32);
                }
                shared.nodes.push(Vec::new());
                place
            });
            shared.nodes[place].push(index);
        }
        shared
    }

    /// The nodes that have any of the values, or all of them; `None` without values.
    fn having(
        &self,
        values: impl Iterator<Item = K>,
        join: Join,
        steps: &mut usize,
    ) -> Result<Option<Vec<u32>>, TooLarge> {
        let mut joined = Joined::new(join);
        for value in values {
            let parts = self.parts.get(&value).map(Vec::as_slice).unwrap_or_default();
            take_steps(steps, parts.len())?;
            joined.add(parts);
        }
        let Some(parts) = joined.nodes() else { return Ok(None) };
        any_of(parts.iter().map(|part| self.nodes.get(*part as usize)), steps)
            .map(|nodes| Some(nodes.unwrap_or_default()))
    }
}

/// Sets of nodes that are joined one by one.
struct Joined {
    join: Join,
    nodes: Option<Vec<u32>>,
    /// How many there were when they were last put in order.
    ordered: usize,
}

/// Nodes added to a union before it is put in order: enough to make that seldom.
const UNORDERED_MAX: usize = 4096;

impl Joined {
    fn new(join: Join) -> Joined {
        Joined { join, nodes: None, ordered: 0 }
    }

    /// Joins one more set, ascending.
    fn add(&mut self, more: &[u32]) {
        let Some(nodes) = &mut self.nodes else {
            self.nodes = Some(more.to_vec());
            return;
        };
        match self.join {
            Join::Intersection => nodes.retain(|node| more.binary_search(node).is_ok()),
            Join::Union => {
                nodes.extend(more);
                // So it never holds much more than the nodes it has, however many sets bring them.
                if nodes.len() > 2 * self.ordered + UNORDERED_MAX {
                    *nodes = in_order(std::mem::take(nodes));
                    self.ordered = nodes.len();
                }
            }
        }
    }

    /// All of them, ascending; `None` if no set was joined.
    fn nodes(self) -> Option<Vec<u32>> {
        self.nodes.map(in_order)
    }
}
