//! An action as this worker knows it: its executor, its time, its backoff.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Executor;
use crate::backoff::Backoff;
use crate::config::DesignForm;
use crate::design::Resolver;
use crate::design::readings::Readings;
use crate::metrics::ActionMetrics;

/// What a worker does for an action name.
pub(crate) struct Action {
    pub(crate) name: String,
    pub(crate) executor: Arc<dyn Executor>,
    /// For tasks that bring none of their own.
    pub(crate) timeout: Duration,
    pub(crate) backoff: Backoff,
    /// What it wants of the design that its task names; `None`: nothing.
    pub(crate) design: Option<WantedDesign>,
    pub(crate) metrics: ActionMetrics,
}

/// A design that is resolved before the executor starts.
pub(crate) struct WantedDesign {
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) readings: Arc<Readings>,
    pub(crate) form: DesignForm,
    /// Whether the task's `node_filter` selects nodes.
    pub(crate) applies_filter: bool,
    /// Bytes of documents or of a model as JSON: as many as a design may have as it comes.
    pub(crate) json_max_bytes: usize,
    /// How long that may take.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("name", &self.name).finish_non_exhaustive()
    }
}
