//! What an executor is given of a design that was read: its documents or the compiled model, and the nodes it is about.

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::{Compiled, EffectiveNode};
use super::model::Design;
use super::reading::Reading;
use crate::config::DesignForm;

/// A design in the form that an action wants.
#[derive(Debug, Clone)]
pub struct Delivered {
    form: DesignForm,
    reading: Arc<Reading>,
    selected: Option<Arc<[u32]>>,
    json_max_bytes: usize,
}

impl Delivered {
    /// `selected` are positions of compiled nodes, ascending, or `None` where no filter applies; as JSON it may have so
    /// many bytes.
    pub fn new(form: DesignForm, reading: Arc<Reading>, selected: Option<Arc<[u32]>>, json_max_bytes: usize) -> Self {
        Self { form, reading, selected, json_max_bytes }
    }

    /// The documents as they were ingested.
    pub fn documents(&self) -> &Design {
        &self.reading.documents
    }

    /// The whole compiled design, where that is wanted.
    pub fn model(&self) -> Option<&Compiled> {
        self.reading.compiled.as_ref().filter(|_| self.form == DesignForm::Model)
    }

    /// The nodes that it is about, in the order of their documents: those that the task's filter selects where it
    /// applies, else all of the model; `None` for documents without a filter, which need not compile.
    pub fn nodes(&self) -> Option<Vec<&EffectiveNode>> {
        match &self.selected {
            Some(selected) => {
                let nodes = &self.reading.compiled.as_ref()?.nodes;
                Some(selected.iter().filter_map(|index| nodes[..].get(*index as usize)).collect())
            }
            None => self.model().map(|model| model.nodes.iter().collect()),
        }
    }

    /// The compiled design with the selected nodes alone, of which the targets of boot actions are; `None` where no
    /// model is wanted, or all of it.
    pub(crate) fn narrowed(&self) -> Option<Compiled> {
        self.model().zip(self.selected.as_deref()).map(|(model, selected)| narrowed(model, selected))
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.selected.is_some()
    }

    pub(crate) fn json_max_bytes(&self) -> usize {
        self.json_max_bytes
    }
}

fn narrowed(whole: &Compiled, selected: &[u32]) -> Compiled {
    let position: HashMap<u32, u32> = selected.iter().copied().zip(0..).collect();
    // actions with one filter share their targets, and go on to
    let mut shared: HashMap<*const [u32], Arc<[u32]>> = HashMap::new();
    let targets = whole.targets.iter().map(|targets| {
        let kept = || targets.iter().filter_map(|target| position.get(target).copied()).collect();
        Arc::clone(shared.entry(Arc::as_ptr(targets)).or_insert_with(kept))
    });
    Compiled {
        design: Arc::clone(&whole.design),
        nodes: selected.iter().filter_map(|index| whole.nodes[..].get(*index as usize)).cloned().collect(),
        networks: whole.networks.clone(),
        targets: targets.collect(),
        findings: Vec::new(),
    }
}
