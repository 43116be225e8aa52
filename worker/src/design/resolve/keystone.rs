//! Keystone v3: a token for a user's password, kept until shortly before it expires.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::Client;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use url::Url;

use super::address::Origin;
use super::body;
use super::client::unanswered;
use super::credential::Credential;
use super::error::Problem;
use crate::Secret;

/// A token is not used in the last so much of its life: a GET takes a while, and clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// What Keystone answers beside the token: a catalogue of services, some kilobytes.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// Gets tokens for one user.
pub(super) struct Keystone {
    tokens_url: Url,
    /// The body of a request, which holds the password.
    request: Secret,
    /// Where the token may be sent.
    origins: Vec<Origin>,
    /// The token in use, and until when.
    token: Mutex<Option<(Credential, Instant)>>,
}

/// Who asks.
pub(super) struct User<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a Secret,
    pub(super) user_domain_name: &'a str,
    pub(super) project_id: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: DateTime<Utc>,
}

impl Keystone {
    pub(super) fn new(auth_url: &Url, user: &User<'_>, origins: Vec<Origin>) -> Self {
        let request = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user.username, "password": user.password.expose(), "domain": {"name": user.user_domain_name},
            }}},
            "scope": {"project": {"id": user.project_id}},
        }});
        Self {
            tokens_url: tokens_url(auth_url),
            request: Secret::new(request.to_string()),
            origins,
            token: Mutex::default(),
        }
    }

    /// Whether its token may be sent there.
    pub(super) fn serves(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }

    /// The token in use, or a new one where there is none, or it is about to expire, or it is this `refused` one.
    pub(super) async fn token(&self, client: &Client, refused: Option<&Credential>) -> Result<Credential, Problem> {
        let mut kept = self.token.lock().await;
        if let Some((credential, until)) = kept.as_ref() {
            let is_refused = refused.is_some_and(|refused| refused.value == credential.value);
            if !is_refused && Instant::now() < *until {
                return Ok(credential.clone());
            }
        }
        *kept = None;
        let (credential, life) = self.ask(client).await.map_err(|problem| Problem::Keystone(Box::new(problem)))?;
        *kept = Some((credential.clone(), Instant::now() + life.saturating_sub(MARGIN)));
        Ok(credential)
    }

    /// Asks for a token: that, and how long it lives.
    async fn ask(&self, client: &Client) -> Result<(Credential, Duration), Problem> {
        let request = client
            .post(self.tokens_url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(self.request.expose().to_owned());
        let response = request.send().await.map_err(unanswered)?;
        if !response.status().is_success() {
            return Err(Problem::Status(response.status()));
        }
        let mut value = response.headers().get(SUBJECT_TOKEN).cloned().ok_or(Problem::NoTokenInAnswer)?;
        value.set_sensitive(true);
        let answer = body::read(response, ANSWER_MAX_BYTES).await?;
        // the answer itself is not shown, whatever is wrong with it
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| Problem::NoTokenInAnswer)?;
        let life = (answer.token.expires_at - Utc::now()).to_std().unwrap_or_default();
        // an instant that no clock reaches is as good as a day
        Ok((Credential { name: AUTH_TOKEN, value }, life.min(Duration::from_secs(24 * 60 * 60))))
    }
}

/// Where tokens are asked for: below `/v3`, whether the configured URL says so or not.
fn tokens_url(auth_url: &Url) -> Url {
    let mut url = auth_url.clone();
    let path = auth_url.path().trim_end_matches('/');
    let version = if path.ends_with("/v3") { "" } else { "/v3" };
    url.set_path(&format!("{path}{version}/auth/tokens"));
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_asked_for_below_v3() {
        let url = |text: &str| tokens_url(&Url::parse(text).expect("a URL")).to_string();
        for text in
            ["http://k:5000", "http://k:5000/", "http://k:5000/v3", "http://k:5000/v3/", "http://k:5000/v3?x=y#z"]
        {
            assert_eq!(url(text), "http://k:5000/v3/auth/tokens", "{text}");
        }
        assert_eq!(url("https://h/identity"), "https://h/identity/v3/auth/tokens");
    }
}
