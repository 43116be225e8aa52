use super::{Findings, Rule, Subject, quoted};
use crate::design::compile::EffectiveNode;

/// The whole name of a node, with its domain, is a host name.
pub(super) const RULE: Rule = Rule { code: "DD3003", name: "hostname", title: "Hostname Validity", check };

const NAME_MAX_CHARS: usize = 255;
const LABEL_MAX_BYTES: usize = 63;

/// More than a name of the longest kind has: what a domain of a million dots holds is looked at so far for each node.
const LABELS_MAX: usize = 128;

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for node in subject.compiled.nodes.iter() {
        judge(node, found);
    }
}

fn judge(node: &EffectiveNode, found: &mut Findings) {
    let name = &node.fqdn;
    let length = name.chars().count();
    if length > NAME_MAX_CHARS {
        let name = quoted(name);
        let error = found.error(format!("the host name {name} has {length} characters, more than {NAME_MAX_CHARS}"));
        found.push(error.remedy("shorten the node's name, or the domain of its primary network").about(node));
    }
    for label in name.split('.').take(LABELS_MAX).filter(|label| !is_label(label)) {
        let error = found.error(format!("the host name {} has the label {}", quoted(name), quoted(label)));
        found.push(error.remedy(remedy(label)).about(node));
    }
}

/// As the reference program has it: a hyphen may stand at either end.
fn is_label(label: &str) -> bool {
    (1..=LABEL_MAX_BYTES).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn remedy(label: &str) -> &'static str {
    if label.contains("__") {
        "use one hyphen in place of the double underscore"
    } else if label.contains('_') {
        "use a hyphen in place of the underscore"
    } else if label.is_empty() {
        "remove the dot that has nothing before or behind it"
    } else {
        "use 1 to 63 letters, digits and hyphens, of ASCII, between dots"
    }
}
