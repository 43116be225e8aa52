//! `http` and `https`: one GET, or as many as redirects are allowed.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use reqwest::{Response, StatusCode};
use url::Url;

use super::body;
use super::client::{Clients, unanswered};
use super::credential::Credential;
use super::error::Problem;

/// Gets pages.
pub(super) struct Pages {
    pub(super) clients: Clients,
    /// Types that are read, in lower case.
    pub(super) content_types: Vec<String>,
    pub(super) max_bytes: usize,
    pub(super) redirects: usize,
}

/// What a page was when it was got: sent along, so that it is not sent again as long as it stays so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

/// What came.
pub(super) enum Answer {
    /// The page, its version, and whether it may be kept.
    Page { bytes: Vec<u8>, version: Version, keep: bool },
    /// It is as it was.
    NotModified,
}

impl Pages {
    /// Gets a page, or hears that it is still of this version. The credential goes with the first request alone: a
    /// redirect decides where the next one goes, not whom it is trusted by.
    pub(super) async fn get(
        &self,
        url: &Url,
        credential: Option<&Credential>,
        known: Option<&Version>,
    ) -> Result<Answer, Problem> {
        let mut url = url.clone();
        let mut credential = credential;
        let mut followed = 0;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            if let Some(version) = known {
                version.ask(&mut headers);
            }
            if let Some(Credential { name, value }) = credential.take() {
                headers.insert(name, value.clone());
            }
            let request = self.clients.of(&url)?.get(url.clone()).headers(headers);
            let response = request.send().await.map_err(unanswered)?;
            let status = response.status();
            if is_redirect(status) {
                if followed == self.redirects {
                    return Err(Problem::Redirects { status, allowed: self.redirects });
                }
                followed += 1;
                url = target(&url, &response)?;
                continue;
            }
            return self.read(response, known.is_some()).await;
        }
    }

    async fn read(&self, response: Response, conditional: bool) -> Result<Answer, Problem> {
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if conditional => return Ok(Answer::NotModified),
            status => return Err(Problem::Status(status)),
        }
        self.check_type(response.headers())?;
        let version = Version::of(response.headers());
        let keep = !forbids_to_keep(response.headers());
        let bytes = body::read(response, self.max_bytes).await?;
        Ok(Answer::Page { bytes, version, keep })
    }

    /// A page without a type may be anything; one with a type is what it says.
    fn check_type(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
        let text = String::from_utf8_lossy(value.as_bytes());
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if self.content_types.contains(&essence) {
            return Ok(());
        }
        Err(Problem::ContentType(essence.chars().take(80).collect()))
    }
}

impl Version {
    fn of(headers: &HeaderMap) -> Self {
        Self { etag: headers.get(ETAG).cloned(), last_modified: headers.get(LAST_MODIFIED).cloned() }
    }

    /// Whether there is anything to ask by.
    pub(super) fn is_known(&self) -> bool {
        *self != Self::default()
    }

    fn ask(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(instant) = &self.last_modified {
            headers.insert(IF_MODIFIED_SINCE, instant.clone());
        }
    }
}

/// 300 offers a choice and 304 is none.
fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Where a redirect leads, if that may be followed. Not shown: it may hold a token.
fn target(from: &Url, response: &Response) -> Result<Url, Problem> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = location.and_then(|location| from.join(location).ok());
    let mut target = target.ok_or(Problem::Redirected("nowhere: its Location is missing or not a URL"))?;
    match (from.scheme(), target.scheme()) {
        ("https", "http") => return Err(Problem::Redirected("http from https, which is not followed")),
        (_, "http" | "https") => {}
        _ => return Err(Problem::Redirected("another scheme than http and https, which is not followed")),
    }
    if !target.username().is_empty() || target.password().is_some() {
        return Err(Problem::Redirected("a URL with a user or password, which is not followed"));
    }
    target.set_fragment(None);
    Ok(target)
}

fn forbids_to_keep(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        String::from_utf8_lossy(value.as_bytes()).split(',').any(|word| word.trim().eq_ignore_ascii_case("no-store"))
    })
}
