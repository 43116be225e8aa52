//! A header that says who asks. Only those of the configuration are ever sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use crate::Secret;

/// The header; its value is marked as sensitive.
#[derive(Clone)]
pub(super) struct Credential {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// Basic authentication (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> Option<Credential> {
    authorization(&format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose()))))
}

/// A bearer token (RFC 6750); `None` when no header can hold it.
pub(super) fn bearer(token: &Secret) -> Option<Credential> {
    authorization(&format!("Bearer {}", token.expose()))
}

fn authorization(text: &str) -> Option<Credential> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(Credential { name: AUTHORIZATION, value })
}
