//! From a reference to bytes: one small module per scheme, behind one cache.
//!
//! What a task names is not trusted. A page comes only from addresses that anybody can reach, or that the configuration
//! lists (`client`, `address`); a file only from below the configured root (`file`). Credentials are the
//! configuration's, each for its origins alone, and no error shows one.

pub mod address;
mod body;
mod cache;
mod client;
mod credential;
mod deckhand;
mod error;
mod file;
mod http;
mod keystone;
mod setup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use sha2::{Digest, Sha256};

pub use self::client::{Looking, Lookup, system_lookup};
pub use self::error::{Class, Problem, ResolveError};

use self::address::Origin;
use self::cache::{Cache, Found};
use self::credential::Credential;
use self::http::{Answer, Pages, Version};
use self::keystone::Keystone;
use super::reference::{Reference, ReferenceProblem, Target};

/// Bytes that a reference stands for. A clone shares them.
#[derive(Clone, PartialEq, Eq)]
pub struct Resolved(Arc<Content>);

#[derive(PartialEq, Eq)]
struct Content {
    bytes: Vec<u8>,
    hash: ContentHash,
}

/// SHA-256 of the bytes. Displays as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

/// Resolves references, as configured.
pub struct Resolver {
    shared: Arc<Shared>,
}

/// What flights take along.
struct Shared {
    pages: Pages,
    credentials: Vec<(Origin, Credential)>,
    keystone: Option<Keystone>,
    file_root: Option<PathBuf>,
    timeout: Duration,
    cache: Cache,
}

/// What the cache knows a page by: the reference, and the credential it was got with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    target: Target,
    credential: Option<usize>,
}

impl Resolved {
    /// Takes the bytes, and computes their hash.
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = ContentHash(Sha256::digest(&bytes).into());
        Self(Arc::new(Content { bytes, hash }))
    }

    /// As they came, decompressed.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Their hash, by which one tells versions apart.
    pub fn content_hash(&self) -> ContentHash {
        self.0.hash
    }
}

impl fmt::Debug for Resolved {
    /// Not the bytes: a rendered design holds passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resolved({} bytes, {})", self.bytes().len(), self.content_hash())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resolver({} credentials)", self.shared.credentials.len())
    }
}

impl Resolver {
    /// Resolves a reference. Many at once with one reference cost one fetch; dropped, it costs nobody else theirs.
    ///
    /// # Errors
    /// What was in the way, and by its class whether another try may end better. No failure is remembered.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, ResolveError> {
        self.get(reference).await.map_err(|problem| problem.of(reference))
    }

    /// Resolves what a person names on the command line: a reference, or a path, which is its own root.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn resolve_local_or_ref(&self, argument: &str) -> Result<Resolved, ResolveError> {
        let local = match Reference::parse(argument) {
            Ok(reference) => match reference.target() {
                Target::File(_) => reference,
                _ => return self.resolve(&reference).await,
            },
            Err(error) if may_be_path(argument, &error.problem) => Reference::local(Path::new(argument)),
            Err(error) => return Err(error.into()),
        };
        let Target::File(path) = local.target().clone() else { unreachable!("a local reference is a file") };
        let max_bytes = self.shared.pages.max_bytes;
        blocking(move || file::read_local(&path, max_bytes)).await.map_err(|problem| problem.of(&local))
    }

    async fn get(&self, reference: &Reference) -> Result<Resolved, Problem> {
        let shared = &self.shared;
        let target = reference.target().clone();
        let credential = match &target {
            Target::File(path) => return shared.file(path.clone()).await,
            Target::Page(url) => shared.credential_for(&Origin::of(url)),
            Target::TokenPage(_) => None,
        };
        let key = Key { target, credential };
        let found = shared.cache.find(&key, |known| Arc::clone(shared).fly(key.clone(), known));
        match found {
            Found::Fresh(resolved) => Ok(resolved),
            Found::Flight(flight) => flight.await,
        }
    }
}

impl Shared {
    /// The configured credential of an origin, by its number.
    fn credential_for(&self, origin: &Origin) -> Option<usize> {
        self.credentials.iter().position(|(of, _)| of == origin)
    }

    async fn file(&self, path: PathBuf) -> Result<Resolved, Problem> {
        let root = self.file_root.clone().ok_or(Problem::FilesAreOff)?;
        let max_bytes = self.pages.max_bytes;
        let reading = blocking(move || file::read(&root, &path, max_bytes));
        tokio::time::timeout(self.timeout, reading).await.unwrap_or(Err(Problem::TimedOut(self.timeout)))
    }

    /// Gets a page within its time, and keeps it.
    async fn fly(self: Arc<Self>, key: Key, known: Option<(Resolved, Version)>) -> Result<Resolved, Problem> {
        let version = known.as_ref().map(|(_, version)| version);
        let getting = self.page(&key, version);
        let answer = tokio::time::timeout(self.timeout, getting).await.unwrap_or(Err(Problem::TimedOut(self.timeout)));
        let (result, resolved) = match answer {
            Ok(Answer::NotModified) => {
                self.cache.renew(&key);
                // asked for only where something is known
                (
                    "not_modified",
                    known.map(|(resolved, _)| resolved).ok_or(Problem::Status(reqwest::StatusCode::NOT_MODIFIED)),
                )
            }
            Ok(Answer::Page { bytes, version, keep }) => {
                let resolved = Resolved::new(bytes);
                if keep {
                    self.cache.keep(&key, &resolved, version);
                } else {
                    self.cache.forget(&key);
                }
                ("fetched", Ok(resolved))
            }
            Err(problem) => ("failed", Err(problem)),
        };
        counter!("longshore_design_fetches_total", "result" => result).increment(1);
        gauge!("longshore_design_cache_bytes").set(self.cache.size().0 as f64);
        resolved
    }

    async fn page(&self, key: &Key, version: Option<&Version>) -> Result<Answer, Problem> {
        match &key.target {
            Target::Page(url) => {
                let credential = key.credential.map(|number| &self.credentials[number].1);
                self.pages.get(url, credential, version).await
            }
            Target::TokenPage(url) => deckhand::get(&self.pages, self.keystone.as_ref(), url, version).await,
            Target::File(_) => Err(Problem::FilesAreOff),
        }
    }
}

/// Runs what blocks on a thread of its own.
async fn blocking(read: impl FnOnce() -> Result<Vec<u8>, Problem> + Send + 'static) -> Result<Resolved, Problem> {
    let reading = tokio::task::spawn_blocking(move || read().map(Resolved::new));
    reading.await.unwrap_or_else(|error| Err(Problem::ReadFailed(error.to_string())))
}

/// Whether what is no reference may be a path: anything without a scheme, or with a colon in its name.
fn may_be_path(argument: &str, problem: &ReferenceProblem) -> bool {
    !argument.contains("://")
        && matches!(
            problem,
            ReferenceProblem::NoScheme
                | ReferenceProblem::UnknownScheme(_)
                | ReferenceProblem::Character(_)
                | ReferenceProblem::TooLong(_)
        )
}
