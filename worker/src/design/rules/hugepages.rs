use super::{Findings, Rule, Subject};

/// The kernel is told both how large huge pages are and how many there are, or neither.
pub(super) const RULE: Rule = Rule { code: "DD1008", name: "hugepages", title: "Hugepages", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for node in subject.compiled.nodes.iter() {
        let params = &node.settings.kernel_params;
        let (there, missing) = match (params.contains_key("hugepages"), params.contains_key("hugepagesz")) {
            (true, false) => ("hugepages", "hugepagesz"),
            (false, true) => ("hugepagesz", "hugepages"),
            _ => continue,
        };
        let error = found.error(format!("the kernel parameters have {there} without {missing}"));
        found.push(error.remedy("set both in platform.kernel_params, or neither").about(node));
    }
}
