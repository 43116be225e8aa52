//! Which database a command means: that of the environment, else of the configuration; with several cells, `--cell`.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;
use longshore_queue::{Connect, Session, check_schema};
use longshore_worker::config::{Cells, Config, ConfigError, Connection, wrong_schema};

use super::exit::BadInput;

// No doc comment: it would replace that of the command. With the environment's databases no configuration is needed.
#[derive(Debug, Args)]
pub(super) struct Database {
    /// The configuration; else LONGSHORE_CONFIG, else ./longshore.toml
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The schema of the tables; else the configuration's, else public
    #[arg(long, value_parser = schema, global = true)]
    schema: Option<String>,
    /// The cell, where several are configured
    #[arg(long, value_name = "NAME", global = true)]
    cell: Option<String>,
}

impl Database {
    /// How to reach each cell, or the one that is named, by name; at least one. Nothing is opened.
    ///
    /// # Errors
    /// None is named, or not well; there is no such cell.
    pub(super) fn cells(&self) -> anyhow::Result<Vec<(String, Connect)>> {
        let (source, urls, schema, pooled) = if self.has_file() {
            let config = Config::load(self.config.as_deref())?;
            let (urls, pooled) = (config.databases()?, config.connection == Connection::TransactionPooler);
            (config.source, urls, Some(config.schema), pooled)
        } else {
            let (source, cells) = ("the environment".to_owned(), Cells::from_environment()?);
            if cells.is_empty() {
                let remedy = "set DATABASE_URL=postgres://…, or name a configuration with --config FILE";
                return Err(ConfigError::new("DATABASE_URL", format!("no database is named: {remedy}")).into());
            }
            let urls = cells.urls(&source)?;
            (source, urls, None, false)
        };
        let schema = self.schema.clone().or(schema).unwrap_or_else(|| "public".to_owned());
        let mut cells = Vec::new();
        for (name, url) in urls {
            let connect = Connect::new(url.expose(), &schema, pooled)
                .map_err(|error| ConfigError::new(&source, error.to_string()))?;
            cells.push((name, connect));
        }
        if let Some(wanted) = &self.cell {
            let known = names(&cells);
            cells.retain(|(name, _)| name == wanted);
            if cells.is_empty() {
                return Err(BadInput(format!("there is no cell {wanted:?}: choose from {known}")).into());
            }
        }
        Ok(cells)
    }

    fn has_file(&self) -> bool {
        let named = self.config.is_some() || env::var_os("LONGSHORE_CONFIG").is_some_and(|value| !value.is_empty());
        named || Path::new("longshore.toml").exists()
    }

    /// How to reach the one cell that is meant; nothing is opened.
    ///
    /// # Errors
    /// As [`Database::cells`]; there are several, and none is named.
    pub(super) fn connect(&self) -> anyhow::Result<Connect> {
        let mut cells = self.cells()?;
        match cells.pop() {
            Some((_, connect)) if cells.is_empty() => Ok(connect),
            last => {
                cells.extend(last);
                Err(BadInput(format!("there are several cells: name one with --cell, of {}", names(&cells))).into())
            }
        }
    }

    /// A session with it, for a command that needs the schema as it is now.
    ///
    /// # Errors
    /// It cannot be reached, or lacks a migration.
    pub(super) async fn session(&self) -> anyhow::Result<Session> {
        open(&self.connect()?).await
    }
}

/// The same, for a command that needs to know how to reach it as well.
pub(super) async fn open(connect: &Connect) -> anyhow::Result<Session> {
    let mut session = connect.session("longshore cli").await?;
    check_schema(&mut session).await?;
    Ok(session)
}

fn names(cells: &[(String, Connect)]) -> String {
    cells.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn schema(text: &str) -> Result<String, String> {
    wrong_schema(text).map_or_else(|| Ok(text.to_owned()), |wrong| Err(format!("must be {wrong}")))
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
