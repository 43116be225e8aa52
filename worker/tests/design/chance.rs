//! Seeded chance for generated cases: a seed makes the same case everywhere.

/// Cases a generated test goes through: `DESIGN_CASES` times as many as it does in the suite.
pub(crate) fn cases(usual: u64) -> u64 {
    let times = std::env::var("DESIGN_CASES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    usual * times
}

pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(fastrand::Rng::with_seed(seed))
    }

    /// A number below the bound; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { self.0.usize(..bound) }
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn of<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}
