//! Which database a command means: DATABASE_URL, else the configuration's.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use longshore_queue::{Connect, Session, check_schema};
use longshore_worker::config::{Config, ConfigError, Connection};

// No doc comment: it would replace that of the command. With DATABASE_URL no configuration is needed.
#[derive(Debug, Args)]
pub(super) struct Database {
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The schema of the tables; else the configuration's, else public
    #[arg(long, value_parser = schema, global = true)]
    schema: Option<String>,
}

impl Database {
    /// How to reach it; nothing is opened.
    ///
    /// # Errors
    /// None is named, or not well.
    pub(super) fn connect(&self) -> Result<Connect, ConfigError> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let url = variable("DATABASE_URL");
        let has_file =
            self.config.is_some() || variable("LONGSHORE_CONFIG").is_some() || Path::new("longshore.toml").exists();
        let (source, url, schema, pooled) = match url {
            Some(url) if !has_file => ("DATABASE_URL".to_owned(), url, None, false),
            None if !has_file => {
                let remedy = "set DATABASE_URL=postgres://…, or name a configuration with --config FILE";
                return Err(ConfigError::new("DATABASE_URL", format!("no database is named: {remedy}")));
            }
            _ => {
                let config = Config::load(self.config.as_deref())?;
                let url = config.require_database_url()?.expose().to_owned();
                (config.source, url, Some(config.schema), config.connection == Connection::TransactionPooler)
            }
        };
        if let Some(scheme) = url.split_once("://").map(|(scheme, _)| scheme)
            && !matches!(scheme, "postgres" | "postgresql")
        {
            let what = format!("{scheme}:// names another kind of database: Longshore needs Postgres, postgres://…");
            return Err(ConfigError::new(&source, what));
        }
        let schema = self.schema.clone().or(schema).unwrap_or_else(|| "public".to_owned());
        // the error may show a part of the URL, which may hold a password
        Connect::new(&url, &schema, pooled)
            .map_err(|_| ConfigError::new(&source, "the database's address must be a URL like postgres://…"))
    }

    /// A session with it, for a command that needs the schema as it is now.
    ///
    /// # Errors
    /// It cannot be reached, or lacks a migration.
    pub(super) async fn session(&self) -> anyhow::Result<Session> {
        let mut session = self.connect()?.session("longshore cli").await?;
        check_schema(&mut session).await?;
        Ok(session)
    }
}

/// The rule of the configuration's key of this name.
fn schema(text: &str) -> Result<String, String> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if first && rest && text.len() <= 63 {
        Ok(text.to_owned())
    } else {
        Err("must be [a-z_][a-z0-9_]{0,62}".to_owned())
    }
}

/// One step with a session: `ask!(session, db => schedules(db))`.
macro_rules! ask {
    ($session:expr, $db:ident => $call:expr) => {{
        let mut step = $session.step().await?;
        let $db = step.db();
        let answer = $call.await?;
        step.done().await?;
        answer
    }};
}
pub(super) use ask;
