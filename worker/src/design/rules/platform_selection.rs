use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Rule, Subject, quoted};
use crate::design::compile::EffectiveNode;

/// The image and the kernel of a node can be deployed, as far as somebody says what can be.
///
/// There is no node driver to ask here: the list of what it offers is given, or the rule warns that it is not.
pub(super) const RULE: Rule = Rule { code: "DD3001", name: "platform_selection", title: "Platform Selection", check };

/// How many choices a remedy lists.
const CHOICES_MAX: usize = 20;

/// The images that can be deployed, each with the kernels that it can be booted with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Platforms(BTreeMap<String, BTreeSet<String>>);

/// A text that is no list of images and kernels.
#[derive(Debug, thiserror::Error)]
#[error("images and their kernels are a JSON object such as {{\"noble\": [\"ga-24.04\", \"hwe-24.04\"]}}: {0}")]
pub struct PlatformsError(#[source] serde_json::Error);

impl Platforms {
    /// Reads a JSON object of images, each with a list of its kernels.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_json(text: &str) -> Result<Platforms, PlatformsError> {
        serde_json::from_str(text).map(Platforms).map_err(PlatformsError)
    }
}

fn check(subject: &Subject<'_>, found: &mut Findings) {
    let Some(Platforms(images)) = subject.platforms else {
        let warning = found.warning("images and kernels are not checked, since it is not known which there are");
        found.push(
            warning.remedy("check it by `longshore design check --images` as well: a task's check has no list of them"),
        );
        return;
    };
    for node in subject.compiled.nodes.iter() {
        platform(node, images, found);
    }
}

fn platform(node: &EffectiveNode, images: &BTreeMap<String, BTreeSet<String>>, found: &mut Findings) {
    let (image, kernel) = (node.settings.image.as_deref(), node.settings.kernel.as_deref());
    let Some(kernels) = image.and_then(|image| images.get(image)) else {
        let error = match image {
            Some(image) => found.error(format!("there is no image {}", quoted(image))),
            None => found.error("the node has no image"),
        };
        found.push(error.remedy(format!("set platform.image: there are {}", choices(images.keys()))).about(node));
        return;
    };
    if kernel.is_some_and(|kernel| kernels.contains(kernel)) {
        return;
    }
    let image = quoted(image.unwrap_or_default());
    let error = match kernel {
        Some(kernel) => found.error(format!("there is no kernel {} for the image {image}", quoted(kernel))),
        None => found.error("the node has no kernel"),
    };
    found.push(
        error.remedy(format!("set platform.kernel: for {image} there are {}", choices(kernels.iter()))).about(node),
    );
}

fn choices<'n>(names: impl ExactSizeIterator<Item = &'n String>) -> String {
    let more = names.len().saturating_sub(CHOICES_MAX);
    let mut listed: Vec<String> = names.take(CHOICES_MAX).map(|name| quoted(name)).collect();
    match (listed.len(), more) {
        (0, _) => listed.push("none".to_owned()),
        (_, 0) => {}
        (_, more) => listed.push(format!("{more} more")),
    }
    listed.join(", ")
}
