use std::collections::{HashMap, HashSet};

use super::error;
use crate::design::finding::Finding;
use crate::design::model::{Design, Documents, Network, Route};

/// Routes that route domains may come to: those of a thousand networks in one domain are half as many squared.
const ROUTES_MAX: usize = 1_000_000;

/// The networks, each with a route to every other network of the domains that it has a route to.
pub(super) fn spelt_out(design: &Design, findings: &mut Vec<Finding>) -> Documents<Network> {
    let mut domains: HashMap<&str, Vec<&Network>> = HashMap::new();
    for network in design.networks.iter() {
        if let Some(domain) = &network.routedomain {
            domains.entry(domain).or_default().push(network);
        }
    }
    let routes: usize =
        design.networks.iter().flat_map(to_domains).filter_map(|(domain, _)| domains.get(domain).map(Vec::len)).sum();
    if routes > ROUTES_MAX {
        let message = format!("route domains come to {routes} routes, more than {ROUTES_MAX}; none is spelt out");
        findings.push(error("route_domain", message).remedy("use fewer or smaller route domains"));
        return design.networks.iter().cloned().collect();
    }
    let spelt_out = |network: &Network| {
        let mut compiled = network.clone();
        for (domain, route) in to_domains(network) {
            let members = domains.get(domain).into_iter().flatten();
            let others = members.filter(|member| member.cidr.text != network.cidr.text);
            compiled.routes.extend(others.map(|member| Route {
                subnet: Some(member.cidr.clone()),
                routedomain: None,
                gateway: route.gateway.clone(),
                metric: route.metric.clone(),
            }));
        }
        compiled
    };
    design.networks.iter().map(spelt_out).collect()
}

/// The route domains that a network has a complete route to, each with the first such route.
fn to_domains(network: &Network) -> impl Iterator<Item = (&str, &Route)> {
    let mut seen = HashSet::new();
    network.routes.iter().filter_map(move |route| {
        let domain = route.routedomain.as_deref()?;
        (route.gateway.is_some() && route.metric.is_some() && seen.insert(domain)).then_some((domain, route))
    })
}
