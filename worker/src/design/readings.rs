//! Designs that were read and compiled, by the hash of their bytes, each once for all attempts that want it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, SetOnce};

use super::ingest::BYTES_MAX;
use super::reading::Reading;
use super::resolve::{ContentHash, Resolved};
use crate::metrics;

/// Bytes of designs whose readings are kept: one of the largest, or many small ones.
const KEPT_MAX_BYTES: usize = BYTES_MAX;

/// Designs read at once: each takes a core, and many times its bytes of memory. Two, so that a small one need not wait
/// for a large one.
const READ_AT_ONCE: usize = 2;

/// A reading under way, or done; an error is a panic's text.
type Flight = SetOnce<Result<Arc<Reading>, String>>;

/// Readings by content.
pub(crate) struct Readings {
    kept_max_bytes: usize,
    at_once: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    entries: HashMap<ContentHash, Entry>,
    bytes: usize,
}

struct Entry {
    flight: Arc<Flight>,
    bytes: usize,
    used: Instant,
}

impl Default for Readings {
    fn default() -> Self {
        Self::with_bound(KEPT_MAX_BYTES)
    }
}

impl fmt::Debug for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readings").finish_non_exhaustive()
    }
}

impl Readings {
    fn with_bound(kept_max_bytes: usize) -> Self {
        Self { kept_max_bytes, at_once: Arc::new(Semaphore::new(READ_AT_ONCE)), state: Arc::default() }
    }

    /// The reading of a design, on a thread of its own. One that has begun goes on where this future is dropped:
    /// whoever comes next finds it further on, or done. One that waits for its turn and that nobody waits for is not
    /// begun.
    ///
    /// # Errors
    /// What a panic said. It is not remembered.
    pub(crate) async fn read(&self, design: &Resolved) -> Result<Arc<Reading>, String> {
        self.flight(design).wait().await.clone()
    }

    fn flight(&self, design: &Resolved) -> Arc<Flight> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = design.content_hash();
        if let Some(entry) = state.entries.get_mut(&hash) {
            if !matches!(entry.flight.get(), Some(Err(_))) {
                entry.used = Instant::now();
                return Arc::clone(&entry.flight);
            }
            state.remove(&hash);
        }
        let bytes = design.bytes().len();
        state.make_room(self.kept_max_bytes.saturating_sub(bytes));
        let flight = Arc::new(Flight::new());
        state.bytes += bytes;
        state.entries.insert(hash, Entry { flight: Arc::clone(&flight), bytes, used: Instant::now() });
        tokio::spawn(fly(design.clone(), Arc::clone(&flight), Arc::clone(&self.at_once), Arc::clone(&self.state)));
        flight
    }
}

impl State {
    /// Drops readings that are done, those not used for longest first, until the rest has at most so many bytes.
    fn make_room(&mut self, rest_max_bytes: usize) {
        while self.bytes > rest_max_bytes {
            let done = self.entries.iter().filter(|(_, entry)| entry.flight.initialized());
            let Some(oldest) = done.min_by_key(|(_, entry)| entry.used).map(|(hash, _)| *hash) else { break };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, hash: &ContentHash) {
        if let Some(entry) = self.entries.remove(hash) {
            self.bytes -= entry.bytes;
        }
    }
}

async fn fly(design: Resolved, flight: Arc<Flight>, at_once: Arc<Semaphore>, state: Arc<Mutex<State>>) {
    // it is never closed
    let Ok(_turn) = at_once.acquire().await else { return };
    {
        // under the lock nobody begins to wait: beside the entry and this, whoever holds the flight waits for it
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&flight) <= 2 {
            state.remove(&design.content_hash());
            return;
        }
    }
    let began = Instant::now();
    let reading = tokio::task::spawn_blocking(move || Arc::new(Reading::of(design.bytes()))).await;
    metrics::design_read(began.elapsed());
    // nobody else sets it
    flight.set(reading.map_err(|error| error.to_string())).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn design(name: &str) -> Resolved {
        let yaml = format!("schema: drydock/Region/v1\nmetadata: {{name: {name}}}\ndata: {{}}\n");
        Resolved::new(yaml.into_bytes())
    }

    async fn read(readings: &Readings, design: &Resolved) -> Arc<Reading> {
        readings.read(design).await.expect("no panic")
    }

    #[tokio::test]
    async fn many_at_once_share_one_reading_and_so_do_those_after_them() {
        let readings = Readings::default();
        let design_a = design("a");
        let all = futures_util::future::join_all((0..1000).map(|_| read(&readings, &design_a))).await;
        let later = read(&readings, &design("a")).await;
        assert!(all.iter().all(|one| Arc::ptr_eq(one, &later)));
        assert!(!Arc::ptr_eq(&read(&readings, &design("b")).await, &later));
    }

    #[tokio::test]
    async fn beyond_the_bound_the_one_not_used_for_longest_goes() {
        let bytes = design("a").bytes().len();
        let readings = Readings::with_bound(2 * bytes);
        let (a, b) = (read(&readings, &design("a")).await, read(&readings, &design("b")).await);
        assert!(Arc::ptr_eq(&a, &read(&readings, &design("a")).await));
        read(&readings, &design("c")).await;
        assert!(Arc::ptr_eq(&a, &read(&readings, &design("a")).await));
        assert!(!Arc::ptr_eq(&b, &read(&readings, &design("b")).await));
        let state = readings.state.lock().expect("no panic");
        assert_eq!((state.entries.len(), state.bytes), (2, 2 * bytes));
    }

    #[tokio::test]
    async fn one_larger_than_the_bound_is_read_once_for_those_who_want_it_together() {
        let readings = Readings::with_bound(1);
        let large = design("large");
        let (one, other) = tokio::join!(read(&readings, &large), read(&readings, &large));
        assert!(Arc::ptr_eq(&one, &other));
        read(&readings, &design("a")).await;
        assert_eq!(readings.state.lock().expect("no panic").entries.len(), 1);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let readings = Readings::default();
        let turns = Arc::clone(&readings.at_once).acquire_many_owned(2).await.expect("never closed");
        for number in 0..20 {
            // looked at once, and dropped
            let name = format!("n{number}");
            assert!(futures_util::FutureExt::now_or_never(readings.read(&design(&name))).is_none());
        }
        drop(turns);
        // behind them all
        read(&readings, &design("last")).await;
        let state = readings.state.lock().expect("no panic");
        assert_eq!((state.entries.len(), state.bytes), (1, design("last").bytes().len()));
    }

    #[tokio::test]
    async fn a_reading_goes_on_though_whoever_wanted_it_is_gone() {
        let readings = Readings::default();
        let flight = readings.flight(&design("a"));
        // looked at once, and dropped
        assert!(futures_util::FutureExt::now_or_never(readings.read(&design("a"))).is_none());
        let done = flight.wait().await.clone().expect("no panic");
        assert!(Arc::ptr_eq(&done, &read(&readings, &design("a")).await));
    }
}
