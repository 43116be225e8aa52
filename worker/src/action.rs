//! An action as this worker knows it: its executor, its time, its backoff.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Executor;
use crate::backoff::Backoff;
use crate::metrics::ActionMetrics;

/// What a worker does for an action name.
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) executor: Arc<dyn Executor>,
    /// For tasks that bring none of their own.
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) metrics: ActionMetrics,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("name", &self.name).finish_non_exhaustive()
    }
}
