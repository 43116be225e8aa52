use super::{Findings, Rule, Subject};

/// Some boot action is for each node; a node without one is worth a warning.
pub(super) const RULE: Rule = Rule { code: "DD4001", name: "bootaction_target", title: "Bootaction Definition", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for index in subject.compiled.untargeted() {
        let warning = found.warning("no boot action is for this node");
        let node = &subject.compiled.nodes[index as usize];
        found.push(warning.remedy("widen the node_filter of a boot action, if one should be").about(node));
    }
}
