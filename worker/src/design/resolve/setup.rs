//! A resolver from its configuration: what the configuration names is read here, once.

use std::path::Path;

use reqwest::Certificate;

use super::cache::{Bounds, Cache};
use super::client::{Clients, Lookup, system_lookup};
use super::credential::{Credential, basic, bearer};
use super::http::Pages;
use super::keystone::{Keystone, User};
use super::{Resolver, Shared};
use crate::config::{ConfigError, CredentialKind, Design, bytes_of};
use crate::tls;

/// The bundle of a whole system has a quarter of it.
const CA_MAX_BYTES: usize = 1024 * 1024;

impl Resolver {
    /// A resolver as configured. Files of secrets and certificates are read, once.
    ///
    /// # Errors
    /// A file that cannot be read or used, by its key.
    pub fn new(settings: &Design) -> Result<Self, ConfigError> {
        Self::with_lookup(settings, &system_lookup())
    }

    /// The same, with another way to look names up than the system's.
    ///
    /// # Errors
    /// As [`Resolver::new`].
    pub fn with_lookup(settings: &Design, lookup: &Lookup) -> Result<Self, ConfigError> {
        tls::install_provider();
        let ca = settings.ca_file.as_deref().map_or(Ok(Vec::new()), certificates)?;
        let clients = Clients::new(&settings.allow, settings.connect_timeout, &ca, lookup)
            .map_err(|error| ConfigError::new("design", format!("no HTTP client: {error}")))?;
        let mut credentials = Vec::with_capacity(settings.credentials.len());
        for (name, one) in &settings.credentials {
            credentials.push((one.origin.clone(), credential(name, &one.kind)?));
        }
        let keystone = match &settings.keystone {
            None => None,
            Some(keystone) => {
                let password = keystone.password.read("design.keystone.password_file")?;
                let user = User {
                    username: &keystone.username,
                    password: &password,
                    user_domain_name: &keystone.user_domain_name,
                    project_id: &keystone.project_id,
                };
                Some(Keystone::new(&keystone.auth_url, &user, keystone.origins.clone()))
            }
        };
        let cache = Cache::new(Bounds {
            bytes: settings.cache_bytes,
            entries: settings.cache_entries,
            ttl: settings.cache_ttl,
        });
        let pages = Pages {
            clients,
            content_types: settings.content_types.clone(),
            max_bytes: settings.max_bytes,
            redirects: settings.redirects,
        };
        let (file_root, timeout) = (settings.file_root.clone(), settings.timeout);
        Ok(Self { shared: Shared { pages, credentials, keystone, file_root, timeout, cache }.into() })
    }
}

fn credential(name: &str, kind: &CredentialKind) -> Result<Credential, ConfigError> {
    let key = |key: &str| format!("design.credentials.{name}.{key}");
    let header = match kind {
        CredentialKind::Basic { username, password } => basic(username, &password.read(&key("password_file"))?),
        CredentialKind::Bearer { token } => bearer(&token.read(&key("token_file"))?),
    };
    header.ok_or_else(|| ConfigError::new(&key("token"), "must be one line of visible characters (it is not shown)"))
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ConfigError> {
    let wrong = || ConfigError::new("design.ca_file", format!("{} must hold certificates as PEM", path.display()));
    let certificates =
        Certificate::from_pem_bundle(&bytes_of("design.ca_file", path, CA_MAX_BYTES)?).map_err(|_| wrong())?;
    if certificates.is_empty() { Err(wrong()) } else { Ok(certificates) }
}
