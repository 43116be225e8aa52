use std::sync::Arc;

use super::error;
use super::inherit::{EFFECTIVE_BYTES_MAX, inherited};
use crate::design::finding::Finding;
use crate::design::model::{Design, HostSettings};

/// Documents that a finding about a cycle points to.
const CYCLE_TOLD: usize = 10;

/// The host profiles of a design, each compiled once, when a node first needs it.
pub(super) struct Profiles<'d> {
    design: &'d Design,
    states: Vec<State>,
}

#[derive(Clone)]
enum State {
    Untouched,
    /// On the chain that is being followed.
    Open,
    Compiled(Arc<HostSettings>),
    /// Its chain is broken, and the finding about that is made.
    Broken,
}

impl<'d> Profiles<'d> {
    pub(super) fn new(design: &'d Design) -> Profiles<'d> {
        Profiles { design, states: vec![State::Untouched; design.host_profiles.len()] }
    }

    /// The settings of a profile with all that it inherits. What is wrong further up its chain is found once, on the
    /// profile where it is wrong.
    ///
    /// # Errors
    /// Why a node cannot inherit from it.
    pub(super) fn effective(
        &mut self,
        name: &str,
        spent: &mut usize,
        findings: &mut Vec<Finding>,
    ) -> Result<Arc<HostSettings>, String> {
        let Some(index) = self.design.host_profiles.position(name) else {
            return Err(format!("host profile {name} is not defined"));
        };
        if let State::Untouched = self.states[index] {
            self.follow(index, spent, findings);
        }
        match &self.states[index] {
            State::Compiled(settings) => Ok(settings.clone()),
            _ => Err(format!("host profile {name} cannot be compiled")),
        }
    }

    /// Follows the chain up to what is known, then compiles downwards. A loop, since a chain may be as long as a
    /// design.
    fn follow(&mut self, first: usize, spent: &mut usize, findings: &mut Vec<Finding>) {
        let profiles = &self.design.host_profiles;
        let mut chain = Vec::new();
        let mut next = Some(first);
        let mut parent = loop {
            let Some(index) = next else { break Some(None) };
            match &self.states[index] {
                State::Compiled(settings) => break Some(Some(settings.clone())),
                State::Broken => break None,
                State::Open => {
                    findings.push(self.cycle(&chain, index));
                    break None;
                }
                State::Untouched => {}
            }
            self.states[index] = State::Open;
            chain.push(index);
            next = match &profiles[index].settings.host_profile {
                None => None,
                Some(name) => match profiles.position(name) {
                    Some(parent) => Some(parent),
                    None => {
                        let message = format!("host profile {name} is not defined");
                        findings.push(error("host_profile", message).about(&profiles[index]));
                        break None;
                    }
                },
            };
        };
        for index in chain.into_iter().rev() {
            if *spent > EFFECTIVE_BYTES_MAX && parent.take().is_some() {
                let message = format!("host profiles inherit more than {EFFECTIVE_BYTES_MAX} bytes");
                findings.push(error("size", message).about(&profiles[index]));
            }
            let compiled = parent.map(|above| Arc::new(inherited(&profiles[index].settings, above.as_deref(), spent)));
            self.states[index] = compiled.clone().map_or(State::Broken, State::Compiled);
            parent = compiled.map(Some);
        }
    }

    fn cycle(&self, chain: &[usize], repeated: usize) -> Finding {
        let begin = chain.iter().position(|index| *index == repeated).unwrap_or(0);
        let profiles = &self.design.host_profiles;
        let members = &chain[begin..];
        let mut names: Vec<&str> = members.iter().take(CYCLE_TOLD).map(|index| &*profiles[*index].name).collect();
        names.push(if members.len() > CYCLE_TOLD { "…" } else { &profiles[repeated].name });
        let finding = error("host_profile", format!("host profiles inherit in a circle: {}", names.join(" from ")));
        let finding = finding.remedy("take host_profile out of one of them");
        members.iter().take(CYCLE_TOLD).fold(finding, |finding, index| finding.about(&profiles[*index]))
    }
}
