//! The section `[design]`: where the documents of tasks may come from, and as whom they are asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use toml::de::DeTable;

use super::error::Report;
use super::secret_source::SecretSource;
use super::section::{Section, cut};
use super::{ConfigError, DEFAULT_FILE, parse_with, read_file};
use crate::design::resolve::address::{Allowed, Origin};
use crate::secret::Secret;

/// How design references are resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Design {
    /// Files are read below this folder alone; `None`: none is.
    pub file_root: Option<PathBuf>,
    /// Networks and origins that may be connected to beside what anybody can reach.
    pub allow: Vec<Allowed>,
    /// The types of pages that are read, in lower case.
    pub content_types: Vec<String>,
    /// Certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Bytes of one reference, decompressed.
    pub max_bytes: usize,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long one reference may take.
    pub timeout: Duration,
    /// How many redirects are followed.
    pub redirects: usize,
    /// Bytes kept in memory.
    pub cache_bytes: usize,
    /// Pages kept in memory.
    pub cache_entries: usize,
    /// How long a page is taken for what it was.
    pub cache_ttl: Duration,
    /// Who asks Deckhand and Promenade.
    pub keystone: Option<Keystone>,
    /// Who asks elsewhere, by a name of the user's.
    pub credentials: BTreeMap<String, Credential>,
}

impl Default for Design {
    /// What holds where a file has no such section, and for who has no file.
    fn default() -> Self {
        let (table, _) = DeTable::parse_recoverable("");
        design(&Section::root(table.get_ref(), &Report::new("", "")))
    }
}

/// Who asks Keystone for a token, and where it may be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Keystone {
    /// Of Keystone's API v3.
    pub auth_url: Url,
    /// The only origins that tokens are sent to.
    pub origins: Vec<Origin>,
    /// The user.
    pub username: String,
    /// Its password.
    pub password: SecretSource,
    /// Its domain.
    pub user_domain_name: String,
    /// The project that the token is for.
    pub project_id: String,
}

/// A credential for one origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// The only origin that it is sent to.
    pub origin: Origin,
    /// What is sent.
    pub kind: CredentialKind,
}

/// What says who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// Basic authentication.
    Basic {
        /// The user; holds no colon.
        username: String,
        /// Its password.
        password: SecretSource,
    },
    /// A bearer token.
    Bearer {
        /// The token.
        token: SecretSource,
    },
}

/// What an action wants of the design that its task names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionDesign {
    /// In which form.
    pub form: DesignForm,
    /// Whether the task's `node_filter` selects the nodes that it is about; else it is about all of them.
    pub applies_filter: bool,
    /// How long resolving it may take, before the executor's own time begins.
    pub timeout: Duration,
}

/// In which form an executor gets a design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesignForm {
    /// As it came.
    Bytes,
    /// The typed documents as they were ingested.
    Documents,
    /// The compiled design.
    Model,
}

/// Types that YAML and JSON come as; what has no type of its own comes as the last two.
const CONTENT_TYPES: [&str; 7] = [
    "application/x-yaml",
    "application/yaml",
    "text/yaml",
    "text/x-yaml",
    "application/json",
    "text/plain",
    "application/octet-stream",
];

impl Design {
    /// The section of the file at `path`, else at `LONGSHORE_CONFIG`, else of `longshore.toml` in the working
    /// directory; the defaults where none is named and there is none. For who resolves references and needs nothing
    /// else of it.
    ///
    /// # Errors
    /// A file that cannot be read, or all that is wrong with this section.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let variable = std::env::var_os("LONGSHORE_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
        let default = Path::new(DEFAULT_FILE);
        let file = path.map(Path::to_owned).or(variable).or_else(|| default.exists().then(|| default.to_owned()));
        let Some(file) = file else { return parse_with("", "the defaults", design) };
        let name = file.display().to_string();
        parse_with(&read_file(&file, &name)?, &name, design)
    }
}

pub(super) fn design(root: &Section<'_>) -> Design {
    let section = root.section("design", "design");
    let types = section.texts("content_types").map(|types| types.iter().map(|one| one.to_ascii_lowercase()).collect());
    Design {
        file_root: section.path("file_root"),
        allow: parsed(&section, "allow", "networks such as 10.0.0.0/8 or origins such as http://deckhand:9000"),
        content_types: types.unwrap_or_else(|| CONTENT_TYPES.map(str::to_owned).to_vec()),
        ca_file: section.path("ca_file"),
        max_bytes: section.count("max_bytes").unwrap_or_default(),
        connect_timeout: section.duration("connect_timeout"),
        timeout: section.duration("timeout"),
        redirects: section.count("redirects").unwrap_or_default(),
        cache_bytes: section.count("cache_bytes").unwrap_or_default(),
        cache_entries: section.count("cache_entries").unwrap_or_default(),
        cache_ttl: section.duration("cache_ttl"),
        keystone: section.entry("keystone").and_then(|_| keystone(&section.section("keystone", "design.keystone"))),
        credentials: credentials(&section),
    }
}

