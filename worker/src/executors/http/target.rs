//! Where a task is posted and with which headers, as the configuration has it.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::HttpSettings;

/// Headers that are not the configuration's to set: the body's, the connection's, and what names the task.
const RESERVED: [&str; 9] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "expect",
    "idempotency-key",
    "longshore-task-id",
    "longshore-attempt",
];

/// A setting that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No URL. It is not shown, since it may hold a password.
    #[error("url is not a URL: {0}")]
    Url(String),
    /// Not a URL that can be posted to.
    #[error("url must be http or https, got {0}")]
    Scheme(String),
    /// Not a header's name.
    #[error("headers must have valid names, got `{0}`")]
    HeaderName(String),
    /// Not a header's value, or one that cannot be sent.
    #[error("header `{0}` must be visible ASCII without line ends")]
    HeaderValue(String),
    /// A header with a meaning of its own.
    #[error("header `{0}` is set by the worker")]
    Reserved(String),
    /// No HTTP client, for want of trusted certificates for example.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// The URL and the headers, if they can be used.
pub(super) fn read(settings: &HttpSettings) -> Result<(Url, HeaderMap), Error> {
    let url = Url::parse(&settings.url).map_err(|error| Error::Url(error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(Error::Scheme(url.scheme().to_owned()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let key = HeaderName::try_from(name).map_err(|_| Error::HeaderName(name.escape_debug().to_string()))?;
        if RESERVED.contains(&key.as_str()) {
            return Err(Error::Reserved(name.clone()));
        }
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| Error::HeaderValue(name.clone()))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok((url, headers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Http;
    use super::*;
    use crate::Secret;

    fn settings(url: &str, name: &str, value: &str) -> HttpSettings {
        HttpSettings { url: url.to_owned(), headers: BTreeMap::from([(name.to_owned(), Secret::new(value))]) }
    }

    #[test]
    fn a_setting_that_cannot_be_is_named_without_its_secret() {
        for (url, name, value, message) in [
            ("", "a", "", "url is not a URL: relative URL without a base"),
            ("https://user:hunter2@[", "a", "", "url is not a URL: invalid IPv6 address"),
            ("ftp://user:hunter2@a", "a", "", "url must be http or https, got ftp"),
            ("http://a", "a b", "", "headers must have valid names, got `a b`"),
            ("http://a", "X-A", "hunter2\r\nX: y", "header `X-A` must be visible ASCII without line ends"),
            ("http://a", "Idempotency-Key", "1", "header `Idempotency-Key` is set by the worker"),
        ] {
            let error = Http::new(&settings(url, name, value)).expect_err("cannot be");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let url = "https://user:hunter2@a.example/hooks/hunter2?token=hunter2";
        let shown = format!("{:?}", Http::new(&settings(url, "Authorization", "Bearer hunter2")).expect("is valid"));
        assert!(shown.contains("https://a.example") && shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
