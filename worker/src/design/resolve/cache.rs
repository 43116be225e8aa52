//! Pages that were got, for as long as they are fresh, and one flight for all that want the same page at the same time.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};

use super::error::Problem;
use super::http::Version;
use super::{Key, Resolved};

/// A page on its way. It moves as long as somebody waits for it.
pub(super) type Flight = Shared<Getting>;

type Getting = Pin<Box<dyn Future<Output = Result<Resolved, Problem>> + Send>>;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) entries: usize,
    pub(super) ttl: Duration,
}

/// Pages by reference and credential. Failures are never kept.
pub(super) struct Cache {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    flights: HashMap<Key, WeakShared<Getting>>,
    bytes: usize,
}

struct Entry {
    resolved: Resolved,
    version: Version,
    fresh_until: Instant,
    used: Instant,
}

/// How a page is to be had.
pub(super) enum Found {
    /// It is here.
    Fresh(Resolved),
    /// It is on its way.
    Flight(Flight),
}

impl Cache {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default() }
    }

    /// The page if it is fresh, else the flight that brings it: one under way, or a new one, which is given what is
    /// known of the page.
    pub(super) fn find<F>(&self, key: &Key, start: impl FnOnce(Option<(Resolved, Version)>) -> F) -> Found
    where
        F: Future<Output = Result<Resolved, Problem>> + Send + 'static,
    {
        let mut state = self.state();
        let now = Instant::now();
        let mut known = None;
        if let Some(entry) = state.entries.get_mut(key) {
            entry.used = now;
            if now < entry.fresh_until {
                return Found::Fresh(entry.resolved.clone());
            }
            known = entry.version.is_known().then(|| (entry.resolved.clone(), entry.version.clone()));
        }
        if let Some(flight) = state.flights.get(key).and_then(WeakShared::upgrade) {
            // one that has landed is what somebody still reads, and no later answer
            if flight.peek().is_none() {
                return Found::Flight(flight);
            }
        }
        let flight = start(known).boxed().shared();
        // those that nobody waited for to the end
        state.flights.retain(|_, flight| flight.upgrade().is_some());
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(key.clone(), weak);
        }
        Found::Flight(flight)
    }

    /// Keeps a page, and drops those not used for longest where there is no room.
    pub(super) fn keep(&self, key: &Key, resolved: &Resolved, version: Version) {
        let mut state = self.state();
        state.remove(key);
        let size = resolved.bytes().len();
        if size > self.bounds.bytes {
            return;
        }
        while state.entries.len() >= self.bounds.entries || state.bytes + size > self.bounds.bytes {
            let oldest = state.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            state.remove(&oldest);
        }
        let now = Instant::now();
        state.bytes += size;
        let fresh_until = now + self.bounds.ttl;
        state.entries.insert(key.clone(), Entry { resolved: resolved.clone(), version, fresh_until, used: now });
    }

    /// Forgets a page.
    pub(super) fn forget(&self, key: &Key) {
        self.state().remove(key);
    }

    /// A page is still as it was.
    pub(super) fn renew(&self, key: &Key) {
        if let Some(entry) = self.state().entries.get_mut(key) {
            entry.fresh_until = Instant::now() + self.bounds.ttl;
        }
    }

    /// The bytes kept, and the pages.
    pub(super) fn size(&self) -> (usize, usize) {
        let state = self.state();
        (state.bytes, state.entries.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.resolved.bytes().len();
        }
    }
}
