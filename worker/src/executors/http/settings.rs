//! Where and how a task is posted: what the configuration says of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// From a reachable endpoint to one behind a gateway that starts it first.
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(120);

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

/// Where and how a task is posted. How long an answer may take is the task's timeout.
#[derive(Clone)]
pub struct Settings {
    /// `http` or `https`. Only its origin is shown; userinfo in it becomes basic authentication.
    pub url: String,
    /// Further headers, tokens for example. Their values are not shown.
    pub headers: BTreeMap<String, String>,
    /// How long connecting may take, resolution and TLS included.
    pub connect_timeout: Duration,
}

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
    /// Too short or too long.
    #[error(
        "connect_timeout must be from {} to {}, got {}",
        humantime::format_duration(*CONNECT_TIMEOUT.start()),
        humantime::format_duration(*CONNECT_TIMEOUT.end()),
        humantime::format_duration(*.0)
    )]
    ConnectTimeout(Duration),
    /// No HTTP client, for want of trusted certificates for example.
    #[error("no HTTP client: {0}")]
    Client(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self { url: String::new(), headers: BTreeMap::new(), connect_timeout: Duration::from_secs(10) }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = Url::parse(&self.url).map(|url| url.origin().ascii_serialization());
        f.debug_struct("Settings")
            .field("origin", &origin.ok())
            .field("headers", &self.headers.keys())
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

impl Settings {
    /// The URL and the headers, if they and the rest can be used.
    pub(super) fn check(&self) -> Result<(Url, HeaderMap), Error> {
        let url = Url::parse(&self.url).map_err(|error| Error::Url(error.to_string()))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(Error::Scheme(url.scheme().to_owned()));
        }
        if !CONNECT_TIMEOUT.contains(&self.connect_timeout) {
            return Err(Error::ConnectTimeout(self.connect_timeout));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let key = HeaderName::try_from(name).map_err(|_| Error::HeaderName(name.escape_debug().to_string()))?;
            if RESERVED.contains(&key.as_str()) {
                return Err(Error::Reserved(name.clone()));
            }
            let mut value = HeaderValue::from_str(value).map_err(|_| Error::HeaderValue(name.clone()))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok((url, headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Result<(), String> {
        let mut settings = Settings { url: "https://a.example/x".to_owned(), ..Settings::default() };
        change(&mut settings);
        settings.check().map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_out_of_bounds_is_named_with_its_bound() {
        let refused = |message: &str| Err(message.to_owned());
        let header = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|s| s.url.clear()), refused("url is not a URL: relative URL without a base"));
        assert_eq!(with(|s| s.url = "ftp://u:p@a".to_owned()), refused("url must be http or https, got ftp"));
        assert_eq!(with(|s| s.headers = header("a b", "")), refused("headers must have valid names, got `a b`"));
        let message = "header `X-A` must be visible ASCII without line ends";
        assert_eq!(with(|s| s.headers = header("X-A", "secret\r\nX: y")), refused(message));
        let message = "header `Idempotency-Key` is set by the worker";
        assert_eq!(with(|s| s.headers = header("Idempotency-Key", "1")), refused(message));
        let message = "connect_timeout must be from 10ms to 2m, got 1ms";
        assert_eq!(with(|s| s.connect_timeout = Duration::from_millis(1)), refused(message));
    }

    #[test]
    fn no_secret_is_shown() {
        let settings = Settings {
            url: "https://user:hunter2@a.example/hooks/hunter2?token=hunter2".to_owned(),
            headers: BTreeMap::from([("Authorization".to_owned(), "Bearer hunter2".to_owned())]),
            ..Settings::default()
        };
        let executor = super::super::Http::new(settings.clone()).expect("is valid");
        let wrong = Settings { url: "https://user:hunter2@[".to_owned(), ..settings.clone() };
        let refused = super::super::Http::new(wrong.clone()).expect_err("is no URL");
        let shown = format!("{settings:?} {executor:?} {wrong:?} {refused:?} {refused}");
        assert!(shown.contains("https://a.example"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
