//! `longshore migrate`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use longshore_queue::{Connect, migrate, newest_version, pending_sql};
use longshore_worker::config::{Config, ConfigError, Connection};

use super::block_on;

/// Applies what the database's schema lacks; any number of programs may do so at once.
///
/// The database is DATABASE_URL, else the configuration's database_url; with DATABASE_URL no configuration is needed.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Print the SQL that is pending, and nothing else: for psql
    #[arg(long)]
    dry_run: bool,
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The schema of the tables; else the configuration's, else public
    #[arg(long, value_parser = schema)]
    schema: Option<String>,
}

impl Migrate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let connect = self.connect()?;
        if self.dry_run {
            let script = block_on(async { Ok(pending_sql(&connect).await?) })?;
            io::stdout().write_all(script.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        let applied = block_on(async { Ok(migrate(&connect).await?) })?;
        for version in &applied {
            println!("schema {}: applied migration {version}", connect.schema());
        }
        if applied.is_empty() {
            println!("schema {}: at version {}, nothing to apply", connect.schema(), newest_version());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn connect(&self) -> Result<Connect, ConfigError> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let url = variable("DATABASE_URL");
        let has_file =
            self.config.is_some() || variable("LONGSHORE_CONFIG").is_some() || Path::new("longshore.toml").exists();
        let (source, url, schema, pooled) = match url {
            Some(url) if !has_file => ("DATABASE_URL".to_owned(), url, None, false),
            None if !has_file => {
                let remedy = "set DATABASE_URL=postgres://…, or name a configuration with --config FILE";
                return Err(ConfigError::new("longshore migrate", format!("no database is named: {remedy}")));
            }
            _ => {
                let config = Config::load(self.config.as_deref())?;
                let url = config.require_database_url()?.expose().to_owned();
                (config.source, url, Some(config.schema), config.connection == Connection::TransactionPooler)
            }
        };
        let schema = self.schema.clone().or(schema).unwrap_or_else(|| "public".to_owned());
        // the error may show a part of the URL, which may hold a password
        Connect::new(&url, &schema, pooled)
            .map_err(|_| ConfigError::new(&source, "the database's address must be a URL like postgres://…"))
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
