//! What can go wrong between this crate and the database.

use sqlx::postgres::PgDatabaseError;

/// What an INSERT refuses, and what to do then: a table that tests hold against the database.
const CONTRACT: &str = include_str!("../CONTRACT.md");

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused it or could not be reached.
    #[error("{}", told(.0))]
    Database(sqlx::Error),
    /// The database could not be connected to.
    #[error("{address}: {}", told(.error))]
    Connection {
        /// Which database on which host; no password.
        address: String,
        /// What happened.
        error: sqlx::Error,
    },
    /// The database's URL says something that cannot be.
    #[error("the database's address must be {0}")]
    Address(String),
    /// A server answers that is not what `target_session_attrs` asks for.
    #[error("{address}: it is {found}, and target_session_attrs asks for {wanted}")]
    Unfit {
        /// Which database on which host.
        address: String,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// None of several hosts can be used.
    #[error("none of {} hosts can be used: {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoHost(Vec<Error>),
    /// Something between this program and the database shares its connections.
    #[error(
        "a pooler that shares connections stands before the database: the session's settings did not arrive. \
         Connect to the server itself, or say connection = \"transaction_pooler\" in the configuration"
    )]
    Pooler,
    /// The schema has not been applied, or not all of it.
    #[error("the schema `{schema}` is at version {found}, this program needs {wanted}: run `longshore migrate`")]
    SchemaOlder {
        /// Where the tables are looked for.
        schema: String,
        /// The newest version applied, 0 when there is none.
        found: i64,
        /// The newest version that this program knows.
        wanted: i64,
    },
    /// A newer program has changed the schema.
    #[error(
        "the schema is at version {found}, newer than {known}, the newest this program knows: \
         use a newer longshore"
    )]
    SchemaNewer {
        /// The newest version applied.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A migration was not applied.
    #[error("migration: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Another program holds the migration lock for longer than anybody should.
    #[error("another migration has been running for {0:?}: look at pg_stat_activity, then try again")]
    MigrationBusy(std::time::Duration),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What a section of the contract says to do about a constraint, all of it.
fn remedies(section: &str, constraint: &str) -> Option<String> {
    let mut found: Vec<&str> = Vec::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [.., of, remedy] = columns[..]
            && of == constraint
            && !found.contains(&remedy)
        {
            found.push(remedy);
        }
    }
    (!found.is_empty()).then(|| found.join(", or "))
}

/// What the database says, in its own words, with the constraint and the hint that tell what to change.
fn told(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(refused) = error else { return error.to_string() };
    let mut told = refused.message().to_owned();
    if let Some(constraint) = refused.constraint().filter(|constraint| !told.contains(constraint)) {
        told.push_str(&format!(" ({constraint})"));
    }
    if let Some(hint) = refused.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint) {
        told.push_str(&format!(": {hint}"));
    }
    told
}

impl Error {
    /// What the database answered, or how it could not.
    fn of_database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) | Self::Connection { error, .. } => Some(error),
            _ => None,
        }
    }

    /// True when the same call may go through later: the connection, the server's state or a time limit was the cause,
    /// not what was sent.
    pub fn is_passing(&self) -> bool {
        if let Self::Unfit { .. } | Self::NoHost(_) = self {
            return true;
        }
        match self.of_database() {
            Some(sqlx::Error::Database(error)) => error.code().is_none_or(|code| {
                // connection, transaction rollback, resources, operator intervention, object in use, system, read-only
                ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class)) || code == "25006"
            }),
            Some(sqlx::Error::Encode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) | None => false,
            Some(_) => true,
        }
    }

    /// What `CONTRACT.md` says to do about a value that was refused by a constraint, where the database itself does
    /// not.
    pub fn remedy(&self) -> Option<String> {
        let Some(sqlx::Error::Database(refused)) = self.of_database() else { return None };
        let hinted = refused.try_downcast_ref::<PgDatabaseError>().is_some_and(|refused| refused.hint().is_some());
        let name = format!("`{}`", refused.constraint().filter(|_| !hinted)?);
        // one name may stand in several sections, of which the first is of tasks
        CONTRACT.split("\n# ").find_map(|section| remedies(section, &name))
    }

    /// True when somebody else has held a lock for longer than this session waits for one.
    pub fn is_lock_timeout(&self) -> bool {
        self.sqlstate().is_some_and(|code| code == "55P03")
    }

    /// The SQLSTATE, when the database gave one.
    pub fn sqlstate(&self) -> Option<String> {
        match self.of_database() {
            Some(sqlx::Error::Database(error)) => error.code().map(|code| code.into_owned()),
            _ => None,
        }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
