//! The section `otlp`: where spans are exported to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::read::headers;
use super::section::Section;
use crate::secret::Secret;

/// Where spans are exported to.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector's address for OTLP over HTTP, as a base: `/v1/traces` is appended.
    pub endpoint: Url,
    /// What backends show the fleet as.
    pub service_name: String,
    /// Headers sent with every request, by their names in lower case; valid as they stand.
    pub headers: BTreeMap<String, Secret>,
    /// A file of further headers, read at the start.
    pub headers_file: Option<PathBuf>,
    /// The share of traces that are exported where no producer has decided, 0 to 1.
    pub sample: f64,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Otlp {
    /// Where spans are posted to.
    pub(crate) fn traces_url(&self) -> Url {
        let mut url = self.endpoint.clone();
        let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

/// Reads the section, where there is one.
pub(super) fn otlp(root: &Section<'_>) -> Option<Otlp> {
    root.entry("otlp")?;
    let section = root.section("otlp", "otlp");
    let (headers, headers_file) = (headers(&section), section.path("headers_file"));
    let (sample, timeout) = (section.number("sample"), section.duration("timeout"));
    let service_name = section.text("service_name").unwrap_or_default();
    let endpoint = Url::parse(&section.text("endpoint")?).ok()?;
    Some(Otlp { endpoint, service_name, headers, headers_file, sample, timeout })
}