/// What an action wants, where it has such a section.
pub(super) fn of_action(action: &Section<'_>) -> Option<ActionDesign> {
    action.entry("design")?;
    let section = action.section("design", "actions.NAME.design");
    let timeout = section.duration("timeout");
    let applies_filter = section.text("node_filter").is_some_and(|of| of == "task");
    let form = match section.text("as")?.as_str() {
        "documents" => DesignForm::Documents,
        "model" => DesignForm::Model,
        _ => DesignForm::Bytes,
    };
    if applies_filter && form == DesignForm::Bytes {
        section.refuse(
            "node_filter",
            "must be \"none\" for as = \"bytes\", whose nodes are not known: write as = \"documents\" or \"model\"",
        );
    }
    Some(ActionDesign { form, applies_filter, timeout })
}

/// What an action wants that cannot do without a design and has no such section.
pub(super) fn unsaid(action: &Section<'_>) -> ActionDesign {
    let timeout = action.missing("actions.NAME.design").duration("timeout");
    ActionDesign { form: DesignForm::Bytes, applies_filter: false, timeout }
}

fn keystone(section: &Section<'_>) -> Option<Keystone> {
    let auth_url = section.text("auth_url");
    let origins = parsed(section, "origins", "origins such as http://deckhand:9000");
    let (username, project_id) = (section.text("username"), section.text("project_id"));
    let user_domain_name = section.text("user_domain_name").unwrap_or_default();
    let password = secret(section, "password", "password_file");
    Some(Keystone {
        auth_url: Url::parse(&auth_url?).ok()?,
        origins,
        username: username?,
        password: password?,
        user_domain_name,
        project_id: project_id?,
    })
}

fn credentials(design: &Section<'_>) -> BTreeMap<String, Credential> {
    let mut credentials: BTreeMap<String, Credential> = BTreeMap::new();
    for (name, section) in design.named("credentials", "design.credentials.NAME") {
        let origin = section.text("origin").and_then(|text| match text.parse::<Origin>() {
            Ok(origin) => Some(origin),
            Err(error) => {
                section.refuse("origin", format!("must be an origin such as https://host:port: {error}"));
                None
            }
        });
        let (Some(origin), Some(kind)) = (origin, credential(&section)) else { continue };
        if let Some((other, _)) = credentials.iter().find(|(_, one)| one.origin == origin) {
            section.refuse("origin", format!("must have one credential, and {} is it", cut(other)));
        }
        credentials.insert(name, Credential { origin, kind });
    }
    credentials
}

/// The one of the two kinds that a section is.
fn credential(section: &Section<'_>) -> Option<CredentialKind> {
    let bearer = ["token", "token_file"].into_iter().any(|key| section.entry(key).is_some());
    let basic = ["username", "password", "password_file"].into_iter().find(|key| section.entry(key).is_some());
    match (bearer, basic) {
        (true, None) => Some(CredentialKind::Bearer { token: secret(section, "token", "token_file")? }),
        (true, Some(key)) => {
            section.refuse(key, "belongs to a user, this credential has a token: remove one");
            None
        }
        (false, None) => {
            section
                .refuse_all("must have username and password, or a token (each of the two secrets may be in a file)");
            None
        }
        (false, Some(_)) => {
            let username = section.text("username");
            let password = secret(section, "password", "password_file");
            let Some(username) = username else {
                section.refuse("username", "is missing: write username = \"longshore\"");
                return None;
            };
            if username.contains(':') {
                section.refuse("username", "must hold no colon, which ends it in a header");
            }
            Some(CredentialKind::Basic { username, password: password? })
        }
    }
}

/// A secret in the file itself, or in one of its own.
fn secret(section: &Section<'_>, here: &str, file: &str) -> Option<SecretSource> {
    match (section.entry(here), section.entry(file)) {
        (Some(_), Some(_)) => {
            section.refuse(file, format!("must not stand beside {here}: remove one"));
            None
        }
        (None, None) => {
            section.refuse_all(format!("must have {here} or {file}"));
            None
        }
        (None, Some(_)) => section.path(file).map(SecretSource::File),
        (Some(_), None) => {
            let text = section.text(here)?;
            if HeaderValue::from_str(&text).is_err() {
                section.refuse(here, "must be one line without control characters (it is not shown)");
                return None;
            }
            Some(SecretSource::Here(Secret::new(text)))
        }
    }
}

/// The strings of a list, each read as what it stands for.
fn parsed<T: FromStr<Err: std::fmt::Display>>(section: &Section<'_>, name: &str, what: &str) -> Vec<T> {
    let read = |text: String| match text.parse() {
        Ok(one) => Some(one),
        Err(error) => {
            // what stands before an @ may be a password
            let shown =
                if text.contains('@') { "a URL with an @ in it".to_owned() } else { format!("\"{}\"", cut(&text)) };
            section.refuse(name, format!("must hold {what}, got {shown}: {error}"));
            None
        }
    };
    section.texts(name).unwrap_or_default().into_iter().filter_map(read).collect()
}
