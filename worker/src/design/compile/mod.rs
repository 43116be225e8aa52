//! Makes the effective design: profiles inherited, hardware looked up, targets selected, routes spelt out.
//!
//! What cannot be compiled is a finding on its document, and does not stop the rest. Inherited parts are shared, not
//! copied, and every product that input could multiply (values inherited, routes, targets) has a limit.

mod effective;
mod hardware;
mod inherit;
mod profiles;
mod routes;
mod targets;

use std::sync::Arc;

use super::finding::{Finding, Severity};
use super::model::{BaremetalNode, Design, Documents, Text};
use hardware::Hardware;
use inherit::{EFFECTIVE_BYTES_MAX, inherited};
use profiles::Profiles;

pub use effective::{Compiled, EffectiveNode};

/// The code of what cannot be compiled, as of documents that cannot be read.
const CODE: &str = "DD000";
/// Findings kept of nodes.
const FINDINGS_MAX: usize = 10_000;

/// Compiles the design.
pub fn compile(design: Arc<Design>) -> Compiled {
    let mut findings = Vec::new();
    let nodes: Documents<EffectiveNode> = {
        let mut compiler =
            Compiler { design: &design, profiles: Profiles::new(&design), hardware: Hardware::new(&design), spent: 0 };
        let compiled: Vec<EffectiveNode> =
            design.nodes.iter().filter_map(|node| compiler.node(node, &mut findings)).collect();
        compiled.into_iter().collect()
    };
    leave_out(&mut findings);
    let targets = targets::of_boot_actions(&design, &nodes, &mut findings);
    let networks = routes::spelt_out(&design, &mut findings);
    Compiled { design, nodes, networks, targets, findings }
}

struct Compiler<'d> {
    design: &'d Design,
    profiles: Profiles<'d>,
    hardware: Hardware<'d>,
    /// Bytes of values inherited.
    spent: usize,
}

impl Compiler<'_> {
    fn node(&mut self, node: &BaremetalNode, findings: &mut Vec<Finding>) -> Option<EffectiveNode> {
        let profile = match &node.settings.host_profile {
            None => None,
            Some(name) => match self.profiles.effective(name, &mut self.spent, findings) {
                Ok(settings) => Some(settings),
                Err(message) => {
                    findings.push(error("host_profile", message).about(node));
                    return None;
                }
            },
        };
        if self.spent > EFFECTIVE_BYTES_MAX {
            let message = format!("the design's nodes inherit more than {EFFECTIVE_BYTES_MAX} bytes");
            findings.push(error("size", message).about(node));
            return None;
        }
        let mut settings = inherited(&node.settings, profile.as_deref(), &mut self.spent);
        let Some(name) = &settings.hardware_profile else {
            let finding = error("hardware_profile", "the node has no hardware profile, nor does it inherit one");
            findings.push(finding.remedy("set hardware_profile on the node or its host profile").about(node));
            return None;
        };
        let Some(index) = self.design.hardware_profiles.position(name) else {
            let message = format!("hardware profile {name} is not defined");
            findings.push(error("hardware_profile", message).about(node));
            return None;
        };
        for message in self.hardware.equip(&mut settings, index) {
            let finding = Finding::new(CODE, "kernel_parameter", Severity::Warning, message);
            findings.push(finding.remedy("name a set of the node's hardware profile").about(node));
        }
        let fqdn = self.fqdn(&node.name, settings.primary_network.as_deref());
        // Each node has the domain's text once more.
        self.spent += fqdn.len();
        Some(EffectiveNode {
            name: node.name.clone(),
            origin: node.origin,
            fqdn,
            settings,
            addressing: node.addressing.clone(),
            boot_mac: node.boot_mac.clone(),
        })
    }

    fn fqdn(&self, name: &str, primary_network: Option<&str>) -> Text {
        let network = primary_network.and_then(|name| self.design.networks.get(name));
        let domain = network.map_or("local", |network| &*network.dns.domain);
        format!("{name}.{}", if domain.is_empty() { "local" } else { domain }).into()
    }
}

fn error(rule: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(CODE, rule, Severity::Error, message)
}

fn leave_out(findings: &mut Vec<Finding>) {
    if findings.len() > FINDINGS_MAX {
        let message = format!("{} more findings on nodes are left out", findings.len() - FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        // An error, since those left out may be.
        findings.push(error("left_out", message));
    }
}
