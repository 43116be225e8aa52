//! Which databases there are: one, or several cells that share the load.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::keys::Kind;
use super::secret_source::SecretSource;
use super::section::{Section, cut};
use super::{ConfigError, values};
use crate::secret::Secret;

/// The name of the only cell where one database is named.
pub const DEFAULT_CELL: &str = "default";

/// What a cell's name is.
pub const CELL_NAME: &str = "1 to 32 of a-z 0-9 -, neither first nor last a -";

/// Bytes of a cell's name: it is a label of every metric, and part of a variable's name.
const CELL_NAME_MAX_BYTES: usize = 32;

/// Each cell costs a thread and some ten connections of every worker.
const CELLS_MAX: usize = 32;

/// Before a cell's name, in upper case and with `_` for `-`, in the environment.
const VARIABLE: &str = "LONGSHORE_CELL_";

/// The databases of an installation, by the names of their cells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cells(BTreeMap<String, SecretSource>);

impl Cells {
    /// One database: its cell is called `default`.
    pub fn one(database_url: Secret) -> Self {
        Self(BTreeMap::from([(DEFAULT_CELL.to_owned(), SecretSource::Here(database_url))]))
    }

    /// Those of the environment: `DATABASE_URL`, or one `LONGSHORE_CELL_NAME` each; empty where there is none.
    ///
    /// # Errors
    /// A value that is no URL, a name that is none, or both kinds.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::of(std::env::vars_os())
    }

    /// Those of these variables; an empty one counts as unset.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut cells = BTreeMap::new();
        let mut one = None;
        for (variable, value) in variables {
            // what is no text in a name is none of ours, and what is none in a value is no URL
            let Some(variable) = variable.to_str().filter(|_| !value.is_empty()) else { continue };
            let name = variable.strip_prefix(VARIABLE);
            if name.is_none() && variable != "DATABASE_URL" {
                continue;
            }
            let url = value.into_string().unwrap_or_default();
            if let Some(wrong) = values::wrong_text(&Kind::PostgresUrl, &url) {
                return Err(ConfigError::new(variable, format!("must be {wrong}")));
            }
            match name {
                None => one = Some(Secret::new(url)),
                Some(name) => {
                    let is_upper = !name.bytes().any(|byte| byte.is_ascii_lowercase() || byte == b'-');
                    let cell = name.to_ascii_lowercase().replace('_', "-");
                    if !is_upper || !is_cell_name(&cell) {
                        let rule = format!("must end in a cell's name ({CELL_NAME}) in upper case, with _ for -");
                        return Err(ConfigError::new(&cut(variable), rule));
                    }
                    cells.insert(cell, SecretSource::Here(Secret::new(url)));
                }
            }
        }
        match (one, cells.keys().next()) {
            (Some(_), Some(cell)) => Err(ConfigError::new("DATABASE_URL", beside(&variable_of(cell)))),
            (Some(one), None) => Ok(Self::one(one)),
            (None, _) => Ok(Self(cells)),
        }
    }

    /// Those of a file: `database_url`, or the sections `[cells.NAME]`.
    pub(super) fn read(root: &Section<'_>) -> Self {
        let mut cells = BTreeMap::new();
        for (name, section) in root.named("cells", "cells.NAME") {
            if !is_cell_name(&name) {
                section.refuse_all(format!("must have a name of {CELL_NAME}"));
            }
            let source = match (section.entry("database_url"), section.entry("database_url_file")) {
                (Some(_), Some(_)) => {
                    section.refuse("database_url_file", "must not stand beside database_url: remove one");
                    None
                }
                (None, Some(_)) => section.path("database_url_file").map(SecretSource::File),
                (Some(_), None) => section.text("database_url").map(|url| SecretSource::Here(Secret::new(url))),
                (None, None) => {
                    let variable = variable_of(&name);
                    section.refuse_all(format!(
                        "must have database_url or database_url_file; or leave the section out and set {variable}"
                    ));
                    None
                }
            };
            cells.extend(Some(name).zip(source));
        }
        let Some(url) = root.text("database_url") else { return Self(cells) };
        if root.entry("cells").is_some() {
            root.refuse("database_url", "must not stand beside [cells.NAME]: make it one of them, or remove them");
        }
        Self::one(Secret::new(url))
    }

    /// What the environment says of the databases wins over what the file says, by the cell's name; but it does not
    /// make one database into several.
    pub(super) fn won_over_by(self, environment: Self, file: &str) -> Result<Self, ConfigError> {
        match (self.is_one(), environment.is_one()) {
            _ if environment.0.is_empty() => Ok(self),
            _ if self.0.is_empty() => Ok(environment),
            (true, true) => Ok(environment),
            (false, false) => Ok(Self(self.0.into_iter().chain(environment.0).collect())),
            (true, false) => {
                let variable = environment.0.keys().next().map_or_else(String::new, |cell| variable_of(cell));
                Err(ConfigError::new(&variable, beside(&format!("database_url of {file}"))))
            }
            (false, true) => Err(ConfigError::new("DATABASE_URL", beside(&format!("the cells of {file}")))),
        }
    }

    /// Whether it is one database without a name of its own.
    fn is_one(&self) -> bool {
        self.0.len() == 1 && self.0.contains_key(DEFAULT_CELL)
    }

    /// Whether no database is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names and URLs, at least one; `source` stands for the configuration in errors.
    ///
    /// # Errors
    /// No database is named, too many are, one is named twice, or a file cannot be read.
    pub fn urls(&self, source: &str) -> Result<Vec<(String, Secret)>, ConfigError> {
        if self.0.is_empty() {
            let remedy = "no database is named: set DATABASE_URL=postgres://…, or database_url in this file";
            return Err(ConfigError::new(source, remedy));
        }
        if self.0.len() > CELLS_MAX {
            let count = self.0.len();
            return Err(ConfigError::new(source, format!("must have at most {CELLS_MAX} cells, got {count}")));
        }
        let mut urls: Vec<(String, Secret)> = Vec::new();
        for (name, from) in &self.0 {
            let key = format!("cells.{name}.database_url_file");
            let url = from.read(&key)?;
            if let (SecretSource::File(path), Some(wrong)) =
                (from, values::wrong_text(&Kind::PostgresUrl, url.expose()))
            {
                return Err(ConfigError::new(&key, format!("{} must hold {wrong}", path.display())));
            }
            if let Some((other, _)) = urls.iter().find(|(_, known)| *known == url) {
                return Err(ConfigError::new(source, format!("cells {other} and {name} are one database: remove one")));
            }
            urls.push((name.clone(), url));
        }
        Ok(urls)
    }
}

fn beside(other: &str) -> String {
    format!("must not stand beside {other}: one database has a URL, several are cells with one each; remove one")
}

/// The variable that says where this cell is.
fn variable_of(cell: &str) -> String {
    format!("{VARIABLE}{}", cell.to_ascii_uppercase().replace('-', "_"))
}

fn is_cell_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=CELL_NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(known)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
