//! What names the documents of a task: a URI of one of seven schemes. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

/// As in the database's domain `task_design_ref`.
pub const REFERENCE_MAX_BYTES: usize = 2048;

/// Bytes of a reference that an error shows.
const SHOWN_MAX_BYTES: usize = 200;

/// Every scheme, as an error lists them.
const SCHEMES: &str = "file, http, https, deckhand+http, deckhand+https, promenade+http, promenade+https";

/// A design reference. `Display` shows no query, which may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    shown: String,
    target: Target,
}

/// Where the documents are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A file, by its absolute path. Percent escapes stand for themselves.
    File(PathBuf),
    /// A page got as it is, with credentials of the configuration where it has some for the origin.
    Page(Url),
    /// A page of a service that wants a Keystone token: Deckhand, Promenade.
    TokenPage(Url),
}

/// What is wrong with a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("design reference {shown}: {problem}")]
pub struct ReferenceError {
    /// The reference, without what may be a secret.
    pub shown: String,
    /// What is wrong with it.
    pub problem: ReferenceProblem,
}

/// What can be wrong with a reference. No later attempt mends any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceProblem {
    /// Longer than the database takes.
    #[error("must be at most {REFERENCE_MAX_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// A character that no URI holds.
    #[error("holds {0:?}, which no URI does: percent-encode it")]
    Character(char),
    /// No colon, or nothing before it that is a scheme.
    #[error("has no scheme: write one of {SCHEMES}")]
    NoScheme,
    /// A scheme that nothing here reads.
    #[error("the scheme {0} is unknown: write one of {SCHEMES}")]
    UnknownScheme(String),
    /// A file by a relative path.
    #[error("a file's path must be absolute: write file:///…")]
    RelativePath,
    /// A file elsewhere.
    #[error("a file is on this host: write file:///… with three slashes")]
    FileHost,
    /// No `//` and host behind the scheme.
    #[error("names no host: write {0}://host/…")]
    NoHost(String),
    /// A user or a password.
    #[error("holds a user or password: credentials belong into the worker's configuration, [design.credentials.NAME]")]
    Userinfo,
    /// Not a URI.
    #[error("is not a URI: {0}")]
    Unparseable(String),
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// What is wrong with it, naming it without its secrets.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        read(text).map_err(|problem| ReferenceError { shown: shown_unread(text), problem })
    }

    /// Where the documents are.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A file on this host, named by a person rather than by a task.
    pub(crate) fn local(path: &Path) -> Self {
        Self { shown: cut(&path.to_string_lossy()), target: Target::File(path.to_owned()) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn read(text: &str) -> Result<Reference, ReferenceProblem> {
    if text.len() > REFERENCE_MAX_BYTES {
        return Err(ReferenceProblem::TooLong(text.len()));
    }
    // parsers of URLs pass some of these over, or take a backslash for a slash
    if let Some(odd) = text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '\\') {
        return Err(ReferenceProblem::Character(odd));
    }
    let (scheme, rest) = text.split_once(':').ok_or(ReferenceProblem::NoScheme)?;
    if !is_scheme(scheme) {
        return Err(ReferenceProblem::NoScheme);
    }
    let scheme = scheme.to_ascii_lowercase();
    let (plain, needs_token) = match scheme.as_str() {
        "file" => return file(rest),
        "http" | "https" => (scheme.as_str(), false),
        "deckhand+http" | "promenade+http" => ("http", true),
        "deckhand+https" | "promenade+https" => ("https", true),
        // a user and a password, or a token, may stand there
        _ if text.contains('@') && !rest.starts_with("//") => return Err(ReferenceProblem::NoScheme),
        _ => return Err(ReferenceProblem::UnknownScheme(cut(&scheme))),
    };
    let url = page(&scheme, plain, rest)?;
    let path = url.path();
    let query = if url.query().is_some() { "?…" } else { "" };
    let shown = cut(&format!("{scheme}://{}{path}", authority(&url))) + query;
    Ok(Reference { shown, target: if needs_token { Target::TokenPage(url) } else { Target::Page(url) } })
}

/// The path of a file's reference; query and fragment are none of it.
fn file(rest: &str) -> Result<Reference, ReferenceProblem> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if host.contains('@') {
                return Err(ReferenceProblem::Userinfo);
            }
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(ReferenceProblem::FileHost);
            }
            path
        }
    };
    if !path.starts_with('/') {
        return Err(ReferenceProblem::RelativePath);
    }
    Ok(Reference { shown: cut(&format!("file://{path}")), target: Target::File(PathBuf::from(path)) })
}

/// The URL to get: what stands behind the scheme, under the plain scheme of the two.
fn page(scheme: &str, plain: &str, rest: &str) -> Result<Url, ReferenceProblem> {
    let no_host = || ReferenceProblem::NoHost(scheme.to_owned());
    // a parser of URLs would take http:host and http:////host as well
    let behind = rest.strip_prefix("//").ok_or_else(no_host)?;
    let authority = behind.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(ReferenceProblem::Userinfo);
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err(no_host());
    }
    let mut url =
        Url::parse(&format!("{plain}:{rest}")).map_err(|error| ReferenceProblem::Unparseable(error.to_string()))?;
    // what the parser makes of it decides, whatever the look above says
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ReferenceProblem::Userinfo);
    }
    if url.host().is_none() || url.scheme() != plain {
        return Err(no_host());
    }
    url.set_fragment(None);
    Ok(url)
}

/// RFC 3986, 3.1.
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Host and port as the reference has them.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What an error shows of a text that was not read: all but the query; of one that may hold a password, the scheme
/// alone.
fn shown_unread(text: &str) -> String {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    let head = text.split(['?', '#']).next().unwrap_or_default();
    let authority = head.split_once("//").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let behind_v6 = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(_, rest)| rest);
    let port = behind_v6.unwrap_or(authority).split_once(':').map_or("", |(_, port)| port);
    if text.contains('@') || port.bytes().any(|byte| !byte.is_ascii_digit()) {
        // what is no scheme may itself be a user, or a token
        let is_one = is_scheme(scheme) && (rest.starts_with("//") || ["file", "http", "https"].contains(&scheme));
        return if is_one { cut(scheme) + ":…" } else { "…".to_owned() };
    }
    cut(head) + if head.len() < text.len() { "…" } else { "" }
}

/// A text without control characters, cut if it is long.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_MAX_BYTES);
    let shown = text[..end].escape_debug().to_string();
    if end < text.len() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests;
