//! What is wrong with a configuration: all of it in one pass, by line.

use std::cell::RefCell;
use std::collections::BTreeSet;

use thiserror::Error;

/// Problems shown at most: enough to mend a file, few enough to stay on one screen.
const PROBLEMS_MAX: usize = 20;

/// A configuration that cannot be used. Displays one problem a line, each with its place, the value and the remedy;
/// secrets are never part of it. A program exits 64 on it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// One problem: its place (a file, a file and a line, a variable) and what is wrong there.
    pub fn new(place: &str, what: impl std::fmt::Display) -> Self {
        Self { problems: vec![format!("{place}: {what}")] }
    }

    /// Several problems, each with its place.
    pub(super) fn unless_empty(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    /// The problems in the order of their lines, at most 20 and a count of those left out.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// Collects the problems of one text.
pub(super) struct Report<'a> {
    name: &'a str,
    text: &'a str,
    problems: RefCell<Vec<(usize, String)>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, problems: RefCell::default() }
    }

    /// Notes a problem at this byte of the text; `None` is the whole text.
    pub(super) fn add(&self, at: Option<usize>, what: String) {
        self.problems.borrow_mut().push((at.map_or(0, |at| at + 1), what));
    }

    /// # Errors
    /// Every problem noted.
    pub(super) fn finish(&self) -> Result<(), ConfigError> {
        let mut noted = self.problems.take();
        if noted.is_empty() {
            return Ok(());
        }
        noted.sort();
        let mut problems: Vec<String> = Vec::new();
        // what a parser stumbles over several times in a line is one problem
        let mut told = BTreeSet::new();
        let (mut line, mut counted_to) = (1, 0);
        for (position, what) in noted {
            let place = position.checked_sub(1).map(|at| {
                let at = at.min(self.text.len());
                line += self.text.as_bytes()[counted_to..at].iter().filter(|byte| **byte == b'\n').count();
                counted_to = at;
                line
            });
            let is_new = told.insert((place, what.clone()));
            if is_new && problems.len() < PROBLEMS_MAX {
                let place = place.map_or_else(|| self.name.to_owned(), |line| format!("{}:{line}", self.name));
                problems.push(format!("{place}: {what}"));
            }
        }
        match told.len().saturating_sub(PROBLEMS_MAX) {
            0 => {}
            1 => problems.push(format!("{}: 1 more problem", self.name)),
            more => problems.push(format!("{}: {more} more problems", self.name)),
        }
        Err(ConfigError { problems })
    }
}
