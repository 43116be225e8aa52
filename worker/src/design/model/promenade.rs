use serde::Serialize;

use super::{Origin, Text};

/// A document of promenade, handed on as it came.
#[derive(Debug, Clone, Serialize)]
pub struct PromenadeConfig {
    pub name: Text,
    #[serde(skip)]
    pub origin: Origin,
    /// Which nodes it is meant for; `all` if the document names none.
    pub target: Text,
    pub kind: Text,
    /// The document in base64.
    pub document: Text,
}
